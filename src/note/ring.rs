//! The way of a record into the ring of its CPU.

use crate::arch::HwRing;
use crate::arch::timer;
use crate::percpu::area::{self, Area};

crate::__static_key! {
    /// Somebody traces.
    pub TRACING_KEY, false
}
pub(crate) use TRACING_KEY as TRACING;

/// The ring of the CPU of `area`.
#[inline(always)]
pub(crate) fn of(area: &Area) -> &HwRing {
    area.trace()
}

/// Notes that the calling CPU was at `site`, with `value`. For [`trace!`](crate::trace!) and the runtime.
///
/// From any context. A thread that is moved in between notes into the ring of the CPU that it has left.
#[doc(hidden)]
#[inline(always)]
pub fn note_here(site: u64, value: u64) {
    of(area::current()).note(timer::counter_roughly(), site, value);
}

/// The same for the CPU of `area`, which is the calling one, and may have lost its thread pointer. Asks the key as data: for code that is
/// never patched, and for a CPU that fails.
#[cold]
#[inline(never)]
pub(crate) fn on(area: &Area, site: u64, value: u64) {
    use crate::key::KeyState;
    if TRACING.key().is_enabled() {
        of(area).note(timer::counter_roughly(), site, value);
    }
}
