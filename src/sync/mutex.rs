//! A lock for thread context, held with interrupts open.

use super::word::HwLockWord;
use crate::holds::Holds;
use crate::percpu::area::{self, Area, Part};
use crate::{arch, gate, masking};
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use reveille_protocol::MutexWord;

/// A lock for data that threads alone use: interrupts stay open while it is held.
///
/// A CPU that holds one is called and gathered like any other, but does not leave ([`Hold::Mutex`]). Not for
/// interrupt handlers, callbacks, or sections with interrupts masked: [`Mutex::lock`] panics there.
///
/// [`Hold::Mutex`]: crate::hotplug::Hold::Mutex
pub struct Mutex<T: ?Sized> {
    word: MutexWord<HwLockWord>,
    data: UnsafeCell<T>,
}

// SAFETY: the word lets one thread at a time at the data.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: a lock is as movable as its data.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

/// The right to the data of a [`Mutex`]; gives the lock back when dropped.
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
    pub const fn new(data: T) -> Self {
        Self {
            word: MutexWord::from_parts(HwLockWord::with(MutexWord::<HwLockWord>::FREE)),
            data: UnsafeCell::new(data),
        }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock.
    ///
    /// # Panics
    ///
    /// With interrupts masked or in interrupt context: the holder may be the CPU that was interrupted. If it has to wait on
    /// the CPU that has [stopped the others](crate::panic::stop_others()): whoever holds it does so for ever, as far as is known here; it may be
    /// a context that nobody has resumed.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        assert!(!masking::is_masked(), "Mutex::lock() with interrupts masked or in interrupt context");
        loop {
            if let Some(guard) = self.try_lock() {
                return guard;
            }
            gate::poll_for_another();
            arch::wfe();
        }
    }

    /// Takes the lock if it is free. At NMI level it never is.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        // Masked for the word alone: the form of the operation cannot change in the middle of it.
        let _masked = masking::mask_below_nmi()?;
        if !self.word.try_take() {
            return None;
        }
        let holder = area::current();
        Holds::of(holder).add_mutex();
        Some(MutexGuard { lock: self, holder, not_send: PhantomData })
    }
}

#[cfg(feature = "lock_api")]
impl<T: ?Sized> Mutex<T> {
    /// Whether somebody held it a moment ago.
    pub(super) fn is_held(&self) -> bool {
        self.word.is_held()
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
        self.lock.word.give_back();
    }
}
