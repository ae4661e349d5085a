//! Summons: what any CPU can ask of another that has interrupts masked.
//!
//! The one who is asked may be in the middle of anything, so nothing is queued and nothing is lent: one word per
//! CPU says what to run, and whether it has been run. Whoever asks waits a bounded time and then takes the
//! summons back, which races the taking:
//!
//! | from -> to | who |
//! |---|---|
//! | `Idle` -> `Asked` (next serial number) | one who asks, CAS; otherwise busy |
//! | `Asked` -> `Running` | **the one who is asked, CAS**, in its NMI-class handler |
//! | `Asked` -> `Idle` | **the one who asked, CAS**, at its deadline: it never ran |
//! | `Running` -> `Idle` | the one who is asked, store |
//!
//! The word holds the serial number in bits 63:34, what to run in 33:2 (a number that the two sides understand), the
//! state in 1:0. A word of another serial number means that this summons is over; after 2^30 summonses the
//! number comes again, and one who slept through exactly as many takes another's for his own.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::{Arch, Word};

const IDLE: u64 = 0;
const ASKED: u64 = 1;
const RUNNING: u64 = 2;
const STATE: u64 = 3;
const WHAT_SHIFT: u32 = 2;
const SERIAL_SHIFT: u32 = 34;

const fn serial(word: u64) -> u64 {
    word >> SERIAL_SHIFT
}

/// The word by which one CPU is summoned.
pub struct Summons<A: Arch> {
    word: A::Word,
}

/// How a summons stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The CPU has not taken it up.
    Waiting,
    /// It is at it.
    Running,
    /// It is done.
    Done,
}

impl<A: Arch> Summons<A> {
    /// The word of a CPU that nobody has asked for anything.
    pub const ZERO: u64 = 0;

    /// Around a word that holds [`Self::ZERO`]. For statics.
    pub const fn from_parts(word: A::Word) -> Self {
        Self { word }
    }

    /// For a CPU that nobody has asked for anything.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::ZERO))
    }

    /// Asks the CPU to run `what`. It has to be interrupted after this. `None`: it is busy with somebody else's summons.
    #[must_use = "a summons that is forgotten keeps the CPU busy for others"]
    pub fn ask(&self, what: u32) -> Option<Asked<'_, A>> {
        // Relaxed: only a guess for the exchange.
        let old = self.word.load(Relaxed);
        if old & STATE != IDLE {
            return None;
        }
        let new = (serial(old).wrapping_add(1) << SERIAL_SHIFT) | u64::from(what) << WHAT_SHIFT | ASKED;
        // Release: pairs with `take`. What this CPU has stored before, the other sees when it runs.
        self.word.compare_exchange(old, new, Release, Relaxed).ok()?;
        Some(Asked { summons: self, word: new })
    }

    /// Whether none is under way. From elsewhere good for a report.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.word.load(Relaxed) & STATE == IDLE
    }

    /// The summons that the CPU is at, if there is one. After `None` all that it did for those that are over is visible.
    #[must_use]
    pub fn running(&self) -> Option<Asked<'_, A>> {
        // Acquire: pairs with the end of `Answering`.
        let now = self.word.load(Acquire);
        (now & STATE == RUNNING).then_some(Asked { summons: self, word: now & !STATE | ASKED })
    }

    /// The summons to run `what` of which the caller has kept the number, [`Asked::into_serial`].
    pub fn asked(&self, serial: u32, what: u32) -> Asked<'_, A> {
        Asked {
            summons: self,
            word: u64::from(serial) << SERIAL_SHIFT | u64::from(what) << WHAT_SHIFT | ASKED,
        }
    }

    /// The CPU of this word, in its handler: takes up what it was asked for, if there is anything.
    #[must_use = "what was taken has to be run"]
    pub fn take(&self) -> Option<Answering<'_, A>> {
        // Relaxed: only a guess for the exchange. An interrupt that comes before its summons is seen is not possible: the
        // sender orders the two.
        let old = self.word.load(Relaxed);
        if old & STATE != ASKED {
            return None;
        }
        // Acquire: pairs with `ask`. Fails if it was taken back.
        self.word.compare_exchange(old, old & !STATE | RUNNING, Acquire, Relaxed).ok()?;
        Some(Answering { summons: self, word: old })
    }
}

