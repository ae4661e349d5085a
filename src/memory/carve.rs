//! RAM: what there is, what is carved for the runtime, what is free.

use super::image::image;
use super::map::{WINDOW, map_identity, page_down, page_up, with_mapper};
use crate::arch::mmu::{MapError, PAGE, Table, Use};
use crate::dt::{self, Machine, Region};
use core::fmt;
use core::sync::atomic::{AtomicPtr, Ordering};
#[cfg(feature = "fault-injection")]
use reveille_machine::TooManyRanges;
use reveille_machine::{Ranges, Regions};

/// Pieces of RAM that are kept apart.
const MAX_PIECES: usize = 64;
/// Tables that are carved besides those for stacks: RAM, devices, and the application's own.
const MORE_TABLES: usize = 64;

/// Why memory could not be set up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MemoryError<'a> {
    Tree(dt::Error<'a>),
    Map(MapError),
    /// No free piece of this many bytes.
    NoRoom(u64),
}

impl fmt::Display for MemoryError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(error) => error.fmt(f),
            Self::Map(error) => write!(f, "memory: {error}"),
            Self::NoRoom(bytes) => {
                write!(f, "memory: no free piece of {bytes} bytes for the CPUs of this machine")
            }
        }
    }
}

impl From<MapError> for MemoryError<'_> {
    fn from(error: MapError) -> Self {
        Self::Map(error)
    }
}

/// The pages that `region` touches.
fn pages(region: Region) -> (u64, u64) {
    (page_down(region.base), page_up(region.base.saturating_add(region.size)))
}

/// Pieces of RAM that there was no room for, and are not used.
#[derive(Default)]
struct Dropped {
    pieces: usize,
    bytes: u64,
}

impl Dropped {
    fn add(&mut self, piece: Option<(u64, u64)>) {
        if let Some((start, end)) = piece {
            self.pieces += 1;
            self.bytes += end - start;
        }
    }

    fn report(&self) {
        let Self { pieces, bytes } = self;
        if *pieces != 0 {
            log::warn!(
                "memory is cut into more than {MAX_PIECES} pieces: the smallest are not used, {pieces} of {bytes} bytes in all"
            );
        }
    }
}

/// Takes what is not `usable` out of `ram`.
#[inline(never)]
fn restrict(ram: &mut Ranges<MAX_PIECES>, usable: &[Region], dropped: &mut Dropped) {
    let mut pieces = Ranges::<MAX_PIECES>::EMPTY;
    const { assert!(Regions::CAPACITY <= MAX_PIECES) };
    for region in usable {
        // Pages that may be used as a whole.
        pieces.insert_or_drop(page_up(region.base), page_down(region.base.saturating_add(region.size)));
    }
    for (start, end) in pieces.gaps() {
        dropped.add(ram.remove_or_drop(start, end));
    }
}

/// What the memory of the machine is used for.
pub(crate) struct MemoryMap {
    /// All RAM that may be mapped.
    ram: Ranges<MAX_PIECES>,
    /// What nobody uses.
    free: Ranges<MAX_PIECES>,
}

/// The memory of this machine; null until the boot CPU has read it.
static MEMORY: AtomicPtr<MemoryMap> = AtomicPtr::new(core::ptr::null_mut());

impl MemoryMap {
    /// This is the one that the application's memory comes from. By the boot CPU, once, when all is carved.
    pub(crate) fn publish(&'static self) {
        // Relaxed: before any other CPU runs, which `kick` and `arrive` order.
        MEMORY.store(core::ptr::from_ref(self).cast_mut(), Ordering::Relaxed);
    }

