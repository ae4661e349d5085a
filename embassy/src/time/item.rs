//! Where a task's place in a queue is, and how it is woken.

use super::heap;
use core::mem::{ManuallyDrop, offset_of};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use core::task::{RawWaker, RawWakerVTable, Waker};
use embassy_executor_timer_queue::TimerQueueItem;
use reveille::sync::SpinLock;

/// What a task has for a time driver: begins as zeros.
#[repr(C)]
pub(super) struct Item {
    pub(super) node: heap::Node,
    /// The CPU in whose queue it is, its number and 1; 0: in none. Written with the lock of that queue held.
    pub(super) home: AtomicU64,
}

/// In no queue.
pub(super) const NOWHERE: u64 = 0;

/// How embassy makes wakers of tasks; null until one was seen.
static VTABLE: AtomicPtr<RawWakerVTable> = AtomicPtr::new(ptr::null_mut());
/// How far behind the beginning of a task its item is. With `VTABLE`.
static OFFSET: AtomicUsize = AtomicUsize::new(0);

/// A task of embassy's: the beginning of one, as its wakers have it.
#[derive(Clone, Copy)]
pub(crate) struct Task(*const ());

/// The task that `waker` wakes.
///
/// # Panics
///
/// If it is not one of embassy's executors', or of a task that moves.
#[inline]
pub(crate) fn task_of(waker: &Waker) -> Task {
    let vtable = ptr::from_ref(waker.vtable());
    // Acquire: pairs with `learn`.
    if ptr::eq(vtable, VTABLE.load(Ordering::Acquire)) || ptr::eq(vtable, &raw const MOVABLE) {
        Task(waker.data())
    } else {
        learn(waker)
    }
}

/// The first task that is seen says how all are made.
#[cold]
fn learn(waker: &Waker) -> Task {
    static LOCK: SpinLock<()> = SpinLock::new(());
    // Fails if it is not one of embassy's.
    let _ = embassy_executor::raw::task_from_waker(waker);
    let _one = LOCK.lock();
    if VTABLE.load(Ordering::Relaxed).is_null() {
        // SAFETY: nobody has referred to the item of any task before, as nobody knows where it is; and this reference is gone before
        // anybody does.
        let item = ptr::from_mut(unsafe { TimerQueueItem::from_embassy_waker(waker) });
        OFFSET.store(item.addr() - waker.data().addr(), Ordering::Relaxed);
        // Release: pairs with `task_of`, which so finds the offset.
        VTABLE.store(ptr::from_ref(waker.vtable()).cast_mut(), Ordering::Release);
    }
    Task(waker.data())
}

impl Task {
    /// Its item.
    #[inline(always)]
    pub(super) fn item(self) -> &'static Item {
        let at = self.0.wrapping_byte_add(OFFSET.load(Ordering::Relaxed)).cast::<Item>();
        // SAFETY: where embassy has it, as seen by `learn`, in a task, which is never freed. It is large enough and aligned, as checked
        // below, and zeros are an `Item`. Nobody else uses it: it is for the time driver, of which there is one.
        unsafe { &*at }
    }

    /// A waker of it, as embassy makes them.
    #[inline(always)]
    pub(crate) fn waker(self) -> ManuallyDrop<Waker> {
        // SAFETY: known, as there is a `Task`; a static of embassy's.
        let vtable = unsafe { &*VTABLE.load(Ordering::Relaxed) };
        // SAFETY: the two parts of a waker of embassy's, of which there may be any number, and whose drop does nothing.
        ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(self.0, vtable)) })
    }

    /// A waker of it by which nobody finds the executor that it is on.
    #[inline(always)]
    pub(crate) fn movable_waker(self) -> ManuallyDrop<Waker> {
        // SAFETY: of the kind that the table is for.
        ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(self.0, &MOVABLE)) })
    }
}

impl Item {
    /// The task that it is part of.
    ///
    /// # Safety
    ///
    /// It is the item of a task.
    #[inline(always)]
    pub(super) unsafe fn task(&self) -> Task {
        Task(ptr::from_ref(self).cast::<()>().wrapping_byte_sub(OFFSET.load(Ordering::Relaxed)))
    }
}

/// The item that `node` is part of.
///
/// # Safety
///
/// It is that of an item.
#[inline(always)]
pub(super) unsafe fn item_of(node: *const heap::Node) -> &'static Item {
    // SAFETY: its first field (the caller's); items are never freed.
    unsafe { &*node.byte_sub(offset_of!(Item, node)).cast::<Item>() }
}

const _: () = assert!(
    size_of::<Item>() <= size_of::<TimerQueueItem>() && align_of::<Item>() <= align_of::<TimerQueueItem>()
);

/// Wakers of tasks that move: as embassy's, but not known to it.
static MOVABLE: RawWakerVTable = RawWakerVTable::new(
    |data| RawWaker::new(data, &MOVABLE),
    |data| Task(data).waker().wake_by_ref(),
    |data| Task(data).waker().wake_by_ref(),
    |_| (),
);
