//! GICv3 and later (Arm IHI 0069). The CPU interface and the per-interrupt registers are arm-gic's; ours are the
//! barriers, the search for redistributors across all regions, and the bounds on every wait.

use super::common::{
    BINARY_POINT, Deafness, GicError, NMI_PRIORITY, NORMAL, SETTLES, SGIS, Trigger, secure_write,
};
use super::number::NMI;
use crate::arch::{self, mmio};
use crate::clock::HardwareLimit;
use crate::dt::Region;
use crate::masking::OPEN;
use crate::memory;
use aarch64_cpu::registers::{ID_AA64PFR0_EL1, Readable};
use arm_gic::gicv3::registers::Gicd;
use arm_gic::gicv3::{GicCpuInterface, GicDistributor, Group};
use arm_gic::{IntId, UniqueMmioPointer};
use core::arch::asm;
use core::ptr::NonNull;

const GICD_CTLR: u64 = 0x0;
const GICD_TYPER: u64 = 0x4;
const GICD_IGROUPR: u64 = 0x80;
const GICD_ICPENDR: u64 = ICPENDR;
const GICD_ICACTIVER: u64 = 0x380;
const GICD_IGRPMODR: u64 = 0xd00;
/// GICD_TYPER.NMI: interrupts can have superpriority (FEAT_GICv3_NMI).
const TYPER_NMI: u32 = 1 << 9;
/// GICD_TYPER.ESPI: there are extended SPIs, 32 more than ESPI_range says at bit 27 times 32 (IHI 0069 12.9.38).
const TYPER_ESPI: u32 = 1 << 8;
const GICD_ICENABLER_E: u64 = 0x1400;
const GICD_ICPENDR_E: u64 = 0x1800;
const GICD_ICACTIVER_E: u64 = 0x1c00;
/// GICD_CTLR: ARE (single security state) or ARE_NS; the bit is the same.
const CTLR_ARE_NS: u32 = 1 << 4;
/// GICD_CTLR: EnableGrp1 or, from Non-secure, EnableGrp1A; the bit is the same.
const CTLR_GROUP1_NS: u32 = 1 << 1;
/// GICD_CTLR: ARE_NS in the Secure view.
const CTLR_ARE_NS_SECURE: u32 = 1 << 5;
/// GICD_CTLR.DS: a single security state.
const CTLR_DS: u32 = 1 << 6;
/// GICD_CTLR.RWP.
const CTLR_RWP: u32 = 1 << 31;

const GICR_CTLR: u64 = 0x0;
/// GICR_CTLR.EnableLPIs, and RWP (IHI 0069 12.11.2).
const GICR_ENABLE_LPIS: u32 = 1 << 0;
const GICR_RWP: u32 = 1 << 3;
const GICR_TYPER: u64 = 0x8;
const GICR_WAKER: u64 = 0x14;
const GICR_SGI: u64 = 0x1_0000;
/// Where the registers that say something of each interrupt begin, in the distributor and in the SGI frame of a redistributor alike.
const ISENABLER: u64 = 0x100;
const ICENABLER: u64 = 0x180;
const ISPENDR: u64 = 0x200;
const ICPENDR: u64 = 0x280;
const ISACTIVER: u64 = 0x300;
const IPRIORITYR: u64 = 0x400;
const GICR_IGROUPR0: u64 = GICR_SGI + 0x80;
const GICR_ICENABLER0: u64 = GICR_SGI + ICENABLER;
const GICR_ISENABLER0: u64 = GICR_SGI + ISENABLER;
const GICR_ICPENDR0: u64 = GICR_SGI + ICPENDR;
const GICR_ICACTIVER0: u64 = GICR_SGI + 0x380;
const GICR_IPRIORITYR: u64 = GICR_SGI + IPRIORITYR;
const GICR_IGRPMODR0: u64 = GICR_SGI + 0xd00;
const GICR_INMIR0: u64 = GICR_SGI + 0xf80;
const WAKER_PROCESSOR_SLEEP: u32 = 1 << 1;
const WAKER_CHILDREN_ASLEEP: u32 = 1 << 2;
/// Two 64 KiB frames; four with virtual LPIs (GICR_TYPER.VLPIS, IHI 0069 12.10).
const FRAME: u64 = 0x2_0000;

