//! Spin-table release: a 64-bit store that a CPU with its MMU off is watching
//! (Linux Documentation/arch/arm64/booting.rst, `cpu-release-addr`).

use crate::arch::mmu::Use;
use crate::arch::{cache, mmio};
use crate::memory;

/// Bytes of a release address, whatever CPU it is.
pub(crate) const RELEASE_SIZE: u64 = 8;

/// Maps the release address at `address`, once, before it is first used.
///
/// It may lie in reserved RAM, which is mapped, or in a hole that firmware has left out of the memory nodes.
pub(crate) fn map(address: u64) -> Result<(), crate::arch::mmu::MapError> {
    memory::map_identity(address, RELEASE_SIZE, Use::Data)
}

/// Sends the CPU that polls `address` to `entry`.
pub(super) fn release(address: u64, entry: u64) {
    // SAFETY: the device tree gives this address for the purpose, and `map` has mapped it; a CPU for which that
    // failed has no method.
    unsafe { mmio::write(address as usize, entry) };
    // The CPU reads memory, not caches; then it has to be woken from its WFE.
    cache::clean_invalidate(address as usize, RELEASE_SIZE as usize);
    crate::arch::sev();
}
