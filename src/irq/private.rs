//! What every CPU has to do for itself: enable a PPI, start or stop the watchdog's ticks.
//!
//! Whoever wants that stores it, counts up the number of the news, and sends everyone [`Sgi::Private`]. An SGI may be lost; so
//! each CPU notes which news it has applied, and compares at each interrupt that is no call, and before it waits in idle. It
//! takes such an interrupt at least as often as it looks around (bootarg `idle_ms`).

use super::{Sgi, table};
use crate::cpu::area::{self, Area};
use crate::{cpu, gic, watchdog};
use core::sync::atomic::{AtomicU64, Ordering, fence};

/// The number of the latest news. 64 bits: it never comes round.
static NEWS: AtomicU64 = AtomicU64::new(0);

/// Which news one CPU has applied. Touched by that CPU alone.
pub(crate) struct Applied(AtomicU64);

impl Applied {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }
}

/// There is something new, which the caller has stored: applies it here, and tells every CPU that is online.
pub(crate) fn tell() {
    // Release: pairs with `latest`. Who finds the number finds what was stored before.
    NEWS.fetch_add(1, Ordering::Release);
    // Pairs with the one in `Slot::go_online`: a CPU that is not found online below finds the news when it is.
    fence(Ordering::SeqCst);
    let own = area::current();
    apply(own, latest());
    gic::send_sgi_set(Sgi::Private, &cpu::online().without(own.id));
}

fn latest() -> u64 {
    // Acquire: pairs with `tell`.
    NEWS.load(Ordering::Acquire)
}

/// Applies all news. By its own CPU, as it comes online: what it had applied in a former life is gone.
pub(crate) fn arrive(own: &Area) {
    apply(own, latest());
}

/// Applies what is new, if anything is. By its own CPU.
pub(crate) fn look(own: &Area) {
    let latest = latest();
    if own.applied.0.load(Ordering::Relaxed) != latest {
        apply(own, latest);
    }
}

/// Does what the news up to `news` ask for. An interrupt in the middle may do so too, for later ones even; then that is done
/// once more at the next look.
fn apply(own: &Area, news: u64) {
    table::apply_private();
    watchdog::apply();
    own.applied.0.store(news, Ordering::Relaxed);
}
