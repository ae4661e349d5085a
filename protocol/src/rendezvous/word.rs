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
    /// The job is done. From here on the round cannot be called off.
    Run = 4,
    /// The job is over, and the participants leave.
    Exit = 5,
    /// The round was called off. Nothing has happened.
    Aborted = 6,
}

impl Stage {
    const fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Idle,
            1 => Self::Prepare,
            2 => Self::MaskInactive,
            3 => Self::MaskActive,
            4 => Self::Run,
            5 => Self::Exit,
            // 7 is memory gone bad. Nobody joins, and whoever was in the round leaves it.
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

/// The word, taken apart.
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
            round: bits >> ROUND_SHIFT,
            job: if bits >> EACH_SHIFT & 1 == 0 { Job::Initiator } else { Job::Each },
            stage: Stage::from_bits((bits >> STAGE_SHIFT & 7) as u8),
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
            Stage::Exit if self.others == 0 => return self.enter(Stage::Idle),
            Stage::Prepare | Stage::MaskInactive | Stage::Exit => self.others,
            Stage::MaskActive => 1,
            Stage::Run => match self.job {
                Job::Initiator => 1,
                Job::Each => self.others + 1,
            },
            Stage::Idle | Stage::Aborted => 0,
        };
        Self { stage, left, ..self }
    }

    /// One more CPU has acknowledged; the last one moves the round on.
    pub(super) const fn acknowledged(self) -> Self {
        if self.left > 1 {
            return Self { left: self.left - 1, ..self };
        }
        self.enter(match self.stage {
            Stage::Prepare => Stage::MaskInactive,
            Stage::MaskInactive => Stage::MaskActive,
            Stage::MaskActive => Stage::Run,
            Stage::Run => Stage::Exit,
            Stage::Exit | Stage::Idle => Stage::Idle,
            Stage::Aborted => Stage::Aborted,
        })
    }

    /// The round is called off. What it waited for stays on record.
    pub(super) const fn aborted(self) -> Self {
        Self { stage: Stage::Aborted, ..self }
    }
}
