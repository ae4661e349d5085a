//! The priority masks of both kinds of interrupt controller.

use crate::arch::{self, mmio};
use core::arch::asm;

/// Priority mask that holds back what is normal and lets NMI-class interrupts through. Not 0x80: with a single security state
/// what is normal would pass, and seen from Non-secure only the upper half of the priorities exists.
pub(crate) const MASK: u8 = 0xa0;
/// Priority mask that holds back nothing.
pub(crate) const OPEN: u8 = 0xff;

/// The mask of a GICv3, ICC_PMR_EL1.
#[inline(always)]
pub(super) fn read_v3() -> u64 {
    let mask: u64;
    // SAFETY: reads ICC_PMR_EL1. Not `nomem`, so that it stays where it is among the writes.
    unsafe { asm!("mrs {}, S3_0_C4_C6_0", out(reg) mask, options(nostack, preserves_flags)) };
    mask
}

/// Writes to PMR synchronise themselves: no normal interrupt is taken after one that masks.
#[inline(always)]
pub(super) fn write_v3(mask: u64) {
    // SAFETY: ICC_PMR_EL1; the caller decides what is masked. Not `nomem`: nothing moves out of a masked section.
    unsafe { asm!("msr S3_0_C4_C6_0, {}", in(reg) mask, options(nostack, preserves_flags)) };
}

/// The same where PMR is a hint for the redistributor too: opening it has to get there before a wait for an interrupt
/// (IHI 0069 4.8.6).
#[inline(always)]
pub(super) fn write_v3_hint(mask: u64) {
    write_v3(mask);
    if mask > MASK.into() {
        arch::dsb_sy();
    }
}

/// The mask of a GICv2, whose address is `at`.
///
/// # Safety
///
/// The priority mask of this CPU's interface to a GICv2, mapped.
#[inline(always)]
pub(super) unsafe fn read_v2(at: u64) -> u8 {
    // SAFETY: the caller's.
    unsafe { mmio::read::<u32>(at as usize) as u8 }
}

/// Sets the mask of a GICv2, whose address is `at`.
///
/// # Safety
///
/// As for [`read_v2`].
#[inline(always)]
pub(super) unsafe fn write_v2(at: u64, mask: u8) {
    // SAFETY: the caller's.
    unsafe { mmio::write(at as usize, u32::from(mask)) };
    if mask <= MASK {
        // Masking has to hold from here on: the store reaches the interface before what follows. An
        // interrupt already on its way then acknowledges as spurious.
        arch::dsb_sy();
    }
}
