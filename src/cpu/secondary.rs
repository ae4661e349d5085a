//! What secondaries run, and whether they may leave it.

use super::{CpuId, idle_loop};

/// A secondary function that may be abandoned: its CPU can leave the system from inside of it.
///
/// A CPU that leaves runs no destructor and never returns to where it was; its next life begins at the top of the same
/// stack, in another call of the function. For [`entry!`](crate::entry).
#[derive(Clone, Copy, Debug)]
pub struct Leaving(fn(CpuId) -> !);

impl Leaving {
    /// Vouches for `secondary`.
    ///
    /// # Safety
    ///
    /// Whenever a CPU that runs `secondary` is at an offline point - in [`idle`](super::idle()), in
    /// [`offline_point`](super::offline_point), or in [`cpu_down`](crate::hotplug::cpu_down) of itself - and holds nothing that
    /// is a [`Hold`](crate::hotplug::Hold) of another kind, then nothing on its thread stack is pinned, is lent to anyone, or
    /// needs its destructor for soundness: the frames are given up there, and their memory is used again.
    ///
    /// What a launched closure has on the stack need not be looked at; a closure is a hold itself.
    #[must_use]
    pub const unsafe fn new(secondary: fn(CpuId) -> !) -> Self {
        Self(secondary)
    }
}

/// What [`entry!`](crate::entry) makes of what it is given.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Secondary {
    /// Nothing: [`idle_loop`], with no frame below it that is not the runtime's.
    Idle,
    /// A function of which nobody has said that it may be abandoned.
    Stays(fn(CpuId) -> !),
    /// One that may.
    Leaves(Leaving),
}

impl Secondary {
    /// Whether its frames may be given up.
    pub(crate) const fn may_be_left(self) -> bool {
        !matches!(self, Self::Stays(_))
    }

    /// What it is.
    pub(crate) fn function(self) -> fn(CpuId) -> ! {
        match self {
            Self::Idle => idle_loop,
            Self::Stays(function) | Self::Leaves(Leaving(function)) => function,
        }
    }
}
