//! The structures of the MADT (ACPI 5.2.12).

use super::bytes::{Piece, number};
use super::fault::TablePath;
use crate::error::{Error, Fault};

pub(super) const MADT: TablePath = TablePath::of("MADT");

/// Where the structures begin.
const FIRST: usize = 44;

/// The kinds of structures that are read (ACPI 5.2.12, table 5.21).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gicc = 0xb,
    Gicd = 0xc,
    Gicr = 0xe,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Gicc => "GICC",
            Self::Gicd => "GICD",
            Self::Gicr => "GICR",
        }
    }
}

/// The structures of one kind, in order. One that cannot be stepped over is an error, and the last.
#[derive(Clone, Copy)]
pub(super) struct Structures<'a> {
    rest: &'a [u8],
    kind: Kind,
    index: u32,
}

impl<'a> Structures<'a> {
    pub fn new(madt: Piece<'a>, kind: Kind) -> Self {
        Self { rest: madt.bytes.get(FIRST..).unwrap_or(&[]), kind, index: 0 }
    }
}

impl<'a> Iterator for Structures<'a> {
    type Item = Result<Piece<'a>, Error<'a>>;

    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let length = number(self.rest, 1, 1).unwrap_or(0) as usize;
            let Some((bytes, rest)) = self.rest.split_at_checked(length).filter(|_| length >= 2) else {
                self.rest = &[];
                let error = Error::in_table(Fault::Structure, MADT, "a structure of impossible length");
                return Some(Err(error.value(length as u64)));
            };
            self.rest = rest;
            if number(bytes, 0, 1) == Some(self.kind as u64) {
                let path = MADT.part(self.kind.name(), self.index);
                self.index += 1;
                return Some(Ok(Piece { bytes, path }));
            }
        }
        None
    }
}
