//! Barriers, events and hints, each one instruction.

use core::arch::asm;

/// `sev`: wakes every CPU from WFE. The caller orders its stores before it.
#[inline(always)]
pub(crate) fn sev() {
    // SAFETY: SEV sets event registers and touches nothing else.
    unsafe { asm!("sev", options(nomem, nostack, preserves_flags)) }
}

/// Waits for an event: a SEV, the event stream, or nothing at all.
#[inline(always)]
pub(crate) fn wfe() {
    // SAFETY: WFE may only suspend this CPU until an event; with the event stream on that is bounded.
    unsafe { asm!("wfe", options(nomem, nostack, preserves_flags)) }
}

/// The body of a short wait: lets the other hardware threads of this core, or the emulator, go first.
#[inline(always)]
pub(crate) fn yield_now() {
    // SAFETY: YIELD is a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) }
}

/// Waits for an interrupt to become pending, masked by `DAIF` or not.
#[inline(always)]
pub(crate) fn wfi() {
    // SAFETY: WFI may only suspend this CPU. Not `nomem`: what the waker wrote must be read afresh after it.
    unsafe { asm!("dsb sy", "wfi", options(nostack, preserves_flags)) }
}

/// `isb`: what follows is fetched and executed after every context change before it (Arm ARM B2.3.12).
#[inline(always)]
pub(crate) fn isb() {
    // SAFETY: an ISB changes no state that Rust can see.
    unsafe { asm!("isb", options(nostack, preserves_flags)) }
}

/// `dmb ld`: loads before it, from devices too, are done before accesses after it.
#[inline(always)]
pub(crate) fn dmb_ld() {
    // SAFETY: a DMB changes no state that Rust can see.
    unsafe { asm!("dmb ld", options(nostack, preserves_flags)) }
}

/// `dsb ishst`: stores before it are observable by every CPU before anything after it happens.
#[inline(always)]
pub(crate) fn dsb_ishst() {
    // SAFETY: a DSB changes no state that Rust can see.
    unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) }
}

/// `dsb ish`: accesses and cache maintenance before it are complete for every CPU.
#[inline(always)]
pub(crate) fn dsb_ish() {
    // SAFETY: a DSB changes no state that Rust can see.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) }
}

/// `dsb sy`: every access before it, device and cache maintenance included, is complete.
#[inline(always)]
pub(crate) fn dsb_sy() {
    // SAFETY: a DSB changes no state that Rust can see.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) }
}

/// Where this is called the compiler puts the code out of the way.
#[cold]
#[inline]
pub(crate) fn rarely() {}
