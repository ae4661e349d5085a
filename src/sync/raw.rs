//! The locks of this room in the terms of the `lock_api` crate.

use super::{Mutex, MutexGuard, SpinLock};
use crate::percpu::area::Area;
use core::mem;
use lock_api::GuardNoSend;

/// A [`SpinLock`] without its data, for `lock_api::Mutex<RawSpinLock, T>`. With the feature `lock_api`.
///
/// Everything that is said of a `SpinLock` holds: interrupts are masked from before it is asked for until after it is given back, for as long as
/// any guard of this CPU is alive, in whatever order they end; `lock` panics at NMI level, where `try_lock` never gets it, and where
/// it would have to wait for a CPU that was stopped. `unlock_fair` lets another that waits, and runs, have it first, for which it looks on for some microseconds where nobody
/// waits. `is_locked` says how it was a moment ago.
///
/// ```no_run
/// use reveille::sync::RawSpinLock;
///
/// static TABLE: lock_api::Mutex<RawSpinLock, [u32; 8]> = lock_api::Mutex::new([0; 8]);
/// ```
pub struct RawSpinLock(SpinLock<()>);

// SAFETY: a `SpinLock` has one holder, and `lock` and `try_lock` keep its guard, by forgetting it, until `unlock`. A guard of `lock_api` stays on
// the CPU that made it (`GuardNoSend`; no context moves with interrupts masked), so it is that CPU which unmasks.
unsafe impl lock_api::RawMutex for RawSpinLock {
    const INIT: Self = Self(SpinLock::new(()));

    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        mem::forget(self.0.lock());
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.0.try_lock().map(mem::forget).is_some()
    }

    #[inline]
    unsafe fn unlock(&self) {
        // SAFETY: this CPU has taken it and not given it back (the caller's), and the guard was forgotten above.
        unsafe { self.0.force_unlock() };
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.turnstile.is_held()
    }
}

// SAFETY: it gives the lock back, and then lets another be faster than this CPU.
unsafe impl lock_api::RawMutexFair for RawSpinLock {
    #[inline]
    unsafe fn unlock_fair(&self) {
        // Read while it is this CPU's turn, which then ends.
        let turns = self.0.turnstile.turns().wrapping_add(1);
        // SAFETY: the caller's.
        unsafe { lock_api::RawMutex::unlock(self) };
        self.0.let_another(turns);
    }
}

/// A [`Mutex`] without its data, for `lock_api::Mutex<RawMutex, T>`. With the feature `lock_api`.
///
/// Everything that is said of a `Mutex` holds: it is for thread context, interrupts stay open while it is held, and the CPU that took it does
/// not leave before it is given back, whichever CPU its context runs on then.
///
/// ```no_run
/// use reveille::sync::RawMutex;
///
/// static TABLE: lock_api::Mutex<RawMutex, [u32; 8]> = lock_api::Mutex::new([0; 8]);
/// ```
pub struct RawMutex(Mutex<Option<&'static Area>>);

// SAFETY: a `Mutex` has one holder, and `lock` and `try_lock` keep its guard, but for what is written down, until `unlock`. A guard of
// `lock_api` stays in the thread that made it (`GuardNoSend`).
unsafe impl lock_api::RawMutex for RawMutex {
    const INIT: Self = Self(Mutex::new(None));

    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        keep(self.0.lock());
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.0.try_lock().map(keep).is_some()
    }

    #[inline]
    unsafe fn unlock(&self) {
        // SAFETY: this thread has taken it and not given it back (the caller's), and the guard was kept above.
        drop(unsafe { self.0.remembered(|holder| holder.expect("a lock that is held has a holder")) });
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.is_held()
    }
}

/// Forgets `guard`, but not which CPU holds the lock.
fn keep(mut guard: MutexGuard<'_, Option<&'static Area>>) {
    *guard = Some(guard.holder());
    mem::forget(guard);
}
