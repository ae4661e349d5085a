//! One CPU in the round of another.

use core::sync::atomic::Ordering::Relaxed;

use super::mark::Mark;
use super::round::{Action, Ending, Rendezvous};
use super::word::{Stage, acknowledged, is_each, round_of, stage_of};
use crate::{Arch, Word};

impl<A: Arch> Rendezvous<A> {
    /// The CPU with this mark joins the round that gathers, if one does. `None`: there is nothing to join, or the
    /// round has this CPU already.
    ///
    /// Called with interrupts masked; when the CPU is told that a round has begun, and again whenever it has left
    /// one, until there is none.
    #[inline(always)]
    #[must_use = "a CPU that has joined has to see the round through"]
    pub fn join<'a>(&'a self, mark: &'a Mark<A>) -> Option<Participant<'a, A>> {
        // Relaxed: to join gives no right to anything.
        let mut word = self.word.load_to_change();
        loop {
            let round = round_of(word);
            if stage_of(word) != Stage::Prepare || mark.is_in(round) {
                return None;
            }
            // Relaxed: what this CPU has written is handed over when it acknowledges that it has masked.
            match self.word.compare_exchange(word, acknowledged(word), Relaxed, Relaxed) {
                Ok(_) => {
                    mark.set(round, Stage::Prepare);
                    return Some(Participant {
                        rendezvous: self,
                        mark,
                        round,
                        idle_at: word,
                        place: Place::Joined,
                    });
                }
                // Another CPU has joined, or the round was called off.
                Err(now) => word = now,
            }
        }
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
    /// A word at which this CPU has nothing to do. First the one that it has joined, which does not come back.
    idle_at: u64,
    place: Place,
}

impl<A: Arch> Participant<'_, A> {
    /// The number of the round.
    #[must_use]
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Says what to do next, having acknowledged what was done since the last step.
    #[inline(always)]
    pub fn step(&mut self) -> Action {
        let seen = self.rendezvous.load();
        // Most looks find what the last one has found.
        if seen == self.idle_at { Action::Wait } else { self.step_on(seen) }
    }

    fn step_on(&mut self, seen: u64) -> Action {
        let (place, action) = match (self.place, stage_of(seen)) {
            (Place::Left(ending), _) => return Action::Leave(ending),
            // The stage in which each CPU does the job does not end without this one.
            (Place::Ran, _) if round_of(seen) != self.round => return self.leave(Ending::Done),
            // Nor does what comes before the job; so if it was not called off, this CPU had masked.
            (Place::Masked, _) if round_of(seen) != self.round => return self.leave(Ending::Overtaken),
            _ if round_of(seen) != self.round => return self.leave(Ending::Aborted),
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
            (Place::Masked, Stage::Run) if is_each(seen) => (Place::Running, Action::RunJob),
            (Place::Running, Stage::Run) => {
                // Cannot fail: the stage does not end without this CPU.
                let _ = self.rendezvous.acknowledge(seen);
                self.mark.set(self.round, Stage::Run);
                (Place::Ran, Action::Wait)
            }
            (Place::Masked | Place::Ran, Stage::Idle) => return self.leave(Ending::Done),
            (place, _) => {
                self.idle_at = seen;
                (place, Action::Wait)
            }
        };
        self.place = place;
        action
    }

    fn leave(&mut self, ending: Ending) -> Action {
        self.place = Place::Left(ending);
        Action::Leave(ending)
    }
}
