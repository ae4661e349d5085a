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
mod word;

pub(crate) use atomics::{AtomicWord, Atomics, EXCLUSIVES};
pub use mutex::{Mutex, MutexGuard};
#[cfg(feature = "lock_api")]
pub use raw::{RawMutex, RawSpinLock};
pub(crate) use word::{ALONE, LSE};

use crate::{arch, gate, masking};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::AtomicBool;
#[cfg(feature = "critical-section")]
use core::sync::atomic::Ordering;
use reveille_protocol::{Fairness, Held, Move, Place, Seen};
use word::HwLockWord;

/// A lock for data that interrupt handlers use too: interrupts are masked while it is held.
///
/// Whoever runs and finds it free takes it, so a CPU that a hypervisor has taken away holds up nobody unless it has the lock. That is fair within
/// bounds: one that waits while sixteen others have had the lock is next, behind those that this has happened to before, for as long as it runs
/// itself. A CPU that waits lets go of life when another panics, so a lock held by a CPU that was stopped holds up nobody.
///
/// Taking a lock twice on one CPU never ends. At NMI level ([`nmi::on_each`](crate::nmi::on_each)) there are no locks: its holder may
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

/// The words of a lock.
type Turnstile = reveille_protocol::Turnstile<HwLockWord>;

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
    /// At NMI level. If it has to wait on the CPU that has [stopped the others](crate::panic::stop_others()): whoever holds it does so
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
            None => gate::waits_for_the_stopped(),
        }
    }

    /// The same; `None` if it had to wait, and this CPU has stopped the others: whoever holds the lock does so for ever.
    #[inline(always)]
    pub(crate) fn lock_unless_stopped(&self) -> Option<SpinGuard<'_, T>> {
        let Some(masked) = masking::mask_below_nmi() else { at_nmi_level() };
        Held::take(Locked(self), masked, || comes(&self.turnstile)).map(SpinGuard)
    }

    /// Waits for the lock wherever that has an end.
    pub(crate) fn lock_anywhere(&self) -> Result<SpinGuard<'_, T>, Refused> {
        let masked = masking::mask_below_nmi().ok_or(Refused::Nmi)?;
        let held = Held::take(Locked(self), masked, || comes(&self.turnstile));
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
        let masked = masking::mask_below_nmi()?;
        Held::take(Locked(self), masked, || is_free(&self.turnstile)).map(SpinGuard)
    }

    /// Waits for the lock with interrupts as they are between looks. `None`: this CPU has stopped the others meanwhile.
    pub(crate) fn lock_openly(&self) -> Option<SpinGuard<'_, T>> {
        let mut waiter = self.turnstile.waiter(Fairness::USUAL);
        loop {
            let change = match self.turnstile.see(&mut waiter) {
                Move::Act(change) => change,
                Move::Rest(seen) if rest(seen) => continue,
                Move::Rest(_) => return None,
            };
            let masked = masking::mask_below_nmi()?;
            if self.turnstile.act(&mut waiter, change) == Seen::Taken {
                return Some(SpinGuard(Held::taken(Locked(self), masked)));
            }
        }
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

/// Waits for the lock. `false`: it does not come, because this CPU has stopped the holder.
#[cold]
#[inline(never)]
fn comes(turnstile: &Turnstile) -> bool {
    turnstile.wait(Fairness::USUAL, rest)
}

/// Takes a lock that is free, or will be when those that have a claim and do not run have been waited for.
#[cold]
#[inline(never)]
fn is_free(turnstile: &Turnstile) -> bool {
    turnstile.wait(Fairness::USUAL.without_claim(), |seen| seen == Seen::Again && rest(seen))
}

/// Between two looks of a wait. `false`: another holds the lock, and this CPU has stopped it.
#[inline(always)]
fn rest(seen: Seen) -> bool {
    gate::poll();
    if seen == Seen::Held {
        if gate::is_stopper() {
            return false;
        }
        // Partner: the SEV of whoever gives the lock back.
        arch::wfe();
    } else {
        // No event comes of a claim that is struck off, or taken up.
        arch::yield_now();
    }
    true
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
    fn let_another(&self, turns: u32) {
        for _ in 0..Fairness::USUAL.patience {
            if self.turnstile.is_held() || self.turnstile.turns() != turns {
                return;
            }
            arch::yield_now();
        }
    }
}
