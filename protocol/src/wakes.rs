//! Waiting for work without missing it: what one CPU counts, and what it has seen of that.
//!
//! ```text
//!   while !condition() {          looks at the condition, then
//!       idle();                   close, look at the counts and at what there is to do, wait, open, note the counts
//!   }
//! ```
//!
//! What makes the condition true is an interrupt handler or a call on this CPU. It comes before the counts were last noted, and
//! then the condition is looked at behind it; or after that, and then the next [`idle`](Wakes::idle) finds that the counts have
//! moved, and does not wait; or behind the look at the counts, with interrupts closed, and then it is pending, and ends the wait.
//!
//! The words belong to one CPU, which may be interrupted between any two of its steps, and in the middle of a handler too.

use core::sync::atomic::Ordering::Relaxed;

use crate::{Arch, Word};

/// What has woken one CPU. For the CPU that it belongs to alone, but for [`handled`](Self::handled).
pub struct Wakes<A: Arch> {
    /// Interrupts that it has handled, but for those that come with a count of their own.
    handled: A::Word,
    /// The counts as they were when it last noted them.
    seen: A::Word,
}

// Relaxed throughout: another CPU looks at a count for a report alone, and an interrupt of the CPU itself comes between two instructions.
impl<A: Arch> Wakes<A> {
    /// Both of [`from_parts`](Self::from_parts)' words.
    pub const NONE: u64 = 0;

    /// Around two words that hold [`Self::NONE`]. For statics.
    pub const fn from_parts(handled: A::Word, seen: A::Word) -> Self {
        Self { handled, seen }
    }

    /// Of a CPU that has handled nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::NONE), A::Word::new(Self::NONE))
    }

    /// An interrupt is being handled. In its handler.
    #[inline(always)]
    pub fn count(&self) {
        // No read-modify-write: an interrupt in between may be lost for the count, which moves all the same.
        self.handled.store(self.handled.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Interrupts that were counted since it began. From any CPU; late by what is being handled.
    #[inline(always)]
    pub fn handled(&self) -> u64 {
        self.handled.load(Relaxed)
    }

    /// Waits, unless anything has been handled since this last returned, or there is something to do. In thread context.
    ///
    /// `calls` reads the count of what was handled otherwise. `close` closes interrupts, so that one that comes is pending,
    /// and `open` opens them again. `has_work` looks at what others may have left with an interrupt to follow. `wait` ends at
    /// once while an interrupt is pending.
    #[inline(always)]
    pub fn idle<M>(
        &self,
        calls: impl Fn() -> u64,
        close: impl FnOnce() -> M,
        has_work: impl FnOnce() -> bool,
        wait: impl FnOnce(),
        open: impl FnOnce(M),
    ) {
        let mask = close();
        // Behind the closing: what comes after this look is pending.
        if self.counted(&calls) == self.seen.load(Relaxed) && !has_work() {
            wait();
        }
        // A pending interrupt is taken here.
        open(mask);
        // One that is taken only now is new to the next call, and that is early enough: the caller looks in between.
        self.seen.store(self.counted(&calls), Relaxed);
    }

    fn counted(&self, calls: impl Fn() -> u64) -> u64 {
        self.handled.load(Relaxed).wrapping_add(calls())
    }
}

impl<A: Arch> Default for Wakes<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;
    use crate::testing::Host;

    /// Whether it waited.
    fn idle(wakes: &Wakes<Host>, calls: u64, work: bool) -> bool {
        let (closed, waited) = (Cell::new(false), Cell::new(false));
        wakes.idle(
            || calls,
            || {
                closed.set(true);
                9
            },
            || {
                assert!(closed.get(), "looks with interrupts open");
                work
            },
            || {
                assert!(closed.get(), "waits with interrupts open");
                waited.set(true);
            },
            |mask| {
                assert_eq!(mask, 9);
                closed.set(false);
            },
        );
        assert!(!closed.get());
        waited.get()
    }

    #[test]
    fn waits_unless_there_was_or_is_something() {
        let wakes = Wakes::<Host>::new();
        assert!(idle(&wakes, 0, false));
        wakes.count();
        assert_eq!(wakes.handled(), 1);
        assert!(!idle(&wakes, 0, false), "an interrupt");
        assert!(idle(&wakes, 0, false), "the same again");
        assert!(!idle(&wakes, 1, false), "a call");
        assert!(!idle(&wakes, 1, true), "work");
        assert!(idle(&wakes, 1, false));
    }

    #[test]
    fn counts_wrap() {
        use core::sync::atomic::AtomicU64;
        let wakes = Wakes::<Host>::from_parts(AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX));
        wakes.count();
        assert!(!idle(&wakes, 0, false));
        assert!(idle(&wakes, 0, false));
    }
}
