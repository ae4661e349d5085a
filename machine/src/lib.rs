//! What a machine has, as far as it can be told before anything runs on it: its CPUs and how to start them, its memory,
//! interrupt controller, timer, console and firmware, and the words that it was started with.
//!
//! The crate knows nothing of the runtime that asks. It touches no register and allocates nothing: it reads slices of
//! bytes, and is tested on the host with the same source that is in the image.

#![no_std]
#![forbid(unsafe_code)]

mod bootargs;
pub mod dt;
mod index_set;
mod ranges;

pub use bootargs::BootArgs;
pub use index_set::{IndexSet, Indices};
pub use ranges::{Ranges, TooManyRanges};
