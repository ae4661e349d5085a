//! What is wrong with tables, and where. Small, since much of what is read may be: [`Error`] is made of it where an answer leaves the reader.

use crate::error::{Error, Fault, Origin, Place};
use crate::path::Path;
use core::fmt;

/// The tables that are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Rsdp,
    Rsdt,
    Xsdt,
    Madt,
    Fadt,
    Gtdt,
    Spcr,
    Dbg2,
}

/// What people call them, four letters each, which is not always the signature.
const NAMES: &str = "RSDPRSDTXSDTMADTFADTGTDTSPCRDBG2";

/// The structures of tables that are read: those of the MADT by their number there (ACPI 5.2.12, table 5.21).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The table itself.
    Whole = 0,
    /// Of the DBG2.
    Device = 1,
    Gicc = 0xb,
    Gicd = 0xc,
    Gicr = 0xe,
}

/// A table, or one of its structures, as [`Path`] shows it: `MADT`, `MADT: GICC 3`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TablePath {
    table: Table,
    /// Which structure of it,
    kind: Kind,
    /// and how many of the kind stand before it.
    index: u32,
}

impl TablePath {
    pub(super) const fn of(table: Table) -> Self {
        Self { table, kind: Kind::Whole, index: 0 }
    }

    pub(super) const fn part(self, kind: Kind, index: u32) -> Self {
        Self { kind, index, ..self }
    }
}

impl fmt::Display for TablePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = 4 * self.table as usize;
        f.write_str(NAMES.get(at..at + 4).unwrap_or(""))?;
        let name = match self.kind {
            Kind::Whole => return Ok(()),
            Kind::Device => "device",
            Kind::Gicc => "GICC",
            Kind::Gicd => "GICD",
            Kind::Gicr => "GICR",
        };
        write!(f, ": {name} {}", self.index)
    }
}

/// One fault.
#[derive(Clone, Copy)]
pub(super) struct Wrong {
    fault: Fault,
    path: TablePath,
    what: &'static str,
    value: u64,
    has_value: bool,
}

impl Wrong {
    pub const fn new(fault: Fault, path: TablePath, what: &'static str) -> Self {
        Self { fault, path, what, value: 0, has_value: false }
    }

    /// The same, with the number that is wrong.
    pub const fn value(self, value: u64) -> Self {
        Self { value, has_value: true, ..self }
    }

    /// Whether there is no such thing.
    pub fn is_absent(&self) -> bool {
        self.fault == Fault::Absent
    }
}

impl From<Wrong> for Error<'_> {
    #[inline(never)]
    fn from(wrong: Wrong) -> Self {
        let error = Self::new(Origin::Acpi, wrong.fault, Place::Part(Path::from(wrong.path)), wrong.what);
        if wrong.has_value { error.value(wrong.value) } else { error }
    }
}

/// Something that tables do not have.
#[inline(never)]
pub(super) fn not_described<'a>(what: &'static str) -> Error<'a> {
    Error::new(Origin::Acpi, Fault::Absent, Place::Whole, what)
}
