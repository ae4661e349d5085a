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
//! | `MaskActive` | the initiator, having masked its own, and for a [`Job::Initiator`] having done the job | wait, masked |
//! | `Run` | for a [`Job::Each`] every CPU, having done the job | wait, masked |
//!
//! Then the round is over. A participant sees that, or that another round has begun, and goes; nobody waits for it to do so. It
//! executes nothing in between but its wait, masked, and no later round comes to its job without this CPU: so nobody can tell it from
//! one that has gone.
//!
//! The initiator masks last. While it still serves interrupts, no other CPU can be in the middle of anything that
//! began with a look at which CPUs there are; so it may, in its job, cease to be one of them.
//!
//! Nothing has happened before the job. Until then the initiator may call the round off when its deadline has
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

mod attend;
mod initiator;
mod mark;
mod participant;
mod round;
#[cfg(test)]
mod tests;
mod word;

pub use attend::{Attendance, Attendant};
pub use initiator::Initiator;
pub use mark::{Mark, Standing};
pub use participant::Participant;
pub use round::{Action, Ending, Rendezvous};
pub use word::{Job, Stage};
