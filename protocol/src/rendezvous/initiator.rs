//! The CPU that began a round.

use core::sync::atomic::Ordering::{Relaxed, Release};

use super::mark::{Mark, Standing};
use super::round::{Action, Ending, Rendezvous};
use super::word::{Fields, Job, ROUND_MASK, Stage, is_each, round_of, stage_of};
use crate::{Arch, Word};

impl<A: Arch> Rendezvous<A> {
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
        if !matches!(stage_of(word), Stage::Idle | Stage::Aborted) {
            return Err(Standing::new(Fields::from_bits(word)));
        }
        let round = (round_of(word) + 1) & ROUND_MASK;
        let first =
            Fields { round, job, stage: Stage::Idle, others, left: 0 }.enter(Stage::Prepare).to_bits();
        // Before the round is there to be joined: an interrupt of this CPU must not join it.
        let before = mark.read();
        mark.set(round, Stage::MaskInactive);
        // Relaxed: the job is handed over with `Run`. A CPU that was masked in the last round and sees this one first sees all the
        // same what that one's job has left behind: a read-modify-write passes on the Release with which it ended.
        match self.word.compare_exchange(word, first, Relaxed, Relaxed) {
            Ok(_) => {
                Ok(Initiator { rendezvous: self, mark, deadline, seen: first, place: Leading::Gathering })
            }
            Err(now) => {
                // It is another's, and perhaps of the same number.
                mark.restore(before);
                Err(Standing::new(Fields::from_bits(now)))
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leading {
    Gathering,
    Masking,
    Running,
    Ran,
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
    /// The word as of the last step; when the round was called off, as it stood then.
    seen: u64,
    place: Leading,
}

impl<A: Arch> Initiator<'_, A> {
    /// How the round stood at the last step. Once it was called off, and by this is known who was missing, this
    /// does not change any more.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing::new(Fields::from_bits(self.seen))
    }

    /// Says what to do next, having acknowledged what was done since the last step. `now` is the time: the round is
    /// called off if it has not come to the job by the deadline.
    ///
    /// [`Action::RunJob`] comes at most once. After it the round cannot be called off, and how long to wait for others who do it too
    /// is the caller's to decide. One who does it alone waits for nobody: the others go on as soon as they see that it is over, and
    /// come to no later round before that.
    #[inline(always)]
    pub fn step(&mut self, now: u64) -> Action {
        match self.place {
            Leading::Gathering | Leading::Masking if now >= self.deadline => {
                self.abort();
                Action::Leave(Ending::Aborted)
            }
            Leading::Gathering => {
                self.seen = self.rendezvous.load();
                if stage_of(self.seen) != Stage::MaskActive {
                    return Action::Wait;
                }
                self.place = Leading::Masking;
                Action::Mask
            }
            Leading::Masking => {
                self.mark.set(round_of(self.seen), Stage::MaskActive);
                if is_each(self.seen) {
                    // Release: pairs with the Acquire of each participant, which looks at the job.
                    self.go_on(Stage::Run, Release);
                }
                self.place = Leading::Running;
                Action::RunJob
            }
            Leading::Running => self.finish(),
            Leading::Ran => {
                self.seen = self.rendezvous.load();
                if stage_of(self.seen) != Stage::Idle {
                    return Action::Wait;
                }
                self.place = Leading::Ended(Ending::Done);
                Action::Leave(Ending::Done)
            }
            Leading::Ended(ending) => Action::Leave(ending),
        }
    }

    /// This CPU has done the job.
    #[inline(always)]
    fn finish(&mut self) -> Action {
        if !is_each(self.seen) {
            // Release: pairs with the Acquire of each participant, which sees what the job has written.
            self.go_on(Stage::Idle, Release);
            self.place = Leading::Ended(Ending::Done);
            return Action::Leave(Ending::Done);
        }
        // Cannot fail: the stage does not end without this CPU.
        let _ = self.rendezvous.acknowledge(self.seen);
        self.mark.set(round_of(self.seen), Stage::Run);
        self.place = Leading::Ran;
        Action::Wait
    }

    /// The next stage begins. A plain store: all participants wait for this CPU, and no other round can begin.
    #[inline(always)]
    fn go_on(&mut self, stage: Stage, order: core::sync::atomic::Ordering) {
        self.seen = Fields::from_bits(self.seen).enter(stage).to_bits();
        self.rendezvous.word.store(self.seen, order);
    }

    /// Goes on without the participants, in any stage: they were stopped for good, and this is the only CPU that is left. What it
    /// still waited for has happened with the next steps.
    #[cold]
    #[inline(never)]
    pub fn go_on_alone(&mut self) {
        let stage = match self.place {
            Leading::Gathering | Leading::Masking => Stage::MaskActive,
            Leading::Running if is_each(self.seen) => Stage::Run,
            Leading::Running => Stage::MaskActive,
            Leading::Ran => Stage::Idle,
            Leading::Ended(_) => return,
        };
        self.seen = Fields { others: 0, ..Fields::from_bits(self.seen) }.enter(stage).to_bits();
        // A plain store: nobody else is left to write. Relaxed: whoever has stopped them has seen all that they ever wrote.
        self.rendezvous.word.store(self.seen, Relaxed);
    }

    fn is_gathering(&self) -> bool {
        matches!(self.place, Leading::Gathering | Leading::Masking)
    }

    /// Calls the round off, which gathers.
    #[cold]
    #[inline(never)]
    fn abort(&mut self) {
        self.seen = self.rendezvous.word.load(Relaxed);
        loop {
            let aborted = Fields::from_bits(self.seen).aborted().to_bits();
            // Relaxed: hands nothing over. The job, which nobody has looked at, stays with this CPU.
            match self.rendezvous.word.compare_exchange(self.seen, aborted, Relaxed, Relaxed) {
                Ok(_) => break,
                // A participant has acknowledged, which each does twice at most. Only this CPU can take the round
                // on to the job.
                Err(now) => self.seen = now,
            }
        }
        self.place = Leading::Ended(Ending::Aborted);
    }
}

impl<A: Arch> Drop for Initiator<'_, A> {
    fn drop(&mut self) {
        if self.is_gathering() {
            self.abort();
        }
    }
}
