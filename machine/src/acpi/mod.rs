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
use fault::{Kind, Table, Wrong, not_described};
use madt::Structures;
use table::Root;

/// What is asked again later.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    root: Piece<'a>,
    madt: Result<Piece<'a>, Wrong>,
    /// Whether firmware starts CPUs, so far as can be told.
    psci: bool,
}

impl<'a> Tables<'a> {
    /// The structures of the MADT; none if there is none.
    fn structures(&self) -> Structures<'a> {
        Structures::of(self.madt.ok())
    }

    /// How many CPUs there are.
    fn count(&self) -> usize {
        let mut structures = self.structures();
        core::iter::from_fn(|| structures.next_of(Kind::Gicc).ok()?).count()
    }

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
        let root = Root::find(rsdp, read)?;
        let mut note = None;
        let wanted = [
            (b"APIC", Table::Madt),
            (b"FACP", Table::Fadt),
            (b"GTDT", Table::Gtdt),
            (b"SPCR", Table::Spcr),
            (b"DBG2", Table::Dbg2),
        ];
        let [madt, fadt, gtdt, spcr, dbg2] = &root.tables(wanted, &mut note, read);
        let mut console_note = None;
        let psci = psci::read(fadt, &mut note);
        let tables = Tables { root: root.piece, madt: *madt, psci: psci.is_ok() };
        let mut machine = Self {
            source: Source::Acpi(tables),
            memory_map: None,
            cpu_count: tables.count(),
            model: root.piece.bytes.get(10..24).map_or("", text),
            bootargs: Ok(bootargs),
            gic: gic::read(madt, &mut note),
            psci,
            timer: timer::read(gtdt),
            timer_note: None,
            console: console::find(spcr, dbg2, &mut console_note),
            console_note,
            source_note: None,
        };
        machine.source_note = note.map(Error::from);
        Ok(machine)
    }
}
