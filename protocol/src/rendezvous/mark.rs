//! Where each CPU stands in a round, and whom the round waits for.

use core::sync::atomic::Ordering::Relaxed;

use super::word::{Fields, Stage};
use crate::{Arch, Word};

const MARK_SHIFT: u32 = 8;

/// Where one CPU stands: the last stage that it has acknowledged, and of which round.
///
/// Each CPU has one, for good, and writes it alone. It serves to tell who is missing; and it keeps a CPU from
/// joining a round twice, or one of its own.
pub struct Mark<A: Arch> {
    word: A::Word,
}

impl<A: Arch> Mark<A> {
    /// The word of a CPU that never took part in a round: no round has such a number, not even after the numbers have wrapped.
    pub const NONE: u64 = u64::MAX << MARK_SHIFT;

    /// A mark around a word that holds [`Self::NONE`]. For statics.
    pub const fn from_parts(word: A::Word) -> Self {
        Self { word }
    }

    /// The mark of a CPU that never took part in a round.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::NONE))
    }

    pub(super) fn set(&self, round: u64, stage: Stage) {
        // Relaxed: it says what has happened and hands nothing over.
        self.word.store(round << MARK_SHIFT | stage as u64, Relaxed);
    }

    /// Whether this CPU has joined round `round`, or began it.
    pub(super) fn is_in(&self, round: u64) -> bool {
        self.read() >> MARK_SHIFT == round
    }

    pub(super) fn read(&self) -> u64 {
        // Relaxed: as in `set`.
        self.word.load(Relaxed)
    }

    pub(super) fn restore(&self, word: u64) {
        // Relaxed: as in `set`.
        self.word.store(word, Relaxed);
    }
}

impl<A: Arch> Default for Mark<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// How a round stands, or stood when it was called off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The number of the round.
    pub round: u64,
    /// Its stage; of a round that was called off, the stage in which it was.
    pub stage: Stage,
    /// How many CPUs the stage still waits for.
    pub left: u16,
}

impl Standing {
    pub(super) const fn new(fields: Fields) -> Self {
        Self { round: fields.round, stage: fields.stage, left: fields.left }
    }

    /// Whether the stage waits for the CPU with this mark, one of those that are in the round.
    ///
    /// A CPU acknowledges first and moves its mark then. So every CPU that the stage waits for is found, but for a
    /// moment one may be found that has just acknowledged. If exactly [`left`](Self::left) CPUs are found, they are
    /// the right ones; if more, look again.
    ///
    #[must_use]
    pub fn lacks<A: Arch>(&self, mark: &Mark<A>) -> bool {
        if matches!(self.stage, Stage::Idle | Stage::Aborted) {
            return false;
        }
        let mark = mark.read();
        mark >> MARK_SHIFT != self.round || (mark as u8) < self.stage as u8
    }
}
