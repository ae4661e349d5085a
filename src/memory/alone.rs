//! Mappings of a CPU that will stay alone and cannot take a lock: see `life::unfit`.

use super::map::{build, page_down, page_up};
use super::tree::{Blob, find};
use crate::arch::mmu::{MapError, Mapper, Use};

/// The final tables, kept by the one CPU that uses them.
pub(crate) struct Alone(Mapper);

impl Alone {
    /// Moves this CPU to tables that map the image. `None` if they cannot be built.
    ///
    /// # Safety
    ///
    /// By the boot CPU, in place of [`init`](super::init) and at most once: the tables are made in the same memory.
    pub(crate) unsafe fn new() -> Option<Self> {
        Some(Self(build().ok()?.0))
    }

    /// As [`tree_at`](super::tree_at).
    pub(crate) fn tree_at(&mut self, at: u64) -> Option<Blob> {
        find(&mut self.0, at)
    }

    /// Maps the device registers at `[start, start + len)`.
    pub(crate) fn map_device(&mut self, start: u64, len: u64) -> Result<(), MapError> {
        let from = page_down(start);
        self.0.map(from, from, page_up(start.saturating_add(len)) - from, Use::Device)
    }
}
