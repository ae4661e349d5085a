//! Cross-calls: any CPU runs a closure on any other, without allocation, lock or hidden wait.
//!
//! The question of a 2009 kernel mail: a no-wait call that becomes a waiting one when memory is short, and
//! deadlocks against callees that wait for their caller. Here nothing is allocated. [`post()`] stores the closure
//! in a node of the sender's own pool and is accepted or refused at once; [`on`] lends the caller's stack and
//! returns only when the callee is done with it.
//!
//! Which calls are legal where:
//!
//! | | thread, interrupts open | interrupts masked, interrupt handler, callback |
//! |---|---|---|
//! | [`post()`], [`post_each`] | yes | yes |
//! | [`on`], [`on_each`], [`on_deadline`] | yes | [`CallError::WouldDeadlock`] |
//!
//! A closure runs in interrupt context: normal interrupts masked, NMI-class ones open. Two CPUs that call each other
//! at once, and rings of such calls, complete, because a CPU that waits for its own call takes interrupts. What one
//! CPU sends to another runs there in the order of sending, posts and calls alike.
//!
//! Beside calls there are [doorbells](Doorbell), which carry nothing and are never refused.
//!
//! The protocols are `reveille_protocol::{Queue, Pool, SyncCall, DeadlineCall, Bells}`; this is the glue.

mod bell;
mod deadline;
#[cfg(feature = "fault-injection")]
pub(crate) mod fault;
mod part;
mod post;
mod receive;
mod sync;
mod wait;

pub(crate) use bell::{BELL, answer};
pub use bell::{DOORBELLS, Doorbell, DoorbellError, Rung};
pub use deadline::on_deadline;
#[cfg(feature = "fault-injection")]
pub(crate) use part::is_quiet;
pub(crate) use part::{BYTES_PER_CPU, Block, CALL, Part, Shared, counts, is_open, open, ran, set_up, state};
pub use part::{POST_BYTES, POSTS_PER_CPU};
pub use post::{PostError, Posted, post, post_each};
pub(crate) use receive::{Kept, Look, close, condemn, drain, drain_as, is_pending, run_kept, run_pending};
pub use sync::{on, on_each};
pub(crate) use wait::init;

use core::fmt;

/// Why a synchronous call did not run.
///
/// ```no_run
/// use reveille::call::{self, CallError};
///
/// # fn example(cpu: reveille::cpu::CpuId) {
/// match call::on(cpu, || 6 * 7) {
///     Ok(answer) => assert_eq!(answer, 42),
///     Err(CallError::Offline) => { /* without it, then */ }
///     // Interrupts are masked here, or this is a handler: it would wait for itself.
///     Err(CallError::WouldDeadlock) => { /* `call::post` does not wait */ }
///     Err(error) => panic!("{error}"),
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The CPU is not online.
    Offline,
    /// The caller has interrupts masked or is itself an interrupt handler or a callback: its own callers would wait for
    /// it while it waits.
    WouldDeadlock,
    /// The deadline passed before the CPU came to it. It never ran, and never will.
    TimedOut,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offline => "the CPU is not online",
            Self::WouldDeadlock => "a synchronous call with interrupts masked or in interrupt context",
            Self::TimedOut => "the CPU did not come to it in time; it did not run",
        })
    }
}
