//! Toggles a branch in a loop while every other CPU runs it, and prints what they saw: from the moment `enable` or
//! `disable` returns, not one of them takes the old way.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::time::Deadline;
use reveille::{ExitCode, System, cpu, irq, println, static_key};

reveille::entry!(main);
static_key!(DETOUR, false);

static DONE: AtomicBool = AtomicBool::new(false);

reveille::percpu! {
    /// Turns of the loop with the key off, and with the key on.
    static STRAIGHT: AtomicU64 = AtomicU64::new(0);
    static DETOURS: AtomicU64 = AtomicU64::new(0);
}

/// Turns to wait for after each toggle.
const TURNS: u64 = 10_000;

fn hot_loop() {
    while !DONE.load(Ordering::Relaxed) {
        // So that no toggle falls between the branch and the count.
        let _masked = irq::mask();
        // One instruction: a NOP, or a branch to the other arm.
        if DETOUR.is_enabled() {
            DETOURS.fetch_add(1, Ordering::Relaxed);
        } else {
            STRAIGHT.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// All CPUs' turns: (key off, key on).
fn turns() -> (u64, u64) {
    let sum = |count: &dyn Fn(cpu::CpuId) -> u64| cpu::possible().iter().map(count).sum();
    (
        sum(&|cpu| STRAIGHT.of(cpu).load(Ordering::Relaxed)),
        sum(&|cpu| DETOURS.of(cpu).load(Ordering::Relaxed)),
    )
}

fn main(system: &'static System) -> ExitCode {
    if !system.bring_up_all(system.deadline()).is_complete() {
        return ExitCode::FAILURE;
    }
    let others = cpu::online().without(cpu::current());
    for cpu in others {
        if cpu::launch(cpu, hot_loop).is_err() {
            println!("cpu {cpu} takes no closure");
        }
    }
    let mut stale = 0;
    for round in 0..6 {
        let on = round % 2 == 0;
        let sites = if on { DETOUR.enable() } else { DETOUR.disable() };
        let before = turns();
        let until = Deadline::after(Duration::from_secs(10));
        let (straight, detours) = loop {
            let now = turns();
            let (straight, detours) = (now.0 - before.0, now.1 - before.1);
            if straight + detours >= TURNS || others.is_empty() || until.has_passed() {
                break (straight, detours);
            }
            core::hint::spin_loop();
        };
        match sites {
            Ok(sites) => println!(
                "key {on}: {sites} site patched; {straight} turns straight on, {detours} by the detour"
            ),
            Err(error) => println!("key {on}: {error}"),
        }
        stale += if on { straight } else { detours };
    }
    DONE.store(true, Ordering::Relaxed);
    println!("{stale} turns took the old way");
    (stale == 0).into()
}
