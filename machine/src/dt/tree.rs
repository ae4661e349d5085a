//! A blob that was checked, split into its blocks by the `fdt` crate.

use super::tokens::Tokens;
use fdt::parsing::{NoPanic, unaligned::UnalignedParser};

/// Only for a blob that passed the checks of [`blob`](super::blob): the crate adds header fields in 32 bits.
pub(super) type Fdt<'a> = fdt::Fdt<'a, (UnalignedParser<'a>, NoPanic)>;

/// A blob whose header and first `nodes` nodes passed the checks of [`blob`](super::blob).
#[derive(Clone, Copy)]
pub(super) struct Tree<'a> {
    pub blob: &'a [u8],
    pub nodes: u32,
}

impl<'a> Tree<'a> {
    /// The tokens of the structure block.
    #[inline(never)]
    pub fn tokens(self) -> Tokens<'a> {
        match Fdt::new_unaligned_fallible(self.blob) {
            Ok(fdt) => Tokens::new(fdt.structs_block(), fdt.strings_block()),
            Err(_) => Tokens::new(&[], &[]),
        }
    }

    /// The offset of the memory reservation block, of which the crate knows no more.
    pub fn reservations(self) -> Option<usize> {
        let fdt = Fdt::new_unaligned_fallible(self.blob).ok()?;
        Some(fdt.header().memory_reserve_map_offset as usize)
    }
}
