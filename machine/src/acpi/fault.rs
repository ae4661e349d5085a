//! Errors, as the reader of tables makes them, and where they are.

use crate::error::{Error, Fault, Origin, Place};
use core::fmt;

/// A table, or one of its structures, as [`Path`](crate::Path) shows it: `MADT`, `MADT: GICC 3`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TablePath {
    /// What people call the table, which is not always its signature.
    pub(super) table: &'static str,
    /// Which structure of it; of several, how many of its kind stand before it.
    pub(super) part: Option<(&'static str, u32)>,
}

impl TablePath {
    pub(super) const fn of(table: &'static str) -> Self {
        Self { table, part: None }
    }

    pub(super) const fn part(self, name: &'static str, index: u32) -> Self {
        Self { part: Some((name, index)), ..self }
    }
}

impl fmt::Display for TablePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table)?;
        match self.part {
            Some((name, index)) => write!(f, ": {name} {index}"),
            None => Ok(()),
        }
    }
}

impl<'a> Error<'a> {
    /// A fault of one part.
    pub(super) fn in_table(fault: Fault, path: TablePath, what: &'static str) -> Self {
        Self::new(Origin::Acpi, fault, Place::Part(path.into()), what)
    }

    /// A field that says something impossible.
    pub(super) fn field(path: TablePath, name: &'static str, what: &'static str) -> Self {
        Self::new(Origin::Acpi, Fault::Property, Place::Property(path.into(), name), what)
    }

    /// Something that there is not.
    pub(super) const fn not_described(what: &'static str) -> Self {
        Self::new(Origin::Acpi, Fault::Absent, Place::Whole, what)
    }
}
