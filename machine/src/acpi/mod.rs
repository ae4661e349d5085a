//! The reader of ACPI tables.
//!
//! [`Machine::from_acpi`] follows the pointers from the RSDP that firmware left in memory. No interpreter of AML is wanted for what is read
//! here: it stands in tables of fixed layout.
//!
//! - Only an RSDP or a list of tables that cannot be read at all is an error of `from_acpi`. A table that is missing or damaged is an
//!   error of the part that it describes.
//! - No input panics, nothing is read but what the caller lets it read, and every question costs at most a few walks over a table.
//!   A table that points to itself, or to another one in a circle, is read once: tables are found in the list of the RSDP alone.
//!
//! | part | where it stands |
//! |---|---|
//! | [`model`](Machine::model), [`compatible`](Machine::compatible) | OEM ID and OEM Table ID of the XSDT (ACPI 5.2.8) |
//! | [`bootargs`](Machine::bootargs), [`memory`](Machine::memory), [`reserved`](Machine::reserved) | not in tables: what the caller says, and what UEFI says, whose [memory map](Machine::with_memory_map) is needed |
//! | [`cpus`](Machine::cpus) | GICC structures of the MADT (5.2.12.14): by PSCI if the FADT says so, else by the parking protocol |
//! | [`gic`](Machine::gic) | GICD and GICR structures of the MADT (5.2.12.15, 5.2.12.17), and what GICC structures add; ITS are not used |
//! | [`psci`](Machine::psci) | ARM boot architecture flags of the FADT (5.2.9.4) |
//! | [`timer`](Machine::timer) | the GTDT (5.2.25) |
//! | [`console`](Machine::console) | the SPCR, else the first usable port of the DBG2 |
//! | [`device_regions`](Machine::device_regions) | in the namespace, which is not read |
//!
//! Numbers of sections are those of the ACPI Specification, release 6.5.

mod console;
pub(crate) mod cpu;
mod fault;
mod gic;
mod madt;
mod psci;
mod table;
mod timer;

pub(crate) use fault::TablePath;
pub use table::{HEADER, ReadPhysical};

use crate::error::Error;
use crate::interrupt::{Interrupt, Trigger};
use crate::machine::Machine;
use crate::source::Source;
use core::fmt;
use fault::{Look, Table, Wrong, not_described};
use madt::Structures;
use table::List;

/// What is asked again later.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    /// The list of tables, for the names that are in its header.
    root: &'a [u8],
    /// Empty if there is none that is sound,
    madt: &'a [u8],
    /// and this is why.
    madt_wrong: Wrong,
    /// Whether firmware starts CPUs, so far as can be told.
    psci: bool,
}

impl<'a> Tables<'a> {
    /// How many CPUs there are.
    fn count(&self) -> usize {
        let (mut structures, mut look) = (Structures::new(self.madt), Look::NEW);
        core::iter::from_fn(|| structures.cpu(&mut look)).count()
    }

    /// OEM ID and OEM Table ID, which are padded with blanks or with zeros.
    pub(crate) fn names(self) -> [&'a str; 2] {
        [text(self.root, 10, 16), text(self.root, 16, 24)]
    }
}

impl fmt::Debug for Tables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tables of {:?}", self.names())
    }
}

/// What stands in `bytes` from `start` to `end`, as far as it is printable ASCII, without blanks at its end.
#[inline(never)]
fn text(bytes: &[u8], start: usize, end: usize) -> &str {
    let bytes = bytes.get(start..end).unwrap_or(&[]);
    let mut length = 0;
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'!'..=b'~' => length = index + 1,
            b' ' => {}
            _ => break,
        }
    }
    core::str::from_utf8(bytes.get(..length).unwrap_or(&[])).unwrap_or("")
}

/// The interrupt of the GIC with this GSIV (ACPI 5.2.12.15: the number is the INTID); `None` if there is none.
fn interrupt(gsiv: u64, trigger: Trigger) -> Option<Interrupt> {
    matches!(gsiv, 16..=1019 | 1056..=1119 | 4096..=5119).then_some(Interrupt { id: gsiv as u32, trigger })
}

/// Devices stand in the namespace.
pub(crate) fn no_devices<'a>() -> Error<'a> {
    not_described("devices are not looked for: the namespace is not read")
}

/// Memory is for UEFI to tell.
pub(crate) fn no_memory<'a>() -> Error<'a> {
    not_described("without the memory map of UEFI there is no memory")
}

impl<'a> Machine<'a> {
    /// Reads the tables to which the RSDP at the physical address `rsdp` leads.
    ///
    /// `read` gives bytes of physical memory, which stay as they are for `'a`. It is asked for whatever tables point to, and says `None` of what
    /// is no memory.
    ///
    /// # Errors
    /// [`Fault::Header`](crate::Fault::Header): the RSDP, or the list of tables to which it leads, is damaged.
    #[inline(never)]
    pub fn from_acpi(rsdp: u64, bootargs: &'a str, read: ReadPhysical<'_, 'a>) -> Result<Self, Error<'a>> {
        let mut look = Look::NEW;
        let Some(list) = List::read(rsdp, &mut look, read) else { return Err(look.wrong.error()) };
        let look = &mut look;
        let (console, console_note) = console::find(&list, look, read);
        let psci = list.table(Table::Fadt, look, read).and_then(|fadt| psci::read(fadt, look));
        let psci = psci.ok_or_else(|| look.wrong.error());
        let timer = list.table(Table::Gtdt, look, read).and_then(|gtdt| timer::read(gtdt, look));
        let timer = timer.ok_or_else(|| look.wrong.error());
        let madt = list.table(Table::Madt, look, read);
        let madt_wrong = look.wrong;
        let gic = madt.and_then(|madt| gic::read(madt, look));
        let tables = Tables { root: list.root, madt: madt.unwrap_or(&[]), madt_wrong, psci: psci.is_ok() };
        Ok(Self {
            source: Source::Acpi(tables),
            memory_map: None,
            chosen: None,
            cpu_count: tables.count(),
            model: text(list.root, 10, 24),
            bootargs: Ok(bootargs),
            gic: gic.ok_or_else(|| look.wrong.error()),
            psci,
            timer,
            timer_note: None,
            console,
            console_note,
            source_note: look.oddity(),
        })
    }
}
