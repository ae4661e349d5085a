//! Who runs where: a queue for each CPU, in turn, and CPUs that have nothing take from the others. While a CPU runs threads it has a tick; when it
//! has none it goes home, without one, and is rung at when there is work for it.

use alloc::collections::{BTreeMap, VecDeque};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use core::time::Duration;
use reveille::call::{Doorbell, Rung};
use reveille::context::{self, Ended, Ready, Scheduler};
use reveille::cpu::{self, CpuId};
use reveille::hotplug::{self, Callbacks};
use reveille::sync::SpinLock;
use reveille::time::{Alarm, Instant};

/// The turn of a thread that does not give it away.
const SLICE: Duration = Duration::from_millis(1);
/// A CPU that was asked to leave runs no thread for this time. It is asked again and again.
const DRAIN: Duration = Duration::from_millis(50);

struct Queue {
    /// In the order in which they run.
    ready: VecDeque<Ready>,
    /// What the CPU runs by itself, while a thread runs in its place.
    home: Option<Ready>,
}

reveille::percpu! {
    static QUEUE: SpinLock<Queue> = SpinLock::new(Queue { ready: VecDeque::new(), home: None });
    /// Those who sleep, by when they are to wake, ticks, and their number.
    static SLEEPERS: SpinLock<BTreeMap<(u64, u64), Ready>> = SpinLock::new(BTreeMap::new());
    static TICK: Alarm = Alarm::new(end_turn);
    static SLEEP: Alarm = Alarm::new(wake_sleepers);
    /// The turn of what runs here is over.
    static TURN: AtomicBool = AtomicBool::new(false);
    /// The CPU waits at home, and is to be rung at.
    static IDLE: AtomicBool = AtomicBool::new(true);
    /// Until when the CPU runs no threads, ticks.
    static DRAINS: AtomicU64 = AtomicU64::new(0);
}

static RESCHEDULE: Doorbell = Doorbell::new(rung);

pub static SWITCHES: AtomicU64 = AtomicU64::new(0);
pub static PREEMPTIONS: AtomicU64 = AtomicU64::new(0);
pub static STOLEN: AtomicU64 = AtomicU64::new(0);
pub static ENDED: AtomicU64 = AtomicU64::new(0);

/// For `entry!`.
pub struct Turns;

impl Scheduler for Turns {
    fn preempt() -> Option<Ready> {
        if QUEUE.lock().home.is_none() {
            return look();
        }
        if !TURN.swap(false, Ordering::Relaxed) {
            return None;
        }
        // Its turn goes on if nobody else waits.
        TICK.after(SLICE).expect("an alarm of this CPU");
        if drains() { Some(go_home()) } else { take() }
    }

    fn preempted(context: Ready) {
        PREEMPTIONS.fetch_add(1, Ordering::Relaxed);
        put(context);
    }

    fn end() -> Ready {
        look().unwrap_or_else(go_home)
    }

