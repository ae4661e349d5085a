//! The rendezvous: every CPU comes to one point, masked, and goes on only after a job was done there.
//!
//! One CPU, the [`Initiator`], begins a round. Each other CPU of the system becomes a [`Participant`] of it. The
//! round passes through its stages; a stage is over when all that it waits for have acknowledged it, and the last
//! of them to do so moves the round on:
//!
//! | stage | who acknowledges | what the others do meanwhile |
//! |---|---|---|
//! | `Prepare` | each participant, by joining | those that have joined go on serving interrupts |
//! | `MaskInactive` | each participant, having masked its interrupts | the initiator goes on serving interrupts |
//! | `MaskActive` | the initiator, having masked its own | wait, masked |
//! | `Run` | the initiator, and for a [`Job::Each`] every participant, having done the job | wait, masked |
//! | `Exit` | each participant, about to leave | the initiator is free |
//!
//! The initiator masks last. While it still serves interrupts, no other CPU can be in the middle of anything that
//! began with a look at which CPUs there are; so it may, in `Run`, cease to be one of them.
//!
//! Nothing has happened before `Run`. Until then the initiator may call the round off when its deadline has
//! passed: `Aborted`. That competes, on one word, with every join and acknowledgement, and each of these names its
//! round. So a CPU was counted before the round was called off, or it was not and never will be; in particular a
//! CPU that comes late to one round is not counted in the next by mistake, but may join that one in its own
//! right.
//!
//! To have joined is no leave to look at the job, which is gone once the initiator has called the round off. A
//! participant is told to do the job only when it has seen `Run`: then the initiator cannot go before this
//! participant has acknowledged.
//!
//! A CPU may be stopped for good in the middle of a round, by one that then has the machine to itself. That one, and it alone,
//! ends the round: as its initiator by [`Initiator::go_on_alone`], else by [`Rendezvous::condemn`].
//!
//! Nobody waits in here. Both sides are stepped: a step looks once and says what to do before the next, so that
//! the caller can look for other things in between, whether a panic is under way above all.
//!
//! The word holds the number of the round in bits 63:24, the kind of the job in 23, the stage in 22:20, the number
//! of participants in 19:10, and in 9:0 how many acknowledgements the stage still waits for.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::{Arch, Word};

const ROUND_SHIFT: u32 = 24;
const EACH_SHIFT: u32 = 23;
const STAGE_SHIFT: u32 = 20;
const OTHERS_SHIFT: u32 = 10;
const COUNT_MASK: u64 = (1 << OTHERS_SHIFT) - 1;
const ROUND_MASK: u64 = u64::MAX >> ROUND_SHIFT;
const MARK_SHIFT: u32 = 8;

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

/// What a CPU in a round is to do before its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the round goes on only if each CPU does its part"]
pub enum Action {
    /// Unmask interrupts.
    ///
    /// For a participant, once at most, when it has joined and others have not: it serves calls until it is told
    /// to mask. For the initiator, when the job is over: it may unmask, unless it is about to leave the system.
    OpenInterrupts,
    /// Nothing but pass the time.
    Wait,
    /// Mask interrupts, or leave them masked. The next step acknowledges.
    Mask,
    /// Do the job. The next step acknowledges.
    RunJob,
    /// The round is over for this CPU. It restores its interrupts to what they were before.
    Leave(Ending),
}

/// How a round ended for a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The job was done.
    Done,
    /// The round was called off: the job was not done, and never will be.
    Aborted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fields {
    round: u64,
    job: Job,
    stage: Stage,
    others: u16,
    left: u16,
}

impl Fields {
    const fn from_bits(bits: u64) -> Self {
        Self {
            round: bits >> ROUND_SHIFT,
            job: if bits >> EACH_SHIFT & 1 == 0 { Job::Initiator } else { Job::Each },
            stage: Stage::from_bits((bits >> STAGE_SHIFT & 7) as u8),
            others: (bits >> OTHERS_SHIFT & COUNT_MASK) as u16,
            left: (bits & COUNT_MASK) as u16,
        }
    }

