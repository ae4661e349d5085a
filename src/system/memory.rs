//! Memory: what there is, what is mapped, what is carved for the runtime, what is free.

use crate::arch;
use crate::arch::entry::{BOOT_GUARDS, BOOT_STACKS};
use crate::arch::mmu::{self, MapError, Mapper, PAGE, Table, Use};
use crate::arch::shared::Regime;
use crate::sync::SpinLock;
use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille_machine::{Machine, Ranges, Region, TooManyRanges, dt};

/// Pieces of RAM that are kept apart.
const MAX_PIECES: usize = 64;
/// Tables to start with: the image, the device tree, the console, and the way to the first carved piece.
const FIRST_TABLES: usize = 24;
/// Tables that are carved besides those for stacks: RAM, devices, and the application's own.
const MORE_TABLES: usize = 64;

#[repr(transparent)]
struct TablePool(UnsafeCell<[Table; FIRST_TABLES]>);
// SAFETY: only the mapper uses it.
unsafe impl Sync for TablePool {}
static POOL: TablePool = TablePool(UnsafeCell::new([Table::EMPTY; FIRST_TABLES]));

static MAPPER: SpinLock<Option<Mapper>> = SpinLock::new(None);

unsafe extern "C" {
    static __image_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __relro_end: u8;
    static __image_end: u8;
    static __rela_end: u8;
}

fn address(symbol: &'static u8) -> u64 {
    core::ptr::from_ref(symbol) as u64
}

/// Where the image lies: `[start, end)`.
pub(crate) fn image() -> (u64, u64) {
    // SAFETY: symbols of the linker script, of which only the addresses are used.
    unsafe { (address(&__image_start), address(&__image_end)) }
}

/// Whether `address` lies in the text of the image.
pub(crate) fn is_text(address: u64) -> bool {
    text().0.contains(&address)
}

/// A function of the image as a number: its distance from the start of the image, which is at most 4 MiB long.
pub(crate) fn offset_of_function(f: fn()) -> u32 {
    (f as usize as u64).wrapping_sub(image().0) as u32
}

/// The function with this number.
///
/// # Safety
///
/// [`offset_of_function`] gave the number out.
pub(crate) unsafe fn function_at(offset: u32) -> fn() {
    let address = image().0 + u64::from(offset);
    debug_assert!(is_text(address));
    // SAFETY: the number came from a function of this type, and the image has not moved.
    unsafe { core::mem::transmute::<*const (), fn()>(address as *const ()) }
}

/// The build id, once it is known.
static BUILD_ID: AtomicU64 = AtomicU64::new(0);

/// Bytes of the arm64 header at the start of the image. Whoever loads it may have changed it.
const IMAGE_HEADER: u64 = 64;

/// A number that tells builds apart: 64-bit FNV-1a over the 32-bit words of text and constants as they were linked.
///
/// First asked for at boot, before any code is patched.
pub(crate) fn build_id() -> u64 {
    let known = BUILD_ID.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let (text, never_patch) = text();
    // SAFETY: symbols of the linker script, of which only the addresses are used.
    let constants = unsafe { address(&__text_end)..address(&__rela_end) };
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in [text.start + IMAGE_HEADER..never_patch.end, constants] {
        let len = (part.end - part.start) as usize / 4;
        // SAFETY: text and constants of the image, mapped, aligned to more than a word, and not written yet.
        let words = unsafe { core::slice::from_raw_parts(part.start as *const u32, len) };
        for word in words {
            hash = (hash ^ u64::from(*word)).wrapping_mul(0x100_0000_01b3);
        }
    }
    BUILD_ID.store(hash, Ordering::Relaxed);
    hash
}

/// Why memory could not be set up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MemoryError<'a> {
    Tree(reveille_machine::Error<'a>),
    Map(MapError),
    TooManyPieces,
    /// No free piece of this many bytes.
    NoRoom(u64),
}

impl fmt::Display for MemoryError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(error) => error.fmt(f),
            Self::Map(error) => write!(f, "memory: {error}"),
            Self::TooManyPieces => {
                write!(f, "memory: the device tree cuts RAM into more than {MAX_PIECES} pieces")
            }
            Self::NoRoom(bytes) => {
                write!(f, "memory: no free piece of {bytes} bytes for the CPUs of this machine")
            }
        }
    }
}

impl From<TooManyRanges> for MemoryError<'_> {
    fn from(_: TooManyRanges) -> Self {
        Self::TooManyPieces
    }
}

impl From<MapError> for MemoryError<'_> {
    fn from(error: MapError) -> Self {
        Self::Map(error)
    }
}

/// Where a page of the text is mapped while it is patched.
pub(crate) const WINDOW: u64 = mmu::PATCH_WINDOW;

/// The text of the image, and the part of it that is never patched.
pub(crate) fn text() -> (core::ops::Range<u64>, core::ops::Range<u64>) {
    unsafe extern "C" {
        static __never_patch_start: u8;
        static __never_patch_end: u8;
    }
    // SAFETY: symbols of the linker script, of which only the addresses are used.
    unsafe {
        (
            address(&__image_start)..address(&__text_end),
            address(&__never_patch_start)..address(&__never_patch_end),
        )
    }
}

