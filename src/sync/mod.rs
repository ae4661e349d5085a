//! Locks that mask interrupts for as long as they are held, and one for threads that does not.
//!
//! None of them is a queue: a lock that is free is taken by whoever runs, so that CPUs which a hypervisor runs in turns do not wait for each
//! other's turn to run. Each is fair in bounds, which [`SpinLock`] states.
//!
//! With the feature `lock_api` they are there for the `lock_api` crate (0.4) too: `lock_api::Mutex<RawSpinLock, T>` is a [`SpinLock`],
//! `lock_api::Mutex<RawMutex, T>` a [`Mutex`], with all that the crate has around a lock, such as guards of a part of the data. There is no lock for readers
//! and writers.
//!
//! ```no_run
//! # #[cfg(feature = "lock_api")]
//! static TABLE: lock_api::Mutex<reveille::sync::RawSpinLock, [u32; 8]> = lock_api::Mutex::new([0; 8]);
//! ```

mod atomics;
#[cfg(feature = "critical-section")]
mod critical;

mod mutex;
#[cfg(feature = "lock_api")]
mod raw;
mod waiting;
mod word;

pub(crate) use atomics::{AtomicWord, Atomics, EXCLUSIVES};
pub use mutex::{Mutex, MutexGuard};
#[cfg(feature = "lock_api")]
pub use raw::{RawMutex, RawSpinLock};
pub(crate) use waiting::{Awaited, Long, Report, Waiting};
pub(crate) use word::{ALONE, LSE};

use crate::clock::Deadline;
use crate::percpu::area::{self, Area};
use crate::{arch, gate, masking};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::AtomicBool;
#[cfg(feature = "critical-section")]
use core::sync::atomic::Ordering;
use reveille_protocol::{Fairness, Held, Owner, Place, Seen};
use waiting::Wait;
use word::{HwLockWord, Turnstile};

/// A lock for data that interrupt handlers use too: interrupts are masked while it is held.
///
/// Whoever runs and finds it free takes it, so a CPU that a hypervisor has taken away holds up nobody unless it has the lock. That is fair within
/// bounds: one that waits while sixteen others have had the lock is next, behind those that this has happened to before, for as long as it runs
/// itself. A CPU that waits lets go of life when another panics, so a lock held by a CPU that was stopped holds up nobody.
///
/// A CPU that takes a lock which it holds already would wait for itself: that is a panic, at once. A lock that is waited for longer than the bootarg
/// `lock_report_ms` says is reported, with who has it and where that CPU is; `lock_report=panic` makes a panic of that. At NMI level ([`nmi::on_each`](crate::nmi::on_each)) there are no locks: its holder may
/// be what was interrupted.
///
/// ```no_run
/// use reveille::sync::SpinLock;
///
/// # fn example() {
/// static NAMES: SpinLock<[Option<&'static str>; 4]> = SpinLock::new([None; 4]);
///
/// // In a thread or a handler: interrupts are masked while it is held.
/// NAMES.lock()[0] = Some("first");
/// # }
/// ```
pub struct SpinLock<T: ?Sized> {
    turnstile: Turnstile,
    data: UnsafeCell<T>,
}

// SAFETY: the turnstile lets one CPU at a time at the data.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}
// SAFETY: a lock is as movable as its data.
unsafe impl<T: ?Sized + Send> Send for SpinLock<T> {}

/// The right to the data of a [`SpinLock`]; gives the lock back when dropped, then unmasks.
///
/// ```no_run
/// use reveille::sync::{SpinGuard, SpinLock};
///
/// # fn example() {
/// static COUNT: SpinLock<u64> = SpinLock::new(0);
///
/// let mut count: SpinGuard<'_, u64> = COUNT.lock();
/// *count += 1;
/// drop(count);
/// # }
/// ```
#[must_use = "the lock is free again as soon as this is dropped"]
pub struct SpinGuard<'a, T: ?Sized>(Held<Locked<'a, T>, masking::Masked>);

/// Why a lock is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The caller is at NMI level.
    Nmi,
    /// This CPU has stopped the others, one of which holds it.
    Stopped,
}

