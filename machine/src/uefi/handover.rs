//! Where a boot loader says that firmware has left something.

/// What a boot loader that was started by UEFI firmware says of it in the `/chosen` node of a device tree (Linux,
/// `Documentation/arch/arm/uefi.rst`). Addresses are physical.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handover {
    /// Where the system table lies ([`SystemTable`](super::SystemTable)).
    pub system_table: u64,
    /// Where the memory map lies ([`MemoryMap`](super::MemoryMap)).
    pub map: u64,
    /// Its size in bytes.
    pub map_size: u64,
    /// Bytes from one descriptor of it to the next.
    pub stride: u64,
    /// The version of its descriptors.
    pub version: u64,
}
