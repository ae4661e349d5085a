//! SGIs that get lost on the way: nothing else is, and nobody waits long.
//!
//! Each fault is planted, something is sent, and the time until it has run is taken, in guest time. The bootarg
//! `bound_ms=N` is how long that may take where a sender waits for it (default 15); what only the receiver's look around
//! can find may take `idle_ms` (which the runtime reads too, default 100) longer.

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::call::{Doorbell, Rung};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::fault::{LostSgi, lose_sgis, lost_sgis};
use reveille::time::{Deadline, Instant};
use reveille::{ExitCode, System, call, irq, println};
use reveille_tests::{argument, check, eventually, nothing_left};

reveille::entry!(main);

/// What the target does in its thread context, and whether it does.
static TASK: AtomicU32 = AtomicU32::new(IDLE);
static DOES: AtomicU32 = AtomicU32::new(IDLE);
const IDLE: u32 = 0;
/// Computes, interrupts open.
const BUSY: u32 = 1;
/// Computes, interrupts masked, for as long as [`MASKED_FOR`] says; then computes with interrupts open.
const MASKED: u32 = 2;
const MASKED_FOR: Duration = Duration::from_millis(20);

/// When the last thing that was sent ran, ticks; 0: it has not.
static RAN_AT: AtomicU64 = AtomicU64::new(0);
/// How often such things ran.
static RUNS: AtomicU64 = AtomicU64::new(0);

struct Bounds {
    /// For what a sender waits for.
    waited: Duration,
    /// For what the receiver has to find by itself.
    looked_for: Duration,
    faults: u32,
    worst: Duration,
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let milliseconds = |name, default| Duration::from_millis(argument(system, name, default));
    let waited = milliseconds("bound_ms", 15);
    let mut bounds = Bounds {
        waited,
        looked_for: waited + milliseconds("idle_ms", 100),
        faults: 0,
        worst: Duration::ZERO,
    };
    let others = cpu::online().without(cpu::current());
    for target in [others.iter().next(), others.iter().last()].into_iter().flatten() {
        for task in [IDLE, BUSY, MASKED] {
            for count in [1, 3] {
                sync(&mut bounds, target, task, count);
            }
            for_a_while(&mut bounds, target, task);
            lone_post(&mut bounds, target, task);
            more_posts(&mut bounds, target, task);
            each(&mut bounds, &others, target, task);
            gather(&mut bounds, target, task);
        }
        launch(&mut bounds, target);
        bell(&mut bounds, target, false);
        bell(&mut bounds, target, true);
    }
    let runs = RUNS.load(Ordering::Relaxed);
    check(lost_sgis() == bounds.faults, "every fault that was planted has happened");
    nothing_left();
    println!(
        "dropped_sgi: {} SGIs lost, {runs} things ran, worst {} us",
        bounds.faults,
        bounds.worst.as_micros()
    );
    ExitCode::SUCCESS
}

/// Has the target do `task`.
fn set_task(target: CpuId, task: u32) {
    TASK.store(IDLE, Ordering::Relaxed);
    eventually("the target is idle", || DOES.load(Ordering::Relaxed) == IDLE);
    if task != IDLE {
        TASK.store(task, Ordering::Relaxed);
        eventually("the target takes a closure", || cpu::launch(target, work).is_ok());
        eventually("the target does what it is to do", || DOES.load(Ordering::Relaxed) == task);
    } else {
        // Idle by now, and for a while.
        let until = Deadline::after(Duration::from_millis(2));
        while !until.has_passed() {
            compute();
        }
    }
}

fn work() {
    let task = TASK.load(Ordering::Relaxed);
    if task == MASKED {
        let _masked = irq::mask();
        DOES.store(task, Ordering::Relaxed);
        let until = Deadline::after(MASKED_FOR);
        while !until.has_passed() {
            compute();
        }
    }
    DOES.store(task, Ordering::Relaxed);
    while TASK.load(Ordering::Relaxed) == task {
        compute();
    }
    DOES.store(IDLE, Ordering::Relaxed);
}

/// Does something for a while, then lets the next CPU go first: where they take turns, a loop that never yields would keep
/// the turn until the next timer.
fn compute() {
    for _ in 0..200 {
        // SAFETY: does nothing.
        unsafe { asm!("nop", options(nomem, nostack, preserves_flags)) };
    }
    // SAFETY: YIELD is a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
}

/// What is sent.
fn mark() {
    RAN_AT.store(Instant::now().ticks(), Ordering::Relaxed);
    RUNS.fetch_add(1, Ordering::Relaxed);
}