/// A lock, for its own guard alone: whoever could come by the turnstile could give it back.
struct Locked<'a, T: ?Sized>(&'a SpinLock<T>);

impl<T: ?Sized> Place for Locked<'_, T> {
    type Word = HwLockWord;

    #[inline(always)]
    fn turnstile(&self) -> &Turnstile {
        &self.0.turnstile
    }
}

/// Whether one CPU is inside a critical section of the `critical-section` crate. Its own word, so that nobody who asks touches a line of another's.
pub(crate) struct Section(
    #[cfg_attr(not(feature = "critical-section"), expect(dead_code, reason = "nobody asks"))] AtomicBool,
);

impl Section {
    /// Of a CPU that is not.
    pub(crate) const fn new() -> Self {
        Self(AtomicBool::new(false))
    }
}

// Relaxed: the CPU itself writes and reads it, nobody else.
#[cfg(feature = "critical-section")]
impl Section {
    fn is_inside(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set_inside(&self, is_inside: bool) {
        self.0.store(is_inside, Ordering::Relaxed);
    }
}

/// Of a lock that is free.
const fn free() -> Turnstile {
    Turnstile::from_parts(HwLockWord::with(Turnstile::FREE), HwLockWord::with(0))
}

impl<T> SpinLock<T> {
    /// A free lock.
    ///
    /// ```no_run
    /// use reveille::sync::SpinLock;
    ///
    /// static COUNT: SpinLock<u64> = SpinLock::new(0);
    /// ```
    pub const fn new(data: T) -> Self {
        Self { turnstile: free(), data: UnsafeCell::new(data) }
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Waits for the lock.
    ///
    /// # Panics
    ///
    /// At NMI level. If this CPU holds it already. If it has to wait on the CPU that has [stopped the others](crate::panic::stop_others()): whoever holds it does so
    /// for ever.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(queue: &reveille::sync::SpinLock<[u32; 4]>) {
    /// let mut queue = queue.lock();
    /// queue.rotate_left(1);
    /// # }
    /// ```
    pub fn lock(&self) -> SpinGuard<'_, T> {
        match self.lock_unless_stopped() {
            Some(guard) => guard,
            None => waiting::never_comes(&self.turnstile),
        }
    }

    /// The same; `None` if it had to wait, and this CPU has stopped the others: whoever holds the lock does so for ever.
    #[inline(always)]
    pub(crate) fn lock_unless_stopped(&self) -> Option<SpinGuard<'_, T>> {
        let Some((masked, own)) = masking::mask_below_nmi_here() else { at_nmi_level() };
        Held::take(Locked(self), masked, own.owner, || comes(&self.turnstile, own)).map(SpinGuard)
    }

    /// Waits for the lock wherever that has an end.
    pub(crate) fn lock_anywhere(&self) -> Result<SpinGuard<'_, T>, Refused> {
        let (masked, own) = masking::mask_below_nmi_here().ok_or(Refused::Nmi)?;
        let held = Held::take(Locked(self), masked, own.owner, || comes(&self.turnstile, own));
        held.map(SpinGuard).ok_or(Refused::Stopped)
    }

    /// Takes the lock if it is free, before any that wait. At NMI level it never is.
    ///
    /// ```no_run
    /// # fn example(statistics: &reveille::sync::SpinLock<u64>) {
    /// // Where waiting is not worth it.
    /// if let Some(mut statistics) = statistics.try_lock() {
    ///     *statistics += 1;
    /// }
    /// # }
    /// ```
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        let (masked, own) = masking::mask_below_nmi_here()?;
        Held::take(Locked(self), masked, own.owner, || is_free(&self.turnstile, own.owner)).map(SpinGuard)
    }

    /// Waits for the lock with interrupts as they are between looks. `None`: this CPU has stopped the others meanwhile, or `limit` has passed.
    pub(crate) fn lock_openly(&self, limit: Option<Deadline>) -> Option<SpinGuard<'_, T>> {
        let mut waiter = self.turnstile.waiter(Fairness::USUAL);
        let mut wait = Wait::openly(&self.turnstile, limit);
        loop {
            let (closed, own) = masking::close_below_nmi_here()?;
            let seen = self.turnstile.look(&mut waiter, own.owner);
            if seen == Seen::Taken {
                return Some(SpinGuard(Held::taken(Locked(self), closed.into_masked(own))));
            }
            drop(closed);
            if !wait.rest(seen) {
                return None;
            }
        }
    }

    /// Whether this CPU holds the lock: whoever asks was called by the holder, or has interrupted it.
    pub(crate) fn is_mine(&self) -> bool {
        area::here(|own| self.turnstile.holder() == Some(own.owner))
    }

    /// The data, past the lock.
    ///
    /// # Safety
    ///
    /// All other CPUs are gathered and masked, so none of them can hold the lock; nor does this one; and the reference
    /// ends before they are let go.
    #[expect(clippy::mut_from_ref, reason = "exclusive by the caller's promise")]
    pub(crate) unsafe fn gathered(&self) -> &mut T {
        // SAFETY: the caller's.
        unsafe { &mut *self.data.get() }
    }
}

