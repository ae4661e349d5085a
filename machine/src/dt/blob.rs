//! The blob before it is believed: the header, and one linear look at every token.
//!
//! The `fdt` crate adds header fields in 32 bits and slices as they say. So it only ever gets a blob whose header was checked
//! here; and only as many nodes are walked as were sound in a single pass over all tokens.

use super::tokens::Tokens;
use super::tree::{Fdt, Tree};
use super::value::be32;
use crate::error::Error;

/// Bytes of a version 17 header (Devicetree Specification 5.2).
pub const HEADER_SIZE: usize = 40;

/// A tree larger than this is taken for garbage. QEMU pads its own to 1 MiB; those of boards are smaller.
pub const MAX_BLOB_SIZE: usize = 16 << 20;

/// The length in bytes that a blob starting with `header` claims to have.
///
/// This is all that is needed to form the slice for [`Machine::parse`](crate::Machine::parse): the magic
/// value is right, the version is one that a version 17 reader understands, and the size lies between
/// [`HEADER_SIZE`] and [`MAX_BLOB_SIZE`]. See Devicetree Specification 5.2.
///
/// # Errors
/// [`Fault::Header`](crate::Fault::Header), naming the field.
pub fn blob_size(header: &[u8; HEADER_SIZE]) -> Result<usize, Error<'static>> {
    let field = |index: usize| be32(header, 4 * index).unwrap_or(0);
    if field(0) != 0xd00d_feed {
        return Err(Error::header("no magic value at its start").value(field(0).into()));
    }
    let size = field(1) as usize;
    if !(HEADER_SIZE..=MAX_BLOB_SIZE).contains(&size) {
        return Err(Error::header("impossible total size in the header").value(size as u64));
    }
    if field(5) < 17 || field(6) > 17 {
        return Err(Error::header("not readable as version 17").value(field(5).into()));
    }
    Ok(size)
}

/// Checks the header against `blob` and returns the blob cut to its size.
fn check_header(blob: &[u8]) -> Result<&[u8], Error<'static>> {
    let Some(header) = blob.first_chunk::<HEADER_SIZE>() else {
        return Err(Error::header("shorter than its header").value(blob.len() as u64));
    };
    let size = blob_size(header)?;
    let Some(blob) = blob.get(..size) else {
        return Err(Error::header("cut short, total size says").value(size as u64));
    };
    let field = |index: usize| be32(header, 4 * index).unwrap_or(0) as usize;
    let (structs, strings, reservations) = (field(2), field(3), field(4));
    // Sums of 32-bit numbers in 64 bits: they cannot wrap.
    if structs % 4 != 0 || structs < HEADER_SIZE || structs + field(9) > size {
        return Err(Error::header("structure block outside the blob").value(structs as u64));
    }
    if strings < HEADER_SIZE || strings + field(8) > size {
        return Err(Error::header("strings block outside the blob").value(strings as u64));
    }
    if reservations < HEADER_SIZE || reservations > size {
        return Err(Error::header("memory reservation block outside the blob").value(reservations as u64));
    }
    Ok(blob)
}

/// The tree as far as it is sound, and the first fault of its structure: every token is looked at once.
#[inline(never)]
pub(super) fn check(blob: &[u8]) -> Result<(Tree<'_>, Result<(), Error<'_>>), Error<'_>> {
    let blob = check_header(blob)?;
    let Ok(fdt) = Fdt::new_unaligned_fallible(blob) else {
        return Err(Error::header("header does not fit the blob"));
    };
    let mut tokens = Tokens::new(fdt.structs_block(), fdt.strings_block());
    let verdict = loop {
        match tokens.token() {
            Ok(Some(_)) => {}
            Ok(None) => break Ok(()),
            Err(damage) => {
                let offset = fdt.header().structs_offset as usize + damage.offset;
                let error = Error::structure(damage.what, offset);
                break Err(damage.value.map_or(error, |value| error.value(value.into())));
            }
        }
    };
    Ok((Tree { blob, nodes: tokens.nodes() }, verdict))
}
