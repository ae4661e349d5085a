//! Bring-up: every CPU started at most once at a time, every start ended by one verdict.
//!
//! The question of a 2010 kernel mail: a CPU is slow, its booter times out, is pre-empted, and then kills a CPU
//! that has meanwhile got going. Here arrival and time-out compete for one word (`reveille_protocol::Slot`),
//! so when a start is over the CPU is either running or certain never to touch anything.
//!
//! This room is the glue: it claims, publishes the boot line, asks firmware or writes the release address or the mailbox,
//! steps the protocol and records the verdict.

#[cfg(feature = "fault-injection")]
pub(crate) mod fault;
mod parking;
mod reason;
mod record;
mod roll_call;
mod spin_table;
mod start;

pub(crate) use parking::{MAILBOX_SIZE, map as map_mailbox};
pub use reason::Reason;
pub(crate) use record::{Method, Part, record};
pub use reveille_protocol::Verdict;
pub(crate) use roll_call::leave_out;
pub use roll_call::{Entry, Json, RollCall};
pub(crate) use spin_table::{RELEASE_SIZE, map as map_release_address};
pub use start::{DEFAULT_DEADLINE, cpu_up, is_online};
pub(crate) use start::{bring_up_all, default_deadline, expect_uninvited};