/// The mapper, while all other CPUs are gathered: past its lock, whose own code may be what is being patched.
fn gathered_mapper() -> &'static mut Mapper {
    // SAFETY: called by `patch` alone, in the job of a round: whoever held the lock would be masked, and cannot have been
    // gathered so; and one window is opened or closed at a time.
    unsafe { MAPPER.gathered() }.as_mut().expect("set by `init` before anything else is mapped")
}

/// Maps the page `physical` of the text at [`WINDOW`], writable and not executable. The caller is the only CPU that runs.
#[unsafe(link_section = ".never_patch")]
pub(crate) fn open_window(physical: u64) -> Result<(), MapError> {
    gathered_mapper().map(WINDOW, physical, PAGE as u64, Use::Data)
}

/// Takes it away again.
#[unsafe(link_section = ".never_patch")]
pub(crate) fn close_window() {
    gathered_mapper().unmap_page(WINDOW);
}

fn page_down(address: u64) -> u64 {
    address & !(PAGE as u64 - 1)
}

fn page_up(address: u64) -> u64 {
    page_down(address.saturating_add(PAGE as u64 - 1))
}

/// Builds the final tables around the image and moves this CPU to them. By the boot CPU, once, first.
#[inline(never)]
pub(crate) fn init() -> Result<Regime, MapError> {
    // SAFETY: `.bss`, cleared at entry, and used here alone.
    let mut mapper = unsafe { Mapper::new(POOL.0.get().cast(), FIRST_TABLES) };
    // SAFETY: symbols of the linker script, of which only the addresses are used.
    let (start, text, constants, relro, end) = unsafe {
        (
            address(&__image_start),
            address(&__text_end),
            address(&__rodata_end),
            address(&__relro_end),
            address(&__image_end),
        )
    };
    let mut map =
        |from: u64, to: u64, usage| if from < to { mapper.map(from, from, to - from, usage) } else { Ok(()) };
    map(start, text, Use::Text)?;
    // What relocation wrote is as constant as the rest from here on.
    map(text, constants, Use::Constants)?;
    map(constants, relro, Use::Constants)?;
    let mut from = relro;
    for (offset, _) in BOOT_GUARDS {
        let guard = (BOOT_STACKS.base() + offset) as u64;
        map(from, guard, Use::Data)?;
        from = guard + PAGE as u64;
    }
    map(from, end, Use::Data)?;
    // SAFETY: the whole image is mapped, except for the guards of the boot stacks, which nothing uses.
    let regime = unsafe { mmu::switch_to(mapper.root()) };
    *MAPPER.lock() = Some(mapper);
    Ok(regime)
}

fn with_mapper<R>(use_it: impl FnOnce(&mut Mapper) -> R) -> R {
    use_it(MAPPER.lock().as_mut().expect("set by `init` before anything else is mapped"))
}

/// Maps the pages under `[start, start + len)` where they are. On an error nothing has changed.
pub(crate) fn map_identity(start: u64, len: u64, usage: Use) -> Result<(), MapError> {
    let bad = MapError::BadRange { start, len };
    let end = start.checked_add(len).filter(|_| len != 0).ok_or(bad)?;
    let (start, end) = (page_down(start), end.checked_add(PAGE as u64 - 1).map(page_down).ok_or(bad)?);
    // The image is not mapped throughout: the guards of the boot stacks have to stay holes.
    let image = [image()];
    let tree = [(TREE_START.load(Ordering::Relaxed), TREE_END.load(Ordering::Relaxed))];
    // RAM under the tree is mapped as such.
    let taken = image.iter().chain(tree.iter().filter(|_| usage == Use::Device));
    for &(from, to) in taken {
        if start < page_up(to) && page_down(from) < end {
            return Err(MapError::Conflict { at: start.max(page_down(from)) });
        }
    }
    with_mapper(|mapper| {
        mapper.check(start, end - start, usage)?;
        mapper.map(start, start, end - start, usage)
    })
}

/// Maps the device registers at `[start, start + len)`. On an error nothing has changed.
pub(crate) fn map_device(start: u64, len: u64) -> Result<(), MapError> {
    map_identity(start, len, Use::Device)
}

/// Takes the page of the device register at `at` away again.
#[cfg(feature = "fault-injection")]
pub(crate) fn unmap_device(at: u64) {
    with_mapper(|mapper| mapper.unmap_page(page_down(at)));
}

/// Where the device tree is mapped, wherever it lies.
const TREE: u64 = mmu::TREE_WINDOW;