impl<A: Arch> Default for Summons<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// A summons that this CPU has sent.
#[must_use = "a summons that is forgotten keeps the CPU busy for others"]
pub struct Asked<'a, A: Arch> {
    summons: &'a Summons<A>,
    /// The word as it was when it was sent.
    word: u64,
}

impl<A: Arch> Asked<'_, A> {
    /// How it stands. After `Done` all that the other CPU did for it is visible.
    #[must_use]
    pub fn progress(&self) -> Progress {
        // Acquire: pairs with the end of `Answering`. A later summons carries that on: it begins with an exchange.
        let now = self.summons.word.load(Acquire);
        match now & STATE {
            _ if serial(now) != serial(self.word) => Progress::Done,
            ASKED => Progress::Waiting,
            RUNNING => Progress::Running,
            _ => Progress::Done,
        }
    }

    /// All there is to it, for [`Summons::asked`]: who asks many CPUs at once keeps this of each.
    #[must_use = "a summons that is forgotten keeps the CPU busy for others"]
    pub fn into_serial(self) -> u32 {
        serial(self.word) as u32
    }

    /// Takes it back. After `Ok` it has not run, and never will.
    ///
    /// # Errors
    ///
    /// The summons, if the CPU has taken it up.
    pub fn withdraw(self) -> Result<(), Self> {
        // Relaxed: nothing was handed over, or else it is too late.
        match self.summons.word.compare_exchange(self.word, self.word & !STATE, Relaxed, Relaxed) {
            Ok(_) => Ok(()),
            Err(_) => Err(self),
        }
    }
}

/// A summons that this CPU has taken up. Dropping it says that it is done.
pub struct Answering<'a, A: Arch> {
    summons: &'a Summons<A>,
    word: u64,
}

impl<A: Arch> Answering<'_, A> {
    /// What to run.
    #[must_use]
    pub fn what(&self) -> u32 {
        (self.word >> WHAT_SHIFT) as u32
    }
}

impl<A: Arch> Drop for Answering<'_, A> {
    fn drop(&mut self) {
        // Release: pairs with `progress`. A plain store: while it is `Running` nobody else writes the word.
        self.summons.word.store(self.word & !STATE, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn asked_taken_done() {
        let summons = Summons::<Host>::new();
        assert!(summons.take().is_none());
        let asked = summons.ask(u32::MAX).unwrap();
        assert_eq!(asked.progress(), Progress::Waiting);
        assert!(summons.ask(1).is_none());
        let answering = summons.take().unwrap();
        assert_eq!((answering.what(), asked.progress()), (u32::MAX, Progress::Running));
        assert!(summons.take().is_none() && summons.ask(1).is_none());
        let asked = asked.withdraw().err().unwrap();
        drop(answering);
        assert_eq!(asked.progress(), Progress::Done);
        let next = summons.ask(2).unwrap();
        assert_eq!((asked.progress(), next.progress()), (Progress::Done, Progress::Waiting));
        assert!(asked.withdraw().is_err());
        assert!(next.withdraw().is_ok());
        assert!(summons.take().is_none());
    }

    #[test]
    fn the_number_is_all_of_it() {
        let summons = Summons::<Host>::new();
        let first = summons.ask(u32::MAX).unwrap().into_serial();
        assert_eq!(summons.asked(first, u32::MAX).progress(), Progress::Waiting);
        drop(summons.take().unwrap());
        let second = summons.ask(u32::MAX).unwrap().into_serial();
        assert_eq!(summons.asked(first, u32::MAX).progress(), Progress::Done);
        assert!(summons.asked(first, u32::MAX).withdraw().is_err());
        assert!(summons.asked(second, u32::MAX).withdraw().is_ok() && summons.take().is_none());
    }

    #[test]
    fn the_serial_number_wraps() {
        let summons = Summons::<Host>::from_parts(Word::new(!STATE));
        let asked = summons.ask(7).unwrap();
        assert_eq!(asked.progress(), Progress::Waiting);
        assert_eq!(summons.take().unwrap().what(), 7);
        assert_eq!(asked.progress(), Progress::Done);
    }
}