/// Waits for the lock, on the CPU of `own`. `false`: it does not come, because this CPU has stopped the holder.
#[cold]
#[inline(never)]
fn comes(turnstile: &Turnstile, own: &'static Area) -> bool {
    let mut wait = Wait::masked(turnstile, own);
    turnstile.wait(own.owner, Fairness::USUAL, |seen| wait.rest(seen))
}

/// Takes a lock that is free, or will be when those that have a claim and do not run have been waited for.
#[cold]
#[inline(never)]
fn is_free(turnstile: &Turnstile, me: Owner) -> bool {
    turnstile.wait(me, Fairness::USUAL.without_claim(), |seen| {
        gate::poll();
        // No event comes of a claim that is struck off, or taken up.
        arch::yield_now();
        seen == Seen::Again
    })
}

#[cold]
#[inline(never)]
fn at_nmi_level() -> ! {
    panic!("SpinLock::lock() at NMI level");
}

impl<T: ?Sized> Deref for SpinGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: this CPU holds the lock.
        unsafe { &*self.0.place().0.data.get() }
    }
}

impl<T: ?Sized> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this CPU holds the lock, and `self` is borrowed mutably.
        unsafe { &mut *self.0.place().0.data.get() }
    }
}

impl<T: ?Sized> SpinGuard<'_, T> {
    /// Gives the lock back, like a drop, by a call: for where that is not worth the room of its instructions.
    pub(crate) fn end(self) {
        let lock = self.0.place().0;
        core::mem::forget(self);
        // SAFETY: forgotten just now, and with it the only way to the data.
        unsafe { give_back(&lock.turnstile) };
    }
}

/// Gives back a lock whose guard was forgotten, and ends its masked section.
///
/// # Safety
///
/// This CPU has forgotten that guard, which is taken up again once, and no reference to the data is left.
#[inline(never)]
unsafe fn give_back(turnstile: &Turnstile) {
    // The order of `Held`: a handler that comes as soon as interrupts are open finds the lock given back.
    turnstile.give_back();
    // SAFETY: the section of the guard (the caller's).
    drop(unsafe { masking::Masked::remembered() });
}

#[cfg(any(feature = "critical-section", feature = "lock_api"))]
impl<T: ?Sized> SpinLock<T> {
    /// Gives back a lock whose guard was forgotten, and ends its masked section.
    ///
    /// # Safety
    ///
    /// This CPU has forgotten that guard, which is taken up again once, and no reference to the data is left.
    #[inline]
    unsafe fn force_unlock(&self) {
        // The order of `Held`: a handler that comes as soon as interrupts are open finds the lock given back.
        self.turnstile.give_back();
        // SAFETY: the section of the guard (the caller's).
        drop(unsafe { masking::Masked::remembered() });
    }
}

#[cfg(feature = "lock_api")]
impl<T: ?Sized> SpinLock<T> {
    /// Lets another take the lock, which was given back as the last of so many turns: returns when one has, or none seems to wait.
    fn let_another(&self, turns: u64) {
        for _ in 0..Fairness::USUAL.patience {
            if self.turnstile.is_held() || self.turnstile.turns() != turns {
                return;
            }
            arch::yield_now();
        }
    }
}
