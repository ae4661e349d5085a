//! Caches, for devices that read and write memory and do not look into them.

use crate::arch::cache;

/// What was written to `bytes` is in memory, where a device reads it.
///
/// To be called before the device is told. Whole cache lines are cleaned, which changes nothing for what else is in them. Completes before it
/// returns (`dsb sy`).
///
/// ```no_run
/// use reveille::memory::dma;
///
/// # fn example(buffer: &[u8], tell_device: fn(*const u8)) {
/// dma::clean(buffer);
/// tell_device(buffer.as_ptr());
/// # }
/// ```
pub fn clean(bytes: &[u8]) {
    cache::clean_invalidate(bytes.as_ptr() as usize, bytes.len());
}

/// What a device has written to `bytes` is what is read from here on; what was in caches of them, and not in memory, is lost or is written
/// over it.
///
/// To be called before the device writes, so that nothing is written back over it, and again when it has, so that nothing is read that was
/// fetched by speculation meanwhile. A device's buffer begins and ends with a cache line ([`line()`]): a line that it shares is written back as a
/// whole.
///
/// ```no_run
/// use reveille::memory::dma;
///
/// # fn example(buffer: &mut [u8], receive: fn(*mut u8)) {
/// dma::invalidate(buffer);
/// // Returns when the device has written.
/// receive(buffer.as_mut_ptr());
/// dma::invalidate(buffer);
/// # }
/// ```
pub fn invalidate(bytes: &mut [u8]) {
    cache::clean_invalidate(bytes.as_ptr() as usize, bytes.len());
}

/// The largest cache line of any CPU, bytes, as far as caches write back: what a device's buffer is aligned to.
///
/// ```no_run
/// use reveille::memory::{Pages, dma};
///
/// # fn example() -> Result<(), reveille::memory::PagesError> {
/// let line = dma::line();
/// let buffers = Pages::aligned(64 * line, line)?;
/// # Ok(()) }
/// ```
pub fn line() -> usize {
    cache::MAX_WRITEBACK_GRANULE
}