    const fn to_bits(self) -> u64 {
        self.round << ROUND_SHIFT
            | (matches!(self.job, Job::Each) as u64) << EACH_SHIFT
            | (self.stage as u64) << STAGE_SHIFT
            | (self.others as u64) << OTHERS_SHIFT
            | self.left as u64
    }

    /// The beginning of a stage; of the next one if nobody has anything to do in it.
    const fn enter(self, stage: Stage) -> Self {
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
    const fn acknowledged(self) -> Self {
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
    const fn aborted(self) -> Self {
        Self { stage: Stage::Aborted, ..self }
    }
}

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

    fn set(&self, round: u64, stage: Stage) {
        // Relaxed: it says what has happened and hands nothing over.
        self.word.store(round << MARK_SHIFT | stage as u64, Relaxed);
    }

    fn read(&self) -> u64 {
        // Relaxed: as in `set`.
        self.word.load(Relaxed)
    }

    fn restore(&self, word: u64) {
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
    job: Job,
}

impl Standing {
    const fn new(fields: Fields) -> Self {
        Self { round: fields.round, stage: fields.stage, left: fields.left, job: fields.job }
    }

    /// Whether the stage waits for the CPU with this mark, one of those that are in the round.
    ///
    /// A CPU acknowledges first and moves its mark then. So every CPU that the stage waits for is found, but for a
    /// moment one may be found that has just acknowledged. If exactly [`left`](Self::left) CPUs are found, they are
    /// the right ones; if more, look again.
    ///
    /// While the initiator alone does the job, nobody is found.
    #[must_use]
    pub fn lacks<A: Arch>(&self, mark: &Mark<A>) -> bool {
        let wanted = match (self.stage, self.job) {
            (Stage::Idle | Stage::Aborted, _) => return false,
            (Stage::Run, Job::Initiator) => Stage::MaskActive,
            (stage, _) => stage,
        };
        let mark = mark.read();
        mark >> MARK_SHIFT != self.round || (mark as u8) < wanted as u8
    }
}

/// The word through which all CPUs are gathered.
///
/// Rounds are numbered. The numbers have 40 bits and wrap; a CPU would have to be asleep through a million
/// million rounds, in the middle of a step, to take one for another.
pub struct Rendezvous<A: Arch> {
    word: A::Word,
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

    /// Begins a round with `others` participants, which are then told to join. The job is ready.
    ///
    /// The caller, whose mark `mark` is, holds the right to begin rounds and to change which CPUs there are; it
    /// gathers all of these. In its own round it may call [`Self::join`], which does nothing: so it can take part in
    /// the rounds of others by the same interrupt handler as everyone.
    ///
    /// # Errors
    ///
    /// How things stand, if a round is under way: the caller has no right to begin one.
    ///
    /// # Panics
    ///
    /// If there are more than [`Self::MAX_OTHERS`] others.
    pub fn begin<'a>(
        &'a self,
        mark: &'a Mark<A>,
        others: u16,
        job: Job,
        deadline: u64,
    ) -> Result<Initiator<'a, A>, Standing> {
        assert!(others <= Self::MAX_OTHERS, "more CPUs than a round has room for");
        // Relaxed: whoever gave the caller the right to begin has seen the last round end.
        let word = self.word.load(Relaxed);
        let last = Fields::from_bits(word);
        if !matches!(last.stage, Stage::Idle | Stage::Aborted) {
            return Err(Standing::new(last));
        }
        let round = (last.round + 1) & ROUND_MASK;
        let first = Fields { round, job, stage: Stage::Idle, others, left: 0 }.enter(Stage::Prepare);
        // Before the round is there to be joined: an interrupt of this CPU must not join it.
        let before = mark.read();
        mark.set(round, Stage::MaskInactive);
        // Relaxed: the job is handed over when this CPU acknowledges that it has masked, which begins `Run`.
        match self.word.compare_exchange(word, first.to_bits(), Relaxed, Relaxed) {
            Ok(_) => Ok(Initiator {
                rendezvous: self,
                mark,
                deadline,
                standing: Standing::new(first),
                place: Leading::Gathering,
            }),
            Err(now) => {
                // It is another's, and perhaps of the same number.
                mark.restore(before);
                Err(Standing::new(Fields::from_bits(now)))
            }
        }
    }

