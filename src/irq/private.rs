//! News: what every CPU has to do for itself, such as to enable a PPI, or to start or stop the watchdog's ticks.
//!
//! Whoever wants that stores it, does it on its own CPU, and [`tell`]s: that counts up the number of the news, and sends everyone an SGI.
//! It may be lost; so each CPU notes which news it has applied, and compares at each interrupt that is no call, and before it waits
//! in idle. It takes such an interrupt at least as often as it looks around (bootarg `idle_ms`).

use crate::gic::{self, Sgi};
use crate::percpu;
use crate::percpu::area::{self, Area, Part};
use core::sync::atomic::{AtomicU64, Ordering, fence};

/// There is news: a PPI was registered, or the watchdog was turned on or off.
pub(crate) const PRIVATE: Sgi = Sgi::new(1);

/// The number of the latest news. 64 bits: it never comes round.
static NEWS: AtomicU64 = AtomicU64::new(0);

/// Which news one CPU has applied. Touched by that CPU alone.
pub(crate) struct Applied(AtomicU64);

impl Applied {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }
}

/// There is something new, which the caller has stored, and applied on this CPU: tells every other CPU that is online.
#[inline(never)]
pub(crate) fn tell() {
    // Release: pairs with `latest`. Who finds the number finds what was stored before.
    NEWS.fetch_add(1, Ordering::Release);
    // Pairs with the one in `Slot::go_online`: a CPU that is not found online below finds the news when it is.
    fence(Ordering::SeqCst);
    gic::send_sgi_set(PRIVATE, &percpu::online().without(area::current().id));
}

fn latest() -> u64 {
    // Acquire: pairs with `tell`.
    NEWS.load(Ordering::Acquire)
}

/// Has `apply` do all that there is to do, whatever this CPU, that of `own`, had applied in a former life.
pub(crate) fn apply(own: &Area, apply: impl FnOnce()) {
    let latest = latest();
    apply();
    // An interrupt in the middle may have done so too, for later news even; then that is done once more at the next look.
    Applied::of(own).0.store(latest, Ordering::Relaxed);
}

/// Has `apply` do what is new, if anything is, on the CPU of `own`, which is the calling one.
#[inline(always)]
pub(crate) fn look(own: &Area, to_apply: impl FnOnce()) {
    if Applied::of(own).0.load(Ordering::Relaxed) != latest() {
        apply(own, to_apply);
    }
}
