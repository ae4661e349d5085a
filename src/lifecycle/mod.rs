//! Who may start CPUs, take them down, or gather them, and how a CPU is asked to leave.

mod lock;
mod requests;

#[cfg(feature = "fault-injection")]
pub(crate) use lock::waiting;
pub(crate) use lock::{Denied, Lifecycle, Stays, ceases_to_wait, slot_of};
pub(crate) use requests::{Requests, TIMERS, before_callbacks, is_due, kept_by, requests};
