//! The structures of the MADT (ACPI 5.2.12).

use super::fault::{Kind, Look, Table, TablePath, number};
use crate::error::Fault;

/// Where the structures begin.
const FIRST: usize = 44;

/// The structures that are read, in their order.
#[derive(Clone, Copy)]
pub(super) struct Structures<'a> {
    rest: &'a [u8],
    /// How many there were of each kind.
    seen: [u32; 3],
}

impl<'a> Structures<'a> {
    pub fn new(madt: &'a [u8]) -> Self {
        Self { rest: madt.get(FIRST..).unwrap_or(&[]), seen: [0; 3] }
    }

    /// The next one, which is what is looked at from now on. One that cannot be stepped over is wrong, and the last.
    #[inline(never)]
    pub fn step(&mut self, look: &mut Look) -> Option<(Kind, &'a [u8])> {
        while !self.rest.is_empty() {
            let length = number(self.rest, 1, 1) as usize;
            let Some((bytes, rest)) = self.rest.split_at_checked(length).filter(|_| length >= 2) else {
                self.rest = &[];
                look.path = TablePath::of(Table::Madt);
                look.fail_with(Fault::Structure, "a structure of impossible length", length as u64);
                break;
            };
            self.rest = rest;
            let (kind, seen) = match (bytes.first(), &mut self.seen) {
                (Some(0xb), [seen, ..]) => (Kind::Gicc, seen),
                (Some(0xc), [_, seen, ..]) => (Kind::Gicd, seen),
                (Some(0xe), [_, _, seen]) => (Kind::Gicr, seen),
                _ => continue,
            };
            look.path = TablePath::part(Table::Madt, kind, *seen);
            *seen += 1;
            return Some((kind, bytes));
        }
        None
    }

    /// The next CPU.
    pub fn cpu(&mut self, look: &mut Look) -> Option<&'a [u8]> {
        loop {
            if let (Kind::Gicc, bytes) = self.step(look)? {
                return Some(bytes);
            }
        }
    }
}
