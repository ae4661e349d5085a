//! Mappings of the application's: pages and device registers, with attributes of its choice.
//!
//! A mapping owns what it maps. Each physical address has one place in the window, so nothing is mapped there twice; the pages' own
//! mapping, which all RAM has, is out of reach meanwhile.

use super::map::{check_devices, page_down, page_up};
use super::pages::Pages;
use super::tables::{self, Unmapped};
use crate::arch::mmu::{MAP_WINDOW, MAP_WINDOW_SIZE, MapError, Use};
use crate::arch::{self, cache};
use crate::masking;
use core::fmt;

/// How memory behaves (Arm ARM B2.10).
///
/// ```no_run
/// use reveille::memory::{self, Access, Memory, Pages};
///
/// # fn example() -> Result<(), reveille::memory::MapFailed> {
/// // Shared with a device that does not look into caches.
/// let buffer = Pages::new(4096).expect("a page");
/// let mapping = memory::map(buffer, Memory::NonCacheable, Access::ReadWrite)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Normal, write-back: as all RAM is mapped.
    Normal,
    /// Normal, non-cacheable: for what devices read and write that do not look into caches.
    NonCacheable,
}

/// What may be done with it. Nothing is ever both writable and executable.
///
/// ```no_run
/// use reveille::memory::{self, Access, Memory, Pages};
/// use reveille::println;
///
/// # fn example() {
/// let table = Pages::new(4096).expect("a page").zeroed();
/// match memory::map(table, Memory::Normal, Access::ReadOnly) {
///     Ok(mapping) => println!("at {:p}, for reading alone", mapping.as_ptr()),
///     Err(failed) => println!("{}", failed.error),
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and written.
    ReadWrite,
    /// Read.
    ReadOnly,
    /// Read and executed.
    Execute,
}

/// What was to be mapped, and was not: it comes back.
///
/// ```no_run
/// use reveille::memory::{self, Access, Memory};
/// use reveille::println;
///
/// # fn example(pages: reveille::memory::Pages) {
/// if let Err(failed) = memory::map(pages, Memory::Normal, Access::ReadWrite) {
///     println!("{}", failed.error);
///     // They are still the caller's.
///     let pages = failed.pages;
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct MapFailed {
    /// Why.
    pub error: MapError,
    /// The pages.
    pub pages: Pages,
}

impl fmt::Display for MapFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

fn usage(memory: Memory, access: Access) -> Option<Use> {
    Some(match (memory, access) {
        (Memory::Normal, Access::ReadWrite) => Use::Data,
        (Memory::Normal, Access::ReadOnly) => Use::Constants,
        (Memory::Normal, Access::Execute) => Use::Text,
        (Memory::NonCacheable, Access::ReadWrite) => Use::Uncached,
        (Memory::NonCacheable, Access::ReadOnly) => Use::UncachedConstants,
        // Instructions come through caches in any case.
        (Memory::NonCacheable, Access::Execute) => return None,
    })
}

/// `len` bytes of the window from the place of `physical` on.
#[derive(Debug)]
struct Place {
    physical: u64,
    len: u64,
}

impl Place {
    fn virtual_(&self) -> u64 {
        MAP_WINDOW + self.physical
    }

    /// Maps all of it, or nothing.
    fn map(&self, usage: Use) -> Result<(), MapError> {
        if self.physical.checked_add(self.len).is_none_or(|end| end > MAP_WINDOW_SIZE) {
            return Err(MapError::BadRange { start: self.physical, len: self.len });
        }
        tables::map(self.virtual_(), self.physical, self.len, usage).map_err(|error| match error {
            Unmapped::Refused(_) => MapError::Nmi,
            Unmapped::NoTables(_) => MapError::NoTables,
            Unmapped::Map(error) => error,
        })
    }

    /// Unmaps it on all CPUs. `false`: not all of it, as nothing can be mapped any more.
    fn unmap(&self) -> bool {
        tables::unmap(self.virtual_(), self.len)
    }
}

