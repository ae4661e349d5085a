//! Static keys toggled while every CPU runs the code that they decide about, and CPUs come and go.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::patch::{Batch, PatchError, sites};
use reveille::{ExitCode, StopError, System, call, cpu, hotplug, irq, println, static_key};
use reveille_tests::{Random, check};

reveille::entry!(main, secondary = secondary);

static_key!(FAST, false);
static_key!(SAFE, true);
static_key!(PAIR_A, false);
static_key!(PAIR_B, false);

/// What `FAST` was last set to, before the change began and after it was over.
static BEFORE: AtomicU64 = AtomicU64::new(0);
static AFTER: AtomicU64 = AtomicU64::new(0);
static LOOPS: AtomicU64 = AtomicU64::new(0);
static STOP: AtomicBool = AtomicBool::new(false);

const LONG: Duration = Duration::from_secs(20);

#[inline(never)]
fn fast() -> u64 {
    if FAST.is_enabled() { 1 } else { 0 }
}

#[inline(never)]
fn safe() -> u64 {
    if SAFE.is_enabled() { 1 } else { 0 }
}

/// Both or neither: they change in one gathering.
#[inline(never)]
fn pair() -> (u64, u64) {
    let _masked = irq::mask();
    let a = if PAIR_A.is_enabled() { 1 } else { 0 };
    let b = if PAIR_B.is_enabled() { 1 } else { 0 };
    (a, b)
}

/// Looks at the keys, over and over: what it sees lies between what was set before and after.
fn look() {
    let after = AFTER.load(Ordering::Acquire);
    let seen = fast();
    // The value changes with each toggle, so a count that is even means off.
    core::sync::atomic::fence(Ordering::Acquire);
    let before = BEFORE.load(Ordering::Acquire);
    if after == before {
        check(seen == after % 2, "no CPU takes the old branch after the toggle has returned");
    }
    let (a, b) = pair();
    check(a == b, "keys of one batch change together");
    LOOPS.fetch_add(1, Ordering::Relaxed);
}

fn secondary(_: cpu::CpuId) -> ! {
    loop {
        if STOP.load(Ordering::Relaxed) {
            cpu::idle();
        } else {
            look();
            cpu::offline_point();
        }
    }
}

fn toggle(count: u64) {
    BEFORE.store(count, Ordering::Release);
    let done = if count % 2 == 1 { FAST.enable() } else { FAST.disable() };
    check(done.is_ok_and(|sites| sites >= 1), "a toggle patches its sites");
    AFTER.store(count, Ordering::Release);
    check(fast() == count % 2, "the toggling CPU sees it at once");
}

fn main(system: &'static System) -> ExitCode {
    let rounds: u64 = system.arg("rounds").and_then(|rounds| rounds.parse().ok()).unwrap_or(200);
    check(fast() == 0 && safe() == 1, "keys begin with their defaults");
    check(SAFE.disable().is_ok() && safe() == 0, "a key that begins enabled can be disabled, alone");
    check(SAFE.enable().is_ok() && safe() == 1, "and enabled again");
    check(SAFE.enable() == Ok(0), "a key that has its value is left alone");

    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let masked = irq::mask();
    check(FAST.enable() == Err(PatchError::Stop(StopError::WouldDeadlock)), "not with interrupts masked");
    drop(masked);
    let mut random = Random::new(5);
    let mut count = 0;
    for round in 0..rounds {
        count += 1;
        toggle(count);
        let both = if round % 2 == 0 {
            Batch::new().enable(&PAIR_A).enable(&PAIR_B)
        } else {
            Batch::new().disable(&PAIR_A).disable(&PAIR_B)
        };
        check(both.apply().is_ok_and(|sites| sites >= 2), "a batch patches all its sites");
        look();
        // CPUs come and go: one that comes back sees what was patched while it was away.
        if round % 8 == 7 && cpu::possible().len() > 1 {
            let index = 1 + random.below(cpu::possible().len() as u64 - 1) as usize;
            let cpu = cpu::get(index).expect("below the count");
            if cpu::online().contains(cpu) {
                check(hotplug::cpu_down(cpu, LONG) == Ok(()), "a CPU leaves");
            } else {
                check(cpu_up(cpu, LONG) == Verdict::Online, "a CPU comes back");
                check(call::on(cpu, fast) == Ok(count % 2), "and sees what was patched meanwhile");
            }
        }
    }
    for site in sites() {
        let branch = site.instruction >> 26 == 0b000101;
        let nop = site.instruction == 0xd503_201f;
        check(if site.enabled { branch } else { nop }, "every site reads back as what it should be");
    }
    STOP.store(true, Ordering::Relaxed);
    println!("keys: {rounds} toggles, {} looks, {} sites", LOOPS.load(Ordering::Relaxed), sites().count());
    println!("keys: all good");
    ExitCode::SUCCESS
}
