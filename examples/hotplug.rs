//! Takes CPUs down and brings them back while every CPU posts closures to every other one. Each post is accounted for: it
//! was refused, or it ran exactly once, also on a CPU that left right afterwards. The bootarg `rounds=N` says how often.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId};
use reveille::{ExitCode, System, call, hotplug, println};

reveille::entry!(
    main,
    // SAFETY: at `cpu::idle` all that `secondary` has on the stack is a number.
    leaving = unsafe { reveille::cpu::Leaving::new(secondary) }
);

static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicBool = AtomicBool::new(false);

reveille::percpu! {
    /// Posts that have run on this CPU.
    static RAN: AtomicU64 = AtomicU64::new(0);
}

fn post_to_all() {
    for cpu in cpu::possible() {
        let posted = call::post(cpu, || _ = RAN.fetch_add(1, Ordering::Relaxed));
        let counter = if posted.is_ok() { &ACCEPTED } else { &REFUSED };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What every CPU but the first does, from each time it comes online until it leaves: `idle` is where it may.
fn secondary(_: CpuId) -> ! {
    loop {
        if !DONE.load(Ordering::Relaxed) {
            post_to_all();
        }
        cpu::idle();
    }
}

fn main(system: &'static System) -> ExitCode {
    let rounds = match system.arg("rounds").map(|rounds| (rounds, rounds.parse::<usize>())) {
        None => 20,
        Some((_, Ok(rounds))) => rounds,
        Some((rounds, Err(_))) => {
            println!("bootargs: rounds={rounds}: not a number");
            return ExitCode::FAILURE;
        }
    };
    let limit = Duration::from_secs(10);
    if !system.bring_up_all(system.deadline()).is_complete() {
        return ExitCode::FAILURE;
    }
    let others = cpu::online().without(cpu::current());
    let (mut downs, mut ups) = (0, 0);
    for _ in 0..rounds {
        for cpu in others {
            match hotplug::cpu_down(cpu, limit) {
                Ok(()) => downs += 1,
                Err(error) => println!("cpu {cpu} stays: {error}"),
            }
            post_to_all();
        }
        for cpu in others {
            match cpu_up(cpu, limit) {
                Verdict::Online => ups += 1,
                verdict => println!("cpu {cpu} does not come back: {verdict:?}"),
            }
            post_to_all();
        }
    }
    DONE.store(true, Ordering::Relaxed);
    let ran = || cpu::possible().iter().map(|cpu| RAN.of(cpu).load(Ordering::Relaxed)).sum::<u64>();
    let until = reveille::time::Deadline::after(limit);
    while ran() != ACCEPTED.load(Ordering::Relaxed) && !until.has_passed() {
        cpu::idle();
    }
    let (ran, accepted) = (ran(), ACCEPTED.load(Ordering::Relaxed));
    println!("{downs} times down, {ups} times up");
    println!("{accepted} posts accepted, {ran} ran, {} refused", REFUSED.load(Ordering::Relaxed));
    (ran == accepted && downs == rounds * others.len() && ups == downs).into()
}