const MAX_REGIONS: usize = crate::dt::Regions::CAPACITY;

pub(super) struct GicV3 {
    distributor: u64,
    regions: [Region; MAX_REGIONS],
    stride: Option<u64>,
    one_by_one: bool,
    interrupts: u32,
    /// SGIs can have superpriority, and the CPU that booted understands it.
    nmi: bool,
}

/// Reads a 32-bit register of the controller.
fn read32(address: u64) -> u32 {
    // SAFETY: called with addresses of distributor and redistributor registers only, which `new` has mapped.
    unsafe { mmio::read(address as usize) }
}

/// Writes a 32-bit register of the controller.
fn write32(address: u64, value: u32) {
    // SAFETY: as for `read32`.
    unsafe { mmio::write(address as usize, value) }
}

/// Whether the bit `bit` of the register at `address` is as asked for.
fn is_settled(address: u64, bit: u32, set: bool) -> bool {
    #[cfg(feature = "fault-injection")]
    if super::fault::is_stuck() {
        return false;
    }
    (read32(address) & bit != 0) == set
}

/// Waits until it is.
fn settle(register: &'static str, address: u64, bit: u32, set: bool) -> Result<(), GicError> {
    if HardwareLimit::within(SETTLES, || is_settled(address, bit, set)) {
        Ok(())
    } else {
        Err(GicError::Stuck { register })
    }
}

impl GicV3 {
    pub(super) fn new(
        distributor: Region,
        redistributors: &[Region],
        stride: Option<u64>,
        one_by_one: bool,
    ) -> Result<Self, GicError> {
        if ID_AA64PFR0_EL1.get() >> 24 & 0xf == 0 {
            return Err(GicError::NoSystemRegisters);
        }
        memory::map_device(distributor.base, distributor.size.max(0x1_0000)).map_err(GicError::Map)?;
        let mut regions = [Region { base: 0, size: 0 }; MAX_REGIONS];
        for (ours, theirs) in regions.iter_mut().zip(redistributors) {
            memory::map_device(theirs.base, theirs.size).map_err(GicError::Map)?;
            *ours = *theirs;
        }
        let typer = read32(distributor.base + GICD_TYPER);
        let lines = typer & 0x1f;
        Ok(Self {
            distributor: distributor.base,
            regions,
            stride,
            one_by_one,
            interrupts: (32 * (lines + 1)).min(1020),
            nmi: typer & TYPER_NMI != 0 && arch::regs::has_feat_nmi(),
        })
    }

    pub(super) fn interrupts(&self) -> u32 {
        self.interrupts
    }

    /// Whether NMI-class SGIs have superpriority: then they come through `DAIF.I` too.
    pub(super) fn has_nmi(&self) -> bool {
        self.nmi
    }

