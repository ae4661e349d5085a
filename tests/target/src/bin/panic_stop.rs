//! `panic::stop_others`: one CPU stops the machine without having failed, goes on alone, and may still fail.
//!
//! Bootargs: `others=idle|busy|masked|mixed` is what the other CPUs are doing; `then=exit|panic|lock|mutex` is what follows:
//! the lock is held by one of those that were stopped.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::panic::{self, Fate};
use reveille::sync::{Mutex, SpinLock};
use reveille::time::Deadline;
use reveille::{ExitCode, System, irq, println};
use reveille_tests::{argument, check, eventually};

reveille::entry!(main);

static BUSY: AtomicU32 = AtomicU32::new(0);
static COUNTED: AtomicU32 = AtomicU32::new(0);
static LOCK: SpinLock<u32> = SpinLock::new(0);
static MUTEX: Mutex<u32> = Mutex::new(0);
static HOLDS: AtomicBool = AtomicBool::new(false);

fn busy() {
    BUSY.fetch_add(1, Ordering::Relaxed);
    loop {
        COUNTED.fetch_add(1, Ordering::Relaxed);
    }
}

fn masked() {
    let _masked = irq::mask();
    busy();
}

/// For ever.
fn hold(value: &mut u32) {
    HOLDS.store(true, Ordering::Relaxed);
    loop {
        *value = value.wrapping_add(1);
    }
}

fn got(value: u32) -> ExitCode {
    println!("got a lock that nobody gave back: {value}");
    ExitCode::FAILURE
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let others = cpu::online().without(cpu::current());
    let what = system.arg("others").unwrap_or("idle");
    let then = system.arg("then").unwrap_or("exit");
    let is_masked = |cpu: CpuId| what == "masked" || what == "mixed" && cpu.index() % 2 == 1;
    let is_right = |cpu: CpuId, fate: Fate| match fate {
        Fate::NonMaskable => is_masked(cpu),
        Fate::Interrupted => !is_masked(cpu),
        // Between two waits an idle CPU looks for itself.
        Fate::Noticed => what == "idle",
        _ => false,
    };
    // Masked CPUs are waited for that long; the others have all the time that a busy host may take.
    let limit = Duration::from_millis(match (what, then) {
        (_, "lock") => 50,
        ("masked" | "mixed", _) => argument(system, "limit_ms", 2000),
        _ => 20_000,
    });
    let mut started = 0;
    for cpu in others {
        let f: fn() = match what {
            "idle" => continue,
            "busy" => busy,
            _ if is_masked(cpu) => masked,
            _ => busy,
        };
        check(cpu::launch(cpu, f).is_ok(), "an idle CPU takes a closure");
        started += 1;
    }
    eventually("all are busy", || BUSY.load(Ordering::Relaxed) == started);
    let hold: Option<fn()> = match then {
        "lock" => Some(|| hold(&mut LOCK.lock())),
        "mutex" => Some(|| hold(&mut MUTEX.lock())),
        _ => None,
    };
    let holder = hold.and(others.iter().last());
    if let (Some(holder), Some(hold)) = (holder, hold) {
        check(cpu::launch(holder, hold).is_ok(), "an idle CPU takes a closure");
        eventually("the lock is held", || HOLDS.load(Ordering::Relaxed));
    }
    // They have gone to sleep by now.
    let settled = Deadline::after(Duration::from_millis(5));
    while !settled.has_passed() {
        core::hint::spin_loop();
    }

    let report = panic::stop_others(limit);
    let counted = COUNTED.load(Ordering::Relaxed);
    println!("stopped: {report}");
    println!("stop: {} ns", report.elapsed().as_nanos());
    for (cpu, fate) in report.fates() {
        println!("cpu {cpu}: {fate}");
        let right = if cpu == cpu::current() { fate == Fate::Stopper } else { is_right(cpu, fate) };
        check(right || Some(cpu) == holder && fate.is_parked(), "every CPU has the fate that it should have");
    }
    check(report.is_complete() && report.left().is_empty(), "all are stopped");
    let alone = Deadline::after(Duration::from_millis(20));
    while !alone.has_passed() {
        core::hint::spin_loop();
    }
    check(COUNTED.load(Ordering::Relaxed) == counted, "nothing moves any more");
    check(!irq::is_masked(), "interrupts are as they were");
    check(panic::stop_others(limit).is_complete(), "stopping again changes nothing");
    match then {
        "panic" => panic!("after the stop"),
        "lock" => got(*LOCK.lock()),
        "mutex" => got(*MUTEX.lock()),
        _ => {
            println!("panic_stop: all good");
            ExitCode::SUCCESS
        }
    }
}
