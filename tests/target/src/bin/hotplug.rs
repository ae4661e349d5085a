//! CPUs go and come back, one after the other and in random order, under calls that are counted.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::call::{self, CallError, PostError};
use reveille::cpu::{self, CpuId};
use reveille::hotplug::{self, Hold, HotplugError};
use reveille::time::Deadline;
use reveille::{ExitCode, System, println};
use reveille_tests::{Random, check, eventually};

reveille::entry!(main);

reveille::percpu! {
    static RAN: AtomicU64 = AtomicU64::new(0);
    static ACCEPTED: AtomicU64 = AtomicU64::new(0);
    static CAME: AtomicU64 = AtomicU64::new(0);
    static WENT: AtomicU64 = AtomicU64::new(0);
}

const SECOND: Duration = Duration::from_secs(20);

fn main(system: &'static System) -> ExitCode {
    let rounds: u64 = system.arg("rounds").and_then(|rounds| rounds.parse().ok()).unwrap_or(50);
    let seed = system.arg("seed").and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let registered = hotplug::register(
        |cpu| {
            CAME.of(cpu).fetch_add(1, Ordering::Relaxed);
            Ok(())
        },
        |cpu| _ = WENT.of(cpu).fetch_add(1, Ordering::Relaxed),
    );
    check(registered.is_ok(), "callbacks can be registered");
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    refusals();
    in_order(system);
    random(rounds, seed);
    println!("hotplug: all good");
    ExitCode::SUCCESS
}

fn refusals() {
    check(hotplug::cpu_down(CpuId::BOOT, SECOND) == Err(HotplugError::Held(Hold::Main)), "main is a hold");
    let Some(cpu) = cpu::online().without(CpuId::BOOT).iter().next() else { return };
    static HOLD: AtomicU64 = AtomicU64::new(1);
    HOLD.store(1, Ordering::Relaxed);
    let launched = cpu::launch(cpu, || {
        while HOLD.load(Ordering::Relaxed) == 1 {
            cpu::offline_point();
        }
        HOLD.store(2, Ordering::Relaxed);
    });
    check(launched.is_ok(), "an idle CPU takes a closure");
    check(
        hotplug::cpu_down(cpu, Duration::from_millis(50)) == Err(HotplugError::Held(Hold::Closure)),
        "a closure is a hold",
    );
    check(cpu::online().contains(cpu), "a CPU that holds something stays");
    HOLD.store(0, Ordering::Relaxed);
    eventually("the closure ends", || HOLD.load(Ordering::Relaxed) == 2);
    check(hotplug::cpu_down(cpu, SECOND) == Ok(()), "then it leaves");
    check(hotplug::cpu_down(cpu, SECOND) == Err(HotplugError::NotOnline), "it cannot leave twice");
    check(call::on(cpu, || ()) == Err(CallError::Offline), "a call to it is refused");
    check(matches!(call::post(cpu, || ()), Err(PostError::Offline(_))), "a post to it is refused");
    check(cpu_up(cpu, SECOND) == Verdict::Online, "it comes back");
    check(call::on(cpu, cpu::current) == Ok(cpu), "and answers");
}

fn in_order(system: &System) {
    for cpu in cpu::online().without(CpuId::BOOT) {
        check(hotplug::cpu_down(cpu, SECOND) == Ok(()), "each CPU leaves in turn");
    }
    check(cpu::online().len() == 1, "only one is left");
    check(hotplug::cpu_down(CpuId::BOOT, SECOND) == Err(HotplugError::LastCpu), "the last one stays");
    check(system.bring_up_all(SECOND).is_complete(), "all come back");
    for cpu in cpu::online().without(CpuId::BOOT) {
        let (came, went) = (CAME.of(cpu).load(Ordering::Relaxed), WENT.of(cpu).load(Ordering::Relaxed));
        check(came == went + 1 && went > 0, "callbacks run as CPUs come and go");
    }
}

/// Posts to every CPU, at all times.
fn traffic() {
    for cpu in cpu::possible() {
        if call::post(cpu, || _ = RAN.fetch_add(1, Ordering::Relaxed)).is_ok() {
            ACCEPTED.of(cpu).fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn random(rounds: u64, seed: u64) {
    let mut random = Random::new(seed);
    let (mut downs, mut ups) = (0_u64, 0_u64);
    for round in 0..rounds {
        traffic();
        let cpu =
            cpu::get(1 + random.below(cpu::possible().len() as u64 - 1) as usize).expect("below the count");
        if cpu::online().contains(cpu) {
            for _ in 0..random.below(20) {
                traffic();
            }
            let result = hotplug::cpu_down(cpu, SECOND);
            check(result == Ok(()), "an idle CPU leaves");
            downs += 1;
        } else {
            check(cpu_up(cpu, SECOND) == Verdict::Online, "a CPU that left comes back");
            ups += 1;
        }
        traffic();
        if round % 16 == 0 {
            counts();
        }
    }
    counts();
    println!("hotplug: {downs} down, {ups} up, every accepted call ran once");
}

/// Every accepted post ran, exactly once.
fn counts() {
    let deadline = Deadline::after(SECOND);
    for cpu in cpu::possible() {
        while RAN.of(cpu).load(Ordering::Relaxed) != ACCEPTED.of(cpu).load(Ordering::Relaxed) {
            check(
                RAN.of(cpu).load(Ordering::Relaxed) <= ACCEPTED.of(cpu).load(Ordering::Relaxed),
                "nothing runs twice",
            );
            check(!deadline.has_passed(), "nothing is lost");
            // Only an online CPU may still have something to run.
            check(cpu::online().contains(cpu), "a CPU that left has run all it accepted");
        }
    }
}
