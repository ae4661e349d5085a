//! Locks that mask interrupts for as long as they are held.

#[cfg(feature = "critical-section")]
mod critical;

mod mutex;
mod word;

pub use mutex::{Mutex, MutexGuard};
pub(crate) use word::{ALONE, LSE};

use crate::percpu::area::{self, Part};
use crate::{arch, gate, masking};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

/// A lock for data that interrupt handlers use too: interrupts are masked while it is held.
///
/// Fair: CPUs get it in the order in which they asked. A CPU that waits for it lets go of life when another
/// panics, so a lock held by a CPU that was stopped holds up nobody.
///
/// Taking a lock twice on one CPU never ends. At NMI level ([`nmi::on_each`](crate::nmi::on_each)) there are no locks: its holder may
/// be what was interrupted.
pub struct SpinLock<T: ?Sized> {
    /// Tickets: next to be drawn in the upper half, now served in the lower.
    tickets: AtomicU32,
    data: UnsafeCell<T>,
}

// SAFETY: the tickets let one CPU at a time at the data.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}
// SAFETY: a lock is as movable as its data.
unsafe impl<T: ?Sized + Send> Send for SpinLock<T> {}

/// The right to the data of a [`SpinLock`]; gives the lock back when dropped, then unmasks.
#[must_use = "the lock is free again as soon as this is dropped"]
pub struct SpinGuard<'a, T: ?Sized> {
    lock: &'a SpinLock<T>,
    // Dropped after `Drop::drop`: interrupts stay masked until the lock is free.
    _masked: masking::Masked,
}

const NEXT: u32 = 1 << 16;

/// The lock for which one CPU waits, masked, so that it is one at most. Written by that CPU, read once it has parked, which orders it.
pub(crate) struct Waiter {
    /// Address of the lock's tickets; 0: it does not wait.
    lock: AtomicU64,
    ticket: AtomicU16,
}

// Relaxed throughout: see above.
impl Waiter {
    /// Of a CPU that does not wait.
    pub(crate) const fn new() -> Self {
        Self { lock: AtomicU64::new(0), ticket: AtomicU16::new(0) }
    }

    fn begin(&self, lock: &AtomicU32, ticket: u16) {
        self.ticket.store(ticket, Ordering::Relaxed);
        self.lock.store(lock.as_ptr() as u64, Ordering::Relaxed);
    }

    fn end(&self) {
        self.lock.store(0, Ordering::Relaxed);
    }

    fn waits_for(&self, lock: &AtomicU32, ticket: u16) -> bool {
        self.lock.load(Ordering::Relaxed) == lock.as_ptr() as u64
            && self.ticket.load(Ordering::Relaxed) == ticket
    }
}

impl<T> SpinLock<T> {
    /// A free lock.
    pub const fn new(data: T) -> Self {
        Self { tickets: AtomicU32::new(0), data: UnsafeCell::new(data) }
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
        let drawn = word::add(&self.tickets, NEXT, Ordering::Relaxed);
        let mine = (drawn >> 16) as u16;
        if drawn as u16 != mine && !comes(&self.tickets, mine) {
            return None;
        }
        // Acquire: pairs with the Release of the guard that served this ticket. A fence, because the draw itself
        // may have been the read that saw it.
        core::sync::atomic::fence(Ordering::Acquire);
        Some(SpinGuard { lock: self, _masked: masked })
    }

    /// Takes the lock if it is free. At NMI level it never is.
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        let masked = masking::mask_below_nmi()?;
        let mut seen = self.tickets.load(Ordering::Relaxed);
        while (seen >> 16) as u16 != seen as u16 {
            if !pass_over_a_stopped(&self.tickets) {
                return None;
            }
            seen = self.tickets.load(Ordering::Relaxed);
        }
        if !word::replace(&self.tickets, seen, seen.wrapping_add(NEXT)) {
            return None;
        }
        // Acquire: pairs with the Release of the last guard. A fence, because the form for a single CPU has none.
        core::sync::atomic::fence(Ordering::Acquire);
        Some(SpinGuard { lock: self, _masked: masked })
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
fn comes(tickets: &AtomicU32, mine: u16) -> bool {
    let waiter = area::find_current().map(Waiter::of);
    if let Some(waiter) = waiter {
        waiter.begin(tickets, mine);
    }
    let comes = loop {
        if tickets.load(Ordering::Relaxed) as u16 == mine {
            break true;
        }
        gate::poll();
        if gate::is_stopper() && !pass_over_a_stopped(tickets) {
            break false;
        }
        arch::wfe();
    };
    if let Some(waiter) = waiter {
        waiter.end();
    }
    comes
}

/// On the CPU that has stopped the others: if it is the turn of one of these that was still waiting, the next one has it.
#[cold]
#[inline(never)]
fn pass_over_a_stopped(tickets: &AtomicU32) -> bool {
    if !gate::is_stopper() {
        return false;
    }
    let seen = tickets.load(Ordering::Relaxed);
    // What has parked has not come to use its turn, and never will.
    let stopped = area::areas()
        .iter()
        .any(|area| area::parked(area).is_set() && Waiter::of(area).waits_for(tickets, seen as u16));
    if stopped {
        // As in `SpinLock::unlock`. In the form that goes with any other: a CPU that could not be stopped may be drawing a ticket.
        tickets.fetch_add(served_next(seen), Ordering::Release);
    }
    stopped
}

/// What serves the ticket after the one that is served in `tickets`: an addition to the lower half alone, without a carry.
fn served_next(tickets: u32) -> u32 {
    let served = (tickets as u16).wrapping_add(1);
    u32::from(served).wrapping_sub(u32::from(tickets as u16))
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
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this CPU holds the lock, and `self` is borrowed mutably.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for SpinGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.unlock();
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Gives back a lock whose guard was forgotten. Interrupts stay as they are.
    ///
    /// # Safety
    ///
    /// This CPU took the lock, and no reference to the data is left.
    #[cfg(feature = "critical-section")]
    pub(crate) unsafe fn force_unlock(&self) {
        self.unlock();
    }

    fn unlock(&self) {
        let tickets = self.tickets.load(Ordering::Relaxed);
        // Only the holder writes the lower half, but drawing carries the upper half along. Release: pairs with `lock` and `try_lock`.
        word::add(&self.tickets, served_next(tickets), Ordering::Release);
        // Partner of the WFE in `comes`: the store before it is visible first.
        arch::dsb_ishst();
        arch::sev();
    }
}
