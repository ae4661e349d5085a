//! The machine as a whole.

use crate::console::Console;
use crate::dt::chosen;
use crate::dt::tree::Tree;
use crate::error::Error;
use crate::gic::Gic;
use crate::psci::Psci;
use crate::region::Regions;
use crate::source::{Cpus, Memory, Reservations, Source};
use crate::timer::Timer;
use crate::uefi::MemoryMap;

/// A machine, as it is described: by a device tree, which [`Machine::parse`] reads, or by ACPI tables, for which there is
/// [`Machine::from_acpi`].
///
/// Each part is a `Result` of its own. [`Error::is_absent`] tells a part that the description does not have from one
/// that it describes wrongly; either prints as one line.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) cpu_count: usize,
    pub(crate) memory_map: Option<MemoryMap<'a>>,
    /// The tree that says what memory may be used, beside what describes the machine.
    pub(crate) chosen: Option<Tree<'a>>,
    /// Its name, empty if it has none.
    pub model: &'a str,
    /// The kernel command line, empty if there is none.
    pub bootargs: Result<&'a str, Error<'a>>,
    /// The interrupt controller.
    pub gic: Result<Gic<'a>, Error<'a>>,
    /// The firmware that starts and stops CPUs.
    pub psci: Result<Psci<'a>, Error<'a>>,
    /// The generic timer.
    pub timer: Result<Timer, Error<'a>>,
    /// What is wrong with the frequency that the timer is said to have, which is left out then.
    pub timer_note: Option<Error<'a>>,
    /// The console that was chosen, else the first UART with a driver.
    pub console: Result<Console<'a>, Error<'a>>,
    /// Why the console is not one that was chosen; see [`Console::is_chosen`].
    pub console_note: Option<Error<'a>>,
    /// What is odd about the description as a whole, and can be lived with.
    pub source_note: Option<Error<'a>>,
}

impl<'a> Machine<'a> {
    /// The same with the memory map of UEFI firmware: it says what [memory](Self::memory) there is, whatever else the description says of
    /// it, and is the first to say what of it is [taken](Self::reserved).
    #[must_use]
    pub fn with_memory_map(mut self, map: MemoryMap<'a>) -> Self {
        self.memory_map = Some(map);
        self
    }

    /// The same with what the tree of `other` says of [memory that may be used](Self::usable_memory), for a machine that is not described by a tree.
    #[must_use]
    pub fn with_usable_memory_of(mut self, other: &Self) -> Self {
        self.chosen = other.source.tree();
        self
    }

    /// What of the memory may be used, if not all: `linux,usable-memory-range` in `/chosen` (Linux, `Documentation/devicetree/bindings`). An image
    /// that is started when a Linux has crashed has what that one had set apart for it; all else is as the crash left it, and devices may still
    /// write to it.
    ///
    /// # Errors
    /// It does not say so in a way that can be understood, or there is none.
    pub fn usable_memory(&self) -> Result<Option<Regions>, Error<'a>> {
        self.source.tree().or(self.chosen).map_or(Ok(None), chosen::usable)
    }

    /// Whether ACPI tables describe it, and no device tree.
    pub fn is_from_tables(&self) -> bool {
        self.source.tree().is_none()
    }

    /// The CPUs in the order of the description, which need not start with the one that boots. A CPU that is described
    /// wrongly, or has the MPIDR of an earlier one, is an error in its place; no CPU at all is a single error.
    pub fn cpus(&self) -> Cpus<'a> {
        self.source.cpus()
    }

    /// How many CPUs are described, of whatever status, and rightly or not.
    pub fn cpu_count(&self) -> usize {
        self.cpu_count
    }

    /// The memory, whether or not it [may be used](Self::usable_memory). Pieces of no size are left out; no memory at all is a single error.
    pub fn memory(&self) -> Memory<'a> {
        Memory::new(self.source, self.memory_map)
    }

    /// Memory that is taken. The description itself and the running image are not among it.
    pub fn reserved(&self) -> Reservations<'a> {
        Reservations::new(self.source, self.memory_map)
    }

    /// What the board is compatible with, most specific first, for quirks that are keyed by board.
    pub fn compatible(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.source.compatible()
    }

    /// True if the board says it is `board`.
    pub fn is_compatible(&self, board: &str) -> bool {
        self.compatible().any(|name| name == board)
    }

    /// The registers of the first enabled device that is compatible with `with`.
    ///
    /// # Errors
    /// [`Fault::Absent`](crate::Fault::Absent) if there is none, another if its registers are described wrongly or are more
    /// than [`Regions::CAPACITY`] regions.
    pub fn device_regions(&self, with: &str) -> Result<Regions, Error<'a>> {
        self.source.device_regions(with)
    }
}
