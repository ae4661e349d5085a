//! All CPUs tell one time, it never goes back, and alarms come when they are due, on whatever counter the machine has.
//!
//! Bootargs: `a73=N`: CPU N arrives as a Cortex-A73. `at_el2=N`: the shim hands CPU N over at EL2. `stands=N`: the
//! counter of CPU N does not count. `late_ms=N`: how late
//! an alarm may be, where time is counted. `silent=1`: devices that never answer come first.
//! `spoilt=1`: readings are wrong as the tree has it. `apart=1`: the CPUs need not agree; those that do not are listed.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{Reason, Verdict, cpu_up};
use reveille::cpu::{self, CpuId};
use reveille::time::{self, Instant};
use reveille::{ExitCode, System, call, fault, irq, println};
use reveille_tests::shim::{self, Plan};
use reveille_tests::{argument, check, eventually, launch};

reveille::entry!(main);

/// A Cortex-A73 r0p2.
const CORTEX_A73: u64 = 0x410f_d092;
/// Readings of each CPU, beside the others.
const READINGS: u32 = 5_000;
/// Rounds of the boot CPU with each other.
const ROUNDS: u32 = 200;

/// The latest moment that any CPU has seen.
static LATEST: AtomicU64 = AtomicU64::new(0);
static BACK: AtomicU32 = AtomicU32::new(0);
static DONE: AtomicU32 = AtomicU32::new(0);
static RANG: AtomicU32 = AtomicU32::new(0);
static EARLY: AtomicU32 = AtomicU32::new(0);
/// How late the latest alarm was, microseconds.
static LATE: AtomicU64 = AtomicU64::new(0);

/// Reads the time again and again: it is never earlier than what anybody has read before.
fn look() {
    for _ in 0..READINGS {
        // SeqCst, as the maximum: what is there was read before what comes now, on whichever CPU.
        let before = LATEST.load(Ordering::SeqCst);
        let now = Instant::now().ticks();
        if now < before {
            BACK.fetch_add(1, Ordering::Relaxed);
        }
        LATEST.fetch_max(now, Ordering::SeqCst);
    }
    DONE.fetch_add(1, Ordering::Release);
}

/// Sets an alarm on this CPU.
fn alarm() {
    let span = Duration::from_millis(3);
    let due = Instant::now() + span;
    let rings = move || {
        let now = Instant::now();
        EARLY.fetch_add(u32::from(now < due), Ordering::Relaxed);
        LATE.fetch_max((now - due).as_micros() as u64, Ordering::Relaxed);
        RANG.fetch_add(1, Ordering::Release);
    };
    check(time::after(span, rings).is_ok(), "an alarm can be set");
}

/// How far `cpu` is from this one, ticks: the least that is certain.
fn apart(cpu: CpuId) -> i128 {
    let mut worst = 0_i128;
    for _ in 0..ROUNDS {
        let before = i128::from(Instant::now().ticks());
        let Ok(there) = call::on(cpu, Instant::now) else { continue };
        let after = i128::from(Instant::now().ticks());
        let there = i128::from(there.ticks());
        let off = there - there.clamp(before, after);
        if off.abs() > worst.abs() {
            worst = off;
        }
    }
    worst
}

/// What a device that never answers is given up after, whatever the counter does: the UART, which is then not waited for again, and the
/// interrupt controller, for want of which a CPU does not come.
fn silent() {
    let timed = |f: &dyn Fn()| {
        let start = Instant::now();
        f();
        Instant::now() - start
    };
    let prints = || println!("clocks: on a UART that is never ready");
    fault::console_is_stuck(true);
    let first = timed(&prints);
    // The shortest of a few: this CPU may be held up in one of them.
    let again = (0..5).map(|_| timed(&prints)).min().unwrap_or_default();
    fault::console_is_stuck(false);
    prints();
    fault::console_is_stuck(true);
    // The timer counts on: an interrupt of it would find that it has come too early, again and again.
    let masked = irq::mask();
    fault::stop_counter(true);
    prints();
    fault::stop_counter(false);
    drop(masked);
    fault::console_is_stuck(false);
    println!("clocks: the UART was waited for {} and {} ms", first.as_millis(), again.as_millis());
    check(first.as_millis() >= 200, "a UART has its time");
    check(again.as_millis() < 200, "and has it once");

    let Some(cpu) = cpu::possible().iter().find(|cpu| *cpu != CpuId::BOOT) else { return };
    let up = || cpu_up(cpu, Duration::from_secs(20));
    fault::gic_is_stuck(true);
    let start = Instant::now();
    let verdict = up();
    let took = Instant::now() - start;
    fault::gic_is_stuck(false);
    println!("clocks: the interrupt controller was waited for {} ms", took.as_millis());
    check(
        verdict == Verdict::Failed(Reason::Gic as u16),
        "a CPU whose interrupt controller does not settle does not come",
    );
    check(took.as_millis() >= 100, "the interrupt controller has its time");
}

fn named(system: &System, argument: &str) -> Option<CpuId> {
    let number: usize = system.arg(argument)?.parse().ok()?;
    cpu::possible().iter().find(|cpu| cpu.index() == number)
}

fn main(system: &'static System) -> ExitCode {
    check(argument(system, "apart", 0) <= 1, "apart is 0 or 1");
    if let Some(cpu) = named(system, "a73") {
        fault::has_midr(cpu, CORTEX_A73);
    }
    if let Some(cpu) = named(system, "at_el2") {
        check(shim::is_present(system), "the shim is there");
        shim::plan(cpu, Plan::AtEl2);
    }
    if argument(system, "spoilt", 0) == 1 {
        fault::spoil_counter();
    }
    if argument(system, "silent", 0) == 1 {
        silent();
    }
    let roll_call = system.bring_up_all(system.deadline());
    let stands = named(system, "stands");
    for entry in roll_call.iter() {
        let expected =
            if stands == Some(entry.cpu) { Verdict::Failed(Reason::Counter as u16) } else { Verdict::Online };
        check(entry.verdict == expected, "all CPUs come online, but for one that knows no time");
    }
    if let Some(cpu) = stands {
        println!("clocks: cpu {cpu} has no counter");
    }

    let mut differ = 0;
    for cpu in cpu::online() {
        let ticks = apart(cpu);
        if ticks != 0 {
            differ += 1;
            println!("clocks: cpu {cpu} is {ticks} ticks ahead");
        }
    }
    if argument(system, "apart", 0) == 1 {
        println!("clocks: {differ} CPUs tell another time");
        return ExitCode::SUCCESS;
    }
    check(differ == 0, "all CPUs tell one time");

    let others = cpu::online().without(cpu::current());
    for cpu in others {
        launch(cpu, look);
    }
    look();
    let all = cpu::online().len() as u32;
    eventually("all have looked", || DONE.load(Ordering::Acquire) == all);
    check(BACK.load(Ordering::Relaxed) == 0, "time never goes back");

    for cpu in others {
        launch(cpu, alarm);
    }
    alarm();
    eventually("all alarms ring", || RANG.load(Ordering::Acquire) == all);
    check(EARLY.load(Ordering::Relaxed) == 0, "no alarm rings early");
    let late = LATE.load(Ordering::Relaxed) / 1000;
    check(late < argument(system, "late_ms", 30_000), "no alarm rings late");
    println!("clocks: all good, {all} CPUs");
    ExitCode::SUCCESS
}
