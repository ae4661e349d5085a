//! Counts the instructions of tasks, of `reveille-embassy`'s executors: as the other images of benches/, with this counter, which does not
//! go on while all CPUs sleep.
//!
//! All is measured by one task on the first CPU. With more than 8 CPUs it measures the round trips alone.

#![no_std]
#![no_main]

use core::arch::asm;
use core::future::poll_fn;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::task::{Poll, Waker};
use embassy_executor::Spawner;
use embassy_futures::yield_now;
use embassy_sync::channel::Channel;
use embassy_time::Timer;
use reveille::cpu::{self, CpuId};
use reveille::power::{self, ExitCode};
use reveille::{System, println};
use reveille_embassy::{SpinRawMutex, spawner, task};
use spin::Once;

reveille::entry!(main, leaving = reveille_embassy::EXECUTORS);

/// Repetitions, of which the smallest counts.
const ROUNDS: usize = 64;
/// Of the one task, for a figure of [`yields`]: as many as there are until an executor looks after other things of its CPU.
const YIELDS: u32 = 64;
const SLEEPERS: usize = 1000;

fn main(system: &'static System) -> ExitCode {
    if !system.bring_up_all(system.deadline()).is_complete() {
        return ExitCode::FAILURE;
    }
    begin_to_count();
    reveille_embassy::run(|own| own.spawn(measure(own).expect("the first")))
}

/// What comes to one of `count`.
fn each(instructions: u32, count: u32) -> u32 {
    (instructions + count / 2) / count
}

fn report(name: &str, instructions: u32) {
    println!("bench {name} {instructions}");
}

/// Has the first counter of this CPU count executed instructions.
fn begin_to_count() {
    const INST_RETIRED: u64 = 8;
    // SAFETY: the counters are nobody else's, and interrupt nobody: PMINTENSET_EL1 is left alone.
    unsafe {
        asm!(
            "msr pmselr_el0, xzr",
            "isb",
            "msr pmxevtyper_el0, {event}",
            "msr pmcntenset_el0, {one}",
            "msr pmcr_el0, {one}",
            "isb",
            event = in(reg) INST_RETIRED,
            one = in(reg) 1_u64,
            options(nostack),
        );
    }
}

/// What was executed, which QEMU counts of all CPUs together.
#[inline(always)]
fn executed() -> u32 {
    let count: u64;
    // SAFETY: reads a register. No `nomem`: accesses to memory stay on their side.
    unsafe { asm!("isb", "mrs {}, pmevcntr0_el0", out(reg) count, options(nostack, preserves_flags)) };
    count as u32
}

/// From `start` until now, less what it takes to read the counter.
#[inline(always)]
fn since(start: u32) -> u32 {
    let end = executed();
    let empty = executed().wrapping_sub(end);
    end.wrapping_sub(start) - empty
}

/// Passes the turn to the next vCPU.
fn give_way() {
    // SAFETY: YIELD is a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) }
}

fn other() -> CpuId {
    cpu::online().without(cpu::current()).iter().next().expect("another CPU")
}

task! {
    /// All of it.
    async fn measure(own: Spawner) {
        report("async_round_trip", round_trip().await);
        report("async_channel_round_trip", channel_round_trip().await);
        if cpu::online().len() <= 8 {
            report("async_yield", yields(own).await);
            report("async_spawn", spawns().await);
            report("async_interrupt_wake", interrupt_wakes().await);
            for (name, count) in [("async_sleep_1", 1), ("async_sleep_10", 10), ("async_sleep_1000", SLEEPERS)] {
                report(name, sleeps(own, count).await);
            }
        }
        power::exit(ExitCode::SUCCESS)
    }
}

/// Where one task waits, always the same: its waker is kept for good.
struct Place(Once<Waker>);

impl Place {
    const fn new() -> Self {
        Self(Once::new())
    }

