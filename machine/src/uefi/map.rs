//! The memory map (7.2.3, EFI_BOOT_SERVICES.GetMemoryMap()), and what its types of memory are good for once boot services have ended (7.2.1).

use crate::error::{Error, Fault};
use crate::memory::{Reserved, ReservedBy};
use crate::region::Region;

/// A memory map larger than this is taken for garbage: about 6000 descriptors.
pub const MAX_MAP_SIZE: usize = 256 << 10;

/// Bytes of a descriptor (7.2.3, EFI_MEMORY_DESCRIPTOR). Firmware may have them further apart, and does.
const DESCRIPTOR_SIZE: usize = 40;
/// The version of descriptors that is known (ibid.: EFI_MEMORY_DESCRIPTOR_VERSION).
const VERSION: u64 = 1;
/// Bytes of a page of the map, whatever the granule of page tables.
const PAGE: u64 = 4096;

/// Attributes (7.2.3): what the memory can be mapped as.
const WRITE_COMBINING: u64 = 1 << 1;
const WRITE_THROUGH: u64 = 1 << 2;
const WRITE_BACK: u64 = 1 << 3;
/// It is meant for somebody in particular, who asks for it.
const SPECIAL_PURPOSE: u64 = 1 << 18;
/// Firmware uses it at run time, by the virtual address that it was given.
const RUNTIME: u64 = 1 << 63;

/// The 64-bit word at `at`, of any alignment; 0 where there is none.
#[inline(never)]
pub(super) fn le64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
}

/// A piece of the address space as firmware describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its type (7.2.1, EFI_MEMORY_TYPE).
    pub kind: u32,
    /// Where it lies.
    pub physical: u64,
    /// Where firmware believes it to lie, if it was told (8.4.1, SetVirtualAddressMap()); else 0.
    pub virtual_: u64,
    /// Its length in pages of 4 KiB.
    pub pages: u64,
    /// What it can be mapped as, and more.
    pub attributes: u64,
}

/// What a piece of memory is to an operating system once boot services have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody's.
    Free,
    /// RAM with something in it that is still to be read: ACPI tables.
    Kept,
    /// RAM that is firmware's, or that only who knows it uses: not to be mapped.
    Taken,
    /// No memory: devices.
    NoMemory,
}

impl Descriptor {
    #[inline(never)]
    fn read(bytes: &[u8]) -> Self {
        Self {
            kind: le64(bytes, 0) as u32,
            physical: le64(bytes, 8),
            virtual_: le64(bytes, 16),
            pages: le64(bytes, 24),
            attributes: le64(bytes, 32),
        }
    }

    /// Which bytes it is about. `None` if it is empty, or not made of pages within 64 bits.
    pub fn region(&self) -> Option<Region> {
        let size = self.pages.checked_mul(PAGE).filter(|size| *size != 0)?;
        self.physical.checked_add(size - 1)?;
        self.physical.is_multiple_of(PAGE).then_some(Region { base: self.physical, size })
    }

    /// Whether it can be mapped as RAM.
    fn is_ram(&self) -> bool {
        self.attributes & WRITE_BACK != 0 && self.standing() != Standing::NoMemory
    }

    /// What it is now (table 7.6, "Memory Type Usage after EFI_BOOT_SERVICES.ExitBootServices()"). Persistent memory is no place for what is forgotten
    /// when the machine is switched off, and what can only be mapped in other ways than RAM is nobody's who takes it for that.
    pub fn standing(&self) -> Standing {
        if self.attributes & (WRITE_BACK | WRITE_THROUGH | WRITE_COMBINING) == 0 {
            return Standing::NoMemory;
        }
        match self.kind {
            // EfiMemoryMappedIO, EfiMemoryMappedIOPortSpace
            11 | 12 => Standing::NoMemory,
            // EfiLoaderCode, EfiLoaderData, EfiBootServicesCode, EfiBootServicesData, EfiConventionalMemory
            1..=4 | 7 if self.attributes & (WRITE_BACK | SPECIAL_PURPOSE) == WRITE_BACK => Standing::Free,
            // EfiACPIReclaimMemory
            9 if self.attributes & WRITE_BACK != 0 => Standing::Kept,
            _ => Standing::Taken,
        }
    }
}

/// A memory map as firmware made it.
#[derive(Clone, Copy)]
pub struct MemoryMap<'a> {
    bytes: &'a [u8],
    /// At least [`DESCRIPTOR_SIZE`].
    stride: usize,
}

