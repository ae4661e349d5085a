//! Locks that mask interrupts for as long as they are held, and one for threads that does not.
//!
//! With the feature `lock_api` they are there for the `lock_api` crate (0.4) too: `lock_api::Mutex<RawSpinLock, T>` is a [`SpinLock`],
//! `lock_api::Mutex<RawMutex, T>` a [`Mutex`], with all that the crate has around a lock, such as guards of a part of the data. There is no lock for readers
//! and writers.
//!
//! ```ignore
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

use crate::arch::{self, Hw, HwWord};
use crate::percpu::area::{self, Area, Part};
use crate::{gate, masking};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use reveille_protocol::{Held, Place, Tickets};
use word::HwLockWord;

/// A lock for data that interrupt handlers use too: interrupts are masked while it is held.
///
/// Fair: CPUs get it in the order in which they asked. A CPU that waits for it lets go of life when another
/// panics, so a lock held by a CPU that was stopped holds up nobody.
///
/// Taking a lock twice on one CPU never ends. At NMI level ([`nmi::on_each`](crate::nmi::on_each)) there are no locks: its holder may
/// be what was interrupted.
pub struct SpinLock<T: ?Sized> {
    tickets: Tickets<HwLockWord>,
    data: UnsafeCell<T>,
}

// SAFETY: the tickets let one CPU at a time at the data.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}
// SAFETY: a lock is as movable as its data.
unsafe impl<T: ?Sized + Send> Send for SpinLock<T> {}

/// The right to the data of a [`SpinLock`]; gives the lock back when dropped, then unmasks.
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

/// A lock, for its own guard alone: whoever could come by the tickets could give it back.
struct Locked<'a, T: ?Sized>(&'a SpinLock<T>);

impl<T: ?Sized> Place for Locked<'_, T> {
    type Word = HwLockWord;

    #[inline(always)]
    fn tickets(&self) -> &Tickets<HwLockWord> {
        &self.0.tickets
    }
}

/// The lock, by the address of its tickets, for which one CPU waits.
pub(crate) type Waiter = reveille_protocol::Waiter<Hw>;

/// Of a CPU that does not wait.
pub(crate) const fn not_waiting() -> Waiter {
    Waiter::from_parts(HwWord::with(Waiter::NOBODY), HwWord::with(Waiter::NOBODY))
}

fn number(tickets: &Tickets<HwLockWord>) -> u64 {
    core::ptr::from_ref(tickets) as u64
}

impl<T> SpinLock<T> {
    /// A free lock.
    pub const fn new(data: T) -> Self {
        Self {
            tickets: Tickets::from_parts(HwLockWord::with(Tickets::<HwLockWord>::FREE)),
            data: UnsafeCell::new(data),
        }
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Waits for the lock.
    ///
    /// # Panics
    ///
    /// At NMI level. If it has to wait on the CPU that has [stopped the others](crate::panic::stop_others()): whoever holds it does so
    /// for ever.
    pub fn lock(&self) -> SpinGuard<'_, T> {
        match self.lock_unless_stopped() {
            Some(guard) => guard,
            None => gate::waits_for_the_stopped(),
        }
    }

    /// The same; `None` if it had to wait, and this CPU has stopped the others: whoever holds the lock does so for ever. Then nobody
    /// gets it any more, as there is a ticket that is not given back.
    #[inline(always)]
    pub(crate) fn lock_unless_stopped(&self) -> Option<SpinGuard<'_, T>> {
        let Some(masked) = masking::mask_below_nmi() else { at_nmi_level() };
        Held::lock(Locked(self), masked, |mine| comes(&self.tickets, mine)).map(SpinGuard)
    }

    /// Waits for the lock wherever that has an end.
    pub(crate) fn lock_anywhere(&self) -> Result<SpinGuard<'_, T>, Refused> {
        let masked = masking::mask_below_nmi().ok_or(Refused::Nmi)?;
        let held = Held::lock(Locked(self), masked, |mine| comes(&self.tickets, mine));
        held.map(SpinGuard).ok_or(Refused::Stopped)
    }

    /// Takes the lock if it is free. At NMI level it never is.
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        let masked = masking::mask_below_nmi()?;
        Held::try_lock(Locked(self), masked, || pass_over_a_stopped(&self.tickets)).map(SpinGuard)
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

/// Waits for the turn of ticket `mine`. `false`: it does not come, because this CPU has stopped the holder.
#[cold]
#[inline(never)]
fn comes(tickets: &Tickets<HwLockWord>, mine: u16) -> bool {
    let waiter = area::find_current().map(|area| (Waiter::of(area), number(tickets)));
    tickets.wait(waiter, mine, || {
        gate::poll();
        if gate::is_stopper() && !pass_over_a_stopped(tickets) {
            return false;
        }
        arch::wfe();
        true
    })
}

/// On the CPU that has stopped the others: if it is the turn of one of these that was still waiting, the next one has it.
#[cold]
#[inline(never)]
fn pass_over_a_stopped(tickets: &Tickets<HwLockWord>) -> bool {
    // What has parked has not come to use its turn, and never will.
    let waits = |area: &Area, ticket| {
        area::parked(area).is_set() && Waiter::of(area).waits_for(number(tickets), ticket)
    };
    gate::is_stopper() && tickets.pass_over(|ticket| area::areas().iter().any(|area| waits(area, ticket)))
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
        self.tickets.give_back();
        // SAFETY: the section of the guard (the caller's).
        drop(unsafe { masking::Masked::remembered() });
    }
}