    /// The CPU with this mark joins the round that gathers, if one does. `None`: there is nothing to join, or the
    /// round has this CPU already.
    ///
    /// Called with interrupts masked; when the CPU is told that a round has begun, and again whenever it has left
    /// one, until there is none.
    #[must_use = "a CPU that has joined has to see the round through"]
    pub fn join<'a>(&'a self, mark: &'a Mark<A>) -> Option<Participant<'a, A>> {
        // Relaxed: to join gives no right to anything.
        let mut word = self.word.load(Relaxed);
        loop {
            let seen = Fields::from_bits(word);
            if seen.stage != Stage::Prepare || mark.read() >> MARK_SHIFT == seen.round {
                return None;
            }
            // Relaxed: what this CPU has written is handed over when it acknowledges that it has masked.
            match self.word.compare_exchange(word, seen.acknowledged().to_bits(), Relaxed, Relaxed) {
                Ok(_) => {
                    mark.set(seen.round, Stage::Prepare);
                    return Some(Participant {
                        rendezvous: self,
                        mark,
                        round: seen.round,
                        place: Place::Joined,
                    });
                }
                // Another CPU has joined, or the round was called off.
                Err(now) => word = now,
            }
        }
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
    fn acknowledge(&self, mut seen: Fields) -> Result<(), Fields> {
        let (round, stage) = (seen.round, seen.stage);
        while (seen.round, seen.stage) == (round, stage) {
            // Release: pairs with the Acquire of whoever goes on when this stage is over, be it to the job, for which
            // it sees what all have written, or out of it, when it sees what the job has written. Being a
            // read-modify-write it also passes on the releases of those that came before.
            match self.word.compare_exchange(seen.to_bits(), seen.acknowledged().to_bits(), Release, Relaxed)
            {
                Ok(_) => return Ok(()),
                // Each of the others can do this once, and the initiator once.
                Err(now) => seen = Fields::from_bits(now),
            }
        }
        Err(seen)
    }

    fn load(&self) -> Fields {
        // Acquire: see `acknowledge`.
        Fields::from_bits(self.word.load(Acquire))
    }
}

impl<A: Arch> Default for Rendezvous<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Joined,
    Open,
    Masking,
    Masked,
    Running,
    Ran,
    Left(Ending),
}

/// One CPU in the round of another.
///
/// Stepped until it says [`Action::Leave`]. One that is dropped before leaves the round incomplete.
#[must_use = "a CPU that has joined has to see the round through"]
pub struct Participant<'a, A: Arch> {
    rendezvous: &'a Rendezvous<A>,
    mark: &'a Mark<A>,
    round: u64,
    place: Place,
}

