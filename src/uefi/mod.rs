//! Entered by UEFI firmware, as an application of its: what it hands over, and the end of its services.
//!
//! Numbers of sections are those of the UEFI Specification, release 2.10.

mod enter;
mod firmware;
mod left;

pub(crate) use enter::enter;
pub(crate) use left::Left;
