//! Memory that a Linux which was left by kexec has listed as in use for ever: tables that the ITS of a GICv3 reads and writes, and that cannot be
//! taken from it again (Linux, `include/linux/efi.h`, `struct linux_efi_memreserve`; `drivers/irqchip/irq-gic-v3-its.c`).
//!
//! A node is a capacity and a count, 32 bits each, the physical address of the next one, 0 for none, and room for as many entries as the capacity
//! says, of which the first are in use: an address and a size, 64 bits each.

use super::map::le64;
use crate::error::{Error, Fault};
use crate::region::Region;

/// Bytes of a node without its entries.
pub const LISTED_HEADER: usize = 16;

/// Bytes of an entry.
const ENTRY: usize = 16;
/// A node with room for more entries than this is taken for garbage. Linux has as many as there is room for in a page of 4 KiB.
const MOST: u32 = 4096;

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its length in bytes, room for more entries included.
    pub length: usize,
    /// Bytes of it up to the end of its last entry.
    pub used: usize,
    /// Where the next one lies, physical; 0: nowhere.
    pub next: u64,
}

impl Listed {
    /// Reads it.
    ///
    /// # Errors
    /// [`Fault::Header`]: more entries than there can be, or than there is room for.
    #[inline(never)]
    pub fn read(header: &[u8; LISTED_HEADER]) -> Result<Self, Error<'static>> {
        let word = le64(header, 0);
        let (capacity, count) = (word as u32, (word >> 32) as u32);
        if capacity > MOST || count > capacity {
            let what = "list of reserved memory: an impossible number of entries";
            return Err(Error::in_firmware(Fault::Header, what).value(count.into()));
        }
        let bytes = |entries: u32| LISTED_HEADER + ENTRY * entries as usize;
        Ok(Self { length: bytes(capacity), used: bytes(count), next: le64(header, 8) })
    }
}

/// What the entries of a node say, which is `bytes` up to the end of the last of them. Where they end beyond 64 bits they are cut.
pub fn listed(bytes: &[u8]) -> impl Iterator<Item = Region> + '_ {
    bytes.get(LISTED_HEADER..).unwrap_or(&[]).chunks_exact(ENTRY).map(|entry| {
        let (base, size) = (le64(entry, 0), le64(entry, 8));
        Region { base, size: size.min(u64::MAX - base) }
    })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    fn node(capacity: u32, count: u32, next: u64) -> [u8; LISTED_HEADER] {
        let mut node = [0; LISTED_HEADER];
        node[..4].copy_from_slice(&capacity.to_le_bytes());
        node[4..8].copy_from_slice(&count.to_le_bytes());
        node[8..].copy_from_slice(&next.to_le_bytes());
        node
    }

    #[test]
    fn a_node_says_how_long_it_is() {
        // The first one, which Linux's EFI stub makes, has no room for any.
        let empty = Listed { length: 16, used: 16, next: 0x4000_1000 };
        assert_eq!(Listed::read(&node(0, 0, 0x4000_1000)).unwrap(), empty);
        assert_eq!(Listed::read(&node(255, 2, 0)).unwrap(), Listed { length: 4096, used: 48, next: 0 });
        for (capacity, count) in [(1, 2), (MOST + 1, 1), (u32::MAX, u32::MAX)] {
            let error = Listed::read(&node(capacity, count, 0)).unwrap_err();
            assert_eq!(
                error.to_string(),
                std::format!("UEFI: list of reserved memory: an impossible number of entries ({count:#x})")
            );
        }
    }

    #[test]
    fn entries_are_regions() {
        let mut bytes = Vec::from(node(255, 2, 0));
        for word in [0x4700_0000, 0x1_0000, 0xffff_ffff_ffff_f000, 0x2000, 7_u64] {
            bytes.extend(word.to_le_bytes());
        }
        let found: Vec<_> = listed(&bytes).map(|region| (region.base, region.size)).collect();
        assert_eq!(found, [(0x4700_0000, 0x1_0000), (0xffff_ffff_ffff_f000, 0xfff)]);
        assert_eq!(listed(&bytes[..16]).count(), 0);
        assert_eq!(listed(&bytes[..3]).count(), 0);
    }
}