impl<'a> MemoryMap<'a> {
    /// The map in `bytes`, with `stride` bytes from one descriptor to the next. What is left behind the last whole one is not looked at.
    ///
    /// # Errors
    /// [`Fault::Header`]: a size of descriptors that cannot be. [`Fault::Unsupported`]: another version of them, or more than [`MAX_MAP_SIZE`]. [`Fault::Absent`]: there is none.
    pub fn new(bytes: &'a [u8], stride: u64, version: u64) -> Result<Self, Error<'static>> {
        if version != VERSION {
            let error =
                Error::in_firmware(Fault::Unsupported, "memory map: descriptors of an unknown version");
            return Err(error.value(version));
        }
        if stride < DESCRIPTOR_SIZE as u64 || !stride.is_multiple_of(8) || stride > PAGE {
            return Err(Error::in_firmware(Fault::Header, "memory map: impossible size of a descriptor")
                .value(stride));
        }
        if bytes.len() > MAX_MAP_SIZE {
            return Err(Error::in_firmware(Fault::Unsupported, "memory map: larger than any should be")
                .value(bytes.len() as u64));
        }
        if (bytes.len() as u64) < stride {
            return Err(Error::in_firmware(Fault::Absent, "memory map: nothing in it"));
        }
        Ok(Self { bytes, stride: stride as usize })
    }

    /// What it says, in its order.
    pub fn descriptors(&self) -> Descriptors<'a> {
        Descriptors { rest: self.bytes, stride: self.stride }
    }

    /// The physical address of what firmware has at `address`: the same, unless it was told to use virtual ones (8.4.1).
    #[inline(never)]
    pub fn to_physical(&self, address: u64) -> u64 {
        self.descriptors()
            .filter(|piece| piece.attributes & RUNTIME != 0 && piece.virtual_ != 0)
            .find_map(|piece| {
                let offset = address.checked_sub(piece.virtual_)?;
                let region = piece.region().filter(|region| offset < region.size)?;
                // Not beyond the region, whose last byte is addressable.
                Some(region.base.wrapping_add(offset))
            })
            .unwrap_or(address)
    }

    /// Whether all of `region` is memory that can be mapped as RAM, whoever it belongs to.
    #[inline(never)]
    pub fn has(&self, region: Region) -> bool {
        let (mut at, mut left) = (region.base, region.size);
        // Each step is a page at least, and no piece is used twice: pieces that overlap are shorter from there on.
        for _ in 0..=self.bytes.len() / DESCRIPTOR_SIZE {
            if left == 0 {
                return true;
            }
            let room = self.descriptors().filter(Descriptor::is_ram).find_map(|piece| {
                let region = piece.region()?;
                let offset = at.checked_sub(region.base)?;
                region.size.checked_sub(offset).filter(|room| *room != 0)
            });
            let Some(room) = room else { return false };
            // Where the last piece ends there is nothing left, and the address may wrap.
            at = at.wrapping_add(room);
            left = left.saturating_sub(room);
        }
        false
    }
}

impl core::fmt::Debug for MemoryMap<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} bytes in steps of {}", self.bytes.len(), self.stride)
    }
}

/// See [`MemoryMap::descriptors`].
#[derive(Clone)]
pub struct Descriptors<'a> {
    rest: &'a [u8],
    stride: usize,
}

impl Iterator for Descriptors<'_> {
    type Item = Descriptor;

    #[inline(never)]
    fn next(&mut self) -> Option<Descriptor> {
        let (bytes, rest) = self.rest.split_at_checked(self.stride)?;
        self.rest = rest;
        Some(Descriptor::read(bytes))
    }
}

/// All RAM of a map, whoever it belongs to. No RAM at all is a single error.
pub(crate) struct Memory<'a> {
    pieces: Descriptors<'a>,
    any: bool,
}

impl<'a> Memory<'a> {
    pub(crate) fn new(map: MemoryMap<'a>) -> Self {
        Self { pieces: map.descriptors(), any: false }
    }
}

impl<'a> Iterator for Memory<'a> {
    type Item = Result<Region, Error<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let piece = self.pieces.find(|piece| piece.standing() != Standing::NoMemory && piece.pages != 0);
        let first = !core::mem::replace(&mut self.any, true);
        match piece {
            Some(piece) => {
                let bad = Error::in_firmware(Fault::Address, "memory map: not pages within 64 bits, at");
                Some(piece.region().ok_or(bad.value(piece.physical)))
            }
            None => first.then_some(Err(Error::in_firmware(Fault::Absent, "memory map: no memory in it"))),
        }
    }
}

/// What of the RAM of a map is not free.
pub(crate) struct Taken<'a>(Descriptors<'a>);

impl<'a> Taken<'a> {
    pub(crate) fn new(map: MemoryMap<'a>) -> Self {
        Self(map.descriptors())
    }
}

