//! GICv2 (Arm IHI 0048B), with the bit fields of tock-registers over the MMIO cell.
//!
//! Written so that one sequence serves every view: with and without the security extension, Secure and
//! Non-secure, emulated by a hypervisor. Hence: IGROUPR is written only where it reads other than 0, GICD_CTLR is 1,
//! GICC_CTLR 1 beside its bypass bits, the identification registers and CPENDSGIR are never touched.

use super::bcm2836;
use super::common::{
    self, BINARY_POINT, Deafness, GicError, NMI_PRIORITY, NORMAL, SGIS, Trigger, secure_write,
};
use super::number::NMI;
use crate::arch::{self, mmio::Mmio};
use crate::dt::Region;
use crate::masking::OPEN;
use crate::memory;
use core::sync::atomic::{AtomicPtr, Ordering};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::{register_bitfields, register_structs};

register_bitfields! { u32,
    GICD_CTLR [ ENABLE OFFSET(0) NUMBITS(1) [] ],
    GICD_TYPER [
        LINES OFFSET(0) NUMBITS(5) [],
        SECURITY OFFSET(10) NUMBITS(1) []
    ],
    GICD_SGIR [
        ID OFFSET(0) NUMBITS(4) [],
        TARGETS OFFSET(16) NUMBITS(8) []
    ],
    GICC_CTLR [ ENABLE OFFSET(0) NUMBITS(1) [], BYPASS OFFSET(5) NUMBITS(4) [] ]
}

register_structs! {
    Distributor {
        (0x000 => ctlr: Mmio<u32, GICD_CTLR::Register>),
        (0x004 => typer: Mmio<u32, GICD_TYPER::Register>),
        (0x008 => _iidr),
        (0x080 => igroupr: [Mmio<u32>; 32]),
        (0x100 => isenabler: [Mmio<u32>; 32]),
        (0x180 => icenabler: [Mmio<u32>; 32]),
        (0x200 => ispendr: [Mmio<u32>; 32]),
        (0x280 => icpendr: [Mmio<u32>; 32]),
        (0x300 => isactiver: [Mmio<u32>; 32]),
        (0x380 => icactiver: [Mmio<u32>; 32]),
        (0x400 => ipriorityr: [Mmio<u8>; 1024]),
        (0x800 => itargetsr: [Mmio<u8>; 1024]),
        (0xc00 => icfgr: [Mmio<u32>; 64]),
        (0xd00 => _implementation),
        (0xf00 => sgir: Mmio<u32, GICD_SGIR::Register>),
        (0xf04 => @END),
    },
    CpuInterface {
        (0x00 => ctlr: Mmio<u32, GICC_CTLR::Register>),
        (0x04 => pmr: Mmio<u32>),
        (0x08 => bpr: Mmio<u32>),
        (0x0c => iar: Mmio<u32>),
        (0x10 => eoir: Mmio<u32>),
        (0x14 => rpr: Mmio<u32>),
        (0x18 => _rest),
        (0xd0 => apr: [Mmio<u32>; 4]),
        (0xe0 => @END),
    }
}

impl CpuInterface {
    /// Whether interrupts are signalled. What firmware has said of the legacy signals that bypass the interface stays (IHI 0048B
    /// 4.4.1, 2.3.1); all else is 0.
    #[inline(always)]
    fn set_enabled(&self, enabled: bool) {
        let bypass = GICC_CTLR::BYPASS.val(self.ctlr.read(GICC_CTLR::BYPASS));
        self.ctlr.write(bypass + GICC_CTLR::ENABLE.val(enabled.into()));
    }
}

/// Offset of IGROUPR in the distributor, for the Secure store.
const GICD_IGROUPR: u64 = 0x80;
/// Offset of PMR in the CPU interface, for the Secure store.
const GICC_PMR: u64 = 0x04;

pub(super) struct GicV2 {
    distributor: &'static Distributor,
    cpu: &'static CpuInterface,
    distributor_at: u64,
    cpu_at: u64,
}

impl GicV2 {
    pub(super) fn new(distributor: Region, cpu: Region) -> Result<Self, GicError> {
        memory::map_device(distributor.base, size_of::<Distributor>() as u64).map_err(GicError::Map)?;
        memory::map_device(cpu.base, size_of::<CpuInterface>() as u64).map_err(GicError::Map)?;
        Ok(Self {
            // SAFETY: the device tree says that this is a GICv2's distributor; just mapped, for ever.
            distributor: unsafe { &*(distributor.base as *const Distributor) },
            // SAFETY: likewise its CPU interface.
            cpu: unsafe { &*(cpu.base as *const CpuInterface) },
            distributor_at: distributor.base,
            cpu_at: cpu.base,
        })
    }

    /// One more than the highest SPI number (IHI 0048B 4.3.2).
    pub(super) fn interrupts(&self) -> u32 {
        (32 * (self.distributor.typer.read(GICD_TYPER::LINES) + 1)).min(1020)
    }