    /// The one that was published.
    pub(super) fn published() -> Option<&'static Self> {
        // SAFETY: null, or a shared reference that `publish` was given, for ever.
        unsafe { MEMORY.load(Ordering::Relaxed).as_ref() }
    }

    /// Of a machine that has none.
    pub(crate) const EMPTY: Self = Self { ram: Ranges::EMPTY, free: Ranges::EMPTY };

    /// Reads the memory nodes into an empty map. `blob` is the device tree itself.
    pub(crate) fn read<'a>(&mut self, machine: &Machine<'a>, blob: Region) -> Result<(), MemoryError<'a>> {
        let Self { ram, free } = self;
        let limit = with_mapper(|mapper| mapper.limit());
        let mut dropped = Dropped::default();
        let mut first_error = None;
        for region in machine.memory() {
            let region = match region {
                Ok(region) => region,
                Err(error) => {
                    // Alone it is why there is no memory, which is said once.
                    if let Some(other) = first_error.replace(error) {
                        log::error!("{other}: ignored");
                    }
                    continue;
                }
            };
            let end = region.base.saturating_add(region.size);
            if end > limit {
                log::warn!("memory at {:#x} is beyond what this CPU can address: ignored", region.base);
            }
            // Pages that are RAM as a whole.
            dropped.add(ram.insert_or_drop(page_up(region.base), page_down(end.min(limit))));
        }
        match first_error {
            Some(error) if ram.iter().next().is_none() => return Err(MemoryError::Tree(error)),
            Some(error) => log::error!("{error}: ignored"),
            None => {}
        }
        if let Some(usable) = machine.usable_memory().map_err(MemoryError::Tree)? {
            restrict(ram, &usable, &mut dropped);
        }
        *free = *ram;
        // What falls out of the RAM is not mapped, and so it is not free.
        let unmapped = |ram: &mut Ranges<_>, free: &mut Ranges<_>, start, end| {
            let piece = ram.remove_or_drop(start, end);
            if let Some((start, end)) = piece {
                free.remove_or_drop(start, end);
            }
            piece
        };
        for reserved in machine.reserved() {
            let reserved = match reserved {
                Ok(reserved) => reserved,
                Err(error) => {
                    log::warn!("{error}: ignored");
                    continue;
                }
            };
            let (start, end) = pages(reserved.region);
            dropped.add(free.remove_or_drop(start, end));
            if reserved.no_map {
                dropped.add(unmapped(ram, free, start, end));
            }
        }
        let (start, end) = image();
        dropped.add(unmapped(ram, free, start, end));
        dropped.add(free.remove_or_drop(start, end));
        let (start, end) = pages(blob);
        dropped.add(free.remove_or_drop(start, end));
        dropped.report();
        Ok(())
    }

    /// Keeps the pages of `region` out of the free memory.
    pub(crate) fn keep(&mut self, region: Region) {
        self.keep_all(&mut core::iter::once(region));
    }

    /// The same for each of `regions`.
    #[inline(never)]
    pub(crate) fn keep_all(&mut self, regions: &mut dyn Iterator<Item = Region>) {
        let mut dropped = Dropped::default();
        for region in regions {
            let (start, end) = pages(region);
            dropped.add(self.free.remove_or_drop(start, end));
        }
        dropped.report();
    }

    /// Takes `bytes` out of the free memory, zeroed and mapped: the lowest piece that is large enough, above the
    /// first MiB, where firmware keeps its own.
    pub(crate) fn carve(&mut self, bytes: u64) -> Result<u64, MemoryError<'static>> {
        self.take(bytes, true)
    }

    /// The same, `zeroed` or as it is.
    #[inline(never)]
    pub(crate) fn take(&mut self, bytes: u64, zeroed: bool) -> Result<u64, MemoryError<'static>> {
        let bytes = page_up(bytes.max(1));
        let start = self
            .free
            .iter()
            .map(|(start, end)| (start.max(0x10_0000), end))
            .find(|(start, end)| end.saturating_sub(*start) >= bytes)
            .ok_or(MemoryError::NoRoom(bytes))?
            .0;
        map_identity(start, bytes, Use::Data)?;
        if zeroed {
            // SAFETY: free RAM, just mapped, that nothing refers to.
            unsafe { core::ptr::write_bytes(start as *mut u8, 0, bytes as usize) };
        }
        self.free.remove_or_drop(start, start + bytes);
        Ok(start)
    }

    /// Takes `bytes` off the top of the highest free piece that is larger, as they are; they are not mapped yet. `None`:
    /// no piece is larger. Before anything is carved, so that the place depends on the machine alone.
    pub(crate) fn reserve_top(&mut self, bytes: u64) -> Option<u64> {
        let bytes = page_up(bytes);
        let end = self.free.iter().filter(|(start, end)| end - start > bytes).last()?.1;
        self.free.remove_or_drop(end - bytes, end);
        Some(end - bytes)
    }

    /// Maps all RAM, with page tables out of a piece that is carved for the purpose; `stacks` more tables are
    /// for the stacks, which the caller maps next.
    pub(crate) fn map_ram(&mut self, stacks: usize) -> Result<(), MemoryError<'static>> {
        let count = MORE_TABLES + stacks + 4 * self.ram.iter().count();
        let pool = self.carve((count * PAGE) as u64)?;
        // SAFETY: just carved, zeroed and mapped.
        with_mapper(|mapper| unsafe { mapper.refill(pool as *mut Table, count) });
        for (start, end) in self.ram.iter() {
            map_identity(start, end - start, Use::Data)?;
        }
        // The tables that lead to the patcher's window are made while there are some, whatever the application maps later.
        with_mapper(|mapper| {
            mapper.map(WINDOW, image().0, PAGE as u64, Use::Constants)?;
            mapper.keep_window(WINDOW);
            Ok(())
        })
    }

    /// Maps `pages` of carved RAM at `virtual_`.
    pub(crate) fn map_stack(virtual_: u64, physical: u64, pages: usize) -> Result<(), MapError> {
        with_mapper(|mapper| mapper.map(virtual_, physical, (pages * PAGE) as u64, Use::Data))
    }

    /// All RAM that is not free.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn in_use(&self) -> Result<Ranges<MAX_PIECES>, TooManyRanges> {
        let mut set = self.ram;
        for (start, end) in self.free.iter() {
            set.remove(start, end)?;
        }
        Ok(set)
    }

    /// The free pieces.
    pub(crate) fn free(&self) -> impl Iterator<Item = Region> + '_ {
        self.free.iter().map(|(start, end)| Region { base: start, size: end - start })
    }
}
