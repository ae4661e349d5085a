//! What a panic is about.

use super::park::Evidence;
use crate::arch::exception::{FatalFrame, Registers};
use core::panic::PanicInfo;
use reveille_protocol::Snapshot;

/// What a panic is about.
#[derive(Clone, Copy)]
pub(super) enum Cause<'a> {
    Panic(&'a PanicInfo<'a>, &'a Registers),
    Exception(&'a FatalFrame),
    Restarted(Snapshot, &'a Registers),
}

impl<'a> Cause<'a> {
    pub(super) fn evidence(self) -> Evidence<'a> {
        match self {
            Self::Panic(info, registers) => Evidence::Panic(info, registers),
            Self::Exception(frame) => Evidence::Exception(frame),
            Self::Restarted(_, registers) => Evidence::Call(registers),
        }
    }
}
