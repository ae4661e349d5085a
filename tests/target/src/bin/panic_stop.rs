//! `panic::stop_others`: one CPU stops the machine without having failed, goes on alone, and may still fail.
//!
//! Bootargs: `others=idle|busy|masked|mixed` is what the other CPUs are doing; `then=exit|panic|lock` is what follows.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::panic::{self, Fate};
use reveille::sync::SpinLock;
use reveille::time::Deadline;
use reveille::{ExitCode, System, irq, println};
use reveille_tests::{check, eventually};

reveille::entry!(main);

static BUSY: AtomicU32 = AtomicU32::new(0);
static COUNTED: AtomicU32 = AtomicU32::new(0);
static LOCK: SpinLock<u32> = SpinLock::new(0);
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

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let others = cpu::online().without(cpu::current());
    let what = system.arg("others").unwrap_or("idle");
    let then = system.arg("then").unwrap_or("exit");
    let expected = |cpu: CpuId| match (what, cpu.index() % 2) {
        ("masked", _) | ("mixed", 1) => Fate::NonMaskable,
        _ => Fate::Interrupted,
    };
    let mut started = 0;
    for cpu in others {
        let f: fn() = match what {
            "idle" => continue,
            "busy" => busy,
            "masked" | "mixed" if expected(cpu) == Fate::NonMaskable => masked,
            _ => busy,
        };
        check(cpu::launch(cpu, f).is_ok(), "an idle CPU takes a closure");
        started += 1;
    }
    eventually("all are busy", || BUSY.load(Ordering::Relaxed) == started);
    if then == "lock" {
        let holder = CpuId::clone(&others.iter().last().unwrap_or(CpuId::BOOT));
        let hold = || {
            let mut value = LOCK.lock();
            HOLDS.store(true, Ordering::Relaxed);
            loop {
                *value = value.wrapping_add(1);
            }
        };
        check(cpu::launch(holder, hold).is_ok(), "an idle CPU takes a closure");
        eventually("the lock is held", || HOLDS.load(Ordering::Relaxed));
    }
    // They have gone to sleep by now.
    let settled = Deadline::after(Duration::from_millis(5));
    while !settled.has_passed() {
        core::hint::spin_loop();
    }

    let report = panic::stop_others(Duration::from_secs(2));
    let counted = COUNTED.load(Ordering::Relaxed);
    println!("stopped: {report}");
    println!("stop: {} ns", report.elapsed().as_nanos());
    for (cpu, fate) in report.fates() {
        println!("cpu {cpu}: {fate}");
        let right = if cpu == cpu::current() { Fate::Stopper } else { expected(cpu) };
        check(then == "lock" || fate == right, "every CPU has the fate that it should have");
    }
    check(report.is_complete() && report.left().is_empty(), "all are stopped");
    let alone = Deadline::after(Duration::from_millis(20));
    while !alone.has_passed() {
        core::hint::spin_loop();
    }
    check(COUNTED.load(Ordering::Relaxed) == counted, "nothing moves any more");
    check(!irq::is_masked(), "interrupts are as they were");
    check(panic::stop_others(Duration::from_secs(2)).is_complete(), "stopping again changes nothing");
    match then {
        "panic" => panic!("after the stop"),
        "lock" => {
            let value = LOCK.lock();
            println!("got the lock: {}", *value);
            ExitCode::FAILURE
        }
        _ => {
            println!("panic_stop: all good");
            ExitCode::SUCCESS
        }
    }
}