impl<A: Arch> Participant<'_, A> {
    /// The number of the round.
    #[must_use]
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Says what to do next, having acknowledged what was done since the last step.
    pub fn step(&mut self) -> Action {
        let seen = self.rendezvous.load();
        let (place, action) = match (self.place, seen.stage) {
            (Place::Left(ending), _) => return Action::Leave(ending),
            // The stages `Run` and `Exit` of this round do not end without this CPU, so it was called off.
            _ if seen.round != self.round => return self.leave(Ending::Aborted),
            (_, Stage::Aborted) => return self.leave(Ending::Aborted),
            (Place::Joined, Stage::Prepare) => (Place::Open, Action::OpenInterrupts),
            (Place::Joined | Place::Open, Stage::MaskInactive) => (Place::Masking, Action::Mask),
            (Place::Masking, Stage::MaskInactive) => {
                if self.rendezvous.acknowledge(seen).is_err() {
                    return self.leave(Ending::Aborted);
                }
                // The next stage does not wait for this CPU.
                self.mark.set(self.round, Stage::MaskActive);
                (Place::Masked, Action::Wait)
            }
            (Place::Masked, Stage::Run) if seen.job == Job::Each => (Place::Running, Action::RunJob),
            (Place::Running, Stage::Run) => {
                // Cannot fail: the stage does not end without this CPU.
                let _ = self.rendezvous.acknowledge(seen);
                self.mark.set(self.round, Stage::Run);
                (Place::Ran, Action::Wait)
            }
            (Place::Masked | Place::Ran, Stage::Exit) => {
                // Cannot fail: the stage does not end without this CPU.
                let _ = self.rendezvous.acknowledge(seen);
                self.mark.set(self.round, Stage::Exit);
                return self.leave(Ending::Done);
            }
            (place, _) => (place, Action::Wait),
        };
        self.place = place;
        action
    }

    fn leave(&mut self, ending: Ending) -> Action {
        self.place = Place::Left(ending);
        Action::Leave(ending)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leading {
    Gathering,
    Masking,
    Running,
    Ran,
    Free,
    Ended(Ending),
}

/// The CPU that began a round.
///
/// Stepped until it says [`Action::Leave`]. One that is dropped calls the round off, if it still can.
#[must_use = "a round that is not seen through is called off"]
pub struct Initiator<'a, A: Arch> {
    rendezvous: &'a Rendezvous<A>,
    mark: &'a Mark<A>,
    deadline: u64,
    /// As of the last step; when the round was called off, how it stood then.
    standing: Standing,
    place: Leading,
}

impl<A: Arch> Initiator<'_, A> {
    /// How the round stood at the last step. Once it was called off, and by this is known who was missing, this
    /// does not change any more.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Says what to do next, having acknowledged what was done since the last step. `now` is the time: the round is
    /// called off if it has not come to the job by the deadline.
    ///
    /// [`Action::RunJob`] comes at most once. After it the round cannot be called off, and how long to wait is the
    /// caller's to decide.
    pub fn step(&mut self, now: u64) -> Action {
        if let Leading::Ended(ending) = self.place {
            return Action::Leave(ending);
        }
        let mut seen = self.rendezvous.load();
        if self.is_gathering() && now >= self.deadline {
            self.abort(seen);
            return Action::Leave(Ending::Aborted);
        }
        let (place, action) = match (self.place, seen.stage) {
            (Leading::Gathering, Stage::MaskActive) => (Leading::Masking, Action::Mask),
            (Leading::Masking, Stage::MaskActive) => {
                // Cannot fail: the stage waits for this CPU alone.
                let _ = self.rendezvous.acknowledge(seen);
                self.mark.set(seen.round, Stage::MaskActive);
                seen = seen.acknowledged();
                (Leading::Running, Action::RunJob)
            }
            (Leading::Running, Stage::Run) => {
                let _ = self.rendezvous.acknowledge(seen);
                // The next stage does not wait for this CPU.
                self.mark.set(seen.round, Stage::Exit);
                (Leading::Ran, Action::Wait)
            }
            (Leading::Ran, Stage::Exit | Stage::Idle) => (Leading::Free, Action::OpenInterrupts),
            (Leading::Free, Stage::Idle) => (Leading::Ended(Ending::Done), Action::Leave(Ending::Done)),
            (place, _) => (place, Action::Wait),
        };
        self.place = place;
        self.standing = Standing::new(seen);
        action
    }

    /// Goes on without the participants, in any stage: they were stopped for good, and this is the only CPU that is left. What it
    /// still waited for has happened with the next steps.
    #[cold]
    #[inline(never)]
    pub fn go_on_alone(&mut self) {
        let seen = Fields::from_bits(self.rendezvous.word.load(Relaxed));
        let stage = match self.place {
            Leading::Gathering | Leading::Masking => Stage::MaskActive,
            Leading::Running => Stage::Run,
            Leading::Ran | Leading::Free => Stage::Idle,
            Leading::Ended(_) => return,
        };
        // A plain store: nobody else is left to write. Relaxed: whoever has stopped them has seen all that they ever wrote.
        self.rendezvous.word.store(Fields { others: 0, ..seen }.enter(stage).to_bits(), Relaxed);
    }

    fn is_gathering(&self) -> bool {
        matches!(self.place, Leading::Gathering | Leading::Masking)
    }

    /// Calls the round off, which gathers and when last looked at was `seen`.
    fn abort(&mut self, mut seen: Fields) {
        loop {
            let aborted = seen.aborted().to_bits();
            // Relaxed: hands nothing over. The job, which nobody has looked at, stays with this CPU.
            match self.rendezvous.word.compare_exchange(seen.to_bits(), aborted, Relaxed, Relaxed) {
                Ok(_) => break,
                // A participant has acknowledged, which each does twice at most. Only this CPU can take the round
                // on to `Run`.
                Err(now) => seen = Fields::from_bits(now),
            }
        }
        self.standing = Standing::new(seen);
        self.place = Leading::Ended(Ending::Aborted);
    }
}