/// Pages that are mapped a second time, as their owner wants it. Dropped, they are unmapped on every CPU, and given back.
///
/// The address is the same on all CPUs, and is not that of the pages themselves.
///
/// ```no_run
/// use reveille::memory::{self, Access, Mapping, Memory};
///
/// # fn example(pages: reveille::memory::Pages) -> Result<(), reveille::memory::MapFailed> {
/// let mapping: Mapping = memory::map(pages, Memory::Normal, Access::ReadWrite)?;
/// // SAFETY: it is mapped for writing, and nobody else's.
/// unsafe { mapping.as_ptr().write_bytes(0, mapping.len()) };
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Mapping {
    /// `None` once it is unmapped.
    pages: Option<Pages>,
    place: Place,
}

/// Maps `pages`. Every CPU that learns of the address from this one, by whatever hands over data, can use it.
///
/// [`Memory::NonCacheable`]: caches hold nothing of the pages that has still to be written, and nothing is written through their own mapping
/// while this one is there; what a CPU may fetch by speculation is never written back (Arm ARM B2.16). [`Access::Execute`]: what was written before
/// is what is fetched, on this CPU at once and on another, to which the caller may have switched, when it has synchronised with this one, by a call or an interrupt
/// (Arm ARM B2.7.4).
///
/// # Errors
///
/// [`MapFailed`], with the pages: nothing has changed. [`MapError::BadRange`] for what lies beyond 4 TiB, and for memory that is both non-cacheable and
/// executable; [`MapError::NoTables`]; [`MapError::Nmi`].
///
/// # Examples
///
/// ```no_run
/// use reveille::memory::{self, Access, Memory, Pages};
///
/// # fn example() -> Result<(), reveille::memory::MapFailed> {
/// let pages = Pages::new(8192).expect("two pages");
/// let mapping = memory::map(pages, Memory::NonCacheable, Access::ReadWrite)?;
/// # Ok(()) }
/// ```
pub fn map(pages: Pages, memory: Memory, access: Access) -> Result<Mapping, MapFailed> {
    let place = Place { physical: pages.physical(), len: pages.len() as u64 };
    let bad = MapError::BadRange { start: place.physical, len: place.len };
    let mapped = if masking::in_nmi() {
        Err(MapError::Nmi)
    } else {
        usage(memory, access).ok_or(bad).and_then(|usage| place.map(usage))
    };
    if let Err(error) = mapped {
        return Err(MapFailed { error, pages });
    }
    if memory == Memory::NonCacheable {
        cache::clean_invalidate(pages.as_ptr() as usize, pages.len());
    }
    if access == Access::Execute {
        cache::make_executable(pages.as_ptr() as usize, pages.len());
    }
    Ok(Mapping { pages: Some(pages), place })
}

impl Mapping {
    /// Where it is mapped.
    ///
    /// ```no_run
    /// # fn example(mapping: &reveille::memory::Mapping) {
    /// // SAFETY: it is mapped, and no device writes there now.
    /// let first = unsafe { mapping.as_ptr().read_volatile() };
    /// # }
    /// ```
    pub fn as_ptr(&self) -> *mut u8 {
        self.place.virtual_() as *mut u8
    }

    /// Bytes.
    ///
    /// ```no_run
    /// # fn example(mapping: &reveille::memory::Mapping) {
    /// let pages = mapping.len() / 4096;
    /// # }
    /// ```
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.place.len as usize
    }

    /// The physical address, for a device.
    ///
    /// ```no_run
    /// # fn example(mapping: &reveille::memory::Mapping, tell_device: fn(u64)) {
    /// // A device takes the address that memory has for it.
    /// tell_device(mapping.physical());
    /// # }
    /// ```
    pub fn physical(&self) -> u64 {
        self.place.physical
    }

    /// Takes it away on every CPU: when this returns an access is a fault everywhere. The pages come back, with what is in them.
    ///
    /// # Errors
    ///
    /// At NMI level the mapping itself. With the others [stopped](crate::panic::stop_others), one of which was just mapping something, it stays
    /// mapped for ever, and so does the answer.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(mapping: reveille::memory::Mapping) {
    /// match mapping.unmap() {
    ///     // No CPU can reach them there any more.
    ///     Ok(pages) => drop(pages),
    ///     Err(mapping) => { /* not from here: it is still mapped */ }
    /// }
    /// # }
    /// ```
    pub fn unmap(mut self) -> Result<Pages, Self> {
        if masking::in_nmi() {
            return Err(self);
        }
        match self.take() {
            Some(pages) => Ok(pages),
            None => Err(self),
        }
    }

    fn take(&mut self) -> Option<Pages> {
        let pages = self.pages.take()?;
        if !self.place.unmap() {
            pages.leak();
            return None;
        }
        // What a CPU has fetched of them by speculation, or written past the caches, does not matter to the other mapping any more.
        cache::clean_invalidate(pages.as_ptr() as usize, pages.len());
        Some(pages)
    }
}

