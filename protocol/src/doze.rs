//! What a loop that polls is told, and whether it sleeps, in one word.
//!
//! ```text
//!   bit 63    31 ............................ 0
//!  +--------+---------------------------------+
//!  | asleep | one bit for each kind of work   |
//!  +--------+---------------------------------+
//! ```
//!
//! Whoever has work for the loop queues it, and then raises a bit. The loop takes all bits by one swap, works, and lies down when none is
//! left: by one compare-exchange, so that either it sees the bit, or whoever raises that sees it asleep, and wakes it. He does so alone: bits
//! that are raised after the first, or while the loop is awake, cost no SGI.
//!
//! The loop lies down with interrupts closed and then waits for one. So who raises on the loop's own CPU need not wake it: his code runs
//! there only before that, and then the loop sees the bit; or after the wait, which is over then.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::{Arch, Word};

const ASLEEP: u64 = 1 << 63;

/// What one loop is told. For its CPU to take, for everybody to raise.
pub struct Doze<A: Arch> {
    word: A::Word,
}

impl<A: Arch> Doze<A> {
    /// The word of [`from_parts`](Self::from_parts): awake, and nothing to do.
    pub const AWAKE: u64 = 0;

    /// Around a word that holds [`Self::AWAKE`]. For statics.
    pub const fn from_parts(word: A::Word) -> Self {
        Self { word }
    }

    /// Of a loop that is awake and has nothing to do.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::AWAKE))
    }

    /// Tells the loop of work of these kinds, one or more, which was queued before. `true`: it sleeps, and the caller alone has to wake it.
    #[inline(always)]
    #[must_use = "a loop that sleeps is to be woken"]
    pub fn raise(&self, bits: u32) -> bool {
        // Release: pairs with the swap of `take`, which so finds, with the bit, what was queued. Written even where the bit is set: later
        // ones are read-modify-writes too and continue the release.
        self.word.fetch_or(u64::from(bits), Release) == ASLEEP
    }

    /// Takes what was raised. The loop is awake.
    #[inline(always)]
    pub fn take(&self) -> u32 {
        // Acquire: pairs with `raise`. A swap even where nothing is raised: it says that the loop is awake.
        self.word.swap(Self::AWAKE, Acquire) as u32
    }

    /// Whether anything was raised. For who decides what its CPU does; the loop itself takes.
    #[inline(always)]
    pub fn is_raised(&self) -> bool {
        // Relaxed: good for a guess.
        self.word.load(Relaxed) & !ASLEEP != 0
    }

    /// The loop is about to wait. `false`: there is something to take. With interrupts closed, until the wait is over.
    #[inline(always)]
    #[must_use = "a loop that has something to do does not wait"]
    pub fn lie_down(&self) -> bool {
        // Relaxed: it hands over nothing, and what was raised is taken by `take`.
        self.word.compare_exchange(Self::AWAKE, ASLEEP, Relaxed, Relaxed).is_ok()
    }
}

impl<A: Arch> Default for Doze<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn wakes_once() {
        let doze = Doze::<Host>::new();
        assert!(!doze.raise(1), "awake");
        assert!(!doze.lie_down(), "something to take");
        assert_eq!(doze.take(), 1);
        assert!(doze.lie_down());
        assert!(doze.raise(2), "the first wakes");
        assert!(!doze.raise(1) && !doze.raise(2), "nobody else does");
        assert_eq!(doze.take(), 3);
        assert!(doze.lie_down());
        assert_eq!(doze.take(), 0, "woken by something else");
        assert!(!doze.raise(1), "awake again");
    }
}
