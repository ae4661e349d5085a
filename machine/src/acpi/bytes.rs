//! Numbers in tables: little-endian, of any alignment (ACPI 5.2).

use super::fault::{TablePath, Wrong};
use crate::error::Fault;
use crate::interrupt::{Interrupt, Trigger};

/// The number of `width` bytes, at most 8, at `at`.
#[inline(never)]
pub(super) fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.get(..width)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The bytes of a table or of one of its structures, and where they stand.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub bytes: &'a [u8],
    pub path: TablePath,
}

impl Piece<'_> {
    /// A field, which has to be there.
    #[inline(never)]
    pub fn number(&self, at: usize, width: usize) -> Result<u64, Wrong> {
        let short = Wrong::new(Fault::Structure, self.path, "too short for what is to be in it");
        number(self.bytes, at, width).ok_or(short.value(self.bytes.len() as u64))
    }

    /// A field of which 0 means that there is nothing, as does a table of an earlier version that ends before it.
    #[inline(never)]
    pub fn optional(&self, at: usize, width: usize) -> u64 {
        number(self.bytes, at, width).unwrap_or(0)
    }

    /// It is wrong.
    pub fn wrong(&self, fault: Fault, what: &'static str) -> Wrong {
        Wrong::new(fault, self.path, what)
    }
}

/// The interrupt of the GIC with this GSIV (ACPI 5.2.12.15: the number is the INTID); `None` if there is none.
pub(super) fn interrupt(gsiv: u64, trigger: Trigger) -> Option<Interrupt> {
    let id = u32::try_from(gsiv).ok()?;
    matches!(id, 16..=1019 | 1056..=1119 | 4096..=5119).then_some(Interrupt { id, trigger })
}
