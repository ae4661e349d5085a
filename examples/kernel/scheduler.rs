//! Who runs where: a queue for each CPU, in turn, and CPUs that have nothing take from the others.
//!
//! Contexts that a switch has left may be run by any CPU; those that were preempted wait in the queue of theirs. While a CPU runs threads
//! it has a tick; when it has none it goes home, without one, and is rung at when there is work for it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use core::time::Duration;
use reveille::call::{Doorbell, Rung};
use reveille::context::{self, Ended, Ready, Scheduler};
use reveille::cpu::{self, CpuId};
use reveille::hotplug::{self, Callbacks};
use reveille::memory::Stack;
use reveille::sync::SpinLock;
use reveille::time::{Alarm, Instant};

/// The turn of a thread that does not give it away.
const SLICE: Duration = Duration::from_millis(1);
/// A CPU that was asked to leave takes nothing new for this time. It is asked again and again.
const DRAIN: Duration = Duration::from_millis(50);

struct Queue {
    /// In the order in which they run.
    ready: VecDeque<Ready>,
    /// What the CPU runs by itself, while a thread runs in its place. That of the boot CPU is `main`, which takes turns in `ready`.
    home: Option<Ready>,
}

reveille::percpu! {
    static QUEUE: SpinLock<Queue> = SpinLock::new(Queue { ready: VecDeque::new(), home: None });
    /// Those who sleep, by when they are to wake, ticks, and their number.
    static SLEEPERS: SpinLock<BTreeMap<(u64, u64), Ready>> = SpinLock::new(BTreeMap::new());
    /// Whether somebody waits in [`QUEUE`]. Who looks for work locks no queue that has none: CPUs that look would wait for each other.
    static WAITS: AtomicBool = AtomicBool::new(false);
    static TICK: Alarm = Alarm::new(tick);
    static SLEEP: Alarm = Alarm::new(wake_sleepers);
    /// The turn of what runs here is over.
    static TURN: AtomicBool = AtomicBool::new(false);
    /// What runs here has chosen who is next, and is about to switch to it: it is not preempted with that in its hands.
    static SWITCHING: AtomicBool = AtomicBool::new(false);
    /// The CPU waits at home, and is to be rung at.
    static IDLE: AtomicBool = AtomicBool::new(true);
    /// Until when the CPU takes nothing new, ticks.
    static DRAINS: AtomicU64 = AtomicU64::new(0);
}

static RESCHEDULE: Doorbell = Doorbell::new(rung);
static STACKS: SpinLock<Vec<Stack>> = SpinLock::new(Vec::new());

pub static SWITCHES: AtomicU64 = AtomicU64::new(0);
pub static PREEMPTIONS: AtomicU64 = AtomicU64::new(0);
pub static STOLEN: AtomicU64 = AtomicU64::new(0);
pub static ENDED: AtomicU64 = AtomicU64::new(0);

/// For `entry!`.
pub struct Turns;

impl Scheduler for Turns {
    fn preempt() -> Option<Ready> {
        if SWITCHING.load(Ordering::Relaxed) {
            return None;
        }
        let at_home = cpu::current() != CpuId::BOOT && QUEUE.lock().home.is_none();
        if !at_home && !TURN.swap(false, Ordering::Relaxed) {
            return None;
        }
        if !at_home && drains() {
            // It goes on until it switches: preempted, it would be one more that is bound to this CPU.
            return take_bound();
        }
        take()
    }

    fn preempted(context: Ready) {
        PREEMPTIONS.fetch_add(1, Ordering::Relaxed);
        put(context);
    }

    fn end() -> Ready {
        next()
    }

    fn ended(context: Ended) {
        STACKS.lock().push(context.into_stack());
        ENDED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Before the first thread: the bell, and the callbacks.
pub fn start() {
    RESCHEDULE.register().expect("a doorbell");
    hotplug::register_callbacks(Callbacks { online, offline, asked }).expect("callbacks");
}

/// A stack that a thread has left, or a new one.
pub fn stack() -> Stack {
    let left = STACKS.lock().pop();
    left.unwrap_or_else(|| Stack::new("thread", 16 << 10).expect("memory for a stack"))
}

/// Puts a context that nobody waits for any more where it is found, and has a CPU look that has nothing to do. From any context.
pub fn put(context: Ready) {
    let is_free = context.bound_to().is_none();
    {
        let mut queue = QUEUE.lock();
        if context.is_home() && context.bound_to() != Some(CpuId::BOOT) {
            queue.home = Some(context);
        } else {
            queue.ready.push_back(context);
            WAITS.store(true, Ordering::Relaxed);
        }
    }
    if is_free {
        ring_idle();
    }
}

fn ring_idle() {
    // Orders the queue before the look at who is idle; pairs with the one in `take`.
    fence(Ordering::SeqCst);
    for cpu in cpu::online().without(cpu::current()) {
        if IDLE.of(cpu).swap(false, Ordering::Relaxed) && RESCHEDULE.ring(cpu) == Rung::Heard {
            return;
        }
    }
}

/// Gives up the CPU. `then` gets the right to resume the caller, and puts it where somebody finds it: interrupts are masked, and other
/// CPUs may resume it from then on. Not for `main`.
pub fn park<F: FnOnce(Ready) + 'static>(then: F) {
    // Not preempted from here on: a preempted thread would keep `next` from everyone, which may be the CPU's home.
    SWITCHING.store(true, Ordering::Relaxed);
    switch(next(), then);
}

/// Lets others run. Whether there were any.
pub fn yield_now() -> bool {
    SWITCHING.store(true, Ordering::Relaxed);
    match take() {
        Some(next) => switch(next, put),
        None => {
            SWITCHING.store(false, Ordering::Relaxed);
            return false;
        }
    }
    true
}

fn switch<F: FnOnce(Ready) + 'static>(next: Ready, then: F) {
    SWITCHES.fetch_add(1, Ordering::Relaxed);
    let switched = context::switch(next, move |old| {
        SWITCHING.store(false, Ordering::Relaxed);
        then(old);
    });
    if let Err(failed) = switched {
        panic!("{}", failed.error);
    }
}

