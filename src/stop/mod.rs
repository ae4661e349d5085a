//! Stop-machine: every CPU at one point, masked, while something is changed that none of them may see half done.
//!
//! The protocol is `reveille_protocol::Rendezvous`. Calls are served until all CPUs have come, the initiator masks
//! last, and up to the moment before the job a round can be called off: whoever is late then goes on as if nothing
//! had been. The field report is a kernel mail of 2014, about a CPU that masked first while others still sent to it.

mod each;
mod error;
mod gather;
mod machine;

pub use error::StopError;
pub(crate) use gather::{GATHER, Missed, Part, gather, init, part, participate, patience};
pub(crate) use machine::stop_machine_locked;
pub use machine::{stop_machine, stop_machine_each};
