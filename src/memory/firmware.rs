//! What firmware left somewhere in memory, to be read.

use super::map::{page_down, page_up, with_mapper};
use crate::arch;
use crate::arch::mmu::{FIRMWARE_WINDOW, FIRMWARE_WINDOW_SIZE, PAGE, Use};
use crate::dt::Region;
use core::sync::atomic::{AtomicU64, Ordering};

/// How much of the window is in use, bytes. Relaxed: the boot CPU's, before any other runs.
static USED: AtomicU64 = AtomicU64::new(0);

/// The bytes of `region`, which is physical, mapped read-only for ever. `None` if nothing answers there, or it cannot be mapped.
///
/// By the boot CPU, before any other runs, with all exceptions masked. What lies there has to be kept out of what is free.
///
/// # Safety
///
/// `region` is RAM, or nothing: no device that a read disturbs; and nobody writes to it any more.
pub(crate) unsafe fn bytes_at(region: Region) -> Option<&'static [u8]> {
    let Region { base, size } = region;
    let page = page_down(base);
    let len = page_up(base.checked_add(size)?) - page;
    let used = USED.load(Ordering::Relaxed);
    let after = used.checked_add(len).filter(|after| *after <= FIRMWARE_WINDOW_SIZE && size != 0)?;
    let at = FIRMWARE_WINDOW + used;
    with_mapper(|mapper| mapper.map(at, page, len, Use::Constants)).ok()?;
    USED.store(after, Ordering::Relaxed);
    // SAFETY: the first word of each of the pages just mapped; alone and masked, and no device, as the caller says.
    let complete = (at..at + len).step_by(PAGE).all(|page| unsafe { arch::probe(page) }.is_some());
    // SAFETY: mapped just now, for ever, and read-only; it answers, and stays as it is.
    complete.then(|| unsafe { core::slice::from_raw_parts((at + (base - page)) as *const u8, size as usize) })
}
