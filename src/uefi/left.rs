//! What the image keeps of what firmware said, until it is entered as a boot loader would enter it.

use core::sync::atomic::{AtomicU64, Ordering};
use reveille_machine::uefi::Handover;

/// What firmware has handed over, as physical addresses; 0 where there is none. Nothing of it was looked at.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    /// The device tree.
    pub(crate) tree: u64,
    /// The RSDP of ACPI.
    pub(crate) rsdp: u64,
    /// The memory map as it was when boot services ended. The system table is not handed over.
    pub(crate) map: Handover,
    /// The command line.
    pub(crate) arguments: u64,
    /// Its length in bytes.
    pub(crate) arguments_size: u64,
}

/// The words of a [`Left`]. Loaded, not zeroed: they are written before `.bss` is cleared, and read after it.
///
/// Relaxed throughout: written by the CPU that reads them, before it enters the image.
#[unsafe(link_section = ".data.reveille_left")]
static LEFT: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

impl Left {
    /// Hands it over.
    pub(super) fn write(&self) {
        let Self { tree, rsdp, map, arguments, arguments_size } = *self;
        let words = [tree, rsdp, map.map, map.map_size, map.stride, map.version, arguments, arguments_size];
        for (word, value) in LEFT.iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// What was handed over. `None` if it was not UEFI firmware that the image was started by.
    pub(crate) fn read() -> Option<Self> {
        let [tree, rsdp, map, map_size, stride, version, arguments, arguments_size] =
            LEFT.each_ref().map(|word| word.load(Ordering::Relaxed));
        let map = Handover { system_table: 0, map, map_size, stride, version };
        (map.map != 0).then_some(Self { tree, rsdp, map, arguments, arguments_size })
    }
}
