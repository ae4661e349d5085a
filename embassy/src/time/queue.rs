//! Queues of sleepers: one for each CPU, whose alarm wakes them.

use super::clock;
use super::heap::Heap;
use super::item::{Item, NOWHERE, Task, item_of};
use crate::interrupt;
use crate::node::Node;
use core::sync::atomic::{AtomicBool, Ordering};
use reveille::cpu;
use reveille::sync::SpinLock;
use reveille::time::{Alarm, Instant, TimerError};

/// So many are woken with interrupts masked at a time.
const BATCH: usize = 32;

reveille::percpu! {
    static ALARM: Alarm = Alarm::new(fire);
}

/// The sleepers of one CPU.
pub(crate) struct Queue {
    sleepers: SpinLock<Sleepers>,
    /// The first has changed, and the CPU has not set its alarm yet.
    anew: AtomicBool,
}

struct Sleepers {
    heap: Heap,
    /// Its CPU leaves: who wants to sleep does so elsewhere.
    closed: Option<cpu::CpuId>,
}

// SAFETY: what is in the heap is tasks, which are never freed, and is touched with the lock held alone.
unsafe impl Send for Sleepers {}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self {
            sleepers: SpinLock::new(Sleepers { heap: Heap::new(), closed: None }),
            anew: AtomicBool::new(false),
        }
    }
}

const fn home_of(node: &Node) -> u64 {
    node.cpu.index() as u64 + 1
}

/// Has `task` woken at `at`, or when it was to be anyway if that is earlier.
pub(super) fn sleep(task: Task, at: u64) {
    let item = task.item();
    // It goes from one CPU's queue to another's only by being woken, or as its CPU leaves: whoever finds it elsewhere than a moment ago tries again.
    while !try_sleep(item, at) {}
}

fn try_sleep(item: &'static Item, at: u64) -> bool {
    // Relaxed: looked at again with the lock held.
    let home = item.home.load(Ordering::Relaxed);
    let mut node = match (home as usize).checked_sub(1).and_then(cpu::get) {
        Some(cpu) => Node::of(cpu),
        None => Node::here(),
    };
    let mut sleepers = node.queue.sleepers.lock();
    while home == NOWHERE
        && let Some(next) = sleepers.closed
    {
        // Each has closed after those that lead to it, so this comes to one that has not.
        drop(sleepers);
        node = Node::of(next);
        sleepers = node.queue.sleepers.lock();
    }
    let first = sleepers.heap.first();
    if home == NOWHERE {
        // Acquire: pairs with the stores of `NOWHERE`. What the queue that it was in last did with it is over.
        if item.home.compare_exchange(NOWHERE, home_of(node), Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        // SAFETY: it was in no queue, and is in this one now, so nobody touches it without the lock; tasks are never freed.
        unsafe { sleepers.heap.insert(&item.node, at) };
    } else {
        if item.home.load(Ordering::Relaxed) != home {
            return false;
        }
        // SAFETY: in this queue, as its home says, which is written with the lock held.
        unsafe { sleepers.heap.bring_forward(&item.node, at) };
    }
    if sleepers.heap.first() != first {
        plan(node, &sleepers);
    }
    true
}

/// The first of `node`'s sleepers has changed. With the lock held.
fn plan(node: &'static Node, sleepers: &Sleepers) {
    // Masked by the lock: the CPU stays the same.
    if cpu::current() == node.cpu {
        arm(sleepers);
    } else {
        // Relaxed: the bell hands it over.
        node.queue.anew.store(true, Ordering::Relaxed);
        interrupt::pend(node);
    }
}

/// Sets this CPU's alarm for the first of its sleepers. With the lock held.
fn arm(sleepers: &Sleepers) {
    let Some(first) = sleepers.heap.first() else { return };
    match ALARM.set(clock::instant(first)) {
        Ok(()) | Err(TimerError::Leaving) => {}
        Err(error) => panic!("reveille-embassy: a task cannot sleep: {error}"),
    }
}

/// Sets the alarm of `node`'s CPU, which is the calling one, if another has changed what is first. In interrupt context.
pub(crate) fn arm_anew(node: &'static Node) {
    // Looked at first: it is asked with every bell. Relaxed: the bell has handed it over.
    if node.queue.anew.load(Ordering::Relaxed) && node.queue.anew.swap(false, Ordering::Relaxed) {
        arm(&node.queue.sleepers.lock());
    }
}

/// The alarm: wakes whoever's time has come. In interrupt context.
fn fire() {
    let node = Node::here();
    let now = clock::now();
    let mut sleepers = node.queue.sleepers.lock();
    for _ in 0..BATCH {
        let Some(first) = sleepers.heap.take(now) else { break };
        wake(first);
    }
    // Those that are left over have the next interrupt, and others come in between.
    arm(&sleepers);
    drop(sleepers);
    // Whoever rang while this CPU was not online yet was not heard.
    interrupt::attend();
}

/// Wakes one that was taken out. With the lock of its queue held.
fn wake(first: *const super::heap::Node) {
    // SAFETY: all in a queue are items of tasks.
    let item = unsafe { item_of(first) };
    // Release: pairs with `try_sleep`, which may be that of another queue.
    item.home.store(NOWHERE, Ordering::Release);
    // SAFETY: as above. It takes no lock.
    unsafe { item.task() }.waker().wake_by_ref();
}

/// The CPU of `node`, which is the calling one, leaves: its sleepers go to `next`, or, where there is none, are woken to see for themselves.
pub(crate) fn hand_over(node: &'static Node, next: Option<&'static Node>) {
    let other = cpu::online().without(node.cpu).iter().next();
    node.queue.sleepers.lock().closed = next.map(|next| next.cpu).or(other);
    loop {
        // One at a time: it may be many.
        let mut sleepers = node.queue.sleepers.lock();
        let Some(first) = sleepers.heap.take(u64::MAX) else { break };
        // SAFETY: all in a queue are items of tasks.
        let item = unsafe { item_of(first) };
        let at = item.node.key();
        // Release: as in `wake`.
        item.home.store(NOWHERE, Ordering::Release);
        drop(sleepers);
        // Its queue is closed, so in that of another. If somebody has had it sleep there meanwhile, the earlier counts.
        // SAFETY: as above.
        sleep(unsafe { item.task() }, at);
    }
}

/// The CPU of `node`, which is the calling one, comes, or stays. With interrupts masked.
pub(crate) fn open(node: &'static Node) {
    node.queue.sleepers.lock().closed = None;
    // Whatever was left to do while it was not there. Where there is no timer, whoever wants to sleep is told.
    let _ = ALARM.set(Instant::now());
}
