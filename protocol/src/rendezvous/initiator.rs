//! The CPU that began a round.

use core::sync::atomic::Ordering::Relaxed;

use super::mark::{Mark, Standing};
use super::round::{Action, Ending, Rendezvous};
use super::word::{Fields, Job, ROUND_MASK, Stage};
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
