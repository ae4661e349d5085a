//! From the RSDP to a table: every pointer, length and checksum on the way (ACPI 5.2.5 to 5.2.8).

use super::fault::{Look, Table, TablePath, number};
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

/// Signatures of those that are looked for, in the order of [`Table`].
const SIGNATURES: &[u8] = b"APICFACPGTDTSPCRDBG2";
const WANTED: usize = SIGNATURES.len() / 4;

/// Adds up to 0, as the bytes of everything do that has a checksum.
#[inline(never)]
fn is_sound(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)) == 0
}

/// The bytes at `at`, all of them.
#[inline(never)]
fn bytes<'a>(at: u64, length: usize, look: &mut Look, read: ReadPhysical<'_, 'a>) -> Option<&'a [u8]> {
    let found = read(at, length).and_then(|bytes| bytes.get(..length));
    if found.is_none() {
        look.fail_with(Fault::Header, "not readable", at);
    }
    found
}

/// The bytes of the table with the pointers to all others, an XSDT or an RSDT, and the length of a pointer; `at` is the address of the RSDP.
#[inline(never)]
fn root<'a>(at: u64, look: &mut Look, read: ReadPhysical<'_, 'a>) -> Option<(&'a [u8], usize)> {
    let start = bytes(at, RSDP_START, look, read)?;
    let mut list = (number(start, 16, 4), Table::Rsdt, 4);
    let mut what = "";
    if !start.starts_with(b"RSD PTR ") {
        what = "no signature at its start";
    } else if !is_sound(start) {
        what = "wrong checksum";
    } else if number(start, 15, 1) >= 2 {
        // Revision 2 is that of every version from ACPI 2.0 on.
        let whole = bytes(at, RSDP, look, read)?;
        let length = number(whole, 20, 4) as usize;
        // Later versions may be longer; what is known of them is no longer.
        if !(RSDP..=4096).contains(&length) {
            what = "impossible length";
        } else if !is_sound(bytes(at, length, look, read)?) {
            what = "wrong extended checksum";
        }
        let xsdt = number(whole, 24, 8);
        if xsdt != 0 {
            list = (xsdt, Table::Xsdt, 8);
        }
    }
    if what.is_empty() && list.0 == 0 {
        what = "leads to no table";
    }
    if !what.is_empty() {
        look.fail_with(Fault::Header, what, at);
        return None;
    }
    let (at, table, width) = list;
    look.path = TablePath::of(table);
    let header = bytes(at, HEADER, look, read)?;
    if !header.starts_with(if width == 8 { b"XSDT" } else { b"RSDT" }) {
        look.fail_with(Fault::Header, "another signature at its start", at);
        return None;
    }
    Some((whole_table(at, look, read)?, width))
}

/// The list of tables.
pub(super) struct List<'a> {
    /// The table that it is: an XSDT or an RSDT.
    pub root: &'a [u8],
    /// Where the first of each is that is looked for; 0: there is none.
    found: [u64; WANTED],
}

impl<'a> List<'a> {
    /// The one to which the RSDP at `at` leads.
    #[inline(never)]
    pub fn read(at: u64, look: &mut Look, read: ReadPhysical<'_, 'a>) -> Option<Self> {
        let (root, width) = root(at, look, read)?;
        let mut list = Self { root, found: [0; WANTED] };
        let place = look.path;
        let pointers = root.get(HEADER..).unwrap_or(&[]).chunks(width);
        if pointers.len() > MOST_TABLES {
            let what = "more tables than are looked at, of";
            look.fail_with(Fault::Unsupported, what, pointers.len() as u64);
            look.make_odd();
        }
        for pointer in pointers.take(MOST_TABLES) {
            let at = number(pointer, 0, width);
            // One that is 0 has been left out.
            if at == 0 {
                continue;
            }
            let Some(header) = bytes(at, HEADER, look, read) else {
                look.fail_with(Fault::Structure, "leads to what is not readable", at);
                look.make_odd();
                continue;
            };
            let mut signatures = SIGNATURES.chunks(4).zip(&mut list.found);
            match signatures.find(|(signature, _)| header.starts_with(signature)) {
                Some((_, found)) if *found == 0 => *found = at,
                Some(_) => {
                    look.fail_with(
                        Fault::Structure,
                        "leads to a second one of a table, which is not used",
                        at,
                    );
                    look.make_odd();
                }
                None => {}
            }
        }
        look.path = place;
        Some(list)
    }

    /// The bytes of a table. From now on it is what is looked at.
    #[inline(never)]
    pub fn table(&self, table: Table, look: &mut Look, read: ReadPhysical<'_, 'a>) -> Option<&'a [u8]> {
        look.clear();
        look.path = TablePath::of(table);
        match self.found.get(table as usize) {
            Some(at @ 1..) => whole_table(*at, look, read),
            _ => {
                look.fail(Fault::Absent, "no such table");
                None
            }
        }
    }
}

/// The whole of the table at `at`.
#[inline(never)]
fn whole_table<'a>(at: u64, look: &mut Look, read: ReadPhysical<'_, 'a>) -> Option<&'a [u8]> {
    let length = number(bytes(at, HEADER, look, read)?, 4, 4);
    if !(HEADER as u64..=LONGEST).contains(&length) {
        look.fail_with(Fault::Header, "impossible length", length);
        return None;
    }
    let Some(found) = bytes(at, length as usize, look, read) else {
        look.fail_with(Fault::Header, "not readable to its end, of length", length);
        return None;
    };
    if !is_sound(found) {
        look.fail_with(Fault::Header, "wrong checksum, at", at);
        return None;
    }
    Some(found)
}
