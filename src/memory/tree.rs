//! The device tree in memory, wherever it lies.

use super::map::{keep_tree, page_down, page_up, with_mapper};
use crate::arch;
use crate::arch::mmu::{self, Mapper, PAGE, Use};
use crate::dt::{self, Region};

/// Where the device tree is mapped, wherever it lies.
const TREE: u64 = mmu::TREE_WINDOW;

/// The device tree in memory.
#[derive(Clone, Copy)]
pub(crate) struct Blob {
    /// Its bytes, mapped read-only for ever.
    pub(crate) bytes: &'static [u8],
    /// Where it lies.
    pub(crate) region: Region,
}

/// The device tree at the physical address `at`, if there is one. It may be any address: what does not answer is no tree.
///
/// By the boot CPU, before any other runs, with all exceptions masked.
pub(crate) fn tree_at(at: u64) -> Option<Blob> {
    with_mapper(|mapper| find(mapper, at))
}

/// The same, mapped by `mapper`.
pub(super) fn find(mapper: &mut Mapper, at: u64) -> Option<Blob> {
    let page = page_down(at);
    let base = TREE + (at - page);
    // The header may go on in the next page.
    let pages = [0, PAGE as u64];
    // The boot protocol asks for 8 bytes' alignment, and boot loaders have been seen not to keep to it.
    let skew = (at % 8) as usize;
    let mut words = [0; dt::HEADER_SIZE + 8];
    let mapped = mapper.map(TREE, page, 2 * PAGE as u64, Use::Constants);
    let complete = mapped.is_ok()
        && words.chunks_exact_mut(8).zip((base - skew as u64..).step_by(8)).all(|(bytes, address)| {
            // SAFETY: a multiple of 8 in the two pages just mapped; alone and masked (the caller's). An
            // address that the boot protocol names, or one at which machines have RAM: no device that a read disturbs.
            let word = unsafe { arch::probe(address) };
            bytes.copy_from_slice(&word.unwrap_or(0).to_ne_bytes());
            word.is_some()
        });
    pages.iter().for_each(|offset| mapper.unmap_page(TREE + offset));
    let header = words[skew..].first_chunk().filter(|_| complete)?;
    let size = dt::blob_size(header).ok()?;
    let region = Region { base: at, size: size as u64 };
    let end = page_up(at.checked_add(region.size)?);
    mapper.map(TREE, page, end - page, Use::Constants).ok()?;
    keep_tree(page, end);
    // SAFETY: mapped just now, for ever, and read-only; the memory under it is kept out of what is free.
    let bytes = unsafe { core::slice::from_raw_parts(base as *const u8, size) };
    Some(Blob { bytes, region })
}
