//! The stacks of the application's that there are, as a report finds them.

use crate::arch::mmu::{self, PAGE};
use crate::sync::{Refused, SpinLock};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// What a report knows of a stack: at the beginning of the first of its pages, where these are.
pub(super) struct Record {
    name: &'static str,
    /// First address of the guard, and of the stack.
    guard: u64,
    bottom: u64,
    /// Where the record of the context is that is on it; 0: none is.
    context: AtomicU64,
    next: AtomicPtr<Record>,
    /// Null: it is the first one. Under the lock alone, as is that of the next one.
    previous: AtomicPtr<Record>,
}

/// The stacks that there are, the newest first. A list is whole at any point for whoever follows `next`.
static FIRST: AtomicPtr<Record> = AtomicPtr::new(core::ptr::null_mut());
/// The right to change it.
static LIST: SpinLock<()> = SpinLock::new(());

/// The most stacks that a report looks at.
const LOOKED_AT: usize = 1 << 16;

/// Puts a stack into the list.
///
/// # Safety
///
/// `at` is memory, mapped where it is, for this alone until the stack has [left](leave).
pub(super) unsafe fn enter(
    at: *mut Record,
    name: &'static str,
    guard: u64,
    bottom: u64,
) -> Result<(), Refused> {
    const { assert!(size_of::<Record>() <= PAGE) };
    let _list = LIST.lock_anywhere()?;
    let first = FIRST.load(Ordering::Relaxed);
    // SAFETY: the caller's.
    unsafe {
        at.write(Record {
            name,
            guard,
            bottom,
            context: AtomicU64::new(0),
            next: AtomicPtr::new(first),
            previous: AtomicPtr::new(core::ptr::null_mut()),
        });
    }
    // SAFETY: null, or a record of the list, whose lock is held.
    if let Some(first) = unsafe { first.as_ref() } {
        first.previous.store(at, Ordering::Relaxed);
    }
    // Release: pairs with the Acquire loads of `in_use`.
    FIRST.store(at, Ordering::Release);
    Ok(())
}

/// From now on the record of the context on it is at `context`; 0: none is on it any more.
///
/// # Safety
///
/// It is in the list, and stays there meanwhile.
pub(super) unsafe fn set_context(at: *const Record, context: u64) {
    // Release: pairs with the Acquire load of `InUse::context`, so who finds the context finds what was written there before.
    // SAFETY: in the list (the caller's), so it is a record.
    unsafe { (*at).context.store(context, Ordering::Release) };
}

/// Takes it out again.
///
/// # Safety
///
/// It is in the list.
pub(super) unsafe fn leave(at: *mut Record) -> Result<(), Refused> {
    let _list = LIST.lock_anywhere()?;
    // SAFETY: in the list (the caller's), whose lock is held.
    let record = unsafe { &*at };
    let (next, previous) = (record.next.load(Ordering::Relaxed), record.previous.load(Ordering::Relaxed));
    // SAFETY: null, or records of the list.
    let (below, above) = unsafe { (next.as_ref(), previous.as_ref()) };
    if let Some(below) = below {
        below.previous.store(previous, Ordering::Relaxed);
    }
    // Release: pairs with the Acquire loads of `in_use`, which go on to the next.
    above.map_or(&FIRST, |above| &above.next).store(next, Ordering::Release);
    Ok(())
}

/// A stack as it is in a report.
pub(crate) struct InUse {
    pub(crate) name: &'static str,
    /// The first address of its guard, and its own first address.
    pub(crate) guard: u64,
    pub(crate) bottom: u64,
    context: &'static AtomicU64,
}

impl InUse {
    /// Where the record of the context on it is; 0: none is.
    pub(crate) fn context(&self) -> u64 {
        // Acquire: pairs with the Release store of `set_context`.
        self.context.load(Ordering::Acquire)
    }
}

/// The stacks that there are, newest first, without a lock: for a report, with all other CPUs stopped. If one of them could not be, and gives a
/// stack back meanwhile, what comes may be wrong; where its record was is memory in any case.
pub(crate) fn in_use() -> impl Iterator<Item = InUse> {
    // Acquire: pairs with the Release stores of `enter`, so the record is whole.
    let mut at = FIRST.load(Ordering::Acquire);
    core::iter::from_fn(move || {
        if !at.is_aligned() || at.is_null() || !mmu::is_ram(at as u64) {
            return None;
        }
        // SAFETY: mapped RAM, aligned, just looked at. It is a record for as long as its stack is not given back, which a CPU that is stopped does not.
        let record = unsafe { &*at };
        at = record.next.load(Ordering::Acquire);
        Some(InUse {
            name: record.name,
            guard: record.guard,
            bottom: record.bottom,
            context: &record.context,
        })
    })
    .take(LOOKED_AT)
}
