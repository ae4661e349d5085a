//! What the slots of all CPUs, looked at together, allow.

use crate::{Snapshot, State};

/// What CPUs may be executing code of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what may be done to running code depends on who runs it"]
pub enum Survey {
    /// One CPU is online, and no other can come to be without being started anew: code may be patched, and a form
    /// of it chosen that only holds for one CPU.
    Alone,
    /// All that can run is online, so all of it can be gathered: code may be patched.
    Several,
    /// This CPU may run without being online: it comes up, or goes, or did not come up in time. It cannot be
    /// gathered, so nothing may be patched.
    Busy(usize),
}

impl Survey {
    /// Judges by the slot of each CPU in turn, read by a CPU that is online itself and holds the right to change
    /// which CPUs there are; otherwise the answer is old before it is given.
    pub fn of(slots: impl IntoIterator<Item = Snapshot>) -> Self {
        let mut online = 0;
        for (cpu, slot) in slots.into_iter().enumerate() {
            if !slot.state.is_settled() {
                return Self::Busy(cpu);
            }
            online += usize::from(slot.state == State::Online);
        }
        if online <= 1 { Self::Alone } else { Self::Several }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(states: &[State]) -> Survey {
        Survey::of(states.iter().map(|state| Snapshot { generation: 1, reason: 0, state: *state }))
    }

    #[test]
    fn whoever_may_run_unseen_is_named() {
        for state in State::ALL {
            let expected = match state {
                State::Claimed | State::Kicked | State::Alive | State::Dying | State::Wedged => {
                    Survey::Busy(1)
                }
                State::Online => Survey::Several,
                State::Offline | State::Gone | State::Revoked | State::Failed => Survey::Alone,
            };
            assert_eq!(survey(&[State::Online, state, State::Offline]), expected);
        }
        assert_eq!(survey(&[State::Online, State::Gone, State::Dying, State::Wedged]), Survey::Busy(2));
    }

    #[test]
    fn the_only_cpu_is_alone() {
        assert_eq!(survey(&[State::Online]), Survey::Alone);
        assert_eq!(survey(&[State::Online; 512]), Survey::Several);
    }
}
