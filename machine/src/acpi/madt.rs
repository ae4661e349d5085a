//! The structures of the MADT (ACPI 5.2.12).

use super::bytes::{Piece, number};
use super::fault::{Kind, Table, TablePath, Wrong};
use crate::error::Fault;

pub(super) const MADT: TablePath = TablePath::of(Table::Madt);

/// Where the structures begin.
const FIRST: usize = 44;

/// The structures in order, each with its kind: those that are read, and no others. One that cannot be stepped over is an error, and the last.
#[derive(Clone, Copy)]
pub(super) struct Structures<'a> {
    rest: &'a [u8],
    /// How many there were of each kind.
    seen: [u32; 3],
}

impl<'a> Structures<'a> {
    pub fn new(madt: &Piece<'a>) -> Self {
        Self { rest: madt.bytes.get(FIRST..).unwrap_or(&[]), seen: [0; 3] }
    }

    /// Those of a MADT, if there is one.
    pub fn of(madt: Option<Piece<'a>>) -> Self {
        Self::new(&madt.unwrap_or(Piece { bytes: &[], path: MADT }))
    }

    /// The next one of this kind.
    pub fn next_of(&mut self, kind: Kind) -> Result<Option<Piece<'a>>, Wrong> {
        loop {
            match self.step()? {
                Some((found, piece)) if found == kind => return Ok(Some(piece)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    #[inline(never)]
    pub fn step(&mut self) -> Result<Option<(Kind, Piece<'a>)>, Wrong> {
        while !self.rest.is_empty() {
            let length = number(self.rest, 1, 1).unwrap_or(0) as usize;
            let Some((bytes, rest)) = self.rest.split_at_checked(length).filter(|_| length >= 2) else {
                self.rest = &[];
                let wrong = Wrong::new(Fault::Structure, MADT, "a structure of impossible length");
                return Err(wrong.value(length as u64));
            };
            self.rest = rest;
            let (kind, seen) = match (bytes.first(), &mut self.seen) {
                (Some(0xb), [seen, ..]) => (Kind::Gicc, seen),
                (Some(0xc), [_, seen, ..]) => (Kind::Gicd, seen),
                (Some(0xe), [_, _, seen]) => (Kind::Gicr, seen),
                _ => continue,
            };
            let path = MADT.part(kind, *seen);
            *seen += 1;
            return Ok(Some((kind, Piece { bytes, path })));
        }
        Ok(None)
    }
}
