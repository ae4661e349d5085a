//! What the application chooses by the keys of `entry!`.

use super::idle::idle_loop;
use crate::memory::stacks::{Layout, Stacks};
use crate::percpu::CpuId;

/// A secondary function that may be abandoned: its CPU can leave the system from inside of it.
///
/// A CPU that leaves runs no destructor and never returns to where it was; its next life begins at the top of the same
/// stack, in another call of the function. For [`entry!`](crate::entry).
///
/// ```no_run
/// use reveille::cpu::{self, CpuId, Leaving};
/// use reveille::{ExitCode, System};
///
/// // SAFETY: whenever it calls `offline_point`, its frames hold nothing whose destructor has to run.
/// reveille::entry!(main, leaving = unsafe { Leaving::new(secondary) });
///
/// fn secondary(_cpu: CpuId) -> ! {
///     loop {
///         cpu::idle();
///         cpu::offline_point();
///     }
/// }
///
/// fn main(system: &'static System) -> ExitCode {
///     system.bring_up_all(system.deadline()).is_complete().into()
/// }
/// ```
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
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille::cpu::{self, CpuId, Leaving};
    ///
    /// fn secondary(cpu: CpuId) -> ! {
    ///     cpu::idle_loop(cpu)
    /// }
    ///
    /// // SAFETY: its frame holds nothing.
    /// const LEAVING: Leaving = unsafe { Leaving::new(secondary) };
    /// ```
    #[must_use]
    pub const unsafe fn new(secondary: fn(CpuId) -> !) -> Self {
        Self(secondary)
    }
}

/// What [`entry!`](crate::entry) is given for secondaries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Secondary {
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

/// What [`entry!`](crate::entry) makes of what it is given: a method for each key, called in the order in which they stand there.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub(super) secondary: Secondary,
    stacks: Option<Stacks>,
    /// Whether the application is built without optimisation.
    unoptimised: bool,
}

impl Options {
    /// Without any key, for an application that is built for this `opt-level`.
    pub const fn new(opt_level: &str) -> Self {
        let unoptimised = matches!(opt_level.as_bytes(), b"0");
        Self { secondary: Secondary::Idle, stacks: None, unoptimised }
    }

    /// `secondary = f`
    pub const fn secondary(self, secondary: fn(CpuId) -> !) -> Self {
        self.with_secondary(Secondary::Stays(secondary))
    }

    /// `leaving = ..`
    pub const fn leaving(self, leaving: Leaving) -> Self {
        self.with_secondary(Secondary::Leaves(leaving))
    }

    /// `stacks = ..`
    pub const fn stacks(mut self, stacks: Stacks) -> Self {
        assert!(self.stacks.is_none(), "entry!: the key `stacks`, once");
        self.stacks = Some(stacks.checked());
        self
    }

    /// Where the stacks lie that were chosen, or else those of [`Stacks::DEFAULT`]; neither small for an application that is not
    /// optimised, even where the runtime is.
    pub const fn layout(self) -> Layout {
        let chosen = match self.stacks {
            Some(stacks) => stacks,
            None => Stacks::DEFAULT,
        };
        if self.unoptimised { Layout::unoptimised(chosen) } else { Layout::of(chosen) }
    }

    const fn with_secondary(mut self, secondary: Secondary) -> Self {
        assert!(
            matches!(self.secondary, Secondary::Idle),
            "entry!: one of the keys `secondary` and `leaving`, once"
        );
        self.secondary = secondary;
        self
    }
}

unsafe extern "Rust" {
    safe fn reveille_options() -> Options;
}

/// The choice of this image.
#[inline(always)]
pub(super) fn chosen() -> Options {
    reveille_options()
}
