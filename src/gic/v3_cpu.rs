//! The CPU interface of a GICv3: interrupts taken and ended on the calling CPU, SGIs sent from it (Arm IHI 0069, 12.2).

use super::common::CpuInterface;
use crate::arch;
use arm_gic::gicv3::GicCpuInterface;
use core::arch::asm;

/// The CPU interface of the calling CPU.
pub(crate) struct Cpu;

impl CpuInterface for Cpu {
    #[inline(always)]
    fn acknowledge() -> u32 {
        let acknowledged: u64;
        // SAFETY: reading ICC_IAR1_EL1 acknowledges, which is what is asked for. Not `nomem`, unlike arm-gic's: what the
        // handler reads it reads afterwards. Such a read synchronises itself while interrupts are masked (IHI 0069 12.2.14).
        // The ISB keeps the loads after it from being done before it: they find what was stored before the SGI was sent.
        // Partner: the DSB in `send`.
        unsafe {
            asm!("mrs {}, S3_0_C12_C12_0", "isb", out(reg) acknowledged, options(nostack, preserves_flags))
        };
        acknowledged as u32
    }

    #[inline(always)]
    fn intid(acknowledged: u32) -> u32 {
        // The bits above it are reserved, and read as zero.
        acknowledged
    }

    fn settle(acknowledged: u32) -> Option<u32> {
        // 1020 to 1023 are no interrupts (IHI 0069 2.2.1).
        (!(1020..1024).contains(&acknowledged)).then_some(acknowledged)
    }

    #[inline(always)]
    fn end(acknowledged: u32) {
        // SAFETY: ICC_EOIR1_EL1 with a number that IAR1 gave out on this CPU.
        unsafe {
            asm!("msr S3_0_C12_C12_1, {:x}", in(reg) u64::from(acknowledged), options(nostack, preserves_flags));
        }
    }
}

/// The same with FEAT_NMI in use: NMI-class interrupts have superpriority.
pub(crate) struct NmiCpu;

/// What ICC_IAR1_EL1 reads while the most urgent interrupt has superpriority (IHI 0069 4.8.1).
const SUPERPRIORITY: u32 = 1022;

impl CpuInterface for NmiCpu {
    #[inline(always)]
    fn acknowledge() -> u32 {
        Cpu::acknowledge()
    }

    #[inline(always)]
    fn intid(acknowledged: u32) -> u32 {
        Cpu::intid(acknowledged)
    }

    fn settle(acknowledged: u32) -> Option<u32> {
        if acknowledged != SUPERPRIORITY {
            return Cpu::settle(acknowledged);
        }
        let intid: u64;
        // SAFETY: ICC_NMIAR1_EL1, which exists where ICC_IAR1_EL1 gives that answer. Reading it acknowledges. The ISB is that
        // of `acknowledge`.
        unsafe { asm!("mrs {}, S3_0_C12_C9_5", "isb", out(reg) intid, options(nostack, preserves_flags)) };
        Cpu::settle(intid as u32)
    }

    #[inline(always)]
    fn end(acknowledged: u32) {
        Cpu::end(acknowledged);
    }

    #[inline(always)]
    unsafe fn open(_: u32) {
        // SAFETY: the caller's; ALLINT exists where this implementation is chosen.
        unsafe { asm!("msr S0_1_C4_C0_0, xzr", "msr daifclr, #3", options(nostack, preserves_flags)) }
    }

    #[inline(always)]
    fn close(_: u32) {
        // SAFETY: masking is always permitted; ALLINT exists where this implementation is chosen.
        unsafe { asm!("msr daifset, #3", "msr S0_1_C4_C1_0, xzr", options(nostack, preserves_flags)) }
    }
}

/// The interface signals nothing any more.
#[inline(always)]
pub(super) fn silence() {
    GicCpuInterface::enable_group1(false);
    arch::isb();
}

/// What ICC_SGI1R_EL1 (IHI 0069 12.2.19) wants for the CPU with this affinity: Aff3, range selector, Aff2, Aff1, and
/// its bit in the target list.
#[inline(always)]
pub(super) const fn target(mpidr: u64) -> u64 {
    (mpidr >> 32 & 0xff) << 48
        | (mpidr >> 4 & 0xf) << 44
        | (mpidr >> 16 & 0xff) << 32
        | (mpidr >> 8 & 0xff) << 16
        | 1 << (mpidr & 0xf)
}

/// Whether one register write reaches both.
#[inline(always)]
pub(super) const fn same_cluster(a: u64, b: u64) -> bool {
    (a ^ b) >> 16 == 0
}

#[inline(always)]
pub(super) fn send(what: u64) {
    // Orders the caller's stores before the SGI: its handler sees them. ICC_SGI1R_EL1 is no memory access,
    // so this takes a DSB. Partner: the handler's acknowledge.
    arch::dsb_ishst();
    // SAFETY: ICC_SGI1R_EL1 only sends the interrupt. arm-gic's `send_sgi` cannot express the range selector, without
    // which Aff0 above 15 is unreachable. The ISB sends it before anything else.
    unsafe { asm!("msr S3_0_C12_C11_5, {}", "isb", in(reg) what, options(nostack, preserves_flags)) };
}
