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

mod bytes;
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
use crate::machine::Machine;
use crate::source::Source;
use bytes::Piece;
use core::fmt;
use madt::{Kind, Structures};
use table::Root;

/// What is asked again later.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    root: Piece<'a>,
    madt: Result<Piece<'a>, Error<'a>>,
    /// Whether firmware starts CPUs, so far as can be told.
    psci: bool,
}

impl<'a> Tables<'a> {
    /// OEM ID and OEM Table ID, which are padded with blanks or with zeros.
    pub(crate) fn names(self) -> [&'a str; 2] {
        [10..16, 16..24].map(|place| self.root.bytes.get(place).map_or("", text))
    }
}

impl fmt::Debug for Tables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tables of {:?}", self.names())
    }
}

/// As far as it is printable ASCII, without blanks at its end.
fn text(bytes: &[u8]) -> &str {
    let length = bytes.iter().take_while(|byte| matches!(byte, b' '..=b'~')).count();
    core::str::from_utf8(bytes.get(..length).unwrap_or(&[])).unwrap_or("").trim_end()
}

/// Devices stand in the namespace.
pub(crate) fn no_devices<'a>() -> Error<'a> {
    Error::not_described("devices are not looked for: the namespace is not read")
}

/// Memory is for UEFI to tell.
pub(crate) fn no_memory<'a>() -> Error<'a> {
    Error::not_described("without the memory map of UEFI there is no memory")
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
        let root = Root::find(rsdp, read)?;
        let mut note = None;
        let wanted =
            [(b"APIC", "MADT"), (b"FACP", "FADT"), (b"GTDT", "GTDT"), (b"SPCR", "SPCR"), (b"DBG2", "DBG2")];
        let [madt, fadt, gtdt, spcr, dbg2] = root.tables(wanted, &mut note, read);
        let (console, console_note) = console::find(spcr, dbg2);
        let psci = fadt.and_then(|fadt| psci::read(fadt, &mut note));
        let gic = madt.and_then(|madt| gic::read(madt, &mut note));
        let tables = Tables { root: root.piece, madt, psci: psci.is_ok() };
        let model = root.piece.bytes.get(10..24).map_or("", text);
        Ok(Self {
            source: Source::Acpi(tables),
            memory_map: None,
            cpu_count: madt.map_or(0, |madt| Structures::new(madt, Kind::Gicc).flatten().count()),
            model,
            bootargs: Ok(bootargs),
            gic,
            psci,
            timer: gtdt.and_then(timer::read),
            timer_note: None,
            console,
            console_note,
            source_note: note,
        })
    }
}