/// The turn of the caller is over as soon as the exception is handled that calls this.
pub fn end_turn() {
    TURN.store(true, Ordering::Relaxed);
}

/// For `main`, which has nothing to do: threads run, or the CPU sleeps.
pub fn rest() {
    if !yield_now() {
        cpu::idle();
    }
}

/// Does not run for `delay`.
pub fn sleep(delay: Duration) {
    let until = (Instant::now() + delay).ticks();
    park(move |me| {
        SLEEPERS.lock().insert((until, me.id()), me);
        set_sleep();
    });
}

/// Sets the alarm for who wakes first.
fn set_sleep() {
    let first = SLEEPERS.lock().keys().next().copied();
    if let Some((at, _)) = first {
        SLEEP.set(Instant::from_ticks(at)).expect("an alarm of this CPU");
    }
}

/// Handler of [`SLEEP`].
fn wake_sleepers() {
    loop {
        let due = {
            let mut sleepers = SLEEPERS.lock();
            let first = sleepers.first_entry();
            first.filter(|first| first.key().0 <= Instant::now().ticks()).map(|first| first.remove())
        };
        let Some(context) = due else { break };
        put(context);
    }
    set_sleep();
}

/// Handler of [`TICK`].
fn tick() {
    TURN.store(true, Ordering::Relaxed);
    TICK.after(SLICE).expect("an alarm of this CPU");
}

/// Handler of [`RESCHEDULE`]: there is work, or others' sleepers.
fn rung() {
    TURN.store(true, Ordering::Relaxed);
    set_sleep();
}

/// Whether this CPU was asked to leave not long ago.
fn drains() -> bool {
    Instant::now().ticks() < DRAINS.load(Ordering::Relaxed)
}

fn take_bound() -> Option<Ready> {
    let mut queue = QUEUE.lock();
    let bound = queue.ready.iter().position(|context| context.bound_to().is_some())?;
    queue.ready.remove(bound)
}

/// One that any CPU may run, of another CPU's queue: the one that would have to wait longest.
fn steal() -> Option<Ready> {
    let own = cpu::current();
    let stolen = cpu::possible().without(own).iter().find_map(|cpu| {
        if !WAITS.of(cpu).load(Ordering::Relaxed) {
            return None;
        }
        let mut queue = QUEUE.of(cpu).lock();
        WAITS.of(cpu).store(
            queue.ready.iter().filter(|context| context.bound_to().is_none()).count() > 1,
            Ordering::Relaxed,
        );
        let free = queue.ready.iter().rposition(|context| context.bound_to().is_none())?;
        queue.ready.remove(free)
    })?;
    STOLEN.fetch_add(1, Ordering::Relaxed);
    Some(stolen)
}

/// Who is next, and has its turn from now on; `None`: nobody is waiting for this CPU.
fn take() -> Option<Ready> {
    let chosen = if drains() {
        take_bound().or_else(|| QUEUE.lock().home.take())
    } else {
        let own = QUEUE.lock().ready.pop_front();
        own.or_else(steal).or_else(|| {
            IDLE.store(true, Ordering::Relaxed);
            // Orders this before the last look into the queues; pairs with the one in `ring_idle`: who puts something in rings, or it is
            // found here.
            fence(Ordering::SeqCst);
            steal()
        })
    };
    match &chosen {
        Some(context) if !context.is_home() || context.bound_to() == Some(CpuId::BOOT) => {
            IDLE.store(false, Ordering::Relaxed);
            TURN.store(false, Ordering::Relaxed);
            TICK.after(SLICE).expect("an alarm of this CPU");
        }
        _ => {}
    }
    chosen
}

/// Who is next, if not a thread then the CPU's home. Where the caller is not home itself.
fn next() -> Ready {
    take().unwrap_or_else(|| {
        let _ = TICK.cancel();
        QUEUE.lock().home.take().expect("home waits while a thread runs")
    })
}

/// Somebody wants this CPU to leave: it runs what is bound to it, and nothing else.
fn asked(_: CpuId) -> Result<(), &'static str> {
    IDLE.store(false, Ordering::Relaxed);
    DRAINS.store((Instant::now() + DRAIN).ticks(), Ordering::Relaxed);
    Ok(())
}

/// It comes (back), or stays after all: it looks for work as soon as it is there, when the alarm fires. A bell that is rung now is not heard.
fn online(_: CpuId) -> Result<(), ()> {
    DRAINS.store(0, Ordering::Relaxed);
    TICK.after(Duration::ZERO).map_err(|_| ())
}

/// It is about to leave: who waits and sleeps here does so on the boot CPU, which stays.
fn offline(_: CpuId) {
    IDLE.store(false, Ordering::Relaxed);
    let _ = TICK.cancel();
    let mut ready = core::mem::take(&mut QUEUE.lock().ready);
    let mut sleepers = core::mem::take(&mut *SLEEPERS.lock());
    QUEUE.of(CpuId::BOOT).lock().ready.append(&mut ready);
    WAITS.of(CpuId::BOOT).store(true, Ordering::Relaxed);
    SLEEPERS.of(CpuId::BOOT).lock().append(&mut sleepers);
    RESCHEDULE.ring(CpuId::BOOT);
    ring_idle();
}
