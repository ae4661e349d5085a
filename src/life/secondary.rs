//! What secondaries run, and whether they may leave it; and the CPU that booted, once `main` is over.

use super::idle::idle_loop;
use crate::arch;
use crate::holds::Holds;
use crate::launch::Mailbox;
use crate::masking;
use crate::percpu::CpuId;
use crate::percpu::area::{self, Area, Part as _};

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
    /// Whenever a CPU that runs `secondary` is at an offline point - in [`idle`](crate::cpu::idle()), in
    /// [`offline_point`](crate::cpu::offline_point), or in [`cpu_down`](crate::hotplug::cpu_down) of itself - and holds nothing that
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

unsafe extern "Rust" {
    safe fn reveille_secondary_main() -> Secondary;
}

/// The CPU of `own`, which is the calling one, runs what the application has for secondaries, for the rest of its life.
pub(crate) fn run_secondary(own: &'static Area) -> ! {
    let secondary = reveille_secondary_main();
    Holds::of(own).set_frames(!secondary.may_be_left());
    secondary.function()(own.id)
}

/// Ends `main`: the CPU that booted the image becomes one like any other, and runs the secondary function. From then on
/// it may leave, if that may be abandoned (see [`entry!`](crate::entry)).
///
/// What `main` has on its stack stays where it is, for ever: no destructor runs, but neither is its memory used again. The
/// lives of this CPU take place below it, on what is left of the stack: a `main` that keeps large values there had better
/// call this from a function that does not. Whoever does not get by with it meets the guard page, as ever.
///
/// # Panics
///
/// Outside of `main`: on any other CPU, a second time, in a launched closure, in a callback of any kind, with interrupts
/// masked, or in interrupt context.
pub fn become_secondary() -> ! {
    let area = area::current();
    // A closure that `main` runs as it idles has frames of its own, on top of a `main` that has not ended.
    let is_main = Holds::of(area).is_main() && !Mailbox::of(area).is_running() && !masking::is_masked();
    assert!(is_main, "cpu::become_secondary() outside of main");
    area.begin_below(arch::stack_pointer());
    Holds::of(area).set_main(false);
    run_secondary(area)
}