    fn distributor(&self) -> GicDistributor<'static> {
        let registers = NonNull::new(self.distributor as *mut Gicd)
            .expect("a GIC at address 0 was refused by the reader");
        // SAFETY: mapped in `new` and never unmapped. The driver's `&mut` is not an exclusive right that we
        // can promise, and is not needed: what it writes through it are set and clear registers, single bytes
        // and single registers per interrupt, and `irq` serialises those that are read and written back.
        GicDistributor::new(unsafe { UniqueMmioPointer::new(registers) })
    }

    fn await_writes(&self) -> Result<(), GicError> {
        settle("GICD_CTLR.RWP", self.distributor + GICD_CTLR, CTLR_RWP, false)
    }

    pub(super) fn init(&self, firmware_is_ours: bool) -> Result<(), GicError> {
        if firmware_is_ours {
            // Secure view: affinity routing for both worlds before any group is enabled (IHI 0069 12.9.4).
            secure_write(self.distributor + GICD_CTLR, CTLR_ARE_NS | CTLR_ARE_NS_SECURE);
            for word in 1..u64::from(self.interrupts.div_ceil(32)) {
                secure_write(self.distributor + GICD_IGROUPR + 4 * word, u32::MAX);
                secure_write(self.distributor + GICD_IGRPMODR + 4 * word, 0);
            }
            secure_write(self.distributor + GICD_CTLR, CTLR_ARE_NS | CTLR_ARE_NS_SECURE | CTLR_GROUP1_NS);
        }
        write32(self.distributor + GICD_CTLR, CTLR_ARE_NS);
        self.await_writes()?;
        let own = arch::regs::affinity();
        let mut distributor = self.distributor();
        for spi in 32..self.interrupts {
            let id = IntId::spi(spi - 32);
            // The numbers are below what TYPER promises, the only thing that the driver refuses.
            let _ = distributor.enable_interrupt(id, false);
            let _ = distributor.set_group(id, Group::Group1NS);
            let _ = distributor.set_interrupt_priority(id, NORMAL);
            let _ = distributor.set_routing(id, Some(own));
        }
        for word in 1..u64::from(self.interrupts.div_ceil(32)) {
            write32(self.distributor + GICD_ICPENDR + 4 * word, u32::MAX);
            write32(self.distributor + GICD_ICACTIVER + 4 * word, u32::MAX);
        }
        // Nobody here asks for one of the extended numbers: none is left on.
        let typer = read32(self.distributor + GICD_TYPER);
        for word in 0..if typer & TYPER_ESPI != 0 { u64::from(typer >> 27) + 1 } else { 0 } {
            for register in [GICD_ICENABLER_E, GICD_ICPENDR_E, GICD_ICACTIVER_E] {
                write32(self.distributor + register + 4 * word, u32::MAX);
            }
        }
        self.await_writes()?;
        write32(self.distributor + GICD_CTLR, CTLR_ARE_NS | CTLR_GROUP1_NS);
        self.await_writes()
    }

    /// Turns LPIs off that an earlier stage has left on, on all CPUs: they arrive with numbers that nobody knows, and are noted in
    /// memory that is somebody else's by now. By the boot CPU.
    pub(super) fn end_lpis(&self) {
        let (mut left, mut stuck) = (0_u32, 0_u32);
        // One for all, however many there are: whoever does not answer after that has had its time.
        let mut limit = HardwareLimit::after(SETTLES);
        self.for_each_redistributor(|_, at| {
            if read32(at + GICR_CTLR) & GICR_ENABLE_LPIS != 0 {
                left += 1;
                stuck += u32::from(!Self::disable_lpis(at, &mut limit));
            }
        });
        if left != 0 {
            log::warn!("interrupt controller: LPIs were left on for {left} CPUs: turned off");
        }
        if stuck != 0 {
            log::error!(
                "interrupt controller: LPIs stay on for {stuck} CPUs: memory that was theirs may be written to"
            );
        }
    }

    /// Whether they could be: an implementation may have it that what is on stays on (IHI 0069 5.1.1).
    fn disable_lpis(redistributor: u64, limit: &mut HardwareLimit) -> bool {
        let control = read32(redistributor + GICR_CTLR);
        write32(redistributor + GICR_CTLR, control & !GICR_ENABLE_LPIS);
        limit.until(|| is_settled(redistributor + GICR_CTLR, GICR_RWP, false));
        read32(redistributor + GICR_CTLR) & GICR_ENABLE_LPIS == 0
    }

    /// Calls `found(affinity, address)` for every redistributor of every region.
    pub(super) fn for_each_redistributor(&self, mut found: impl FnMut(u64, u64)) {
        for region in self.regions.iter().filter(|region| region.size != 0) {
            let end = region.base + (region.size - 1);
            let mut at = region.base;
            while at + (FRAME - 1) <= end {
                // SAFETY: within the region, which `new` has mapped.
                let typer: u64 = unsafe { mmio::read((at + GICR_TYPER) as usize) };
                let affinity = (typer >> 32) & 0xff_ffff | (typer >> 56) << 32;
                found(affinity, at);
                // Last: the frames of this region end here (IHI 0069 12.11.33).
                if typer & (1 << 4) != 0 && !self.one_by_one {
                    break;
                }
                let architected = if typer & (1 << 1) != 0 { 2 * FRAME } else { FRAME };
                at += self.stride.unwrap_or(architected).max(FRAME);
            }
        }
    }

    /// Whether Group 0 is at this exception level's disposal, and not taken by EL3 (SCR_EL3.FIQ).
    ///
    /// Where it is taken, priorities are seen shifted (IHI 0069 4.8.6): the smallest one that is not 0 loses its bit on the way
    /// and reads as 0. Leaves the priority mask changed.
    fn has_group_0() -> bool {
        let mask: u64;
        // SAFETY: ICC_PMR_EL1 of this CPU, at a moment when interrupts are masked by DAIF. ICC_CTLR_EL1.PRIbits is their
        // number, minus one.
        unsafe {
            asm!(
                "mrs {bits}, S3_0_C12_C12_4",
                "ubfx {bits}, {bits}, #8, #3",
                "mov {mask}, #0x80",
                "lsr {mask}, {mask}, {bits}",
                "msr S3_0_C4_C6_0, {mask}",
                "isb",
                "mrs {mask}, S3_0_C4_C6_0",
                bits = out(reg) _,
                mask = out(reg) mask,
                options(nomem, nostack, preserves_flags)
            );
        }
        mask != 0
    }

    /// Says whether this CPU's priority mask is a hint for forwarding, and whether its binary point is what was asked for: that with
    /// two security states firmware may have set ICC_CTLR_EL3.CBPR_EL1NS, and then it is not ours.
    pub(super) fn init_cpu(
        &self,
        redistributor: u64,
        firmware_is_ours: bool,
    ) -> Result<(bool, bool), GicError> {
        if redistributor == 0 {
            return Err(GicError::NoRedistributor { mpidr: arch::regs::affinity() });
        }
        if firmware_is_ours {
            secure_write(redistributor + GICR_WAKER, 0);
            secure_write(redistributor + GICR_IGROUPR0, u32::MAX);
            secure_write(redistributor + GICR_IGRPMODR0, 0);
        }
        // Awake: RAZ/WI where the Secure world or a hypervisor looks after it, and then it reads as awake.
        let waker = read32(redistributor + GICR_WAKER);
        if waker & (WAKER_PROCESSOR_SLEEP | WAKER_CHILDREN_ASLEEP) != 0 {
            write32(redistributor + GICR_WAKER, waker & !WAKER_PROCESSOR_SLEEP);
            settle("GICR_WAKER.ChildrenAsleep", redistributor + GICR_WAKER, WAKER_CHILDREN_ASLEEP, false)?;
        }
        // Of one that an earlier stage has had in its hands since the boot CPU looked.
        if read32(redistributor + GICR_CTLR) & GICR_ENABLE_LPIS != 0 {
            Self::disable_lpis(redistributor, &mut HardwareLimit::after(SETTLES));
        }
        write32(redistributor + GICR_ICENABLER0, !SGIS);
        // Extended PPIs, of which there are 0, 32 or 64 (GICR_TYPER.PPInum).
        for word in 1..=u64::from(read32(redistributor + GICR_TYPER) >> 27).min(2) {
            write32(redistributor + GICR_ICENABLER0 + 4 * word, u32::MAX);
        }
        write32(redistributor + GICR_IGROUPR0, u32::MAX);
        write32(redistributor + GICR_IGRPMODR0, 0);
        write32(redistributor + GICR_ICPENDR0, u32::MAX);
        write32(redistributor + GICR_ICACTIVER0, u32::MAX);
        let normal = u32::from_le_bytes([NORMAL; 4]);
        for word in 0..8 {
            write32(redistributor + GICR_IPRIORITYR + 4 * word, normal);
        }
        // SAFETY: a byte of the mapped priority registers, which are byte-accessible (IHI 0069 12.11.21).
        unsafe {
            mmio::write((redistributor + GICR_IPRIORITYR + u64::from(NMI.intid())) as usize, NMI_PRIORITY)
        };
        if self.nmi {
            write32(redistributor + GICR_INMIR0, 1 << NMI.intid());
        }
        write32(redistributor + GICR_ISENABLER0, SGIS);
        settle("GICR_CTLR.RWP", redistributor + GICR_CTLR, GICR_RWP, false)?;

        GicCpuInterface::enable_system_register_el1();
        let (control, point): (u64, u64);
        // SAFETY: the CPU interface's own registers, at a moment when interrupts are masked by DAIF. CTLR: EOI drops and
        // deactivates, and BPR1 is a register of its own, which the ISB lets it be before it is written. AP1R0: no priority is
        // active; more of them exist only with more priority bits (IHI 0069 12.2.2).
        unsafe {
            asm!(
                "mrs {ctlr}, S3_0_C12_C12_4", // ICC_CTLR_EL1
                "bic {ctlr}, {ctlr}, #3", // EOImode, CBPR
                "msr S3_0_C12_C12_4, {ctlr}",
                "isb",
                "msr S3_0_C12_C12_3, {point}", // ICC_BPR1_EL1
                "msr S3_0_C12_C9_0, xzr", // ICC_AP1R0_EL1
                "ubfx {bits}, {ctlr}, #8, #3", // priority bits, minus one
                "cmp {bits}, #5",
                "b.lo 2f",
                "msr S3_0_C12_C9_1, xzr", // ICC_AP1R1_EL1
                "cmp {bits}, #6",
                "b.lo 2f",
                "msr S3_0_C12_C9_2, xzr",
                "msr S3_0_C12_C9_3, xzr",
                "2:",
                "isb",
                "mrs {point}, S3_0_C12_C12_3",
                ctlr = out(reg) control,
                point = inout(reg) u64::from(BINARY_POINT) => point,
                bits = out(reg) _,
                options(nostack)
            );
        }
        if Self::has_group_0() {
            // What an earlier stage has acknowledged of Group 0 and not ended holds back everything else. The first register alone:
            // its priorities are those that count here.
            // SAFETY: ICC_AP0R0_EL1, which EL3 does not trap where Group 0 is not its own.
            unsafe { asm!("msr S3_0_C12_C8_4, xzr", options(nomem, nostack, preserves_flags)) };
        }
        GicCpuInterface::set_priority_mask(OPEN);
        GicCpuInterface::enable_group1(true);
        arch::isb();
        if self.nmi {
            arch::regs::enable_nmi();
        }
        // PMHE
        Ok((control & (1 << 6) != 0, point & 7 == u64::from(BINARY_POINT)))
    }

    /// Why this CPU, which is set up, may hear nothing (IHI 0069 4.8.6, 12.2.18, 12.2.22, 12.11.9).
    pub(super) fn deaf(&self, redistributor: u64) -> Deafness {
        let (mask, running): (u64, u64);
        // SAFETY: reads ICC_PMR_EL1 and ICC_RPR_EL1, which changes nothing.
        unsafe {
            asm!("mrs {}, S3_0_C4_C6_0", "mrs {}, S3_0_C12_C11_3", out(reg) mask, out(reg) running, options(nomem, nostack, preserves_flags));
        }
        let with_one_view = read32(self.distributor + GICD_CTLR) & CTLR_DS != 0;
        // Seen from Non-secure, what is in Group 0 reads as not enabled.
        if read32(redistributor + GICR_ISENABLER0) & SGIS != SGIS
            || (with_one_view && read32(redistributor + GICR_IGROUPR0) & SGIS != SGIS)
        {
            Deafness::Group0
        } else if mask <= u64::from(NORMAL) {
            Deafness::Mask
        } else if running <= u64::from(NORMAL) {
            Deafness::Active
        } else {
            Deafness::NoSign
        }
    }

    /// See [`super::controller`].
    pub(super) fn can_enable(&self, redistributor: u64, these: u32) -> bool {
        let before = read32(redistributor + GICR_ISENABLER0);
        write32(redistributor + GICR_ISENABLER0, these);
        let after = read32(redistributor + GICR_ISENABLER0);
        write32(redistributor + GICR_ICENABLER0, these & !before);
        after & these == these
    }

    /// See [`super::quiet_cpu`].
    pub(super) fn quiet_cpu(&self, redistributor: u64) {
        GicCpuInterface::enable_group1(false);
        write32(redistributor + GICR_ICENABLER0, u32::MAX);
        write32(redistributor + GICR_ICPENDR0, u32::MAX);
        arch::isb();
        // The interface is off for the redistributor too before that is told to sleep (IHI 0069 11.1).
        arch::dsb_sy();
        // With two security states the redistributor's sleep is the Secure world's business, which knows from CPU_OFF.
        if read32(self.distributor + GICD_CTLR) & CTLR_DS != 0 {
            let waker = read32(redistributor + GICR_WAKER);
            write32(redistributor + GICR_WAKER, waker | WAKER_PROCESSOR_SLEEP);
            // KVM has one security state and no such register: what was written does not stay, and nothing falls asleep, which
            // would be waited for each time a CPU leaves. A redistributor that has it, and does not fall asleep, is woken all
            // the same when its CPU comes back.
            if read32(redistributor + GICR_WAKER) & WAKER_PROCESSOR_SLEEP != 0 {
                let _ = settle(
                    "GICR_WAKER.ChildrenAsleep",
                    redistributor + GICR_WAKER,
                    WAKER_CHILDREN_ASLEEP,
                    true,
                );
            }
        }
        arch::dsb_sy();
    }

    pub(super) fn enable(&self, redistributor: u64, intid: u32, enable: bool) {
        let register = if enable { ISENABLER } else { ICENABLER };
        let (at, bit) = self.bit(redistributor, register, intid);
        write32(at, bit);
        arch::dsb_sy();
    }

    /// Waits until `intid`, which was disabled, does not come any more. Bounded: whoever needs that to be so has another way to know.
    pub(super) fn await_disabled(&self, redistributor: u64, intid: u32) {
        let (control, pending) = if intid < 32 {
            (redistributor + GICR_CTLR, GICR_RWP)
        } else {
            (self.distributor + GICD_CTLR, CTLR_RWP)
        };
        let _ = settle("RWP", control, pending, false);
    }

    /// Where the registers of `intid` are: its CPU's redistributor, or the distributor.
    fn frame(&self, redistributor: u64, intid: u32) -> u64 {
        if intid < 32 { redistributor + GICR_SGI } else { self.distributor }
    }

    /// The word of `intid`, a number that there is, among those that begin at `register`, and its bit there.
    fn bit(&self, redistributor: u64, register: u64, intid: u32) -> (u64, u32) {
        (self.frame(redistributor, intid) + register + 4 * u64::from(intid / 32), 1 << (intid % 32))
    }

    pub(super) fn set_priority(&self, redistributor: u64, intid: u32, priority: u8) {
        let at = self.frame(redistributor, intid) + IPRIORITYR + u64::from(intid);
        // SAFETY: a byte of the mapped priority registers, which are byte-accessible (IHI 0069 12.11.21; those of the distributor are alike).
        unsafe { mmio::write(at as usize, priority) };
        arch::dsb_sy();
    }

    pub(super) fn set_pending(&self, redistributor: u64, intid: u32, pending: bool) {
        let (at, bit) = self.bit(redistributor, if pending { ISPENDR } else { ICPENDR }, intid);
        write32(at, bit);
        arch::dsb_sy();
    }

    pub(super) fn is_pending(&self, redistributor: u64, intid: u32) -> bool {
        let (at, bit) = self.bit(redistributor, ISPENDR, intid);
        read32(at) & bit != 0
    }

    pub(super) fn is_active(&self, redistributor: u64, intid: u32) -> bool {
        let (at, bit) = self.bit(redistributor, ISACTIVER, intid);
        read32(at) & bit != 0
    }

    pub(super) fn set_trigger(&self, intid: u32, trigger: Trigger) {
        let trigger = match trigger {
            Trigger::Edge => arm_gic::Trigger::Edge,
            Trigger::Level => arm_gic::Trigger::Level,
        };
        let _ = self.distributor().set_trigger(IntId::spi(intid - 32), trigger);
    }

    pub(super) fn route(&self, intid: u32, mpidr: u64) {
        let _ = self.distributor().set_routing(IntId::spi(intid - 32), Some(mpidr));
        arch::dsb_sy();
    }
}
