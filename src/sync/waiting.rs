//! A CPU that waits for a lock: what it writes down meanwhile, what it may never wait for, and when it says that it waits for long.
//!
//! All of it is the slow path of a lock: who finds it free comes by none of this.

use super::word::Turnstile;
use crate::arch::timer;
use crate::clock::{Deadline, Patience};
use crate::percpu::area::{self, Area, Part};
use crate::{arch, gate, masking};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use reveille_protocol::{Owner, Seen};

/// What is said of a wait that takes long. Implemented once, for [`gate::Machine`].
pub(crate) trait Report {
    /// After how many ticks it is said first.
    fn after() -> u64;
    /// Says it, from wherever locks are waited for, and without a wait that has no bound. `false`: not now.
    fn tell(long: &Long) -> bool;
}

/// A wait that takes long.
pub(crate) struct Long {
    /// Where the lock is.
    pub(crate) lock: u64,
    /// Who had it a moment ago: the CPU on which it was taken.
    pub(crate) holder: Option<Owner>,
    /// How long it has been waited for, in ticks.
    pub(crate) age: u64,
    /// For how long, within that, it has been the same turn of the holder's.
    pub(crate) turn: u64,
}

/// What one CPU waits for. Written by that CPU alone; relaxed, as what it leads to is looked at when the CPU has stopped.
pub(crate) struct Waiting {
    /// Null: for no lock.
    lock: AtomicPtr<Turnstile>,
    since: AtomicU64,
}

impl Waiting {
    /// Of a CPU that waits for nothing.
    pub(crate) const fn new() -> Self {
        Self { lock: AtomicPtr::new(core::ptr::null_mut()), since: AtomicU64::new(0) }
    }
}

/// A lock that a CPU waits for.
#[derive(Clone, Copy)]
pub(crate) struct Awaited {
    lock: *const Turnstile,
    /// Since this reading of the counter.
    pub(crate) since: u64,
}

impl Awaited {
    /// What the CPU of `area` waits for, if it is seen to wait: see [`Wait::openly`].
    ///
    /// # Safety
    ///
    /// It is the calling CPU, or one that has parked, so that it never comes out of that wait; and the caller's own waits are not over either for
    /// as long as there is what this returns.
    pub(crate) unsafe fn by(area: &Area) -> Option<Self> {
        let Waiting { lock, since } = Waiting::of(area);
        let (lock, since) = (lock.load(Ordering::Relaxed), since.load(Ordering::Relaxed));
        (!lock.is_null()).then_some(Self { lock, since })
    }

    /// Where the lock is.
    pub(crate) fn address(&self) -> u64 {
        self.lock as u64
    }

    /// Who has it.
    pub(crate) fn holder(&self) -> Option<Owner> {
        // SAFETY: whoever waits borrows the lock, and does so for ever (`by`).
        unsafe { &*self.lock }.holder()
    }
}

/// One wait for one lock.
pub(super) struct Wait<'a> {
    turnstile: &'a Turnstile,
    /// The CPU that waits, if that is the same one all the while.
    own: Option<&'static Area>,
    /// When it gives up, in ticks.
    limit: u64,
    begun: Option<Begun>,
}

/// A wait that has found that it is one.
struct Begun {
    patience: Patience,
    /// The turn that was under way at the last look, and since when it is known to be.
    turns: u64,
    since: u64,
    /// What the CPU waited for before: it has been interrupted there.
    before: (*mut Turnstile, u64),
}

impl<'a> Wait<'a> {
    /// Of the CPU of `own`, with interrupts masked.
    #[inline(always)]
    pub(super) const fn masked(turnstile: &'a Turnstile, own: &'static Area) -> Self {
        Self { turnstile, own: Some(own), limit: u64::MAX, begun: None }
    }

    /// Of whoever calls, until `limit`. A thread that may be moved is not seen to wait.
    #[inline(always)]
    pub(super) fn openly(turnstile: &'a Turnstile, limit: Option<Deadline>) -> Self {
        let stays = !area::threads_move() || masking::is_masked();
        let limit = limit.map_or(u64::MAX, |limit| limit.instant().ticks());
        Self { turnstile, own: stays.then(area::current), limit, begun: None }
    }

    /// Between two looks. `false`: another holds the lock, and this CPU has stopped it; or the time is up.
    ///
    /// # Panics
    ///
    /// If it is the CPU itself that holds it.
    pub(super) fn rest(&mut self, seen: Seen) -> bool {
        gate::poll();
        let now = timer::counter();
        if now >= self.limit {
            return false;
        }
        if seen != Seen::Held {
            // No event comes of a claim that is struck off, or taken up.
            arch::yield_now();
            return true;
        }
        if gate::is_stopper() {
            return false;
        }
        self.look_after(now);
        // Partner: the SEV of whoever gives the lock back.
        arch::wfe();
        true
    }

    fn look_after(&mut self, now: u64) {
        let (turnstile, own) = (self.turnstile, self.own);
        let holder = turnstile.holder();
        if own.is_some_and(|own| holder == Some(own.owner)) {
            taken_twice(turnstile);
        }
        let turns = turnstile.turns();
        let begun = self.begun.get_or_insert_with(|| {
            let before = own.map_or((core::ptr::null_mut(), 0), |own| {
                let Waiting { lock, since } = Waiting::of(own);
                let before = (lock.load(Ordering::Relaxed), since.load(Ordering::Relaxed));
                // The later one first: a report finds the lock with the time of its own wait.
                since.store(now, Ordering::Relaxed);
                lock.store(core::ptr::from_ref(turnstile).cast_mut(), Ordering::Relaxed);
                before
            });
            Begun {
                patience: Patience::new(now, <gate::Machine as Report>::after()),
                turns,
                since: now,
                before,
            }
        });
        if begun.turns != turns {
            (begun.turns, begun.since) = (turns, now);
        }
        let mut patience = begun.patience.clone();
        if let Some(age) = patience.is_over(now) {
            let turn = now.saturating_sub(begun.since);
            let lock = core::ptr::from_ref(turnstile) as u64;
            if <gate::Machine as Report>::tell(&Long { lock, holder, age, turn }) {
                begun.patience = patience;
            }
        }
    }
}

impl Drop for Wait<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let (Some(own), Some(Begun { before: (lock, since), .. })) = (self.own, &self.begun) {
            let waiting = Waiting::of(own);
            waiting.lock.store(*lock, Ordering::Relaxed);
            waiting.since.store(*since, Ordering::Relaxed);
        }
    }
}

/// The end of a wait for what the CPU that waits has itself, and gives back when the wait is over.
#[cold]
#[inline(never)]
fn taken_twice(turnstile: &Turnstile) -> ! {
    panic!(
        "the lock at {:#x} is taken twice: this CPU holds it already",
        core::ptr::from_ref(turnstile) as u64
    );
}

/// The end of a wait for a lock on the CPU that has stopped the others.
#[cold]
#[inline(never)]
pub(super) fn never_comes(turnstile: &Turnstile) -> ! {
    if area::here(|own| turnstile.holder() == Some(own.owner)) {
        taken_twice(turnstile);
    }
    gate::waits_for_the_stopped();
}
