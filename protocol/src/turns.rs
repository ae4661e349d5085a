//! Turns at a lock that is tried for again and again: whoever had it last lets those have it first that wait for it.
//!
//! A CPU may ask for such a lock as often as it likes, and get it each time, because it is awake when it gives it back and the
//! others have to wake up first. One that does so because it waits for something that another one does once it had the lock
//! would wait for ever.
//!
//! So it is known who had it last, and how many wait. A CPU that waits has a [`TurnMark`], and is counted once by it. It gives
//! that back when it gets the lock, when it gives up, and when it leaves in the middle of its wait: that is why the mark is
//! not a guard on the stack, which would be left with it.

use core::sync::atomic::Ordering::Relaxed;

use crate::{Arch, Word};

/// Who had a lock last, and how many CPUs wait for it.
pub struct Turns<A: Arch> {
    last: A::Word,
    waiting: A::Word,
}

/// Whether one CPU waits. Written by that CPU alone.
pub struct TurnMark<A: Arch> {
    waits: A::Word,
}

/// What a CPU waits for between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// That others have had their turn.
    Others,
    /// The lock.
    Lock,
}

// Relaxed throughout: the lock itself orders whatever needs an order; who is mistaken about turns waits a little, or not.
impl<A: Arch> Turns<A> {
    /// The first of [`from_parts`](Self::from_parts)' words: nobody had it.
    pub const NOBODY: u64 = u64::MAX;
    /// The second: nobody waits.
    pub const NONE: u64 = 0;

    /// Around a word that holds [`Self::NOBODY`] and one that holds [`Self::NONE`]. For statics.
    pub const fn from_parts(last: A::Word, waiting: A::Word) -> Self {
        Self { last, waiting }
    }

    /// Of a lock that nobody had, and for which nobody waits.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::NOBODY), A::Word::new(Self::NONE))
    }

    /// The CPU of `mark`, which is the calling one, waits for the lock, or does no longer. To say so again changes nothing.
    pub fn set_waiting(&self, mark: &TurnMark<A>, waits: bool) {
        // No read-modify-write of the mark: only its own CPU writes it.
        if mark.waits.load(Relaxed) == u64::from(waits) {
            return;
        }
        mark.waits.store(u64::from(waits), Relaxed);
        self.waiting.fetch_add(if waits { 1 } else { u64::MAX }, Relaxed);
    }

    /// How many wait. For a report.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// CPU `me`, which has `mark`, tries for the lock by `try_take` until it has it. `None`: `go_on`, called between two looks,
    /// said no.
    ///
    /// If it had the lock last, it lets those that wait have it first, or until `is_over` says that it has let them for long
    /// enough. If `go_on` does not return, because the CPU leaves, it has said before that it [does not
    /// wait](Self::set_waiting) any more.
    pub fn take<T>(
        &self,
        me: u32,
        mark: &TurnMark<A>,
        mut is_over: impl FnMut() -> bool,
        mut go_on: impl FnMut(Awaited) -> bool,
        mut try_take: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        while self.is_turn_of_others(me) && !is_over() {
            if !go_on(Awaited::Others) {
                return None;
            }
        }
        let taken = loop {
            if let Some(taken) = try_take() {
                self.last.store(u64::from(me), Relaxed);
                break Some(taken);
            }
            self.set_waiting(mark, true);
            if !go_on(Awaited::Lock) {
                break None;
            }
        };
        self.set_waiting(mark, false);
        taken
    }

    fn is_turn_of_others(&self, me: u32) -> bool {
        self.last.load(Relaxed) == u64::from(me) && self.waiting.load(Relaxed) != Self::NONE
    }
}

impl<A: Arch> Default for Turns<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Arch> TurnMark<A> {
    /// The word of a CPU that does not wait.
    pub const NONE: u64 = 0;

    /// Around a word that holds [`Self::NONE`]. For statics.
    pub const fn from_parts(waits: A::Word) -> Self {
        Self { waits }
    }

    /// Of a CPU that does not wait.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::NONE))
    }
}

impl<A: Arch> Default for TurnMark<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    /// CPU `me` takes it at once. How often it let others go first.
    fn take(turns: &Turns<Host>, me: u32, patience: u32) -> u32 {
        let mut looks = 0;
        let is_over = || {
            looks += 1;
            looks > patience
        };
        let taken =
            turns.take(me, &TurnMark::new(), is_over, |awaited| awaited == Awaited::Others, || Some(7));
        assert_eq!(taken, Some(7));
        looks
    }

    #[test]
    fn whoever_waits_is_counted_once() {
        let turns = Turns::<Host>::new();
        let marks: [TurnMark<Host>; 2] = [TurnMark::new(), TurnMark::new()];
        for mark in &marks {
            turns.set_waiting(mark, false);
            turns.set_waiting(mark, true);
            turns.set_waiting(mark, true);
        }
        assert_eq!(turns.waiting(), 2);
        for (mark, left) in marks.iter().zip([1, 0]) {
            turns.set_waiting(mark, false);
            turns.set_waiting(mark, false);
            assert_eq!(turns.waiting(), left);
        }
    }

    #[test]
    fn the_mark_comes_back_with_the_lock_and_without_it() {
        let (turns, mark) = (Turns::<Host>::new(), TurnMark::new());
        for gets_it in [true, false] {
            let mut tries = 0;
            let mut looks = 0;
            let taken = turns.take(
                1,
                &mark,
                || unreachable!("nobody else waits"),
                |awaited| {
                    assert_eq!((awaited, turns.waiting()), (Awaited::Lock, 1));
                    looks += 1;
                    gets_it || looks < 3
                },
                || {
                    tries += 1;
                    (gets_it && tries == 3).then_some(())
                },
            );
            assert_eq!((taken.is_some(), turns.waiting()), (gets_it, 0));
        }
    }

    #[test]
    fn others_go_first_for_a_while() {
        let (turns, other) = (Turns::<Host>::new(), TurnMark::new());
        turns.set_waiting(&other, true);
        assert_eq!(take(&turns, 1, 5), 0, "had it never");
        assert_eq!(take(&turns, 1, 5), 6, "until it is over");
        assert_eq!(take(&turns, 2, 5), 0, "another had it last");
        assert_eq!(take(&turns, 1, 5), 0);
        turns.set_waiting(&other, false);
        assert_eq!(take(&turns, 1, 5), 0, "nobody waits");
        turns.set_waiting(&other, true);
        let mut looks = 0;
        let go_on = |_| {
            looks += 1;
            looks < 3
        };
        let taken =
            turns.take(1, &TurnMark::new(), || false, go_on, || -> Option<()> { panic!("not its turn") });
        assert_eq!((taken, looks, turns.waiting()), (None, 3, 1));
    }
}
