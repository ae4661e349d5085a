//! What the word of a rendezvous can hold.

pub(super) const ROUND_SHIFT: u32 = 24;
const EACH_SHIFT: u32 = 23;
pub(super) const STAGE_SHIFT: u32 = 20;
const OTHERS_SHIFT: u32 = 10;
pub(super) const COUNT_MASK: u64 = (1 << OTHERS_SHIFT) - 1;
/// The numbers of rounds wrap here.
pub(super) const ROUND_MASK: u64 = u64::MAX >> ROUND_SHIFT;

/// How far a round has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Stage {
    /// There is no round, or it is over.
    Idle = 0,
    /// The participants are awaited. Those that have come serve interrupts.
    Prepare = 1,
    /// The participants mask their interrupts.
    MaskInactive = 2,
    /// The initiator masks its interrupts.
    MaskActive = 3,
    /// Every CPU does the job. From here on the round cannot be called off. A job of the initiator's alone has no such stage: nobody
    /// has anything to say to the others before it is done.
    Run = 4,
    /// The round was called off. Nothing has happened.
    Aborted = 5,
}

impl Stage {
    const fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Idle,
            1 => Self::Prepare,
            2 => Self::MaskInactive,
            3 => Self::MaskActive,
            4 => Self::Run,
            // 6 and 7 are memory gone bad. Nobody joins, and whoever was in the round leaves it.
            _ => Self::Aborted,
        }
    }
}

/// Who does the job of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// The initiator, while the participants wait.
    Initiator,
    /// Every CPU, the initiator included, all at the same time.
    Each,
}

/// Which round a word is of.
#[inline(always)]
pub(super) const fn round_of(word: u64) -> u64 {
    word >> ROUND_SHIFT
}

/// In which stage it is.
#[inline(always)]
pub(super) const fn stage_of(word: u64) -> Stage {
    Stage::from_bits((word >> STAGE_SHIFT & 7) as u8)
}

/// Whether every CPU does the job.
#[inline(always)]
pub(super) const fn is_each(word: u64) -> bool {
    word >> EACH_SHIFT & 1 != 0
}

/// Whether two words are of the same stage of the same round.
#[inline(always)]
pub(super) const fn same_stage(a: u64, b: u64) -> bool {
    (a ^ b) >> STAGE_SHIFT == 0
}

/// What becomes of a word when one more CPU has acknowledged; the last one moves the round on.
#[inline(always)]
pub(super) const fn acknowledged(word: u64) -> u64 {
    if word & COUNT_MASK > 1 { word - 1 } else { advanced(word) }
}

/// The beginning of the stage that follows.
#[inline(never)]
const fn advanced(word: u64) -> u64 {
    Fields::from_bits(word).advanced().to_bits()
}

/// The word, taken apart: where that is not in anyone's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) round: u64,
    pub(super) job: Job,
    pub(super) stage: Stage,
    pub(super) others: u16,
    pub(super) left: u16,
}

impl Fields {
    pub(super) const fn from_bits(bits: u64) -> Self {
        Self {
            round: round_of(bits),
            job: if is_each(bits) { Job::Each } else { Job::Initiator },
            stage: stage_of(bits),
            others: (bits >> OTHERS_SHIFT & COUNT_MASK) as u16,
            left: (bits & COUNT_MASK) as u16,
        }
    }

    pub(super) const fn to_bits(self) -> u64 {
        self.round << ROUND_SHIFT
            | (matches!(self.job, Job::Each) as u64) << EACH_SHIFT
            | (self.stage as u64) << STAGE_SHIFT
            | (self.others as u64) << OTHERS_SHIFT
            | self.left as u64
    }

    /// The beginning of a stage; of the next one if nobody has anything to do in it.
    pub(super) const fn enter(self, stage: Stage) -> Self {
        let left = match stage {
            Stage::Prepare if self.others == 0 => return self.enter(Stage::MaskActive),
            Stage::Prepare | Stage::MaskInactive => self.others,
            Stage::MaskActive => 1,
            Stage::Run => self.others + 1,
            Stage::Idle | Stage::Aborted => 0,
        };
        Self { stage, left, ..self }
    }

    /// All have acknowledged.
    const fn advanced(self) -> Self {
        self.enter(match self.stage {
            Stage::Prepare => Stage::MaskInactive,
            Stage::MaskInactive => Stage::MaskActive,
            Stage::MaskActive | Stage::Run | Stage::Idle => Stage::Idle,
            Stage::Aborted => Stage::Aborted,
        })
    }

    /// The round is called off. What it waited for stays on record.
    pub(super) const fn aborted(self) -> Self {
        Self { stage: Stage::Aborted, ..self }
    }
}
