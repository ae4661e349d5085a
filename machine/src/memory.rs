//! Memory that is somebody's.

use crate::region::Region;

/// A piece of memory that is not free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// Which bytes.
    pub region: Region,
    /// Not to be mapped either, not even speculatively accessed.
    pub no_map: bool,
    /// Who says so.
    pub source: ReservedBy,
}

/// Who says that memory is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservedBy {
    /// The memory reservation block of a device tree (Devicetree Specification 5.3).
    Block,
    /// A child of `/reserved-memory` in a device tree (ibid. 3.5).
    Node,
    /// Whoever left the initial RAM disk there.
    Initrd,
    /// UEFI firmware, in its memory map ([`Machine::with_memory_map`](crate::Machine::with_memory_map)).
    Firmware,
}