/// Where it lies: `[start, end)`. Relaxed: stored by the boot CPU before any other runs.
static TREE_START: AtomicU64 = AtomicU64::new(0);
static TREE_END: AtomicU64 = AtomicU64::new(0);

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
    // The boot protocol asks for 8 bytes' alignment.
    if !at.is_multiple_of(8) {
        return None;
    }
    let page = page_down(at);
    let base = TREE + (at - page);
    // The header may go on in the next page.
    let pages = [0, PAGE as u64];
    let mut header = [0; dt::HEADER_SIZE];
    let mapped = with_mapper(|mapper| mapper.map(TREE, page, 2 * PAGE as u64, Use::Constants));
    let complete = mapped.is_ok()
        && header.chunks_exact_mut(8).zip((base..).step_by(8)).all(|(bytes, address)| {
            // SAFETY: a multiple of 8, as `at` is, in the two pages just mapped; alone and masked (the caller's). An
            // address that the boot protocol names, or one at which machines have RAM: no device that a read disturbs.
            let word = unsafe { arch::probe(address) };
            bytes.copy_from_slice(&word.unwrap_or(0).to_ne_bytes());
            word.is_some()
        });
    pages.iter().for_each(|offset| with_mapper(|mapper| mapper.unmap_page(TREE + offset)));
    let size = if complete { dt::blob_size(&header).ok()? } else { return None };
    let region = Region { base: at, size: size as u64 };
    let end = page_up(at.checked_add(region.size)?);
    with_mapper(|mapper| mapper.map(TREE, page, end - page, Use::Constants)).ok()?;
    TREE_START.store(page, Ordering::Relaxed);
    TREE_END.store(end, Ordering::Relaxed);
    // SAFETY: mapped just now, for ever, and read-only; the memory under it is kept out of what is free.
    let bytes = unsafe { core::slice::from_raw_parts(base as *const u8, size) };
    Some(Blob { bytes, region })
}

/// What the memory of the machine is used for.
#[derive(Clone, Copy)]
pub(crate) struct MemoryMap {
    /// All RAM that may be mapped.
    ram: Ranges<MAX_PIECES>,
    /// What nobody uses.
    free: Ranges<MAX_PIECES>,
}

impl MemoryMap {
    /// Reads the memory nodes. `blob` is the device tree itself.
    pub(crate) fn read<'a>(machine: &Machine<'a>, blob: Region) -> Result<Self, MemoryError<'a>> {
        let limit = with_mapper(|mapper| mapper.limit());
        let mut ram = Ranges::EMPTY;
        for region in machine.memory() {
            let region = region.map_err(MemoryError::Tree)?;
            let end = region.base.saturating_add(region.size);
            if end > limit {
                log::warn!("memory at {:#x} is beyond what this CPU can address: ignored", region.base);
            }
            // Pages that are RAM as a whole.
            ram.insert(page_up(region.base), page_down(end.min(limit)))?;
        }
        let mut free = ram;
        for reserved in machine.reserved() {
            let reserved = match reserved {
                Ok(reserved) => reserved,
                Err(error) => {
                    log::warn!("{error}: ignored");
                    continue;
                }
            };
            let (start, end) =
                (reserved.region.base, reserved.region.base.saturating_add(reserved.region.size));
            free.remove(page_down(start), page_up(end))?;
            if reserved.no_map {
                ram.remove(page_down(start), page_up(end))?;
            }
        }
        let (start, end) = image();
        ram.remove(start, end)?;
        free.remove(start, end)?;
        let mut map = Self { ram, free };
        map.keep(blob)?;
        Ok(map)
    }

    /// Keeps the pages of `region` out of the free memory.
    pub(crate) fn keep(&mut self, region: Region) -> Result<(), TooManyRanges> {
        self.free.remove(page_down(region.base), page_up(region.base.saturating_add(region.size)))
    }

    /// Takes `bytes` out of the free memory, zeroed and mapped: the lowest piece that is large enough, above the
    /// first MiB, where firmware keeps its own.
    pub(crate) fn carve(&mut self, bytes: u64) -> Result<u64, MemoryError<'static>> {
        let bytes = page_up(bytes.max(1));
        let start = self
            .free
            .iter()
            .map(|(start, end)| (start.max(0x10_0000), end))
            .find(|(start, end)| end.saturating_sub(*start) >= bytes)
            .ok_or(MemoryError::NoRoom(bytes))?
            .0;
        map_identity(start, bytes, Use::Data)?;
        // SAFETY: free RAM, just mapped, that nothing refers to.
        unsafe { core::ptr::write_bytes(start as *mut u8, 0, bytes as usize) };
        self.free.remove(start, start + bytes)?;
        Ok(start)
    }

    /// Takes `bytes` off the top of the highest free piece that is larger, as they are; they are not mapped yet. `None`:
    /// no piece is larger. Before anything is carved, so that the place depends on the machine alone.
    pub(crate) fn reserve_top(&mut self, bytes: u64) -> Option<u64> {
        let bytes = page_up(bytes);
        let end = self.free.iter().filter(|(start, end)| end - start > bytes).last()?.1;
        self.free.remove(end - bytes, end).ok()?;
        Some(end - bytes)
    }

    /// Maps all RAM, with page tables out of a piece that is carved for the purpose; `stacks` more tables are
    /// for what the caller maps next.
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
            mapper.unmap_page(WINDOW);
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
