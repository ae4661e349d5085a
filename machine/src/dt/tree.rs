//! A blob that was checked, split into its blocks by the `fdt` crate.

use super::tokens::Tokens;
use core::fmt;
use fdt::parsing::{NoPanic, unaligned::UnalignedParser};

/// Only for a blob that passed the checks of [`blob`](super::blob): the crate adds header fields in 32 bits.
pub(super) type Fdt<'a> = fdt::Fdt<'a, (UnalignedParser<'a>, NoPanic)>;

/// A blob whose header and first `nodes` nodes passed the checks of [`blob`](super::blob).
#[derive(Clone, Copy)]
pub(crate) struct Tree<'a> {
    pub(super) blob: &'a [u8],
    pub(super) nodes: u32,
}

impl<'a> Tree<'a> {
    /// The tokens of the structure block.
    #[inline(never)]
    pub(super) fn tokens(self) -> Tokens<'a> {
        match Fdt::new_unaligned_fallible(self.blob) {
            Ok(fdt) => Tokens::new(fdt.structs_block(), fdt.strings_block()),
            Err(_) => Tokens::new(&[], &[]),
        }
    }

    /// The offset of the memory reservation block, of which the crate knows no more.
    pub(super) fn reservations(self) -> Option<usize> {
        let fdt = Fdt::new_unaligned_fallible(self.blob).ok()?;
        Some(fdt.header().memory_reserve_map_offset as usize)
    }
}

impl fmt::Debug for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} nodes in {} bytes", self.nodes, self.blob.len())
    }
}
