//! Stacks of the application's, each above a page that is not mapped.
//!
//! A stack is mapped a second time, in a window in which there is an address for each page of free RAM, in the same order. The first of its
//! pages is not mapped there: it is the guard, and keeps the record by which a report knows the stack, at its physical address. The page
//! above the last one is another stack's guard, or is not mapped either, as nothing but stacks is in the window.

use super::carve::MemoryMap;
use super::pages::{Pages, PagesError};
use super::stack_list::{self, Record};
use super::tables::{self, Unmapped};
use crate::arch::mmu::{MapError, OWN_STACKS, PAGE, PATCH_WINDOW, Use};
use crate::sync::Refused;
use core::fmt;

/// Sizes that a stack may have, bytes.
const LEAST: usize = 8 << 10;
const MOST: usize = 16 << 20;

/// Why there is no stack.
///
/// ```no_run
/// use reveille::memory::{Stack, StackError};
/// use reveille::println;
///
/// # fn example() {
/// match Stack::new("worker", 64 * 1024) {
///     Ok(stack) => println!("{} bytes", stack.len()),
///     Err(error) => println!("no stack: {error}"),
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StackError {
    /// Less than 8 KiB, or more than 16 MiB.
    Size {
        /// Bytes that were asked for.
        bytes: usize,
    },
    /// No memory for it, or it cannot be had in this context.
    Pages(PagesError),
    /// It cannot be mapped.
    Map(MapError),
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { bytes } => {
                write!(f, "a stack of {bytes} bytes: not between {LEAST} and {MOST}")
            }
            Self::Pages(error) => write!(f, "a stack: {error}"),
            Self::Map(error) => write!(f, "a stack: {error}"),
        }
    }
}

impl core::error::Error for StackError {}

impl From<Refused> for StackError {
    fn from(refused: Refused) -> Self {
        Self::Pages(refused.into())
    }
}

impl From<Unmapped> for StackError {
    fn from(error: Unmapped) -> Self {
        match error {
            Unmapped::Refused(refused) => refused.into(),
            Unmapped::NoTables(error) => error.into(),
            Unmapped::Map(error) => Self::Map(error),
        }
    }
}

impl From<PagesError> for StackError {
    fn from(error: PagesError) -> Self {
        Self::Pages(error)
    }
}

/// A stack for code of the application's, as for a context ([`context::new`](crate::context::new)), given back when dropped.
///
/// It lies at addresses of its own. The page below it, and the one above, are not mapped: whoever runs over its end
/// gets a report that has the name of the stack. A page of RAM more than its size is used for it.
///
/// All functions can be called in every context. What [`Stack::new`] and the drop do takes a time that grows with the size; interrupts are
/// masked for 64 pages at a time. A stack that cannot be given back, because it is dropped at NMI level or with
/// the others [stopped](crate::panic::stop_others), is lost.
///
/// ```no_run
/// use reveille::memory::Stack;
///
/// # fn example() -> Result<(), reveille::memory::StackError> {
/// // Whoever runs over its end ends in a report that names it.
/// let stack = Stack::new("worker", 16 * 1024)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Stack {
    name: &'static str,
    /// In the window.
    bottom: u64,
    len: u64,
    /// Of the page that is not mapped there, and of which the stack's pages follow.
    physical: u64,
}

impl Stack {
    /// A stack of at least `bytes` bytes, from 8 KiB to 16 MiB, that a report calls `name`.
    ///
    /// # Errors
    ///
    /// [`StackError`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille::memory::Stack;
    ///
    /// # fn example() -> Result<(), reveille::memory::StackError> {
    /// let stack = Stack::new("worker", 16 * 1024)?;
    /// # Ok(()) }
    /// ```
    pub fn new(name: &'static str, bytes: usize) -> Result<Self, StackError> {
        if !(LEAST..=MOST).contains(&bytes) {
            return Err(StackError::Size { bytes });
        }
        let pages = Pages::new(bytes.next_multiple_of(PAGE) + PAGE)?;
        let physical = pages.physical();
        let len = (pages.len() - PAGE) as u64;
        let bad = StackError::Map(MapError::BadRange { start: physical, len });
        let guard =
            address_of(physical).filter(|guard| guard + PAGE as u64 + len < PATCH_WINDOW).ok_or(bad)?;
        let bottom = guard + PAGE as u64;
        let entered = tables::map(bottom, physical + PAGE as u64, len, Use::Data).map_err(StackError::from);
        let entered = entered.and_then(|()| {
            // SAFETY: in the first of its pages, which are the stack's until it has left the list.
            Ok(unsafe { stack_list::enter(physical as *mut Record, name, guard, bottom) }?)
        });
        let pages = pages.leak();
        if let Err(error) = entered {
            if tables::unmap(bottom, len) {
                // SAFETY: leaked just now, and mapped nowhere else any more.
                drop(unsafe { Pages::regain(physical, pages.len() as u64) });
            }
            return Err(error);
        }
        Ok(Self { name, bottom, len, physical })
    }

    /// What a report calls it.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(stack: &reveille::memory::Stack) {
    /// println!("the stack of {}", stack.name());
    /// # }
    /// ```
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its lowest address.
    ///
    /// ```no_run
    /// # fn example(stack: &reveille::memory::Stack) {
    /// assert_eq!(stack.bottom() + stack.len(), stack.top());
    /// # }
    /// ```
    pub fn bottom(&self) -> usize {
        self.bottom as usize
    }

    /// The address behind its last byte, where its stack pointer begins: a multiple of the page size.
    ///
    /// ```no_run
    /// # fn example(stack: &reveille::memory::Stack, frame: &mut reveille::exception::Frame) {
    /// // Where a stack pointer begins.
    /// frame.sp_el0 = stack.top() as u64;
    /// # }
    /// ```
    pub fn top(&self) -> usize {
        (self.bottom + self.len) as usize
    }

    /// Bytes from [`Stack::bottom`] to [`Stack::top`].
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(stack: &reveille::memory::Stack) {
    /// println!("{} KiB", stack.len() / 1024);
    /// # }
    /// ```
    #[allow(clippy::len_without_is_empty, reason = "there are at least 8 KiB")]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// From now on a report looks for the record of a context at `record`; 0: no context is on this stack any more.
    pub(crate) fn set_context(&self, record: u64) {
        // SAFETY: `new` has entered it, and only the drop takes it out.
        unsafe { stack_list::set_context(self.physical as *const Record, record) };
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: entered by `new`, and not yet taken out.
        if unsafe { stack_list::leave(self.physical as *mut Record) }.is_err() {
            return;
        }
        if tables::unmap(self.bottom, self.len) {
            // SAFETY: what `new` has leaked: the page of the record, and those of the stack, which nothing maps any more but
            // where they are.
            drop(unsafe { Pages::regain(self.physical, self.len + PAGE as u64) });
        }
    }
}

/// Where the page `physical` of free RAM has its place in the window.
fn address_of(physical: u64) -> Option<u64> {
    let mut before = 0;
    for piece in MemoryMap::published()?.free() {
        if physical.wrapping_sub(piece.base) < piece.size {
            return Some(OWN_STACKS + before + (physical - piece.base));
        }
        before += piece.size;
    }
    None
}
