//! The bench on which the protocols are model-checked.
//!
//! The models in `tests/` run the source of `reveille-protocol` itself under [loom](https://docs.rs/loom),
//! which tries every order in which the CPUs can act and every value that the memory model lets them read. Run
//! them on the host:
//!
//! ```text
//! cargo test -p reveille-models --release --target x86_64-unknown-linux-gnu
//! ```
//!
//! A model that passes proves little unless it fails when the protocol is wrong. `src/bin/mutants` plants one
//! bug at a time and demands that a certain model finds it:
//!
//! ```text
//! scripts/model --mutants
//! ```
//!
//! What loom does not show: reordering of a load with a later store of the same CPU (load buffering), the
//! barriers that order memory against devices, and anything done with the MMU off.

#![cfg_attr(target_os = "none", no_std)]

#[cfg(not(target_os = "none"))]
mod bench;

#[cfg(not(target_os = "none"))]
pub use bench::{Choices, LoomArch, LoomLockWord, LoomWord, Model, Payload, Signal, Tally, thread};

#[cfg(not(target_os = "none"))]
pub mod steps;
