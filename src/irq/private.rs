//! News: what every CPU has to do for itself, such as to enable a PPI, or to start or stop the watchdog's ticks.
//!
//! Whoever wants that stores it, does it on its own CPU, and [`tell`]s: that counts up the number of the news, and sends everyone an SGI.
//! It may be lost; so each CPU notes which news it has applied, and compares at each interrupt that is no call, and before it waits
//! in idle. It takes such an interrupt at least as often as it looks around (bootarg `idle_ms`).
//!
//! It compares where it runs no handler: before that of the interrupt, and in thread context. So a CPU that has applied some runs no
//! handler any more that it found before.

use crate::arch::{Hw, HwWord};
use crate::clock::Deadline;
use crate::gic::{self, Reminder, Sgi};
use crate::percpu::area::{self, Area, Part};
use crate::{arch, gate, percpu};
use core::sync::atomic::{AtomicU32, Ordering};
use reveille_protocol::News;

/// There is news: a PPI was registered or taken away, or the watchdog was turned on or off.
pub(crate) const PRIVATE: Sgi = Sgi::new(1);

static NEWS: News<Hw> = News::from_parts(HwWord::with(News::<Hw>::NONE));

/// Which news one CPU has applied, and what it does not follow.
pub(crate) struct Applied {
    applied: reveille_protocol::Applied<Hw>,
    /// The private interrupts that it has disabled for itself, a bit each. Its own, with interrupts masked.
    off: AtomicU32,
}

/// Of a CPU that has applied none.
pub(crate) const fn applied() -> Applied {
    Applied {
        applied: reveille_protocol::Applied::from_parts(HwWord::with(reveille_protocol::Applied::<Hw>::NONE)),
        off: AtomicU32::new(0),
    }
}

impl Applied {
    /// The private interrupts that the CPU has disabled for itself.
    pub(super) fn off(&self) -> u32 {
        self.off.load(Ordering::Relaxed)
    }

    /// From now on it has disabled these.
    pub(super) fn set_off(&self, off: u32) {
        self.off.store(off, Ordering::Relaxed);
    }
}

/// There is something new, which the caller has stored, and applied on this CPU: tells every other CPU that is online. The number of the
/// news is for [`await_all`].
#[inline(never)]
pub(crate) fn tell() -> u64 {
    // Who tells may be moved meanwhile: then each CPU is told.
    let told = || {
        let online = percpu::online();
        if area::threads_move() { online } else { online.without(percpu::current()) }
    };
    NEWS.tell(|| gic::send_sgi_set(PRIVATE, &told()))
}

/// Waits until every CPU that is online, but that of the caller, has applied the news with this number. `false`: by `deadline` some had not. In thread
/// context, interrupts open.
pub(super) fn await_all(number: u64, deadline: Deadline) -> bool {
    // On this one a thread runs, and so nothing that an interrupt has begun before.
    let mut left = area::here(|own| percpu::online().without(own.id));
    let mut reminder = Reminder::new(PRIVATE, deadline);
    loop {
        // One that comes, or comes back, applies them before it takes interrupts; one that was stopped takes none any more.
        left = left
            .iter()
            .map(area::of)
            .filter(|area| area::is_online(area) && !Applied::of(area).applied.has(number))
            .map(|area| area.id)
            .collect();
        if left.is_empty() {
            return true;
        }
        if deadline.has_passed() {
            return false;
        }
        reminder.look(|| left);
        gate::poll();
        arch::yield_now();
    }
}

/// Has `apply` do all that there is to do, whatever this CPU, that of `own`, had applied in a former life.
pub(crate) fn apply(own: &Area, apply: impl FnOnce()) {
    NEWS.apply(&Applied::of(own).applied, apply);
}

/// Has `apply` do what is new, if anything is, on the CPU of `own`, which is the calling one.
#[inline(always)]
pub(crate) fn look(own: &Area, apply: impl FnOnce()) {
    NEWS.look(&Applied::of(own).applied, apply);
}
