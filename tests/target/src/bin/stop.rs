//! Stop-machine: gathering, calling off, several at once, under calls.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuSet};
use reveille::{ExitCode, StopError, System, call, irq, println, stop_machine, stop_machine_each, time};
use reveille_tests::{Random, check, eventually, on_all_others};

reveille::entry!(main);

reveille::percpu! {
    static RAN: AtomicU64 = AtomicU64::new(0);
}

const LONG: Duration = Duration::from_secs(20);

fn main(system: &'static System) -> ExitCode {
    let rounds: u64 = system.arg("rounds").and_then(|rounds| rounds.parse().ok()).unwrap_or(200);
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    everyone_waits(rounds);
    each_runs(rounds);
    wrong_contexts();
    called_off();
    under_traffic(rounds);
    println!("stop: all good");
    ExitCode::SUCCESS
}

/// While the job runs nobody else moves, and afterwards everybody does.
fn everyone_waits(rounds: u64) {
    static STOP: AtomicBool = AtomicBool::new(false);
    on_all_others(|| {
        while !STOP.load(Ordering::Relaxed) {
            RAN.fetch_add(1, Ordering::Relaxed);
            core::hint::spin_loop();
        }
    });
    for round in 0..rounds {
        let counts = || cpu::online().iter().map(|cpu| RAN.of(cpu).load(Ordering::Relaxed)).sum::<u64>();
        let value = stop_machine(LONG, || {
            let before = counts();
            for _ in 0..100 {
                core::hint::spin_loop();
            }
            check(irq::is_masked(), "the job runs masked");
            check(counts() == before, "nobody moves while the job runs");
            round
        });
        check(value == Ok(round), "the job's value comes back");
    }
    STOP.store(true, Ordering::Relaxed);
    settle();
}

fn settle() {
    for cpu in cpu::online().without(cpu::current()) {
        eventually("every CPU is free again", || cpu::launch(cpu, || ()).is_ok());
    }
}

fn each_runs(rounds: u64) {
    for _ in 0..rounds {
        let count = AtomicU64::new(0);
        let done = stop_machine_each(LONG, |cpu| {
            check(cpu == cpu::current() && irq::is_masked(), "each runs it on its own CPU, masked");
            count.fetch_add(1, Ordering::Relaxed);
        });
        check(done == Ok(()), "it is done");
        check(count.load(Ordering::Relaxed) as usize == cpu::online().len(), "each CPU ran it once");
    }
}

fn wrong_contexts() {
    let masked = irq::mask();
    check(stop_machine(LONG, || ()) == Err(StopError::WouldDeadlock), "not with interrupts masked");
    drop(masked);
    for cpu in cpu::online() {
        let inside = call::on(cpu, || stop_machine(LONG, || ()));
        check(inside == Ok(Err(StopError::WouldDeadlock)), "not in a callback");
    }
}

/// A CPU that stays masked: the round is called off and names it; everyone goes on; the next round works.
fn called_off() {
    static HOLD: AtomicU64 = AtomicU64::new(0);
    let others = cpu::online().without(cpu::current());
    for cpu in others {
        HOLD.store(0, Ordering::Relaxed);
        eventually("the CPU takes a closure", || {
            cpu::launch(cpu, || {
                let masked = irq::mask();
                HOLD.store(1, Ordering::Relaxed);
                while HOLD.load(Ordering::Relaxed) != 2 {
                    core::hint::spin_loop();
                }
                drop(masked);
                HOLD.store(3, Ordering::Relaxed);
            })
            .is_ok()
        });
        eventually("it masks", || HOLD.load(Ordering::Relaxed) == 1);
        static RAN_JOB: AtomicBool = AtomicBool::new(false);
        let result = stop_machine(Duration::from_millis(200), || RAN_JOB.store(true, Ordering::Relaxed));
        let mut missing = CpuSet::EMPTY;
        missing.insert(cpu);
        check(result == Err(StopError::TimedOut(missing)), "a round without it is called off, and names it");
        check(!RAN_JOB.load(Ordering::Relaxed), "the job of a round that was called off never runs");
        HOLD.store(2, Ordering::Relaxed);
        eventually("it unmasks", || HOLD.load(Ordering::Relaxed) == 3);
        check(stop_machine(LONG, || 7) == Ok(7), "the next round is complete");
    }
}

/// Every CPU begins rounds, calls and posts, all at once.
fn under_traffic(rounds: u64) {
    static DONE: AtomicU64 = AtomicU64::new(0);
    static STOPS: AtomicU64 = AtomicU64::new(0);
    static ACCEPTED: AtomicU64 = AtomicU64::new(0);
    static TOTAL: AtomicU64 = AtomicU64::new(0);
    static INSIDE: AtomicBool = AtomicBool::new(false);
    let work = move || {
        let mut random = Random::new(cpu::current().index() as u64 + 77);
        for _ in 0..rounds {
            let cpu = cpu::get(random.below(cpu::possible().len() as u64) as usize).expect("below the count");
            match random.below(4) {
                0 => {
                    let done = stop_machine(LONG, || {
                        check(!INSIDE.swap(true, Ordering::Relaxed), "one job at a time");
                        INSIDE.store(false, Ordering::Relaxed);
                    });
                    check(done == Ok(()), "rounds take turns");
                    STOPS.fetch_add(1, Ordering::Relaxed);
                }
                1 => check(call::on(cpu, || 5) == Ok(5), "calls are served meanwhile"),
                2 => {
                    let all = call::on_each(&cpu::online(), |_| ());
                    check(all == Ok(CpuSet::EMPTY), "broadcasts are served meanwhile");
                }
                _ => {
                    if call::post(cpu, || _ = TOTAL.fetch_add(1, Ordering::Relaxed)).is_ok() {
                        ACCEPTED.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
        DONE.fetch_add(1, Ordering::Relaxed);
    };
    let timer = time::after(Duration::from_millis(1), || {
        check(call::post(cpu::current(), || ()).is_ok(), "a timer may post in the middle of it");
    });
    check(timer.is_ok(), "a timer can be set");
    on_all_others(work);
    work();
    eventually("all CPUs are done", || DONE.load(Ordering::Relaxed) as usize == cpu::online().len());
    eventually("every accepted post runs", || {
        TOTAL.load(Ordering::Relaxed) == ACCEPTED.load(Ordering::Relaxed)
    });
    println!("stop: {} rounds under traffic", STOPS.load(Ordering::Relaxed));
}