impl<A: Arch> Drop for Initiator<'_, A> {
    fn drop(&mut self) {
        if self.is_gathering() {
            self.abort(self.rendezvous.load());
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;
    use crate::testing::Host;

    const NEVER: u64 = u64::MAX;

    fn fields(stage: Stage, left: u16) -> Fields {
        Fields { round: 0x12_3456_789a, job: Job::Each, stage, others: 511, left }
    }

    #[test]
    fn the_numbers_of_rounds_wrap() {
        let last = AtomicU64::new(ROUND_MASK << ROUND_SHIFT);
        let (rendezvous, own, one) = (Rendezvous::<Host>::from_parts(last), Mark::new(), Mark::new());
        let initiator = rendezvous.begin(&own, 1, Job::Initiator, NEVER).unwrap();
        assert_eq!(initiator.standing.round, 0);
        assert!(initiator.standing.lacks(&one), "counted without having come");
        assert!(rendezvous.join(&one).is_some(), "a CPU that never was in a round is in this one already");
        assert!(rendezvous.join(&own).is_none(), "joined its own round");
    }

    #[test]
    fn words_read_back() {
        for stage in [
            Stage::Idle,
            Stage::Prepare,
            Stage::MaskInactive,
            Stage::MaskActive,
            Stage::Run,
            Stage::Exit,
            Stage::Aborted,
        ] {
            for left in [0, 1, 512, Rendezvous::<Host>::MAX_OTHERS + 1] {
                let fields = fields(stage, left);
                assert_eq!(Fields::from_bits(fields.to_bits()), fields);
            }
        }
        assert_eq!(fields(Stage::Run, 3).to_bits(), 0x1234_5678_9ac7_fc03);
    }

    #[test]
    fn a_round_of_the_greatest_size() {
        let rendezvous = Rendezvous::<Host>::new();
        let own = Mark::new();
        let others: [Mark<Host>; 1022] = core::array::from_fn(|_| Mark::new());
        let mut initiator = rendezvous.begin(&own, Rendezvous::<Host>::MAX_OTHERS, Job::Each, NEVER).unwrap();
        let mut runs = 0;
        let mut parts: [_; 1022] = core::array::from_fn(|cpu| rendezvous.join(&others[cpu]).unwrap());
        for _ in 0..5 {
            for part in &mut parts {
                runs += usize::from(part.step() == Action::RunJob);
            }
            runs += usize::from(initiator.step(0) == Action::RunJob);
        }
        assert_eq!(runs, 1023);
        assert!(parts.iter_mut().all(|part| part.step() == Action::Leave(Ending::Done)));
        while initiator.step(0) != Action::Leave(Ending::Done) {}
        assert_eq!(rendezvous.standing().stage, Stage::Idle);
    }

    #[test]
    fn alone() {
        for job in [Job::Initiator, Job::Each] {
            let rendezvous = Rendezvous::<Host>::new();
            let mark = Mark::new();
            let mut initiator = rendezvous.begin(&mark, 0, job, NEVER).unwrap();
            assert_eq!(initiator.step(0), Action::Mask);
            assert_eq!(initiator.step(0), Action::RunJob);
            assert_eq!(initiator.step(0), Action::Wait);
            assert_eq!(initiator.step(0), Action::OpenInterrupts);
            assert_eq!(initiator.step(0), Action::Leave(Ending::Done));
            assert_eq!(initiator.step(NEVER), Action::Leave(Ending::Done));
        }
    }

    #[test]
    fn step_by_step() {
        let rendezvous = Rendezvous::<Host>::new();
        let (own, one, two) = (Mark::new(), Mark::new(), Mark::new());
        let lacks = || {
            let standing = rendezvous.standing();
            [standing.lacks(&own), standing.lacks(&one), standing.lacks(&two)]
        };
        assert!(rendezvous.join(&one).is_none());
        let mut initiator = rendezvous.begin(&own, 2, Job::Each, NEVER).unwrap();
        assert!(rendezvous.join(&own).is_none(), "joined its own round");
        assert_eq!(lacks(), [false, true, true]);
        let mut first = rendezvous.join(&one).unwrap();
        assert!(rendezvous.join(&one).is_none(), "joined twice");
        assert_eq!(first.step(), Action::OpenInterrupts);
        assert_eq!(first.step(), Action::Wait);
        assert_eq!(initiator.step(0), Action::Wait);
        assert_eq!((lacks(), rendezvous.standing().left), ([false, false, true], 1));
        let mut second = rendezvous.join(&two).unwrap();
        // The last to come never opens its interrupts.
        assert_eq!(second.step(), Action::Mask);
        assert_eq!(second.step(), Action::Wait);
        assert_eq!(lacks(), [false, true, false]);
        assert_eq!(initiator.step(0), Action::Wait);
        assert_eq!(first.step(), Action::Mask);
        assert_eq!(rendezvous.standing().stage, Stage::MaskInactive);
        assert_eq!(first.step(), Action::Wait);
        assert_eq!((lacks(), rendezvous.standing().stage), ([true, false, false], Stage::MaskActive));
        assert_eq!(initiator.step(0), Action::Mask);
        assert_eq!(first.step(), Action::Wait);
        assert_eq!(initiator.step(0), Action::RunJob);
        assert_eq!((lacks(), initiator.standing().stage), ([true, true, true], Stage::Run));
        // The time is over, but it does not count any more.
        assert_eq!(initiator.step(NEVER), Action::Wait);
        assert_eq!(first.step(), Action::RunJob);
        assert_eq!(first.step(), Action::Wait);
        assert_eq!(lacks(), [false, false, true]);
        assert_eq!(initiator.step(NEVER), Action::Wait);
        assert_eq!(second.step(), Action::RunJob);
        assert_eq!(second.step(), Action::Wait);
        assert_eq!(second.step(), Action::Leave(Ending::Done));
        assert_eq!((lacks(), rendezvous.standing().left), ([false, true, false], 1));
        assert_eq!(initiator.step(NEVER), Action::OpenInterrupts);
        assert_eq!(initiator.step(NEVER), Action::Wait);
        assert!(rendezvous.join(&two).is_none());
        assert_eq!(first.step(), Action::Leave(Ending::Done));
        assert_eq!(first.step(), Action::Leave(Ending::Done));
        assert_eq!(initiator.step(NEVER), Action::Leave(Ending::Done));
        assert_eq!((lacks(), rendezvous.standing().stage), ([false, false, false], Stage::Idle));
    }

    #[test]
    fn the_job_of_one() {
        let rendezvous = Rendezvous::<Host>::new();
        let (own, other) = (Mark::new(), Mark::new());
        let mut initiator = rendezvous.begin(&own, 1, Job::Initiator, NEVER).unwrap();
        let mut participant = rendezvous.join(&other).unwrap();
        assert_eq!(participant.step(), Action::Mask);
        assert_eq!(participant.step(), Action::Wait);
        assert_eq!(initiator.step(0), Action::Mask);
        assert_eq!(initiator.step(0), Action::RunJob);
        assert_eq!(participant.step(), Action::Wait);
        assert!(!initiator.standing().lacks(&other));
        assert_eq!(initiator.step(0), Action::Wait);
        assert!(rendezvous.standing().lacks(&other));
        assert_eq!(participant.step(), Action::Leave(Ending::Done));
        assert_eq!(initiator.step(0), Action::OpenInterrupts);
        assert_eq!(initiator.step(0), Action::Leave(Ending::Done));
    }

    #[test]
    fn called_off() {
        let rendezvous = Rendezvous::<Host>::new();
        let (own, one, two) = (Mark::new(), Mark::new(), Mark::new());
        let mut initiator = rendezvous.begin(&own, 2, Job::Each, 10).unwrap();
        let mut first = rendezvous.join(&one).unwrap();
        assert_eq!(initiator.step(9), Action::Wait);
        assert_eq!(initiator.step(10), Action::Leave(Ending::Aborted));
        assert_eq!(initiator.step(0), Action::Leave(Ending::Aborted));
        let standing = initiator.standing();
        assert_eq!((standing.round, standing.stage, standing.left), (1, Stage::Prepare, 1));
        assert!(!standing.lacks(&one) && standing.lacks(&two));
        assert!(rendezvous.join(&two).is_none());
        // The next round begins before the first CPU has noticed.
        let mut initiator = rendezvous.begin(&own, 2, Job::Each, 10).unwrap();
        assert_eq!(first.step(), Action::Leave(Ending::Aborted));
        assert!(initiator.standing().left == 2 && initiator.standing().lacks(&one));
        let mut first = rendezvous.join(&one).unwrap();
        let mut second = rendezvous.join(&two).unwrap();
        assert_eq!((first.round(), second.round()), (2, 2));
        assert_eq!((first.step(), second.step()), (Action::Mask, Action::Mask));
        assert_eq!(first.step(), Action::Wait);
        // The round is called off between its look and its acknowledgement.
        assert_eq!(initiator.step(10), Action::Leave(Ending::Aborted));
        let standing = initiator.standing();
        assert_eq!((standing.stage, standing.left), (Stage::MaskInactive, 1));
        assert!(!standing.lacks(&own) && !standing.lacks(&one) && standing.lacks(&two));
        assert_eq!(
            (first.step(), second.step()),
            (Action::Leave(Ending::Aborted), Action::Leave(Ending::Aborted))
        );
    }

    #[test]
    fn the_initiator_itself_may_be_late() {
        let rendezvous = Rendezvous::<Host>::new();
        let (own, other) = (Mark::new(), Mark::new());
        let mut initiator = rendezvous.begin(&own, 1, Job::Initiator, 10).unwrap();
        let mut participant = rendezvous.join(&other).unwrap();
        assert_eq!((participant.step(), participant.step()), (Action::Mask, Action::Wait));
        assert_eq!(initiator.step(9), Action::Mask);
        assert_eq!(initiator.step(10), Action::Leave(Ending::Aborted));
        let standing = initiator.standing();
        assert_eq!((standing.stage, standing.left), (Stage::MaskActive, 1));
        assert!(standing.lacks(&own) && !standing.lacks(&other));
        assert_eq!(participant.step(), Action::Leave(Ending::Aborted));
    }

    #[test]
    fn a_round_that_is_dropped_is_called_off() {
        let rendezvous = Rendezvous::<Host>::new();
        let (own, other) = (Mark::new(), Mark::new());
        drop(rendezvous.begin(&own, 1, Job::Initiator, NEVER));
        assert_eq!(rendezvous.standing().stage, Stage::Aborted);
        let initiator = rendezvous.begin(&own, 1, Job::Initiator, NEVER).unwrap();
        let refused = rendezvous.begin(&other, 1, Job::Initiator, NEVER).err().unwrap();
        assert_eq!((refused.round, refused.stage), (2, Stage::Prepare));
        let mut participant = rendezvous.join(&other).unwrap();
        drop(initiator);
        assert_eq!(participant.step(), Action::Leave(Ending::Aborted));
    }

    #[test]
    fn who_is_left_alone_goes_on() {
        for job in [Job::Initiator, Job::Each] {
            // The others stop for good after so many steps of everyone.
            for steps in 0..6 {
                let rendezvous = Rendezvous::<Host>::new();
                let (own, one) = (Mark::new(), Mark::new());
                let mut initiator = rendezvous.begin(&own, 2, job, NEVER).unwrap();
                let mut participant = rendezvous.join(&one).unwrap();
                let mut runs = 0;
                for _ in 0..steps {
                    runs += u32::from(initiator.step(0) == Action::RunJob);
                    let _ = participant.step();
                }
                initiator.go_on_alone();
                assert_eq!(rendezvous.standing().left, u16::from(rendezvous.standing().stage != Stage::Idle));
                for _ in 0..6 {
                    runs += u32::from(initiator.step(0) == Action::RunJob);
                }
                assert_eq!((runs, initiator.step(0)), (1, Action::Leave(Ending::Done)));
                assert_eq!(rendezvous.standing().stage, Stage::Idle);
            }
        }
    }

    #[test]
    fn a_round_whose_initiator_was_stopped_is_called_off() {
        for job in [Job::Initiator, Job::Each] {
            for steps in 0..6 {
                let rendezvous = Rendezvous::<Host>::new();
                let (own, one) = (Mark::new(), Mark::new());
                let mut initiator = rendezvous.begin(&own, 1, job, NEVER).unwrap();
                let mut participant = rendezvous.join(&one).unwrap();
                for _ in 0..steps {
                    let _ = initiator.step(0);
                    let _ = participant.step();
                }
                core::mem::forget(initiator);
                rendezvous.condemn();
                assert!(matches!(participant.step(), Action::Leave(_)));
                assert!(matches!(rendezvous.standing().stage, Stage::Idle | Stage::Aborted));
                assert!(rendezvous.join(&one).is_none());
                assert!(rendezvous.begin(&one, 0, job, NEVER).is_ok());
            }
        }
        let idle = Rendezvous::<Host>::new();
        idle.condemn();
        assert_eq!(idle.standing().stage, Stage::Idle);
    }

    #[test]
    fn numbers_wrap() {
        let last = Fields { round: ROUND_MASK, ..fields(Stage::Aborted, 7) };
        let rendezvous = Rendezvous::<Host>::from_parts(AtomicU64::new(last.to_bits()));
        let mark = Mark::new();
        let initiator = rendezvous.begin(&mark, 1, Job::Initiator, NEVER).unwrap();
        assert_eq!(initiator.standing().round, 0);
    }

    #[test]
    fn a_corrupt_word_lets_everyone_go() {
        let rendezvous = Rendezvous::<Host>::new();
        let (own, other) = (Mark::new(), Mark::new());
        let initiator = rendezvous.begin(&own, 1, Job::Initiator, NEVER).unwrap();
        let mut participant = rendezvous.join(&other).unwrap();
        core::mem::forget(initiator);
        rendezvous.word.store(7 << STAGE_SHIFT, Relaxed);
        assert!(rendezvous.join(&own).is_none());
        assert_eq!(participant.step(), Action::Leave(Ending::Aborted));
    }
}