    /// Whether there is a Secure view to set up. Without the Security Extensions everything is in Group 0, as it is at
    /// reset, and that group alone is enabled here (IHI 0048B 4.3.2, SecurityExtn).
    fn has_security(&self) -> bool {
        self.distributor.typer.is_set(GICD_TYPER::SECURITY)
    }

    /// Puts 32 interrupts in Group 0, the one that is enabled here. Seen from Non-secure they are in it anyway (IGROUPR is
    /// RAZ/WI); but where there is one view, firmware that counted on two may have moved them.
    fn ungroup(&self, word: usize) {
        let groups = &self.distributor.igroupr[word];
        if groups.get() != 0 {
            groups.set(0);
        }
    }

    pub(super) fn init(&self, firmware_is_ours: bool) {
        CPU_INTERFACE.store(core::ptr::from_ref(self.cpu).cast_mut(), Ordering::Relaxed);
        DISTRIBUTOR.store(core::ptr::from_ref(self.distributor).cast_mut(), Ordering::Relaxed);
        let words = self.interrupts().div_ceil(32) as usize;
        let secure_half = firmware_is_ours && self.has_security();
        self.distributor.ctlr.set(0);
        // This CPU's own bit, as its banked ITARGETSR0 shows it; all zero on a single CPU.
        let own = self.own_target();
        for word in 1..words {
            if secure_half {
                secure_write(self.distributor_at + GICD_IGROUPR + 4 * word as u64, u32::MAX);
            }
            self.ungroup(word);
            self.distributor.icenabler[word].set(u32::MAX);
            self.distributor.icpendr[word].set(u32::MAX);
            self.distributor.icactiver[word].set(u32::MAX);
        }
        for intid in 32..self.interrupts() as usize {
            self.distributor.ipriorityr[intid].set(NORMAL);
            self.distributor.itargetsr[intid].set(own);
        }
        if secure_half {
            // Both groups forwarded, in the Secure view of GICD_CTLR.
            secure_write(self.distributor_at, 0b11);
        }
        self.distributor.ctlr.write(GICD_CTLR::ENABLE::SET);
    }

    fn own_target(&self) -> u8 {
        // Any banked target register will do: QEMU and GIC-400 show the bit in each.
        (0..32).map(|intid| self.distributor.itargetsr[intid].get()).fold(0, |all, one| all | one).max(1)
    }

    /// Returns this CPU's bit in target lists, and whether the binary point is what was asked for: with GICC_CTLR.CBPR, which is the
    /// Secure world's, it is not to be set from here (IHI 0048B 4.4.3).
    pub(super) fn init_cpu(&self, firmware_is_ours: bool) -> (u8, bool) {
        if firmware_is_ours && self.has_security() {
            secure_write(self.distributor_at + GICD_IGROUPR, u32::MAX);
            secure_write(self.cpu_at + GICC_PMR, u32::from(OPEN));
        }
        self.cpu.set_enabled(false);
        self.ungroup(0);
        self.distributor.icenabler[0].set(!SGIS);
        self.distributor.icactiver[0].set(u32::MAX);
        self.distributor.icpendr[0].set(u32::MAX);
        for intid in 0..32 {
            let priority = if intid == NMI.intid() as usize { NMI_PRIORITY } else { NORMAL };
            self.distributor.ipriorityr[intid].set(priority);
        }
        self.distributor.isenabler[0].set(SGIS);
        for apr in &self.cpu.apr {
            apr.set(0);
        }
        self.cpu.bpr.set(BINARY_POINT);
        self.cpu.pmr.set(u32::from(OPEN));
        self.cpu.set_enabled(true);
        // The interface is on before anything that relies on it.
        arch::dsb_sy();
        (self.own_target(), self.cpu.bpr.get() & 7 == BINARY_POINT)
    }

    /// Why this CPU, which is set up, may hear nothing (IHI 0048B 4.3.4, 4.4.2, 4.4.6).
    pub(super) fn deaf(&self) -> Deafness {
        // Seen from Non-secure, what is in Group 0 reads as not enabled.
        if self.distributor.isenabler[0].get() & SGIS != SGIS {
            Deafness::Group0
        } else if self.cpu.pmr.get() <= u32::from(NORMAL) {
            Deafness::Mask
        } else if self.cpu.rpr.get() <= u32::from(NORMAL) {
            Deafness::Active
        } else {
            Deafness::NoSign
        }
    }

    /// See [`super::controller`].
    pub(super) fn can_enable(&self, these: u32) -> bool {
        let before = self.distributor.isenabler[0].get();
        self.distributor.isenabler[0].set(these);
        let after = self.distributor.isenabler[0].get();
        self.distributor.icenabler[0].set(these & !before);
        after & these == these
    }

    /// See [`super::quiet_cpu`].
    pub(super) fn quiet_cpu(&self) {
        self.cpu.set_enabled(false);
        self.distributor.icenabler[0].set(!SGIS);
        self.distributor.icpendr[0].set(u32::MAX);
        arch::dsb_sy();
    }

    pub(super) fn enable(&self, intid: u32, enable: bool) {
        let bit = 1 << (intid % 32);
        let word = intid as usize / 32;
        if enable {
            self.distributor.isenabler[word].set(bit)
        } else {
            self.distributor.icenabler[word].set(bit)
        }
        arch::dsb_sy();
    }

