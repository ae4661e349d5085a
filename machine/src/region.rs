//! Ranges of physical addresses.

use core::fmt;
use core::ops::Deref;

/// A range of CPU physical addresses. Its last byte is addressable: `base + (size - 1)` does not wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub base: u64,
    /// Length in bytes.
    pub size: u64,
}

/// A few regions, kept in place. Dereferences to a slice.
#[derive(Clone, Copy)]
pub struct Regions {
    list: [Region; Self::CAPACITY],
    length: usize,
}

impl Regions {
    /// The most regions that fit. No tree of Debian's kernels has more than 4 redistributor regions.
    pub const CAPACITY: usize = 32;

    pub(crate) const EMPTY: Self = Self { list: [Region { base: 0, size: 0 }; Self::CAPACITY], length: 0 };

    /// False if there was no room.
    pub(crate) fn push(&mut self, region: Region) -> bool {
        let Some(slot) = self.list.get_mut(self.length) else { return false };
        *slot = region;
        self.length += 1;
        true
    }

    /// Makes the region longer that `region` adjoins. False if there is none.
    pub(crate) fn extend(&mut self, region: Region) -> bool {
        let end = region.base.checked_add(region.size);
        for known in self.list.iter_mut().take(self.length) {
            if known.base.checked_add(known.size) == Some(region.base) {
                known.size += region.size;
                return true;
            }
            if end == Some(known.base) {
                *known = Region { base: region.base, size: known.size + region.size };
                return true;
            }
        }
        false
    }

    /// Adds `region`; if there is no room for so many, the smallest falls out, the first of several.
    pub(crate) fn push_or_drop(&mut self, region: Region) {
        if self.push(region) {
            return;
        }
        let smallest = (0..self.list.len()).min_by_key(|&index| self.list[index].size);
        if let Some(at) = smallest.filter(|&at| self.list[at].size < region.size) {
            // The order stays that of the description.
            self.list.copy_within(at + 1.., at);
            self.list[Self::CAPACITY - 1] = region;
        }
    }
}

impl Deref for Regions {
    type Target = [Region];

    fn deref(&self) -> &[Region] {
        self.list.get(..self.length).unwrap_or(&[])
    }
}

impl fmt::Debug for Regions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
