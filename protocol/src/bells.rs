//! The doorbells of one CPU: which of them were rung since it last looked, in one word.
//!
//! ```text
//!   bit 63    31 ............................ 0
//!  +--------+---------------------------------+
//!  | closed | one bit for each bell           |
//!  +--------+---------------------------------+
//! ```
//!
//! To ring sets a bit; who finds the word empty, and he alone, sends the SGI. The CPU takes all bits by one swap, and runs what each stands
//! for. A bell that is rung while its bit is set runs once for both: that run begins after the later of the two, and sees what
//! either had written.
//!
//! To be heard or to find the CPU offline is one atomic decision, as with the [`Queue`](crate::Queue), and nobody waits here: a ring
//! repeats only when another one, or the swap, came in between.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::{Arch, Word};

const CLOSED: u64 = 1 << 63;

/// The doorbells of one CPU. Closed until that CPU opens them.
pub struct Bells<A: Arch> {
    rung: A::Word,
}

/// A bell was rung at a CPU that hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the CPU hears of the first bell only if it is sent an SGI"]
pub struct Rung {
    /// No other bit was set: the ringer has to send the SGI. Otherwise whoever set the first does, or has.
    pub first: bool,
}

/// The CPU hears no bells, because it is not online. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deaf;

impl<A: Arch> Bells<A> {
    /// How many bells there can be. They are numbered from 0.
    pub const BELLS: u32 = 32;
    /// The word of [`from_parts`](Self::from_parts): closed.
    pub const CLOSED: u64 = CLOSED;

    /// Around a word that holds [`Self::CLOSED`]. For statics.
    pub const fn from_parts(rung: A::Word) -> Self {
        Self { rung }
    }

    /// Closed.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::CLOSED))
    }

    /// Rings. From the attempt to the SGI the ringer is not preempted, or others ring and nobody is told.
    ///
    /// # Errors
    ///
    /// [`Deaf`].
    ///
    /// # Panics
    ///
    /// If there is no such bell.
    #[inline]
    pub fn ring(&self, bell: u32) -> Result<Rung, Deaf> {
        assert!(bell < Self::BELLS);
        // The first guess: none has been rung.
        let mut seen = 0;
        loop {
            // Written even where the bit is set already. Release: pairs with the swaps below, which so find, with the bit, what each
            // ringer has stored before. Acquire: pairs with `open`. What the CPU has set up, such as how it is interrupted, is there.
            match self.rung.compare_exchange(seen, seen | 1 << bell, AcqRel, Relaxed) {
                Ok(_) => return Ok(Rung { first: seen == 0 }),
                Err(now) if now & CLOSED != 0 => return Err(Deaf),
                Err(now) => seen = now,
            }
        }
    }

    /// The CPU of these bells takes what was rung, a bit each, to answer it. None if they are closed.
    ///
    /// With interrupts masked, so that nothing closes them in between.
    #[inline]
    #[must_use = "what was rung has to be answered"]
    pub fn take(&self) -> u64 {
        // Relaxed: an SGI comes after its ring, by the glue's barriers; what was rung without one may be missed here, as it may by a
        // swap that comes a moment earlier. Closed is negative.
        if self.rung.load(Relaxed).cast_signed() <= 0 {
            return 0;
        }
        // Acquire: pairs with `ring`.
        self.rung.swap(0, Acquire)
    }

    /// The CPU of these bells is ready for them.
    pub fn open(&self) {
        // A plain store, as nobody else writes the word of a CPU that is not online. Release: pairs with `ring`.
        self.rung.store(0, Release);
    }

    /// The CPU of these bells hears no more. What was rung until now comes back, to be answered before it goes; or, where it is
    /// another CPU that has stopped this one for good, to be dropped.
    pub fn close(&self) -> u64 {
        // Acquire: pairs with `ring`.
        self.rung.swap(CLOSED, Acquire) & !CLOSED
    }
}

impl<A: Arch> Default for Bells<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn one_sgi_for_many_rings() {
        let bells = Bells::<Host>::new();
        assert_eq!((bells.ring(3), bells.take()), (Err(Deaf), 0));
        bells.open();
        assert_eq!(bells.take(), 0);
        assert_eq!(bells.ring(3), Ok(Rung { first: true }));
        assert_eq!(bells.ring(3), Ok(Rung { first: false }));
        assert_eq!(bells.ring(31), Ok(Rung { first: false }));
        assert_eq!(bells.take(), 1 << 3 | 1 << 31);
        assert_eq!(bells.take(), 0);
        assert_eq!(bells.ring(0), Ok(Rung { first: true }));
        assert_eq!((bells.close(), bells.ring(0), bells.take(), bells.close()), (1, Err(Deaf), 0, 0));
    }

    #[test]
    #[should_panic(expected = "bell < Self::BELLS")]
    fn more_than_there_are_bits() {
        let _ = Bells::<Host>::new().ring(32);
    }
}
