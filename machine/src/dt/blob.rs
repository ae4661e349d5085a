//! The blob before it is believed: the header, and one linear look at every token.
//!
//! The `fdt` crate takes a damaged token, a nesting it has no room for, or the end of its data for the end
//! of a list, without a word; and it adds header fields in 32 bits. So the blob is checked here once, in a
//! single pass, and the crate only ever walks what passed.

use super::error::Error;
use super::walk::{Fdt, MAX_DEPTH};

/// Bytes of a version 17 header (Devicetree Specification 5.2).
pub const HEADER_SIZE: usize = 40;

/// A tree larger than this is taken for garbage. QEMU pads its own to 1 MiB; those of boards are smaller.
pub const MAX_BLOB_SIZE: usize = 16 << 20;

/// Long enough for every name in use (the longest in Debian's kernels has 46 characters), and short enough
/// that a strings block without terminators cannot make the check quadratic.
const MAX_NAME: usize = 255;

pub(super) const BEGIN_NODE: u32 = 1;
pub(super) const END_NODE: u32 = 2;
pub(super) const PROP: u32 = 3;
pub(super) const NOP: u32 = 4;
const END: u32 = 9;

/// The length in bytes that a blob starting with `header` claims to have.
///
/// This is all that is needed to form the slice for [`Machine::parse`](super::Machine::parse): the magic
/// value is right, the version is one that a version 17 reader understands, and the size lies between
/// [`HEADER_SIZE`] and [`MAX_BLOB_SIZE`]. See Devicetree Specification 5.2.
///
/// # Errors
/// [`Fault::Header`](super::Fault::Header), naming the field.
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
pub(super) fn check_header(blob: &[u8]) -> Result<&[u8], Error<'static>> {
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

/// Offset of the memory reservation block of a blob that passed [`check_header`].
pub(super) fn reservations(blob: &[u8]) -> usize {
    be32(blob, 16).unwrap_or(0) as usize
}

/// Looks at every token once (Devicetree Specification 5.4) and returns how many nodes were sound and the
/// first fault, if there was one. What is sound can be walked with `fdt` without meeting an error.
pub(super) fn check_structure(fdt: &Fdt<'_>) -> (u32, Result<(), Error<'static>>) {
    let mut check = Check {
        structs: fdt.structs_block(),
        strings: fdt.strings_block(),
        base: fdt.header().structs_offset as usize,
        at: 0,
    };
    let mut nodes = 0;
    let verdict = check.run(&mut nodes);
    (nodes, verdict)
}

struct Check<'a> {
    structs: &'a [u8],
    strings: &'a [u8],
    base: usize,
    at: usize,
}

impl Check<'_> {
    /// A fault at the token that was read last.
    fn fault(&self, what: &'static str) -> Error<'static> {
        Error::structure(what, self.base + self.at.saturating_sub(4))
    }

    fn word(&mut self) -> Result<u32, Error<'static>> {
        let word = be32(self.structs, self.at).ok_or(self.fault("structure block ends early"))?;
        self.at += 4;
        Ok(word)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Error<'static>> {
        // Both are 32-bit numbers, so this cannot wrap.
        let end = (self.at + bytes).next_multiple_of(4);
        if end > self.structs.len() {
            return Err(self.fault("property runs past the structure block"));
        }
        self.at = end;
        Ok(())
    }

    fn run(&mut self, nodes: &mut u32) -> Result<(), Error<'static>> {
        let mut depth = 0;
        // A node is sound once its properties have been read, so it counts at the token that follows them.
        let mut open = false;
        loop {
            let token = self.word()?;
            if open && matches!(token, BEGIN_NODE | END_NODE) {
                *nodes += 1;
            }
            match token {
                NOP => {}
                BEGIN_NODE => {
                    if depth == 0 && *nodes > 0 {
                        return Err(self.fault("second root node"));
                    }
                    if depth == MAX_DEPTH {
                        return Err(self.fault("nodes nested too deep"));
                    }
                    let length = name(self.structs, self.at).ok_or(self.fault("node name without end"))?;
                    if length == 0 && depth > 0 {
                        return Err(self.fault("node without a name"));
                    }
                    self.skip(length + 1)?;
                    depth += 1;
                    open = true;
                }
                END_NODE => {
                    if depth == 0 {
                        return Err(self.fault("end of a node that never began"));
                    }
                    depth -= 1;
                    open = false;
                }
                PROP => {
                    if !open {
                        return Err(self.fault("property outside a node or after its children"));
                    }
                    let length = self.word()? as usize;
                    let offset = self.word()? as usize;
                    // Truncation takes the strings first and leaves zeros: names without a character.
                    if matches!(name(self.strings, offset), None | Some(0)) {
                        return Err(self.fault("property name is not in the strings block"));
                    }
                    self.skip(length)?;
                }
                END if depth > 0 => return Err(self.fault("tree ends inside a node")),
                END if *nodes == 0 => return Err(self.fault("no root node")),
                END if self.at < self.structs.len() => {
                    return Err(self.fault("structure block goes on after its end"));
                }
                END => return Ok(()),
                _ => return Err(self.fault("unknown token").value(token.into())),
            }
        }
    }
}

/// Length of the NUL-terminated UTF-8 name at `at`.
fn name(block: &[u8], at: usize) -> Option<usize> {
    let rest = block.get(at..)?;
    let length = rest.iter().take(MAX_NAME + 1).position(|&byte| byte == 0)?;
    core::str::from_utf8(rest.get(..length)?).ok()?;
    Some(length)
}

/// The big-endian 32-bit word at `at`, of any alignment.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

/// The big-endian 64-bit word at `at`, of any alignment.
pub(super) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|word| u64::from_be_bytes(*word))
}