/// Plants a fault, does `send`, which says how many runs that means, and waits for them.
fn recover(
    bounds: &mut Bounds,
    what: &str,
    (target, task): (CpuId, u32),
    (kind, count): (LostSgi, u32),
    waits: bool,
    send: impl FnOnce() -> u64,
) {
    set_task(target, task);
    RAN_AT.store(0, Ordering::Relaxed);
    let runs = RUNS.load(Ordering::Relaxed);
    bounds.faults += count;
    lose_sgis(kind, target, count);
    let start = Instant::now();
    let expected = send();
    let deadline = Deadline::after(Duration::from_secs(20));
    // Idle, so that nothing comes from here.
    while RUNS.load(Ordering::Relaxed) < runs + expected {
        check(!deadline.has_passed(), "what was sent runs");
        cpu::idle();
    }
    let took = Instant::from_ticks(RAN_AT.load(Ordering::Relaxed)) - start;
    check(RUNS.load(Ordering::Relaxed) == runs + expected, "and once");
    let doing = ["idle", "busy", "masked"][task as usize];
    println!("dropped_sgi: {what}, cpu {target} {doing}, {count} lost: {} us", took.as_micros());
    let bound = if waits { bounds.waited } else { bounds.looked_for };
    let masked = if task == MASKED { MASKED_FOR } else { Duration::ZERO };
    check(took <= bound + masked, "it did not take long");
    bounds.worst = bounds.worst.max(took);
}

/// A call that waits: the SGI is sent again, however often it gets lost.
fn sync(bounds: &mut Bounds, target: CpuId, task: u32, count: u32) {
    recover(bounds, "sync", (target, task), (LostSgi::Call, count), true, || {
        check(call::on(target, mark).is_ok(), "the call returns");
        1
    });
}

/// The same for a call with a deadline.
fn for_a_while(bounds: &mut Bounds, target: CpuId, task: u32) {
    recover(bounds, "deadline", (target, task), (LostSgi::Call, 1), true, || {
        check(call::on_deadline(target, Duration::from_secs(5), mark).is_ok(), "the call returns");
        1
    });
}

/// One post, and nothing after it: the receiver finds it when it looks around.
fn lone_post(bounds: &mut Bounds, target: CpuId, task: u32) {
    recover(bounds, "lone post", (target, task), (LostSgi::Call, 1), false, || {
        check(call::post(target, mark).is_ok(), "the post is accepted");
        1
    });
}

/// A post every half a millisecond: one of them notices that nothing is taken.
fn more_posts(bounds: &mut Bounds, target: CpuId, task: u32) {
    recover(bounds, "posts", (target, task), (LostSgi::Call, 1), true, || {
        let runs = RUNS.load(Ordering::Relaxed);
        let mut posts = 0;
        let mut next = Instant::now();
        while RUNS.load(Ordering::Relaxed) == runs && posts < 1000 {
            if Instant::now() >= next {
                next = next + Duration::from_micros(500);
                posts += u64::from(call::post(target, mark).is_ok());
            }
            compute();
        }
        posts
    });
}

/// A broadcast of which one CPU hears nothing; waiting, and not.
fn each(bounds: &mut Bounds, others: &CpuSet, target: CpuId, task: u32) {
    recover(bounds, "broadcast", (target, task), (LostSgi::Call, 1), true, || {
        check(call::on_each(others, |_| mark()) == Ok(CpuSet::EMPTY), "nobody is offline");
        others.len() as u64
    });
    recover(bounds, "posts to all", (target, task), (LostSgi::Call, 1), false, || {
        let posted = call::post_each(others, |_| mark());
        check(posted.accepted == *others, "every post is accepted");
        others.len() as u64
    });
}

/// A round of stop-machine of which one CPU hears nothing.
fn gather(bounds: &mut Bounds, target: CpuId, task: u32) {
    recover(bounds, "stop", (target, task), (LostSgi::Gather, 1), true, || {
        check(reveille::stop_machine(Duration::from_secs(5), mark).is_ok(), "all CPUs come");
        1
    });
}

/// A closure for the thread context of an idle CPU.
fn launch(bounds: &mut Bounds, target: CpuId) {
    recover(bounds, "launch", (target, IDLE), (LostSgi::Wake, 1), false, || {
        check(cpu::launch(target, mark).is_ok(), "an idle CPU takes a closure");
        1
    });
}

/// A doorbell at an idle CPU, which may be woken for something else all the time.
fn bell(bounds: &mut Bounds, target: CpuId, woken: bool) {
    static BELL: Doorbell = Doorbell::new(mark);
    let _ = BELL.register();
    recover(bounds, "bell", (target, IDLE), (LostSgi::Bell, 1), false, || {
        let runs = RUNS.load(Ordering::Relaxed);
        check(BELL.ring(target) == Rung::Heard, "a CPU that is online hears it");
        let patience = Deadline::after(Duration::from_secs(20));
        while woken && RUNS.load(Ordering::Relaxed) == runs && !patience.has_passed() {
            cpu::wake(target);
            let until = Deadline::after(Duration::from_millis(1));
            while !until.has_passed() {
                compute();
            }
        }
        check(!woken || RUNS.load(Ordering::Relaxed) != runs, "waits that others end put off no look around");
        1
    });
}
