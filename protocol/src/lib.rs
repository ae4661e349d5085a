//! The protocols of Reveille: every word on which two CPUs can race, and nothing else.
//!
//! The crate knows no register, no device and no address. Each protocol is generic over [`Arch`], which
//! supplies the atomic words, the clock and the pause of a spin loop. The image runs it on the machine's own
//! atomics, the model checkers run the very same source on theirs.

#![no_std]
#![forbid(unsafe_code)]

mod arch;
mod gate;
mod handshake;
mod launch;
#[cfg(test)]
mod testing;

pub use arch::{Arch, Word};
pub use gate::{Entry, Gate, Phase};
pub use handshake::{
    Arrival, Booter, Claim, Entrance, Judgement, Kicked, Limits, Outcome, RESTARTED, Refusal, Slot, Snapshot,
    State, Step, Token, Verdict,
};
pub use launch::{Filling, LaunchRefusal, LaunchSlot, LaunchState, Running};
