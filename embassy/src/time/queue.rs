//! Queues of sleepers: one for each CPU, whose alarm wakes them.

use super::clock;
use super::heap::{self, Heap};
use super::item::{Item, NOWHERE, Task, item_of};
use core::sync::atomic::Ordering;
use core::task::Waker;
use reveille::call::Doorbell;
use reveille::cpu::{self, CpuId};
use reveille::sync::SpinLock;
use reveille::time::{Alarm, TimerError};

/// So many are woken with interrupts masked at a time.
const BATCH: usize = 32;

reveille::percpu! {
    static QUEUE: SpinLock<Queue> = SpinLock::new(Queue { heap: Heap::new(), next: None });
    static ALARM: Alarm = Alarm::new(fire);
}

/// Has a CPU set its alarm anew, as another has changed which of its sleepers is the first.
pub(crate) static BELL: Doorbell = Doorbell::new(|| arm(&QUEUE.lock()));

/// The sleepers of one CPU.
struct Queue {
    heap: Heap,
    /// Who takes its sleepers, as it has left.
    next: Option<CpuId>,
}

// SAFETY: what is in the heap is tasks, which are never freed, and is touched with the lock held alone.
unsafe impl Send for Queue {}

const fn home_of(cpu: CpuId) -> u64 {
    cpu.index() as u64 + 1
}

/// Has `task` woken at `at`, or when it was to be anyway if that is earlier.
pub(super) fn sleep(task: Task, at: u64) {
    let item = task.item();
    // It goes from one CPU's queue to another's only by being woken, or as its CPU leaves: whoever finds it elsewhere than a moment ago
    // tries again.
    while !try_sleep(item, at) {}
}

fn try_sleep(item: &'static Item, at: u64) -> bool {
    // Relaxed: looked at again with the lock held.
    let home = item.home.load(Ordering::Relaxed);
    let mut cpu = (home as usize).checked_sub(1).and_then(cpu::get).unwrap_or_else(cpu::current);
    let mut queue = QUEUE.of(cpu).lock();
    while home == NOWHERE
        && let Some(next) = queue.next
    {
        // It leads to one that had not left then, and if that has since, it leads on: not back, so this ends.
        drop(queue);
        cpu = next;
        queue = QUEUE.of(cpu).lock();
    }
    let first = queue.heap.first();
    if home == NOWHERE {
        // Acquire: pairs with the stores of `NOWHERE`. What the queue that it was in last did with it is over.
        if item.home.compare_exchange(NOWHERE, home_of(cpu), Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        // SAFETY: it was in no queue, and is in this one now, so nobody touches it without the lock; tasks are never freed.
        unsafe { queue.heap.insert(&item.node, at) };
    } else {
        if item.home.load(Ordering::Relaxed) != home {
            return false;
        }
        // SAFETY: in this queue, as its home says, which is written with the lock held.
        unsafe { queue.heap.bring_forward(&item.node, at) };
    }
    if queue.heap.first() != first {
        // Masked by the lock: this CPU stays the same.
        if cpu == cpu::current() {
            arm(&queue);
        } else {
            // Where it is not heard, the CPU has left, and its sleepers go to another; or it comes, and looks.
            let _ = BELL.ring(cpu);
        }
    }
    true
}

/// Sets this CPU's alarm for the first of its sleepers. With the lock of its queue held.
fn arm(queue: &Queue) {
    let Some(first) = queue.heap.first() else { return };
    match ALARM.set(clock::instant(first)) {
        Ok(()) | Err(TimerError::Leaving) => {}
        Err(error) => panic!("reveille-embassy: a task cannot sleep: {error}"),
    }
}

/// The alarm: wakes whoever's time has come. In interrupt context.
fn fire() {
    let now = clock::now();
    let mut queue = QUEUE.lock();
    for _ in 0..BATCH {
        let Some(first) = queue.heap.take(now) else { break };
        // SAFETY: all in a queue are items of tasks.
        let task = unsafe { leave(first) }.1;
        // It takes no lock.
        task.waker().wake_by_ref();
    }
    // Those that are left over have the next interrupt, and others come in between.
    arm(&queue);
}

/// What was taken out of a queue is in none: when it was to wake, and the task. With the lock of that queue held.
///
/// # Safety
///
/// It is part of an item of a task.
unsafe fn leave(node: *const heap::Node) -> (u64, Task) {
    // SAFETY: the caller's.
    let (item, task) = unsafe { (item_of(node), item_of(node).task()) };
    let at = item.node.key();
    // Release: pairs with `try_sleep`, which may be that of another queue.
    item.home.store(NOWHERE, Ordering::Release);
    (at, task)
}

/// `cpu`, which is the calling one, leaves: who wants to sleep there does so at `next`, if that is taken, or at any that is online; where
/// there is none, as ever. For one at a time.
pub(crate) fn close(cpu: CpuId, next: Option<CpuId>) {
    // One that has left, or is about to, would lead back in the end.
    let is_open = |next: &CpuId| QUEUE.of(*next).lock().next.is_none();
    let others = cpu::online().without(cpu);
    QUEUE.of(cpu).lock().next = next.into_iter().chain(&others).find(is_open);
}

/// The sleepers of `cpu`, which is the calling one and [closed](close), go to the next one, but for those that are not `wanted`: nobody
/// wakes these.
pub(crate) fn hand_over(cpu: CpuId, wanted: impl Fn(&Waker) -> bool) {
    loop {
        // One at a time: it may be many.
        let mut queue = QUEUE.of(cpu).lock();
        if queue.next.is_none() {
            return;
        }
        let Some(first) = queue.heap.take(u64::MAX) else { return };
        // SAFETY: all in a queue are items of tasks.
        let (at, task) = unsafe { leave(first) };
        drop(queue);
        if wanted(&task.waker()) {
            // If somebody has had it sleep meanwhile, the earlier counts.
            sleep(task, at);
        }
    }
}

/// Has this CPU set its alarm anew, in case it was told to when it did not hear it yet.
pub(crate) fn look(cpu: CpuId) {
    let _ = BELL.ring(cpu);
}

/// `cpu`, which is the calling one, comes, or stays after all. With interrupts masked.
pub(crate) fn open(cpu: CpuId) {
    QUEUE.of(cpu).lock().next = None;
}
