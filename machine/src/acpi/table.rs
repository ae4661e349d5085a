//! From the RSDP to a table: every pointer, length and checksum on the way (ACPI 5.2.5 to 5.2.8).

use super::bytes::{Piece, number};
use super::fault::{Table, TablePath, Wrong};
use crate::error::Fault;

/// How physical memory is read: `len` bytes at an address, or `None` if there is no such memory.
pub type ReadPhysical<'r, 'a> = &'r mut dyn FnMut(u64, usize) -> Option<&'a [u8]>;

/// Bytes of the header of every table (ACPI 5.2.6).
pub const HEADER: usize = 36;
/// A table longer than this is taken for garbage. Those that are read here are shorter than 100 KiB.
const LONGEST: u64 = 16 << 20;
/// Tables that are looked at. Servers have some thirty.
const MOST_TABLES: usize = 256;

/// Bytes of the RSDP that its first checksum covers: all of it in ACPI 1.0 (ACPI 5.2.5.3).
const RSDP_START: usize = 20;
/// Bytes of the RSDP from ACPI 2.0 on.
const RSDP: usize = 36;

const RSDP_PATH: TablePath = TablePath::of(Table::Rsdp);

/// Adds up to 0, as the bytes of everything do that has a checksum.
fn is_sound(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)) == 0
}

const fn header_fault(path: TablePath, what: &'static str) -> Wrong {
    Wrong::new(Fault::Header, path, what)
}

/// The table with the pointers to all others: an XSDT, or an RSDT.
#[derive(Clone, Copy)]
pub(super) struct Root<'a> {
    pub piece: Piece<'a>,
    /// Bytes of a pointer.
    width: usize,
}

impl<'a> Root<'a> {
    /// The one to which the RSDP at `at` leads.
    #[inline(never)]
    pub fn find(at: u64, read: ReadPhysical<'_, 'a>) -> Result<Self, Wrong> {
        let bad = |what| header_fault(RSDP_PATH, what).value(at);
        let start =
            read(at, RSDP_START).and_then(|bytes| bytes.get(..RSDP_START)).ok_or(bad("not readable"))?;
        if !start.starts_with(b"RSD PTR ") {
            return Err(bad("no signature at its start"));
        }
        if !is_sound(start) {
            return Err(bad("wrong checksum"));
        }
        // Revision 2 is that of every version from ACPI 2.0 on.
        if number(start, 15, 1) >= Some(2) {
            let whole = read(at, RSDP).and_then(|bytes| bytes.get(..RSDP)).ok_or(bad("not readable"))?;
            // Later versions may be longer; what is known of them is no longer.
            let length = number(whole, 20, 4).filter(|length| (RSDP as u64..=4096).contains(length));
            let Some(length) = length else { return Err(bad("impossible length")) };
            if !read(at, length as usize).is_some_and(is_sound) {
                return Err(bad("wrong extended checksum"));
            }
            if let Some(xsdt @ 1..) = number(whole, 24, 8) {
                return Self::read(xsdt, b"XSDT", Table::Xsdt, 8, read);
            }
        }
        match number(start, 16, 4) {
            Some(rsdt @ 1..) => Self::read(rsdt, b"RSDT", Table::Rsdt, 4, read),
            _ => Err(bad("leads to no table")),
        }
    }

    fn read(
        at: u64,
        signature: &[u8; 4],
        name: Table,
        width: usize,
        read: ReadPhysical<'_, 'a>,
    ) -> Result<Self, Wrong> {
        let path = TablePath::of(name);
        let header = read(at, HEADER).ok_or(header_fault(path, "not readable").value(at))?;
        if !header.starts_with(signature) {
            return Err(header_fault(path, "another signature at its start").value(at));
        }
        Ok(Self { piece: table(at, header, path, read)?, width })
    }

    /// The first table of each signature. What is odd about the list, and can be lived with, goes to `note`.
    #[inline(never)]
    pub fn tables<const N: usize>(
        &self,
        wanted: [(&[u8; 4], Table); N],
        note: &mut Option<Wrong>,
        read: ReadPhysical<'_, 'a>,
    ) -> [Result<Piece<'a>, Wrong>; N] {
        let absent = |(_, name)| Err(Wrong::new(Fault::Absent, TablePath::of(name), "no such table"));
        let mut found = wanted.map(absent);
        let pointers = self.piece.bytes.get(HEADER..).unwrap_or(&[]).chunks(self.width);
        if pointers.len() > MOST_TABLES {
            let what = "more tables than are looked at, of";
            let wrong = self.piece.wrong(Fault::Unsupported, what);
            note.get_or_insert(wrong.value(pointers.len() as u64));
        }
        for pointer in pointers.take(MOST_TABLES) {
            let at = number(pointer, 0, self.width).unwrap_or(0);
            // One that is 0 has been left out.
            if at == 0 {
                continue;
            }
            let Some(header) = read(at, HEADER).filter(|header| header.len() >= HEADER) else {
                let what = "leads to what is not readable";
                note.get_or_insert(self.piece.wrong(Fault::Structure, what).value(at));
                continue;
            };
            let Some(index) = wanted.iter().position(|(signature, _)| header.starts_with(*signature)) else {
                continue;
            };
            let (Some(slot), Some((_, name))) = (found.get_mut(index), wanted.get(index)) else { continue };
            let path = TablePath::of(*name);
            if matches!(slot, Err(wrong) if wrong.is_absent()) {
                *slot = table(at, header, path, read);
            } else {
                let what = "there is another one, which is not used";
                note.get_or_insert(Wrong::new(Fault::Structure, path, what).value(at));
            }
        }
        found
    }
}

/// The whole of the table at `at` that begins with `header`.
#[inline(never)]
fn table<'a>(
    at: u64,
    header: &[u8],
    path: TablePath,
    read: ReadPhysical<'_, 'a>,
) -> Result<Piece<'a>, Wrong> {
    let length = number(header, 4, 4).unwrap_or(0);
    if !(HEADER as u64..=LONGEST).contains(&length) {
        return Err(header_fault(path, "impossible length").value(length));
    }
    let bytes = read(at, length as usize).and_then(|bytes| bytes.get(..length as usize));
    let bytes = bytes.ok_or(header_fault(path, "not readable to its end, of length").value(length))?;
    if !is_sound(bytes) {
        return Err(header_fault(path, "wrong checksum, at").value(at));
    }
    Ok(Piece { bytes, path })
}
