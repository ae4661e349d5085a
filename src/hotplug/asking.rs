//! Asking the application on a CPU whether that may leave.

use super::callbacks::{asked_all, wants_to_be_asked};
use super::error::HotplugError;
use crate::call::{self, PostError};
use crate::clock::Deadline;
use crate::holds::{Hold, Holds};
use crate::lifecycle::{Lifecycle, kept_by};
use crate::percpu::area::{Area, Part as _};
use crate::sync::SpinLock;
use crate::{arch, gate, masking};

/// One question, and its answer.
#[derive(Clone, Copy)]
struct Question {
    /// Counts them: an answer that comes late is not one to the next.
    number: u64,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// The callbacks have not begun.
    Asked,
    /// They run.
    Heard,
    Answered(Result<(), &'static str>),
}

/// Whoever has the right to change which CPUs there are asks, so there is one question at a time.
static QUESTION: SpinLock<Question> = SpinLock::new(Question { number: 0, state: State::Asked });

/// Tells the one with this `number` how it stands. Whether anybody waits for it.
fn tell(number: u64, state: State) -> bool {
    let mut question = QUESTION.lock();
    let is_current = question.number == number;
    if is_current {
        question.state = state;
    }
    is_current
}

/// Asks the application on `target` whether that may leave, and waits for the answer until `deadline`. `held` is what kept the CPU the
/// last time, and does so still as far as anybody knows if it does not hear the question.
pub(super) fn ask(
    target: &'static Area,
    deadline: Deadline,
    held: Option<Hold>,
    _lock: &Lifecycle,
) -> Result<(), HotplugError> {
    // Nothing but the answer to that counts where it stays for ever.
    if !wants_to_be_asked() || Holds::of(target).is_for_ever() {
        return Ok(());
    }
    let cpu = target.id;
    let number = {
        let mut question = QUESTION.lock();
        *question = Question { number: question.number + 1, state: State::Asked };
        question.number
    };
    let question = move || {
        if tell(number, State::Heard) {
            let answer = asked_all(cpu);
            tell(number, State::Answered(answer));
        }
    };
    let mut unsent = Some(question);
    loop {
        if let Some(question) = unsent.take() {
            match call::post(cpu, question) {
                Ok(()) => {}
                Err(PostError::Busy(back)) => unsent = Some(back),
                Err(PostError::Offline(_)) => return Err(HotplugError::NotOnline),
            }
        }
        let state = QUESTION.lock().state;
        if let State::Answered(answer) = state {
            return answer.map_err(|reason| HotplugError::Held(Hold::Application(reason)));
        }
        if deadline.has_passed() {
            // Nobody waits for it any more. One that has not begun does not; a last answer counts.
            let mut question = QUESTION.lock();
            question.number += 1;
            return match question.state {
                State::Answered(answer) => {
                    answer.map_err(|reason| HotplugError::Held(Hold::Application(reason)))
                }
                // It has said why not before, and has not come to say it again.
                State::Heard => Err(HotplugError::Held(match held {
                    Some(hold @ Hold::Application(_)) => hold,
                    _ => Hold::Callback,
                })),
                State::Asked => {
                    Err(HotplugError::Held(held.or_else(|| kept_by(target)).unwrap_or(Hold::NotIdle)))
                }
            };
        }
        gate::poll();
        arch::yield_now();
    }
}

/// The same on the CPU of `own`, the calling one.
pub(super) fn ask_self(own: &'static Area, _lock: &Lifecycle) -> Result<(), HotplugError> {
    if !wants_to_be_asked() || Holds::of(own).is_for_ever() {
        return Ok(());
    }
    let _masked = masking::mask_rarely();
    asked_all(own.id).map_err(|reason| HotplugError::Held(Hold::Application(reason)))
}
