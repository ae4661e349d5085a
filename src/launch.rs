//! Closures for the thread context of an idle CPU.

use crate::arch::{Hw, HwWord};
use crate::closure::ClosureCell;
use crate::gic::{self, WAKE};
use crate::percpu::CpuId;
use crate::percpu::area::{self, Area, Part};
use core::fmt;
use reveille_protocol::{LaunchRefusal, LaunchSlot, LaunchState};

/// Bytes that a launched closure may capture.
pub const LAUNCH_BYTES: usize = 128;

/// Where a closure waits for its CPU.
pub(crate) struct Mailbox {
    slot: LaunchSlot<Hw>,
    closure: ClosureCell<LAUNCH_BYTES>,
}

/// Why a closure was not launched. It comes back inside.
///
/// ```no_run
/// use reveille::cpu::{self, LaunchError};
///
/// # fn example(cpu: reveille::cpu::CpuId) {
/// match cpu::launch(cpu, || { /* .. */ }) {
///     Ok(()) => {}
///     // It runs another one, or has not taken it up yet.
///     Err(LaunchError::Busy(f)) => f(),
///     Err(LaunchError::Offline(f)) => f(),
/// }
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LaunchError<F> {
    /// The CPU has one to run already.
    Busy(F),
    /// The CPU is not online.
    Offline(F),
}

impl<F> LaunchError<F> {
    /// The closure.
    ///
    /// ```no_run
    /// use reveille::cpu;
    ///
    /// # fn example(cpu: reveille::cpu::CpuId) {
    /// if let Err(refused) = cpu::launch(cpu, || { /* .. */ }) {
    ///     // Here, then.
    ///     refused.into_inner()();
    /// }
    /// # }
    /// ```
    pub fn into_inner(self) -> F {
        match self {
            Self::Busy(f) | Self::Offline(f) => f,
        }
    }
}

impl<F> fmt::Debug for LaunchError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy(_) => "Busy",
            Self::Offline(_) => "Offline",
        })
    }
}

impl<F> fmt::Display for LaunchError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy(_) => "the CPU has a launched closure to run already",
            Self::Offline(_) => "the CPU is not online",
        })
    }
}

impl Mailbox {
    /// A closed mailbox.
    pub(crate) const fn new() -> Self {
        Self {
            slot: LaunchSlot::from_parts(HwWord::with(LaunchSlot::<Hw>::CLOSED)),
            closure: ClosureCell::new(),
        }
    }

    /// Lets closures in. By its own CPU, as it comes online.
    pub(crate) fn open(&self) {
        self.slot.reopen();
    }

    /// Lets no more closures in; `false` if one waits or runs. By its own CPU.
    pub(crate) fn close(&self) -> bool {
        self.slot.close().is_ok() || self.slot.state() == LaunchState::Closed
    }

    /// Whether a closure waits to be run.
    pub(crate) fn is_waiting(&self) -> bool {
        self.slot.state() == LaunchState::Full
    }

    /// Whether a closure runs there. Certain on that CPU.
    pub(crate) fn is_running(&self) -> bool {
        self.slot.state() == LaunchState::Running
    }

    /// Lets no more closures in, ever, whatever became of the last one. The CPU has parked.
    pub(crate) fn condemn(&self) {
        self.slot.condemn();
    }

    /// Runs the closure that waits, if there is one. By its own CPU, in thread context.
    #[inline(always)]
    pub(crate) fn run_one(&self) -> bool {
        // Looked at first: mostly none does.
        self.is_waiting() && self.run_waiting()
    }

    #[inline(never)]
    fn run_waiting(&self) -> bool {
        let Some(running) = self.slot.take() else { return false };
        // SAFETY: `running` is the exclusive right to the closure that its launcher published with the slot.
        unsafe { self.closure.run() };
        drop(running);
        true
    }
}

/// Whether a closure is on its way to the CPU of `area`, waits there, or runs.
pub(crate) fn is_in_use(area: &Area) -> bool {
    !matches!(Mailbox::of(area).slot.state(), LaunchState::Empty | LaunchState::Closed)
}

/// Runs `f` in the thread context of `cpu`, the next time that CPU is in [`idle()`](crate::cpu::idle()).
///
/// In thread context `f` may do whatever `main` may: wait, call, launch. It runs exactly once. The closure
/// is stored in place: it may capture at most [`LAUNCH_BYTES`].
///
/// # Errors
///
/// At once, with the closure: [`LaunchError::Busy`] while another waits or runs there, [`LaunchError::Offline`]
/// if the CPU is not online.
///
/// # Examples
///
/// ```no_run
/// use reveille::{cpu, println};
///
/// # fn example() {
/// // In the thread of each other CPU, with interrupts open, for as long as it likes.
/// for cpu in cpu::online().without(cpu::current()).iter() {
///     if cpu::launch(cpu, || println!("cpu {} works", cpu::current())).is_err() {
///         println!("cpu {cpu} has other work");
///     }
/// }
/// # }
/// ```
pub fn launch<F: FnOnce() + Send + 'static>(cpu: CpuId, f: F) -> Result<(), LaunchError<F>> {
    let area = area::of(cpu);
    let mailbox = Mailbox::of(area);
    let filling = match mailbox.slot.fill() {
        Ok(filling) => filling,
        Err(LaunchRefusal::Busy) => return Err(LaunchError::Busy(f)),
        Err(LaunchRefusal::Closed) => return Err(LaunchError::Offline(f)),
    };
    // SAFETY: `filling` is the exclusive right to the empty cell until it is published.
    unsafe { mailbox.closure.put(f) };
    filling.publish();
    gic::send_sgi(WAKE, cpu);
    Ok(())
}
