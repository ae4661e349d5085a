//! The page tables of all CPUs, and what is mapped in them.

use super::image::{self, image};
use super::stacks::{BOOT_GUARDS, BOOT_STACKS};
use crate::arch::mmu::{self, MapError, Mapper, PAGE, Use};
use crate::arch::shared::Regime;
use crate::sync::{Refused, SpinLock};
use core::sync::atomic::{AtomicU64, Ordering};

static MAPPER: SpinLock<Option<Mapper>> = SpinLock::new(None);

/// Where a page of the text is mapped while it is patched.
pub(crate) const WINDOW: u64 = mmu::PATCH_WINDOW;

/// The mapper, while all other CPUs are gathered: past its lock, whose own code may be what is being patched.
fn gathered_mapper() -> &'static mut Mapper {
    // SAFETY: called by `patch` alone, in the job of a round: whoever held the lock would be masked, and cannot have been
    // gathered so; and one window is opened or closed at a time.
    unsafe { MAPPER.gathered() }.as_mut().expect("set by `init` before anything else is mapped")
}

/// Maps the page `physical` of the text at [`WINDOW`], writable and not executable. The caller is the only CPU that runs.
#[unsafe(link_section = ".never_patch")]
pub(crate) fn open_window(physical: u64) -> Result<(), MapError> {
    if gathered_mapper().open_window(physical) { Ok(()) } else { Err(MapError::NoTables) }
}

/// Takes it away again.
#[unsafe(link_section = ".never_patch")]
pub(crate) fn close_window() {
    gathered_mapper().close_window(WINDOW);
}

pub(super) fn page_down(address: u64) -> u64 {
    address & !(PAGE as u64 - 1)
}

pub(super) fn page_up(address: u64) -> u64 {
    page_down(address.saturating_add(PAGE as u64 - 1))
}

/// Builds the final tables around the image and moves this CPU to them. By the boot CPU, once, first.
pub(crate) fn init() -> Result<Regime, MapError> {
    let (mapper, regime) = build()?;
    let mut place = MAPPER.lock();
    *place = Some(mapper);
    place.end();
    Ok(regime)
}

/// The same, and whose the tables are is the caller's affair.
#[inline(never)]
pub(super) fn build() -> Result<(Mapper, Regime), MapError> {
    let (tables, count) = image::first_tables();
    // SAFETY: cleared at entry like `.bss`, and used here alone.
    let mut mapper = unsafe { Mapper::new(tables, count) };
    let (start, [text, constants, relro, end]) = (image().0, image::parts());
    let mut map =
        |from: u64, to: u64, usage| if from < to { mapper.map_image(from, to - from, usage) } else { Ok(()) };
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
    Ok((mapper, regime))
}

pub(super) fn with_mapper<R>(use_it: impl FnOnce(&mut Mapper) -> R) -> R {
    let mut mapper = MAPPER.lock();
    let result = use_it(mapper.as_mut().expect("set by `init` before anything else is mapped"));
    mapper.end();
    result
}

/// The same for the application, in any context.
pub(super) fn with_mapper_anywhere<R>(use_it: impl FnOnce(&mut Mapper) -> R) -> Result<R, Refused> {
    let mut mapper = MAPPER.lock_anywhere()?;
    Ok(use_it(mapper.as_mut().expect("set by `init` before anything else is mapped")))
}

/// Maps the pages under `[start, start + len)` where they are. On an error nothing has changed.
pub(crate) fn map_identity(start: u64, len: u64, usage: Use) -> Result<(), MapError> {
    let bad = MapError::BadRange { start, len };
    let end = start.checked_add(len).filter(|_| len != 0).ok_or(bad)?;
    let (start, end) = (page_down(start), end.checked_add(PAGE as u64 - 1).map(page_down).ok_or(bad)?);
    check_taken(start, end, usage)?;
    with_mapper(|mapper| {
        mapper.check(start, end - start, usage)?;
        mapper.map(start, start, end - start, usage)
    })
}

/// Whether `[start, end)` is free of the image and, for devices, of the tree, which have mappings of their own.
fn check_taken(start: u64, end: u64, usage: Use) -> Result<(), MapError> {
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
    Ok(())
}

/// Whether there are nothing but devices in the pages `[start, end)`, as far as the runtime knows.
pub(super) fn check_devices(start: u64, end: u64) -> Result<(), MapError> {
    check_taken(start, end, Use::Device)?;
    let found = with_mapper_anywhere(|mapper| {
        match (start..end).step_by(PAGE).find(|page| mapper.is_memory(*page)) {
            Some(at) => Err(MapError::Conflict { at }),
            None => Ok(()),
        }
    });
    found.unwrap_or(Err(MapError::Nmi))
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

/// Where the device tree lies: `[start, end)`. Relaxed: stored by the boot CPU before any other runs.
static TREE_START: AtomicU64 = AtomicU64::new(0);
static TREE_END: AtomicU64 = AtomicU64::new(0);

/// The device tree lies in the pages `[start, end)`, which no device is mapped over.
pub(super) fn keep_tree(start: u64, end: u64) {
    TREE_START.store(start, Ordering::Relaxed);
    TREE_END.store(end, Ordering::Relaxed);
}
