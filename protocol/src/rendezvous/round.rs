//! The word itself: how it is read, acknowledged, and given up.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::mark::Standing;
use super::word::{COUNT_MASK, Fields, Stage, acknowledged, same_stage};
use crate::{Arch, Word};

/// What a CPU in a round is to do before its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the round goes on only if each CPU does its part"]
pub enum Action {
    /// Unmask interrupts.
    ///
    /// For a participant, once at most, when it has joined and others have not: it serves calls until it is told to mask.
    OpenInterrupts,
    /// Nothing but pass the time.
    Wait,
    /// Mask interrupts, or leave them masked. The next step acknowledges.
    Mask,
    /// Do the job. The next step acknowledges.
    RunJob,
    /// The round is over for this CPU. It restores its interrupts to what they were before; the initiator need not, if it is about to
    /// leave the system.
    Leave(Ending),
}

/// How a round ended for a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The job was done.
    Done,
    /// The round was called off: the job was not done, and never will be.
    Aborted,
    /// For a participant alone: while it was away the round ended, and another one has begun. It had masked. Whether the initiator has
    /// done its job meanwhile, or called the round off, it does not know; if it has, this CPU sees what that left behind.
    Overtaken,
}

/// The word through which all CPUs are gathered.
///
/// Rounds are numbered. The numbers have 40 bits and wrap; a CPU would have to be asleep through a million
/// million rounds, in the middle of a step, to take one for another.
pub struct Rendezvous<A: Arch> {
    pub(super) word: A::Word,
}

impl<A: Arch> Rendezvous<A> {
    /// The word before the first round.
    pub const IDLE: u64 = 0;
    /// The most participants that a round can have, beside its initiator.
    pub const MAX_OTHERS: u16 = COUNT_MASK as u16 - 1;

    /// A rendezvous around a word that holds [`Self::IDLE`]. For statics.
    pub const fn from_parts(word: A::Word) -> Self {
        Self { word }
    }

    /// A rendezvous before its first round.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::IDLE))
    }

    /// Calls off whatever round is under way, in any stage: whoever began it was stopped for good. By the only CPU that is left,
    /// which may be a participant and then leaves with its next step.
    pub fn condemn(&self) {
        let seen = Fields::from_bits(self.word.load(Relaxed));
        if !matches!(seen.stage, Stage::Idle | Stage::Aborted) {
            // A plain store: nobody else is left to write. Relaxed: hands nothing over.
            self.word.store(seen.aborted().to_bits(), Relaxed);
        }
    }

    /// How things stand, for reports and to see who has to be told again.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing::new(Fields::from_bits(self.word.load(Relaxed)))
    }

    /// Acknowledges `seen`, or what has become of it as long as that is the same stage of the same round. `Err`: it
    /// is not.
    #[inline(always)]
    pub(super) fn acknowledge(&self, seen: u64) -> Result<(), u64> {
        let mut now = seen;
        while same_stage(now, seen) {
            // Release: pairs with the Acquire of whoever goes on when this stage is over, be it to the job, for which
            // it sees what all have written, or out of it, when it sees what the job has written. Being a
            // read-modify-write it also passes on the releases of those that came before.
            match self.word.compare_exchange(now, acknowledged(now), Release, Relaxed) {
                Ok(_) => return Ok(()),
                // Each of the others can do this once.
                Err(other) => now = other,
            }
        }
        Err(now)
    }

    /// What it holds now.
    #[inline(always)]
    pub(super) fn load(&self) -> u64 {
        // Acquire: see `acknowledge`, and `Initiator::finish`.
        self.word.load(Acquire)
    }
}

impl<A: Arch> Default for Rendezvous<A> {
    fn default() -> Self {
        Self::new()
    }
}
