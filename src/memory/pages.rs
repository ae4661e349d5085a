//! Contiguous pages of free RAM, for whoever owns them.

use super::carve::MemoryMap;
use super::map::{page_down, page_up};
use crate::arch::mmu::PAGE;
use crate::dt::Region;
use crate::sync::{Refused, SpinLock};
use core::fmt;
use core::mem::MaybeUninit;
use reveille_machine::{Free, FreeList, Node, Nodes};

/// Below this firmware keeps its own: none of it is given out.
const FIRMWARE: u64 = 0x10_0000;

/// Why there are no pages.
///
/// ```no_run
/// use reveille::memory::{Pages, PagesError};
/// use reveille::println;
///
/// # fn example() {
/// match Pages::new(1 << 30) {
///     Ok(pages) => println!("a GiB at {:#x}", pages.physical()),
///     Err(PagesError::OutOfMemory) => println!("not that much in one piece"),
///     Err(error) => println!("{error}"),
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PagesError {
    /// No free piece is large enough, aligned as wanted, and below the limit; or what was asked for by its address is not free.
    OutOfMemory,
    /// No bytes, or more than there are addresses for; an alignment that is no power of two; a region that is not one of whole pages.
    BadRequest,
    /// The caller is at NMI level ([`nmi::on_each`](crate::nmi::on_each)), and may have interrupted what takes or gives pages.
    Nmi,
    /// This CPU has [stopped the others](crate::panic::stop_others), one of which has the free memory in its hands.
    Stopped,
}

impl fmt::Display for PagesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfMemory => "no free memory of this size and place",
            Self::BadRequest => "memory asked for in no size, alignment or place that there is",
            Self::Nmi => "memory asked for at NMI level",
            Self::Stopped => "memory asked for that a CPU holds which was stopped",
        })
    }
}

impl core::error::Error for PagesError {}

impl From<Refused> for PagesError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Nmi => Self::Nmi,
            Refused::Stopped => Self::Stopped,
        }
    }
}

/// The nodes of the list of free memory, where they are.
struct Ram;

impl Nodes for Ram {
    fn read(&self, at: u64) -> Node {
        // SAFETY: a node of the list: free RAM, which is mapped where it is, in pages, and belongs to the list, whose lock is held.
        unsafe { (at as *const Node).read() }
    }

    fn write(&mut self, at: u64, node: Node) {
        // SAFETY: as above, or memory that the list gets just now from its last owner.
        unsafe { (at as *mut Node).write(node) };
    }
}

/// The free memory of the machine; `None` until somebody wants some.
static FREE: SpinLock<Option<FreeList>> = SpinLock::new(None);

fn with_free<R>(use_it: impl FnOnce(&mut FreeList) -> R) -> Result<R, PagesError> {
    let mut free = FREE.lock_anywhere()?;
    Ok(use_it(free.get_or_insert_with(|| {
        let mut list = FreeList::new();
        for piece in MemoryMap::published().into_iter().flat_map(MemoryMap::free) {
            let (start, end) =
                (page_up(piece.base.max(FIRMWARE)), page_down(piece.base.saturating_add(piece.size)));
            if start < end {
                list.give(&mut Ram, start, end - start);
            }
        }
        list
    })))
}

/// How much memory [`Pages`] could be made of.
///
/// # Errors
///
/// [`PagesError::Nmi`], [`PagesError::Stopped`].
///
/// # Examples
///
/// ```no_run
/// use reveille::{memory, println};
///
/// # fn example() -> Result<(), reveille::memory::PagesError> {
/// println!("{:?}", memory::free()?);
/// # Ok(()) }
/// ```
pub fn free() -> Result<Free, PagesError> {
    with_free(|list| list.free(&Ram))
}

/// Contiguous pages of RAM, of 4 KiB each, given back when dropped.
///
/// They are ordinary memory: Normal, write-back, readable and writable, not executable, at the virtual address that is their
/// physical one. What is in them is whatever their last owner left.
///
/// They come out of [`System::free_memory`](crate::System::free_memory), but for its first MiB, all of which belongs to this allocator: nobody else
/// may write there. Who needs memory at a given address takes it by [`Pages::take`].
///
/// All functions can be called in every context. Each takes a time that grows with the number of free pieces, with interrupts masked
/// for as long: first fit in an address-ordered list, which lies in the free memory. Where pages cannot be given back, because
/// the last owner drops them at NMI level or where [`PagesError::Stopped`] would come, they are lost.
///
/// ```no_run
/// use reveille::memory::Pages;
///
/// # fn example() -> Result<(), reveille::memory::PagesError> {
/// let mut pages = Pages::new(16 * 1024)?.zeroed();
/// for byte in pages.bytes_mut() {
///     byte.write(0xff);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Pages {
    address: u64,
    len: u64,
}

impl Pages {
    /// At least `bytes` bytes, wherever they are.
    ///
    /// # Errors
    ///
    /// [`PagesError`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille::memory::Pages;
    ///
    /// # fn example() -> Result<(), reveille::memory::PagesError> {
    /// let pages = Pages::new(4096)?;
    /// # Ok(()) }
    /// ```
    pub fn new(bytes: usize) -> Result<Self, PagesError> {
        Self::aligned(bytes, PAGE)
    }

