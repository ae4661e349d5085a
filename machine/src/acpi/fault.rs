//! Where something stands in tables, and what is wrong with it.

use crate::error::{Error, Fault, Origin, Place};
use crate::path::Path;
use core::fmt;

/// The tables that are read: first those that are looked for in the list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Madt,
    Fadt,
    Gtdt,
    Spcr,
    Dbg2,
    Rsdp,
    Rsdt,
    Xsdt,
}

/// What people call them, four letters each, which is not always the signature.
const NAMES: &str = "MADTFADTGTDTSPCRDBG2RSDPRSDTXSDT";

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

    pub(super) const fn part(table: Table, kind: Kind, index: u32) -> Self {
        Self { table, kind, index }
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

/// One thing that is wrong.
#[derive(Clone, Copy)]
pub(super) struct Wrong {
    path: TablePath,
    fault: Fault,
    /// Empty: nothing is.
    what: &'static str,
    value: Option<u64>,
}

impl Wrong {
    const NOTHING: Self =
        Self { path: TablePath::of(Table::Rsdp), fault: Fault::Absent, what: "", value: None };

    /// Whether there is no such thing.
    pub fn is_absent(&self) -> bool {
        self.fault == Fault::Absent
    }

    #[inline(never)]
    pub fn error<'a>(&self) -> Error<'a> {
        let error = Error::new(Origin::Acpi, self.fault, Place::Part(Path::from(self.path)), self.what);
        self.value.map_or(error, |value| error.value(value))
    }
}

/// A look at the tables: where it is, and what it has found. An answer is `None` where something is wrong, which stands here then: so answers
/// are small, of which there are many.
pub(super) struct Look {
    /// What is looked at.
    pub path: TablePath,
    /// What is wrong with the part that was asked for.
    pub wrong: Wrong,
    /// The first thing that is odd, and can be lived with.
    odd: Wrong,
}

impl Look {
    pub const NEW: Self =
        Self { path: TablePath::of(Table::Rsdp), wrong: Wrong::NOTHING, odd: Wrong::NOTHING };

    /// Something is wrong here.
    #[inline(never)]
    pub fn fail(&mut self, fault: Fault, what: &'static str) {
        self.wrong = Wrong { path: self.path, fault, what, value: None };
    }

    /// The same, with the number that is wrong.
    #[inline(never)]
    pub fn fail_with(&mut self, fault: Fault, what: &'static str, value: u64) {
        self.fail(fault, what);
        self.wrong.value = Some(value);
    }

    /// What was found wrong last is only odd.
    #[inline(never)]
    pub fn make_odd(&mut self) {
        if self.odd.what.is_empty() {
            self.odd = self.wrong;
        }
        self.clear();
    }

    /// On to the next part.
    pub fn clear(&mut self) {
        self.wrong.what = "";
    }

    /// Whether something is wrong.
    pub fn has_failed(&self) -> bool {
        !self.wrong.what.is_empty()
    }

    /// The first thing that is odd.
    pub fn oddity<'a>(&self) -> Option<Error<'a>> {
        (!self.odd.what.is_empty()).then(|| self.odd.error())
    }

    /// A field, which has to be there.
    #[inline(never)]
    pub fn number(&mut self, bytes: &[u8], at: usize, width: usize) -> Option<u64> {
        if bytes.len() < at.saturating_add(width) {
            let what = "too short for what is to be in it";
            self.fail_with(Fault::Structure, what, bytes.len() as u64);
            return None;
        }
        Some(number(bytes, at, width))
    }
}

/// The number of `width` bytes, at most 8, at `at`: little-endian, of any alignment (ACPI 5.2). 0 where there is none: a field of which 0
/// means nothing is missing from tables of earlier versions.
#[inline(never)]
pub(super) fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    let bytes = bytes.get(at..).and_then(|rest| rest.get(..width)).unwrap_or(&[]);
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Something that tables do not have.
#[inline(never)]
pub(super) fn not_described<'a>(what: &'static str) -> Error<'a> {
    Error::new(Origin::Acpi, Fault::Absent, Place::Whole, what)
}