    pub(super) fn set_priority(&self, intid: u32, priority: u8) {
        self.distributor.ipriorityr[intid as usize].set(priority);
        arch::dsb_sy();
    }

    pub(super) fn set_pending(&self, intid: u32, pending: bool) {
        let registers = if pending { &self.distributor.ispendr } else { &self.distributor.icpendr };
        registers[intid as usize / 32].set(1 << (intid % 32));
        arch::dsb_sy();
    }

    pub(super) fn is_pending(&self, intid: u32) -> bool {
        self.distributor.ispendr[intid as usize / 32].get() >> (intid % 32) & 1 != 0
    }

    pub(super) fn is_active(&self, intid: u32) -> bool {
        self.distributor.isactiver[intid as usize / 32].get() >> (intid % 32) & 1 != 0
    }

    pub(super) fn set_trigger(&self, intid: u32, trigger: Trigger) {
        let shift = 2 * (intid % 16) + 1;
        let register = &self.distributor.icfgr[intid as usize / 16];
        let edge = u32::from(trigger == Trigger::Edge) << shift;
        register.set(register.get() & !(1 << shift) | edge);
    }

    pub(super) fn route(&self, intid: u32, target: u8) {
        self.distributor.itargetsr[intid as usize].set(target);
        arch::dsb_sy();
    }
}

/// Where the CPU interface and the distributor are, for the paths that every call takes.
static CPU_INTERFACE: AtomicPtr<CpuInterface> = AtomicPtr::new(core::ptr::null_mut());
static DISTRIBUTOR: AtomicPtr<Distributor> = AtomicPtr::new(core::ptr::null_mut());

/// The CPU interface of the calling CPU.
pub(crate) struct Cpu;

impl Cpu {
    #[inline(always)]
    fn registers() -> &'static CpuInterface {
        // SAFETY: set by `init`, which comes before anything that gets here, to what `new` mapped for ever. Relaxed:
        // the boot CPU sets it before any other CPU runs.
        unsafe { &*CPU_INTERFACE.load(Ordering::Relaxed) }
    }
}

impl common::CpuInterface for Cpu {
    #[inline(always)]
    fn acknowledge() -> u32 {
        let iar = Self::registers().iar.get();
        // The loads after it are not done before it: they find what was stored before the SGI was sent. Partner: the
        // DSB in `send`.
        arch::dmb_ld();
        iar
    }

    #[inline(always)]
    fn intid(acknowledged: u32) -> u32 {
        acknowledged & 0x3ff
    }

    fn settle(acknowledged: u32) -> Option<u32> {
        // 1022 and 1023: nothing for us (IHI 0048B 4.4.4).
        (Self::intid(acknowledged) < 1020).then_some(acknowledged)
    }

    #[inline(always)]
    fn end(acknowledged: u32) {
        // The whole of IAR: for an SGI it names the sender (IHI 0048B 4.4.5).
        Self::registers().eoir.set(acknowledged);
    }
}

/// That of a GICv2, or of a BCM2836: one for both, where an instruction more costs less than a copy of what uses it.
pub(crate) struct CpuOrBcm2836;

impl common::CpuInterface for CpuOrBcm2836 {
    fn acknowledge() -> u32 {
        if bcm2836::is_there() { bcm2836::Cpu::acknowledge() } else { Cpu::acknowledge() }
    }

    #[inline(always)]
    fn intid(acknowledged: u32) -> u32 {
        Cpu::intid(acknowledged)
    }

    fn settle(acknowledged: u32) -> Option<u32> {
        Cpu::settle(acknowledged)
    }

    fn end(acknowledged: u32) {
        if acknowledged & bcm2836::MARK == 0 {
            Cpu::end(acknowledged);
        }
    }

    unsafe fn open(acknowledged: u32) {
        if acknowledged & bcm2836::MARK == 0 {
            // SAFETY: the caller's.
            unsafe { Cpu::open(acknowledged) }
        }
    }

    fn close(acknowledged: u32) {
        Cpu::close(acknowledged);
    }
}

/// The interface signals nothing any more.
#[inline(always)]
pub(super) fn silence() {
    Cpu::registers().set_enabled(false);
    arch::dsb_sy();
}

/// Where the priority mask of the calling CPU is: in the same place for each.
pub(super) fn mask_address() -> u64 {
    core::ptr::from_ref(&Cpu::registers().pmr) as u64
}

#[inline(always)]
pub(super) fn send(what: u64) {
    // Orders the caller's stores before the SGI: its handler sees them. Partner: the handler's entry.
    arch::dsb_ishst();
    // SAFETY: as for `Cpu::registers`.
    let distributor = unsafe { &*DISTRIBUTOR.load(Ordering::Relaxed) };
    let (targets, sgi) = (what as u8, what >> 24 & 0xf);
    distributor.sgir.write(GICD_SGIR::ID.val(sgi as u32) + GICD_SGIR::TARGETS.val(targets.into()));
}
