//! News: what every CPU has to do for itself, such as to enable a PPI, or to start or stop the watchdog's ticks.
//!
//! Whoever wants that stores it, does it on its own CPU, and [`tell`]s: that counts up the number of the news, and sends everyone an SGI.
//! It may be lost; so each CPU notes which news it has applied, and compares at each interrupt that is no call, and before it waits
//! in idle. It takes such an interrupt at least as often as it looks around (bootarg `idle_ms`).

use crate::arch::{Hw, HwWord};
use crate::gic::{self, Sgi};
use crate::percpu;
use crate::percpu::area::{self, Area, Part};
use reveille_protocol::News;

/// There is news: a PPI was registered, or the watchdog was turned on or off.
pub(crate) const PRIVATE: Sgi = Sgi::new(1);

static NEWS: News<Hw> = News::from_parts(HwWord::with(News::<Hw>::NONE));

/// Which news one CPU has applied.
pub(crate) type Applied = reveille_protocol::Applied<Hw>;

/// Of a CPU that has applied none.
pub(crate) const fn applied() -> Applied {
    Applied::from_parts(HwWord::with(Applied::NONE))
}

/// There is something new, which the caller has stored, and applied on this CPU: tells every other CPU that is online.
#[inline(never)]
pub(crate) fn tell() {
    NEWS.tell(|| gic::send_sgi_set(PRIVATE, &percpu::online().without(area::current().id)));
}

/// Has `apply` do all that there is to do, whatever this CPU, that of `own`, had applied in a former life.
pub(crate) fn apply(own: &Area, apply: impl FnOnce()) {
    NEWS.apply(Applied::of(own), apply);
}

/// Has `apply` do what is new, if anything is, on the CPU of `own`, which is the calling one.
#[inline(always)]
pub(crate) fn look(own: &Area, apply: impl FnOnce()) {
    NEWS.look(Applied::of(own), apply);
}
