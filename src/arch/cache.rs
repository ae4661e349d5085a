//! Data cache maintenance by address, for what is shared with CPUs whose MMU is off.
//!
//! A CPU with the MMU off reads and writes memory, not caches (Arm ARM B2.7, D8.2.12). So a line it will
//! read is cleaned to the Point of Coherency after it was written, a line it wrote is invalidated before it
//! is read, and the two kinds never share a writeback granule.

use core::arch::asm;

/// The largest cache writeback granule there can be (`CTR_EL0.CWG`, 2 KiB).
pub(crate) const MAX_WRITEBACK_GRANULE: usize = 2048;

/// Smallest data cache line, bytes (`CTR_EL0.DminLine`).
fn line() -> usize {
    let ctr: usize;
    // SAFETY: reads an identification register.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) }
    4 << ((ctr >> 16) & 0xf)
}

/// Cleans and invalidates `[start, start + len)` to the Point of Coherency, completed by `dsb sy`.
///
/// Also right before reading what an MMU-off CPU wrote: such lines are never written through a cache, so
/// there is nothing to clean and the invalidation is what counts. `civac` and not `ivac` or `cvac` because
/// early Cortex-A53 parts need it (errata 826319, 827319, 824069, 819472), and because at EL1 a
/// hypervisor turns `ivac` into it anyway.
pub(crate) fn clean_invalidate(start: usize, len: usize) {
    let line = line();
    let end = start + len;
    let mut at = start & !(line - 1);
    // Orders the caller's stores before the maintenance: `dc` by address to Normal memory is ordered like a
    // load, not after other lines' stores.
    super::dsb_sy();
    while at < end {
        // SAFETY: cleaning and invalidating a line of mapped RAM changes no value any coherent CPU can see.
        unsafe { asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags)) }
        at += line;
    }
    super::dsb_sy();
}

/// As [`clean_invalidate`], for one value.
pub(crate) fn clean_invalidate_value<T>(value: &T) {
    clean_invalidate(core::ptr::from_ref(value) as usize, size_of::<T>());
}