    /// At least `bytes` bytes, the first of them at a multiple of `align` bytes, a power of two.
    ///
    /// # Errors
    ///
    /// [`PagesError`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille::memory::Pages;
    ///
    /// # fn example() -> Result<(), reveille::memory::PagesError> {
    /// // The table of a stage 2 that begins with two concatenated pages.
    /// let table = Pages::aligned(8192, 8192)?.zeroed();
    /// # Ok(()) }
    /// ```
    pub fn aligned(bytes: usize, align: usize) -> Result<Self, PagesError> {
        Self::below(bytes, align, u64::MAX)
    }

    /// The same, all of them at physical addresses below `limit`, for a device that reaches no further.
    ///
    /// # Errors
    ///
    /// [`PagesError`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille::memory::Pages;
    ///
    /// # fn example() -> Result<(), reveille::memory::PagesError> {
    /// // For a device that has 32 address lines.
    /// let ring = Pages::below(4096, 4096, 1 << 32)?;
    /// # Ok(()) }
    /// ```
    pub fn below(bytes: usize, align: usize, limit: u64) -> Result<Self, PagesError> {
        let len = bytes.checked_next_multiple_of(PAGE).filter(|len| *len != 0 && align.is_power_of_two());
        let len = len.ok_or(PagesError::BadRequest)? as u64;
        let align = align.max(PAGE) as u64;
        let address = with_free(|list| list.take(&mut Ram, len, align, limit))?;
        address.map(|address| Self { address, len }).ok_or(PagesError::OutOfMemory)
    }

    /// The pages of `region`, if all of them are free.
    ///
    /// # Errors
    ///
    /// [`PagesError`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille::memory::Pages;
    ///
    /// # fn example(region: reveille::dt::Region) -> Result<(), reveille::memory::PagesError> {
    /// // Memory at an address that somebody else has chosen: all of the region, if nobody has it.
    /// let pages = Pages::take(region)?;
    /// # Ok(()) }
    /// ```
    pub fn take(region: Region) -> Result<Self, PagesError> {
        let Region { base: address, size: len } = region;
        let end = address.checked_add(len).ok_or(PagesError::BadRequest)?;
        if len == 0 || (address | len) & (PAGE as u64 - 1) != 0 {
            return Err(PagesError::BadRequest);
        }
        if with_free(|list| list.take_at(&mut Ram, address, end))? {
            Ok(Self { address, len })
        } else {
            Err(PagesError::OutOfMemory)
        }
    }

    /// The same pages, with zeros in them.
    ///
    /// ```no_run
    /// use reveille::memory::Pages;
    ///
    /// # fn example() -> Result<(), reveille::memory::PagesError> {
    /// let table = Pages::new(4096)?.zeroed();
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn zeroed(mut self) -> Self {
        self.bytes_mut().fill(MaybeUninit::new(0));
        self
    }

    /// Their physical address, which is where they are mapped too.
    ///
    /// ```no_run
    /// # fn example(pages: &reveille::memory::Pages) {
    /// // What a descriptor of a page table holds.
    /// let descriptor = pages.physical() | 0b11;
    /// # }
    /// ```
    pub fn physical(&self) -> u64 {
        self.address
    }

    /// How many bytes they are.
    ///
    /// ```no_run
    /// # fn example(pages: &reveille::memory::Pages) {
    /// assert_eq!(pages.len() % 4096, 0);
    /// # }
    /// ```
    #[allow(clippy::len_without_is_empty, reason = "there is at least a page")]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Where they begin.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(pages: &reveille::memory::Pages) {
    /// println!("{:p}", pages.as_ptr());
    /// # }
    /// ```
    pub fn as_ptr(&self) -> *const u8 {
        self.address as *const u8
    }

    /// Where they begin.
    ///
    /// ```no_run
    /// # fn example(pages: &mut reveille::memory::Pages) {
    /// let words = pages.as_mut_ptr().cast::<u64>();
    /// // SAFETY: pages are aligned, hold at least 512 words, and are the caller's.
    /// unsafe { words.write(7) };
    /// # }
    /// ```
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.address as *mut u8
    }

    /// Their bytes.
    ///
    /// ```no_run
    /// # fn example(pages: &mut reveille::memory::Pages) {
    /// for (place, byte) in pages.bytes_mut().iter_mut().zip(*b"hello") {
    ///     place.write(byte);
    /// }
    /// # }
    /// ```
    pub fn bytes_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: mapped, the caller's alone for as long as `self` is borrowed, and nothing is said of what is in them.
        unsafe { core::slice::from_raw_parts_mut(self.address as *mut MaybeUninit<u8>, self.len()) }
    }

    /// Their bytes, for ever.
    ///
    /// ```no_run
    /// use reveille::memory::Pages;
    ///
    /// # fn example() -> Result<(), reveille::memory::PagesError> {
    /// let for_ever: &'static mut [_] = Pages::new(4096)?.leak();
    /// # Ok(()) }
    /// ```
    pub fn leak(self) -> &'static mut [MaybeUninit<u8>] {
        let mut pages = core::mem::ManuallyDrop::new(self);
        let (start, len) = (pages.as_mut_ptr().cast(), pages.len());
        // SAFETY: as in `bytes_mut`; they are never given back, and nobody else has them.
        unsafe { core::slice::from_raw_parts_mut(start, len) }
    }

    /// Pages that were leaked.
    ///
    /// # Safety
    ///
    /// `[address, address + len)` is all of what was leaked at once, and nobody uses it any more.
    pub(super) unsafe fn regain(address: u64, len: u64) -> Self {
        Self { address, len }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // An error: they are lost, as the documentation says.
        let _ = with_free(|list| list.give(&mut Ram, self.address, self.len));
    }
}
