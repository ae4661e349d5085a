//! Guests of one block of memory: a program that runs at EL1, behind stage 2, on any number of vCPUs.

#![no_std]

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{
    CurrentEL, HCR_EL2, ID_AA64MMFR0_EL1, ReadWriteable, Readable, SCTLR_EL1, VMPIDR_EL2, VTCR_EL2,
    VTTBR_EL2, Writeable,
};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille::exception::{self, EnterError, Frame, Handlers, Kind, Outcome};
use reveille::memory::{Pages, PagesError, dma};

/// Where a guest has its RAM, in its own addresses, and how much: a block of stage 2.
pub const RAM: u64 = 0x4000_0000;
pub const BLOCK: usize = 2 << 20;
const PAGE: usize = 4096;

/// SPSR: EL1h, everything masked.
const EL1H: u64 = 0x3c5;
/// `SCTLR_EL1` with MMU and caches off (the bits that are 1 there are RES1).
const SCTLR_OFF: u64 = 0x30d0_0800;

/// The VMID of the next guest: 8 bits wherever there are no more, and 0 is nobody's.
static VMID: AtomicU64 = AtomicU64::new(1);

/// For `entry!`: whatever a guest does, and every interrupt meanwhile, ends [`Vcpu::run`] or has it look around.
pub struct Host;

// SAFETY: nothing is changed. A vCPU is left, and goes on when it is entered again.
unsafe impl Handlers for Host {
    fn lower_synchronous(_: &mut Frame, _: Kind) -> Outcome {
        Outcome::Leave
    }

    fn lower_irq(_: &mut Frame) -> Outcome {
        Outcome::Leave
    }
}

/// Why a machine cannot have guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The image was not entered at EL2: `cargo run -- --el 2`.
    NotAtEl2,
    /// `HCR_EL2.E2H` is 1 for good, and registers of EL1 have other names.
    E2h,
}

/// Looks whether this machine can have guests.
pub fn check() -> Result<(), Unfit> {
    if CurrentEL.read(CurrentEL::EL) != 2 {
        return Err(Unfit::NotAtEl2);
    }
    if HCR_EL2.is_set(HCR_EL2::E2H) {
        return Err(Unfit::E2h);
    }
    Ok(())
}

/// Memory with a program, and the tables by which vCPUs see it.
pub struct Guest {
    tables: u64,
}

impl Guest {
    /// One whose RAM begins with `program`, which may lie anywhere.
    ///
    /// # Errors
    ///
    /// A [`PagesError`] if there is no memory for it.
    ///
    /// # Panics
    ///
    /// If `program` is larger than [`BLOCK`], or there are 255 guests already.
    pub fn new(program: &[u8]) -> Result<Self, PagesError> {
        let ram = zeros(BLOCK)?;
        let tables = zeros(2 * PAGE)?;
        ram[..program.len()].copy_from_slice(program);

        // 39 bits of address, so a table of 1 GiB for each entry comes first (Arm ARM D8.2, D8.3).
        const TABLE: u64 = 0b11;
        // Accessed, inner shareable, read and write, write-back memory, a block.
        const MEMORY: u64 = 1 << 10 | 0b11 << 8 | 0b11 << 6 | 0b1111 << 2 | 0b01;
        let base = tables.as_ptr() as u64;
        let mut set =
            |at: usize, entry: u64| tables[at..at + 8].copy_from_slice(&entry.to_le_bytes());
        set((RAM >> 30) as usize * 8, (base + PAGE as u64) | TABLE);
        set(
            PAGE + (RAM >> 21) as usize % 512 * 8,
            ram.as_ptr() as u64 | MEMORY,
        );

        // The guest begins with its MMU off, and does not see what is in caches alone.
        dma::clean(ram);
        dma::clean(tables);
        // SAFETY: maintenance of the instruction caches and of what all CPUs know of guests' translations, and that it is over.
        unsafe {
            asm!(
                "ic ialluis; tlbi alle1is; dsb sy; isb",
                options(nostack, preserves_flags)
            )
        };
        let vmid = VMID.fetch_add(1, Ordering::Relaxed);
        assert!(vmid < 256, "255 guests at most");
        Ok(Self {
            tables: base | vmid << 48,
        })
    }

    /// A vCPU of this guest, which begins at the start of its RAM.
    pub fn vcpu(&self, number: u8) -> Vcpu {
        let mut frame = Frame::new();
        frame.elr = RAM;
        frame.spsr = EL1H;
        Vcpu {
            frame,
            number,
            tables: self.tables,
            sctlr: SCTLR_OFF,
        }
    }
}

/// Memory for good, as large as its alignment.
fn zeros(bytes: usize) -> Result<&'static mut [u8], PagesError> {
    let pages = Pages::aligned(bytes, bytes)?.zeroed().leak();
    // SAFETY: `zeroed` has written all of it.
    Ok(unsafe { pages.assume_init_mut() })
}

/// Why a vCPU does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It has called: `HVC #number`, with this in x0.
    Call { number: u16, value: u64 },
    /// It has done something else that nobody expects.
    Other { esr: u64, far: u64, elr: u64 },
}

/// A CPU of a guest: one of a guest on each CPU, where it stays. Its registers of EL1 are kept there, but for `SCTLR_EL1`.
pub struct Vcpu {
    frame: Frame,
    number: u8,
    tables: u64,
    sctlr: u64,
}

impl Vcpu {
    /// Runs until it exits. Interrupts of this CPU are served meanwhile, so it answers calls and can be stopped. In thread context.
    ///
    /// # Errors
    ///
    /// An [`EnterError`] if this is no place from which a guest can run.
    pub fn run(&mut self) -> Result<Exit, EnterError> {
        loop {
            let Self {
                frame,
                number,
                tables,
                sctlr,
            } = self;
            // Registers of lower levels alone, with nothing between them and the guest.
            let load = || {
                VTCR_EL2.set(vtcr());
                VTTBR_EL2.set(*tables);
                VMPIDR_EL2.set(1 << 31 | u64::from(*number));
                // SMC as well: firmware that a guest can call starts CPUs at EL2, and turns the machine off.
                HCR_EL2.modify(
                    HCR_EL2::VM::Enable
                        + HCR_EL2::RW::EL1IsAarch64
                        + HCR_EL2::TSC::EnableTrapEl1SmcToEl2,
                );
                SCTLR_EL1.set(*sctlr);
                barrier::isb(barrier::SY);
            };
            // SAFETY: stage 2 keeps the guest to its own block of memory; interrupts come here, as the runtime has set up HCR_EL2.
            let kind = unsafe { exception::enter_with(frame, load, |_| ())? };
            self.sctlr = SCTLR_EL1.get();
            if kind == Kind::LowerIrq {
                continue;
            }
            let Frame {
                esr, far, elr, x, ..
            } = self.frame;
            // ESR_EL2.EC: HVC in AArch64 (Arm ARM, ESR_EL2).
            return Ok(match esr >> 26 {
                0x16 => Exit::Call {
                    number: esr as u16,
                    value: x[0],
                },
                _ => Exit::Other { esr, far, elr },
            });
        }
    }

    /// What the guest finds in x0 after its call.
    pub fn answer(&mut self, value: u64) {
        self.frame.x[0] = value;
    }
}

/// 39 bits of address from level 1 on, 4 KiB granule, walks through the caches, and as many physical bits as there are.
fn vtcr() -> u64 {
    let range = ID_AA64MMFR0_EL1.read(ID_AA64MMFR0_EL1::PARange).min(5);
    1 << 31 | range << 16 | 0b11 << 12 | 0b01 << 10 | 0b01 << 8 | 0b01 << 6 | 25
}