    fn ended(context: Ended) {
        drop(context.into_stack());
        ENDED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Before the first thread: the bell, and the callbacks.
pub fn start() {
    RESCHEDULE.register().expect("a doorbell");
    hotplug::register_callbacks(Callbacks { online, offline, asked }).expect("callbacks");
}

/// Puts a context that nobody waits for any more where it is found, and has a CPU look that has nothing to do. From any context.
pub fn put(context: Ready) {
    if context.is_home() {
        QUEUE.lock().home = Some(context);
        return;
    }
    QUEUE.lock().ready.push_back(context);
    ring_idle();
}

fn ring_idle() {
    // Orders the queue before the look at who is idle; pairs with the one in `look`.
    fence(Ordering::SeqCst);
    for cpu in &cpu::online() {
        if IDLE.of(cpu).swap(false, Ordering::Relaxed) && RESCHEDULE.ring(cpu) == Rung::Heard {
            return;
        }
    }
}

/// Gives up the CPU. `then` gets the right to resume the caller, and puts it where somebody finds it: interrupts are masked, and other
/// CPUs may resume it from then on. For threads.
pub fn park<F: FnOnce(Ready) + 'static>(then: F) {
    SWITCHES.fetch_add(1, Ordering::Relaxed);
    let switched = context::switch_with(|| Some(look().unwrap_or_else(go_home)), then);
    assert!(switched.is_ok(), "a thread parks in a thread");
}

/// For `main`, which has nothing to do: threads run, or the CPU sleeps.
pub fn rest() {
    if !context::switch_with(look, put).is_ok_and(|has_run| has_run) {
        cpu::idle();
    }
}

/// The turn of what runs here is over as soon as the exception or the interrupt is handled that calls this.
pub fn end_turn() {
    TURN.store(true, Ordering::Relaxed);
}

/// Does not run for `delay`; then it is the next.
pub fn sleep(delay: Duration) {
    let until = (Instant::now() + delay).ticks();
    park(move |me| {
        SLEEPERS.lock().insert((until, me.id()), me);
        wake_sleepers();
    });
}

/// Handler of [`SLEEP`].
fn wake_sleepers() {
    let mut sleepers = SLEEPERS.lock();
    while let Some(first) = sleepers.first_entry() {
        let at = Instant::from_ticks(first.key().0);
        if at > Instant::now() {
            SLEEP.set(at).expect("an alarm of this CPU");
            break;
        }
        QUEUE.lock().ready.push_front(first.remove());
        end_turn();
    }
}

/// Handler of [`RESCHEDULE`]: there is work, or others' sleepers.
fn rung() {
    end_turn();
    wake_sleepers();
}

/// Whether this CPU was asked to leave not long ago.
fn drains() -> bool {
    Instant::now().ticks() < DRAINS.load(Ordering::Relaxed)
}

/// The one of another CPU's queue that would have to wait longest. One that is locked is passed over: whoever has it sees to it that what is in
/// there runs.
fn steal() -> Option<Ready> {
    let others = cpu::possible().without(cpu::current());
    let stolen = others.iter().find_map(|cpu| QUEUE.of(cpu).try_lock()?.ready.pop_back())?;
    STOLEN.fetch_add(1, Ordering::Relaxed);
    Some(stolen)
}

/// Which thread is next, and has its turn from now on; `None`: none is waiting. Like all that chooses with interrupts masked.
fn take() -> Option<Ready> {
    if drains() {
        return None;
    }
    let own = QUEUE.lock().ready.pop_front();
    let next = own.or_else(steal)?;
    IDLE.store(false, Ordering::Relaxed);
    TURN.store(false, Ordering::Relaxed);
    TICK.after(SLICE).expect("an alarm of this CPU");
    Some(next)
}

/// The same, for a CPU that has nothing else to do, and is rung at from now on when something comes.
fn look() -> Option<Ready> {
    take().or_else(|| {
        IDLE.store(true, Ordering::Relaxed);
        // Orders this before the last look into the queues; pairs with the one in `ring_idle`: who puts something in rings, or it is found here.
        fence(Ordering::SeqCst);
        take()
    })
}

fn go_home() -> Ready {
    let _ = TICK.cancel();
    QUEUE.lock().home.take().expect("home waits while a thread runs")
}

/// Somebody wants this CPU to leave: it goes home, and others run its threads.
fn asked(_: CpuId) -> Result<(), &'static str> {
    DRAINS.store((Instant::now() + DRAIN).ticks(), Ordering::Relaxed);
    end_turn();
    Ok(())
}

/// It comes (back), or stays after all: it looks for work as soon as it is there, when the alarm fires. A bell that is rung now is not heard.
fn online(_: CpuId) -> Result<(), ()> {
    DRAINS.store(0, Ordering::Relaxed);
    TICK.after(Duration::ZERO).map_err(|_| ())
}

/// It is about to leave: who waits and sleeps here does so on the boot CPU, which stays.
fn offline(_: CpuId) {
    let _ = TICK.cancel();
    let ready = core::mem::take(&mut QUEUE.lock().ready);
    let mut sleepers = core::mem::take(&mut *SLEEPERS.lock());
    SLEEPERS.of(CpuId::BOOT).lock().append(&mut sleepers);
    QUEUE.of(CpuId::BOOT).lock().ready.extend(ready);
    RESCHEDULE.ring(CpuId::BOOT);
}
