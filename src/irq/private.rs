//! What every CPU has to do for itself: enable a PPI, start or stop the watchdog's ticks.
//!
//! Whoever wants that stores it, counts up the number of the news, and sends everyone [`Sgi::Private`]. An SGI may be lost; so
//! each CPU notes which news it has applied, and compares at each interrupt that is no call, and before it waits in idle. It
//! takes such an interrupt at least as often as it looks around (bootarg `idle_ms`).

use super::{Sgi, table};
use crate::arch::{Hw, HwWord};
use crate::cpu::area::{self, Area};
use crate::{cpu, gic, watchdog};
use reveille_protocol::News;

static NEWS: News<Hw> = News::from_parts(HwWord::with(News::<Hw>::NONE));

/// Which news one CPU has applied.
pub(crate) type Applied = reveille_protocol::Applied<Hw>;

/// Of a CPU that has applied none.
pub(crate) const fn applied() -> Applied {
    Applied::from_parts(HwWord::with(Applied::NONE))
}

/// There is something new, which the caller has stored: applies it here, and tells every CPU that is online.
pub(crate) fn tell() {
    NEWS.tell(|| {
        let own = area::current();
        arrive(own);
        gic::send_sgi_set(Sgi::Private, &cpu::online().without(own.id));
    });
}

/// Applies all news. By its own CPU, as it comes online: what it had applied in a former life is gone.
pub(crate) fn arrive(own: &Area) {
    NEWS.apply(&own.applied, apply);
}

/// Applies what is new, if anything is. By its own CPU.
pub(crate) fn look(own: &Area) {
    NEWS.look(&own.applied, apply);
}

/// Does what all news ask for.
fn apply() {
    table::apply_private();
    watchdog::apply();
}
