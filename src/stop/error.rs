//! Why a round did not come about.

use crate::lifecycle::Denied;
use crate::percpu::CpuSet;
use core::fmt;

/// Why nothing was done.
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::{StopError, println, stop_machine, time::Deadline};
///
/// # fn example() {
/// match stop_machine(Deadline::after(Duration::from_millis(50)), || { /* alone */ }) {
///     Ok(()) => {}
///     // Everybody goes on, and nothing was run.
///     Err(StopError::TimedOut(missing)) => println!("{missing:?} did not come"),
///     Err(error) => println!("{error}"),
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopError {
    /// The caller has interrupts masked, or is an interrupt handler or a callback, an
    /// [`offline`](crate::hotplug::register) one included.
    WouldDeadlock,
    /// Another CPU was starting, stopping or gathering CPUs until the deadline.
    Busy,
    /// These CPUs did not come before the deadline.
    TimedOut(CpuSet),
}

impl From<Denied> for StopError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Context => Self::WouldDeadlock,
            Denied::Busy => Self::Busy,
        }
    }
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldDeadlock => f.write_str("stop-machine with interrupts masked or in interrupt context"),
            Self::Busy => f.write_str("another CPU was starting or stopping CPUs for too long"),
            Self::TimedOut(missing) => write!(f, "cpus {missing} did not come in time"),
        }
    }
}