    async fn until(&self, mut is_time: impl FnMut() -> bool) {
        poll_fn(|context| {
            self.0.call_once(|| context.waker().clone());
            if is_time() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    #[inline]
    fn wake(&self) {
        if let Some(waker) = self.0.get() {
            waker.wake_by_ref();
        }
    }
}

/// Odd: it is the other one's turn.
static TURN: AtomicU64 = AtomicU64::new(0);
static PING: Place = Place::new();
static PONG: Place = Place::new();

task! {
    async fn pong() {
        loop {
            PONG.until(|| TURN.load(Ordering::Acquire) & 1 == 1).await;
            TURN.store(TURN.load(Ordering::Relaxed) + 1, Ordering::Release);
            PING.wake();
        }
    }
}

/// A task wakes one on another CPU, which wakes it: every CPU sleeps until it is woken.
async fn round_trip() -> u32 {
    spawner(other()).spawn(pong().expect("the first")).expect("online");
    let mut least = u32::MAX;
    for _ in 0..ROUNDS {
        let start = executed();
        let turn = TURN.load(Ordering::Relaxed);
        TURN.store(turn + 1, Ordering::Release);
        PONG.wake();
        PING.until(|| TURN.load(Ordering::Acquire) == turn + 2).await;
        least = least.min(since(start));
    }
    least
}

static THERE: Channel<SpinRawMutex, u32, 1> = Channel::new();
static BACK: Channel<SpinRawMutex, u32, 1> = Channel::new();

task! {
    async fn echo() {
        loop {
            BACK.send(THERE.receive().await).await;
        }
    }
}

/// The same with a value there and back.
async fn channel_round_trip() -> u32 {
    spawner(other()).spawn(echo().expect("the first")).expect("online");
    let mut least = u32::MAX;
    for round in 0..ROUNDS as u32 {
        let start = executed();
        THERE.send(round).await;
        let back = BACK.receive().await;
        least = least.min(since(start));
        assert_eq!(back, round);
    }
    least
}

static IS_OVER: AtomicBool = AtomicBool::new(false);

task! {
    async fn yielding() {
        while !IS_OVER.load(Ordering::Relaxed) {
            yield_now().await;
        }
    }
}

/// One task to another of the same CPU.
async fn yields(own: Spawner) -> u32 {
    own.spawn(yielding().expect("the first"));
    let mut least = u32::MAX;
    for _ in 0..ROUNDS {
        let start = executed();
        for _ in 0..YIELDS {
            yield_now().await;
        }
        least = least.min(since(start));
    }
    IS_OVER.store(true, Ordering::Relaxed);
    yield_now().await;
    // Each of the two has yielded so often.
    each(least, 2 * YIELDS)
}

/// How often the other CPU has done what it is measured by.
static DONE: AtomicU64 = AtomicU64::new(0);

/// From what `begin` does until it was done there.
fn until_done(begin: impl FnOnce()) -> u32 {
    let before = DONE.load(Ordering::Acquire);
    // Begin with a fresh turn.
    give_way();
    let start = executed();
    begin();
    while DONE.load(Ordering::Acquire) == before {
        give_way();
    }
    since(start)
}

task! {
    async fn short() {
        DONE.fetch_add(1, Ordering::Release);
    }
}

/// A task on a CPU that sleeps, from the spawning until it runs.
async fn spawns() -> u32 {
    let there = spawner(other());
    let mut least = u32::MAX;
    for _ in 0..ROUNDS {
        // The last one may not be over.
        let token = loop {
            match short() {
                Ok(token) => break token,
                Err(_) => give_way(),
            }
        };
        least = least.min(until_done(|| there.spawn(token).expect("online")));
    }
    least
}

static URGENT: Place = Place::new();
/// How often the urgent task was woken.
static RINGS: AtomicU64 = AtomicU64::new(0);

task! {
    async fn urgent() {
        let mut seen = 0;
        loop {
            URGENT.until(|| RINGS.load(Ordering::Acquire) != seen).await;
            seen += 1;
            DONE.fetch_add(1, Ordering::Release);
        }
    }

    async fn busy() {
        DONE.fetch_add(1, Ordering::Release);
        while !IS_OVER.load(Ordering::Relaxed) {
            give_way();
        }
    }
}

/// A task of interrupt mode on a CPU whose thread computes, from the waking until it runs.
async fn interrupt_wakes() -> u32 {
    let there = spawner(other());
    IS_OVER.store(false, Ordering::Relaxed);
    until_done(|| there.spawn(busy().expect("the first")).expect("online"));
    there.spawn_interrupt(urgent().expect("the first")).expect("online");
    while URGENT.0.get().is_none() {
        give_way();
    }
    let wake = || {
        until_done(|| {
            RINGS.fetch_add(1, Ordering::Release);
            URGENT.wake();
        })
    };
    let least = (0..ROUNDS).map(|_| wake()).min();
    IS_OVER.store(true, Ordering::Relaxed);
    least.unwrap_or(0)
}

/// Sleeps that are over, of all sleepers; and which of them are measured: from that one to this.
static SLEPT: AtomicU32 = AtomicU32::new(0);
static FIRST: AtomicU32 = AtomicU32::new(0);
static LAST: AtomicU32 = AtomicU32::new(0);
/// What had been executed then, and what was in between.
static START: AtomicU32 = AtomicU32::new(0);
static TOOK: AtomicU32 = AtomicU32::new(0);
static SLEEPS: Place = Place::new();

task! {
    #[pool_size = 1000]
    async fn sleeper(number: usize, count: usize) {
        let mut random = number as u32 + 1;
        // The mean is a sleeper each 100 us.
        let longest = 200 * count as u32;
        loop {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let length = (u64::from(random) * u64::from(longest)) >> 32;
            Timer::after_micros(length + 1).await;
            let slept = SLEPT.load(Ordering::Relaxed) + 1;
            SLEPT.store(slept, Ordering::Relaxed);
            if slept == FIRST.load(Ordering::Relaxed) {
                START.store(executed(), Ordering::Relaxed);
            } else if slept >= LAST.load(Ordering::Relaxed) {
                if slept == LAST.load(Ordering::Relaxed) {
                    TOOK.store(since(START.load(Ordering::Relaxed)), Ordering::Relaxed);
                }
                SLEEPS.wake();
                return;
            }
        }
    }
}

/// A sleep, of which there are so many at a time on this CPU: from the asking until the task is polled again.
async fn sleeps(own: Spawner, count: usize) -> u32 {
    let (first, last) = (2 * count as u32 + 20, 5 * count as u32 + 100);
    SLEPT.store(0, Ordering::Relaxed);
    FIRST.store(first, Ordering::Relaxed);
    LAST.store(last, Ordering::Relaxed);
    for number in 0..count {
        own.spawn(sleeper(number, count).expect("as many as there are"));
    }
    // Each has one more, which is its last.
    SLEEPS.until(|| SLEPT.load(Ordering::Relaxed) == last + count as u32 - 1).await;
    each(TOOK.load(Ordering::Relaxed), last - first)
}