impl Drop for Mapping {
    /// At NMI level, and where nothing can be unmapped any more, the pages stay mapped, for ever.
    fn drop(&mut self) {
        if masking::in_nmi() {
            core::mem::forget(self.pages.take());
        } else {
            drop(self.take());
        }
    }
}

/// Device registers that are mapped until this is dropped.
///
/// ```no_run
/// use core::arch::asm;
/// use reveille::memory::{self, Device};
///
/// # fn example() -> Result<(), reveille::MapError> {
/// let rtc: Device = memory::map_registers(0x0901_0000, 0x1000)?;
/// let seconds: u32;
/// // One plain load, which a hypervisor that emulates the device can decode: what the compiler makes of `read_volatile` may be another.
/// // SAFETY: the data register of a PL031, which is only read.
/// unsafe { asm!("ldr {:w}, [{}]", out(reg) seconds, in(reg) rtc.as_ptr(), options(nostack, preserves_flags)) };
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Device {
    place: Place,
    /// Where in the first page they begin.
    offset: u64,
}

/// Maps the device registers at `[physical, physical + len)`, and what else there is in their pages, as Device-nGnRE.
///
/// For ever and at their own address: [`System::map_device`](crate::System::map_device).
///
/// # Errors
///
/// [`MapError::Conflict`] for what is RAM, or mapped by this already; [`MapError::BadRange`], [`MapError::NoTables`], [`MapError::Nmi`]. Nothing has
/// changed then.
///
/// # Examples
///
/// ```no_run
/// use reveille::memory;
///
/// # fn example() -> Result<(), reveille::MapError> {
/// // Unmapped again when it is dropped.
/// let registers = memory::map_registers(0x0901_0000, 0x1000)?;
/// # Ok(()) }
/// ```
pub fn map_registers(physical: u64, len: u64) -> Result<Device, MapError> {
    if masking::in_nmi() {
        return Err(MapError::Nmi);
    }
    let bad = MapError::BadRange { start: physical, len };
    let end = physical.checked_add(len).filter(|end| len != 0 && *end <= MAP_WINDOW_SIZE).ok_or(bad)?;
    let start = page_down(physical);
    let place = Place { physical: start, len: page_up(end) - start };
    check_devices(start, start + place.len)?;
    place.map(Use::Device)?;
    Ok(Device { place, offset: physical - start })
}

impl Device {
    /// Where the first register is.
    ///
    /// ```no_run
    /// use core::arch::asm;
    ///
    /// # fn example(device: &reveille::memory::Device) {
    /// let id: u32;
    /// // SAFETY: the device has a register of four bytes there, which may be read.
    /// unsafe { asm!("ldr {:w}, [{}, #0xfe0]", out(reg) id, in(reg) device.as_ptr(), options(nostack, preserves_flags)) };
    /// # }
    /// ```
    pub fn as_ptr(&self) -> *mut u8 {
        (self.place.virtual_() + self.offset) as *mut u8
    }
}

impl Drop for Device {
    /// At NMI level they stay mapped.
    fn drop(&mut self) {
        if !masking::in_nmi() {
            // Accesses have reached the device before it is out of reach.
            arch::dsb_sy();
            self.place.unmap();
        }
    }
}
