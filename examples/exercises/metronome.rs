//! An alarm on every CPU that rings at an even pace, and does not drift. The exercise of docs/interrupts-and-time.md.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::time::{Alarm, Deadline, Instant};
use reveille::{ExitCode, System, call, cpu, println};

reveille::entry!(main);

const PERIOD: Duration = Duration::from_millis(1);
const TICKS: u64 = 20;

reveille::percpu! {
    static ALARM: Alarm = Alarm::new(tick);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static EARLY: AtomicU64 = AtomicU64::new(0);
    /// When the alarm was to ring first, in ticks of the counter.
    static FIRST: AtomicU64 = AtomicU64::new(0);
}

// ANCHOR: tick
/// Each deadline follows from the first, not from the moment at which this runs: a tick that is late makes none of the others late.
fn tick() {
    let count = COUNT.here().fetch_add(1, Ordering::Relaxed);
    let first = Instant::from_ticks(FIRST.here().load(Ordering::Relaxed));
    let due = |count: u64| first + PERIOD * count as u32;
    EARLY.here().fetch_add(u64::from(Instant::now() < due(count)), Ordering::Relaxed);
    if count + 1 < TICKS {
        // It is refused on a CPU that leaves, and there nothing is to tick.
        let _ = ALARM.here().set(due(count + 1));
    }
}
// ANCHOR_END: tick

fn start() {
    let first = Instant::now() + PERIOD;
    FIRST.here().store(first.ticks(), Ordering::Relaxed);
    if let Err(error) = ALARM.here().set(first) {
        println!("metronome: cpu {}: {error}", cpu::current());
    }
}

fn main(system: &'static System) -> ExitCode {
    if !system.bring_up_all(system.deadline()).is_complete()
        || call::on_each(&cpu::online(), |_| start()).is_err()
    {
        return ExitCode::FAILURE;
    }
    let all = || cpu::online().iter().all(|cpu| COUNT.of(cpu).load(Ordering::Relaxed) == TICKS);
    let until = Deadline::after(Duration::from_secs(10));
    while !all() && !until.has_passed() {
        cpu::idle();
    }
    let early: u64 = cpu::online().iter().map(|cpu| EARLY.of(cpu).load(Ordering::Relaxed)).sum();
    println!("metronome: {} CPUs, {TICKS} ticks each, {early} early", cpu::online().len());
    (all() && early == 0).into()
}
