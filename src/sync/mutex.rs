//! A lock for thread context, held with interrupts open.

use super::free;
use super::waiting::{Wait, never_comes};
use super::word::Turnstile;
use crate::arch::regs;
use crate::holds::Holds;
use crate::percpu::area::{self, Area, Part};
use crate::{gate, masking};
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use reveille_protocol::{Fairness, Owner, Seen};

/// A lock for data that threads alone use: interrupts stay open while it is held.
///
/// Fair within the same bounds as a [`SpinLock`](super::SpinLock), for threads that are not interrupted; one that is, or is preempted, while it is next
/// is passed over, and is next again when it goes on.
///
/// A wait that takes long is reported like that for a `SpinLock`; the CPU that is named there is the one on which the lock was taken.
///
/// A CPU that holds one is called and gathered like any other, but does not leave ([`Hold::Mutex`]). Not for
/// interrupt handlers, callbacks, or sections with interrupts masked: [`Mutex::lock`] panics there.
///
/// [`Hold::Mutex`]: crate::hotplug::Hold::Mutex
///
/// ```no_run
/// use reveille::sync::Mutex;
///
/// # fn example() {
/// static TABLE: Mutex<[u32; 1024]> = Mutex::new([0; 1024]);
///
/// // In a thread, with interrupts open: those who wait take interrupts and calls meanwhile.
/// let mut table = TABLE.lock();
/// table.fill(7);
/// # }
/// ```
pub struct Mutex<T: ?Sized> {
    turnstile: Turnstile,
    data: UnsafeCell<T>,
}

// SAFETY: the turnstile lets one thread at a time at the data.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: a lock is as movable as its data.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

/// The right to the data of a [`Mutex`]; gives the lock back when dropped.
///
/// ```no_run
/// use reveille::sync::MutexGuard;
///
/// # fn example(table: &reveille::sync::Mutex<[u32; 16]>) {
/// fn sum(table: &MutexGuard<'_, [u32; 16]>) -> u32 {
///     table.iter().sum()
/// }
///
/// let all = sum(&table.lock());
/// # }
/// ```
#[must_use = "the lock is free again as soon as this is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    lock: &'a Mutex<T>,
    holder: &'static Area,
    /// It is this CPU's hold.
    not_send: PhantomData<*mut ()>,
}

// SAFETY: a shared guard only gives shared access to the data.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    /// A free lock.
    ///
    /// ```no_run
    /// use reveille::sync::Mutex;
    ///
    /// static TABLE: Mutex<[u32; 16]> = Mutex::new([0; 16]);
    /// ```
    pub const fn new(data: T) -> Self {
        Self { turnstile: free(), data: UnsafeCell::new(data) }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock.
    ///
    /// # Panics
    ///
    /// With interrupts masked or in interrupt context: the holder may be the CPU that was interrupted. If this CPU holds it already, in an image
    /// without a [scheduler](crate::context::Scheduler); with one it may be another thread that does. If it has to wait on
    /// the CPU that has [stopped the others](crate::panic::stop_others()): whoever holds it does so for ever, as far as is known here; it may be
    /// a context that nobody has resumed.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(table: &reveille::sync::Mutex<[u32; 16]>) {
    /// table.lock()[3] += 1;
    /// # }
    /// ```
    pub fn lock(&self) -> MutexGuard<'_, T> {
        assert!(!masking::is_masked(), "Mutex::lock() with interrupts masked or in interrupt context");
        if let Some(guard) = self.taken(Turnstile::try_take) {
            return guard;
        }
        let mut waiter = self.turnstile.waiter(Fairness::USUAL);
        let mut wait = Wait::openly(&self.turnstile, None);
        loop {
            let mut seen = Seen::Taken;
            let guard = self.taken(|words, me| {
                seen = words.look(&mut waiter, me);
                seen == Seen::Taken
            });
            if let Some(guard) = guard {
                return guard;
            }
            if !wait.rest(seen) {
                // With a scheduler the number in the word says where it was taken, and not where the thread is that has it.
                if area::threads_move() {
                    gate::waits_for_the_stopped();
                }
                never_comes(&self.turnstile);
            }
        }
    }

    /// Takes the lock if it is free, before any that wait. At NMI level it never is.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(table: &reveille::sync::Mutex<[u32; 16]>) {
    /// match table.try_lock() {
    ///     Some(mut table) => table[0] = 0,
    ///     None => println!("somebody works on it"),
    /// }
    /// # }
    /// ```
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        if masking::in_nmi() {
            return None;
        }
        self.taken(Turnstile::try_take).or_else(|| self.claimed())
    }

    /// The same past those that have a claim and do not run.
    #[cold]
    fn claimed(&self) -> Option<MutexGuard<'_, T>> {
        if self.turnstile.is_held() {
            return None;
        }
        let (_masked, own) = masking::mask_below_nmi_here()?;
        if super::is_free(&self.turnstile, own.owner) { self.taken(|_, _| true) } else { None }
    }

    /// The guard of this CPU, if `take` takes the lock. Masked for the words, as the form of the operation cannot change in the middle of it, and for the
    /// hold, which is that of the CPU on which the thread is.
    #[inline(always)]
    fn taken(&self, take: impl FnOnce(&Turnstile, Owner) -> bool) -> Option<MutexGuard<'_, T>> {
        let daif = regs::daif_mask();
        let holder = area::current();
        let guard = take(&self.turnstile, holder.owner).then(|| {
            Holds::of(holder).add_mutex();
            MutexGuard { lock: self, holder, not_send: PhantomData }
        });
        regs::daif_restore(daif);
        guard
    }
}

#[cfg(feature = "lock_api")]
impl<T: ?Sized> Mutex<T> {
    /// Whether somebody held it a moment ago.
    pub(super) fn is_held(&self) -> bool {
        self.turnstile.is_held()
    }

    /// The guard that was forgotten; the data says on which CPU it was made.
    ///
    /// # Safety
    ///
    /// This thread has forgotten that guard, which is taken up again once, and no reference to the data is left.
    pub(super) unsafe fn remembered(&self, holder: impl FnOnce(&T) -> &'static Area) -> MutexGuard<'_, T> {
        // SAFETY: this thread holds the lock (the caller's).
        let holder = holder(unsafe { &*self.data.get() });
        MutexGuard { lock: self, holder, not_send: PhantomData }
    }
}

#[cfg(feature = "lock_api")]
impl<T: ?Sized> MutexGuard<'_, T> {
    /// The CPU that it holds.
    pub(super) fn holder(&self) -> &'static Area {
        self.holder
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: this thread holds the lock.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this thread holds the lock, and `self` is borrowed mutably.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        Holds::of(self.holder).remove_mutex();
        self.lock.turnstile.give_back();
    }
}