impl Iterator for Taken<'_> {
    type Item = Reserved;

    fn next(&mut self) -> Option<Reserved> {
        self.0.find_map(|piece| {
            let no_map = match piece.standing() {
                Standing::Free | Standing::NoMemory => return None,
                Standing::Kept => false,
                Standing::Taken => true,
            };
            // One that is no region is no memory either, and its fault is told there.
            piece.region().map(|region| Reserved { region, no_map, source: ReservedBy::Firmware })
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString;

    /// Descriptors of 48 bytes, as EDK2 has them.
    fn bytes(pieces: &[(u32, u64, u64, u64, u64)]) -> [u8; 48 * 8] {
        let mut bytes = [0; 48 * 8];
        for (slot, (kind, physical, virtual_, pages, attributes)) in bytes.chunks_exact_mut(48).zip(pieces) {
            slot[..4].copy_from_slice(&kind.to_le_bytes());
            for (at, word) in [(8, physical), (16, virtual_), (24, pages), (32, attributes)] {
                slot[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
        }
        bytes
    }

    const RAM: u64 = 0xf;

    #[test]
    fn what_is_free_and_what_is_not() {
        let bytes = bytes(&[
            (7, 0x4000_0000, 0, 16, RAM),
            (5, 0x4001_0000, 0, 1, RAM | RUNTIME),
            (9, 0x4001_1000, 0, 1, RAM),
            (11, 0x900_0000, 0, 1, 1 | RUNTIME),
            (7, 0x4001_2000, 0, 1, 1 << 1),
            (14, 0x5000_0000, 0, 1, RAM),
            (7, 0x6000_0000, 0, 1, RAM | SPECIAL_PURPOSE),
            (4, 0xffff_ffff_ffff_f000, 0, 2, RAM),
        ]);
        let map = MemoryMap::new(&bytes, 48, 1).unwrap();
        let memory: std::vec::Vec<_> = Memory::new(map).collect();
        assert_eq!(memory.len(), 7);
        assert_eq!(memory[0].unwrap(), Region { base: 0x4000_0000, size: 0x1_0000 });
        assert_eq!(
            memory[6].unwrap_err().to_string(),
            "UEFI: memory map: not pages within 64 bits, at (0xfffffffffffff000)"
        );
        let taken: std::vec::Vec<_> =
            Taken::new(map).map(|piece| (piece.region.base, piece.no_map)).collect();
        assert_eq!(
            taken,
            [
                (0x4001_0000, true),
                (0x4001_1000, false),
                (0x4001_2000, true),
                (0x5000_0000, true),
                (0x6000_0000, true)
            ]
        );
    }

    #[test]
    fn strides_and_versions() {
        let bytes = [0; 96];
        assert!(MemoryMap::new(&bytes, 40, 1).is_ok());
        for (size, stride, version) in
            [(96, 39, 1), (96, 44, 1), (96, 0, 1), (96, 40, 2), (39, 40, 1), (96, 1 << 40, 1)]
        {
            assert!(MemoryMap::new(&bytes[..size], stride, version).is_err(), "{size} {stride} {version}");
        }
        let large = std::vec![0; MAX_MAP_SIZE + 40];
        assert!(MemoryMap::new(&large[..MAX_MAP_SIZE], 40, 1).is_ok());
        assert_eq!(
            MemoryMap::new(&large, 40, 1).unwrap_err().to_string(),
            "UEFI: memory map: larger than any should be (0x40028)"
        );
        let map = MemoryMap::new(&bytes, 40, 1).unwrap();
        assert_eq!(map.descriptors().count(), 2);
        assert_eq!(
            Memory::new(map).map(|piece| piece.unwrap_err().to_string()).collect::<std::vec::Vec<_>>(),
            ["UEFI: memory map: no memory in it"]
        );
    }

    #[test]
    fn virtual_addresses_are_taken_back() {
        let bytes = bytes(&[
            (7, 0x4000_0000, 0xffff_0000, 16, RAM),
            (6, 0x4700_0000, 0x2000_0000, 2, RAM | RUNTIME),
            (6, 0x4800_0000, 0x2000_2000, 1, RAM | RUNTIME),
        ]);
        let map = MemoryMap::new(&bytes, 48, 1).unwrap();
        assert_eq!(map.to_physical(0x2000_1008), 0x4700_1008);
        assert_eq!(map.to_physical(0x2000_2fff), 0x4800_0fff);
        assert_eq!(map.to_physical(0x2000_3000), 0x2000_3000);
        assert_eq!(map.to_physical(0xffff_0000), 0xffff_0000);
    }

    #[test]
    fn a_region_may_lie_in_several_pieces() {
        let bytes = bytes(&[
            (7, 0x4000_1000, 0, 1, RAM),
            (6, 0x4000_0000, 0, 1, RAM),
            (7, 0xffff_ffff_ffff_f000, 0, 1, RAM),
            (11, 0x4000_2000, 0, 1, 1),
        ]);
        let map = MemoryMap::new(&bytes, 48, 1).unwrap();
        assert!(map.has(Region { base: 0x4000_0ff0, size: 0x20 }));
        assert!(map.has(Region { base: 0x4000_0000, size: 0x2000 }));
        assert!(!map.has(Region { base: 0x4000_1ff0, size: 0x20 }));
        assert!(!map.has(Region { base: 0x3fff_fff0, size: 0x20 }));
        assert!(map.has(Region { base: 0xffff_ffff_ffff_fff0, size: 0x10 }));
        assert!(!map.has(Region { base: 0xffff_ffff_ffff_fff0, size: 0x11 }));
    }
}
