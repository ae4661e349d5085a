//! Stop-machine: gathering, calling off, several at once, under calls; and, with the bootarg `panic=STAGE`, a panic in the
//! middle of it, of which the report is the result.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::{ExitCode, StopError, System, call, irq, println, stop_machine, stop_machine_each, time};
use reveille_tests::{
    Random, argument, check, eventually, longer, nothing_left, on_all_others, pause, set_short, short,
};

reveille::entry!(main);

reveille::percpu! {
    static RAN: AtomicU64 = AtomicU64::new(0);
}

const LONG: Duration = Duration::from_secs(20);

fn main(system: &'static System) -> ExitCode {
    set_short(system, Duration::from_millis(20));
    let rounds = argument(system, "rounds", 200);
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    if let Some(stage) = system.arg("panic") {
        panic_in(stage);
        println!("stop: no such stage, or nobody panicked");
        return ExitCode::FAILURE;
    }
    everyone_waits(rounds);
    each_runs(rounds);
    wrong_contexts();
    called_off();
    latecomers();
    held_by_a_callback();
    gate_of_a_gathered_cpu();
    under_traffic(rounds);
    nothing_left();
    println!("stop: all good");
    ExitCode::SUCCESS
}

/// While the job runs nobody else moves, and afterwards everybody does.
fn everyone_waits(rounds: u64) {
    static STOP: AtomicBool = AtomicBool::new(false);
    on_all_others(|| {
        while !STOP.load(Ordering::Relaxed) {
            RAN.fetch_add(1, Ordering::Relaxed);
            pause();
        }
    });
    for round in 0..rounds {
        let counts = || cpu::online().iter().map(|cpu| RAN.of(cpu).load(Ordering::Relaxed)).sum::<u64>();
        let value = stop_machine(LONG, || {
            let before = counts();
            for _ in 0..10 {
                pause();
            }
            check(irq::is_masked(), "the job runs masked");
            check(counts() == before, "nobody moves while the job runs");
            round
        });
        check(value == Ok(round), "the job's value comes back");
    }
    let others = cpu::online().without(cpu::current());
    let mut before = [0; MOST];
    for cpu in others {
        before[cpu.index()] = RAN.of(cpu).load(Ordering::Relaxed);
    }
    eventually("everybody moves again", || {
        others.iter().all(|cpu| RAN.of(cpu).load(Ordering::Relaxed) > before[cpu.index()])
    });
    STOP.store(true, Ordering::Relaxed);
    settle();
}

/// As many CPUs as any machine of these tests has.
const MOST: usize = 64;

/// Waits until every other CPU is idle again.
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
    check(stop_machine_each(LONG, |_| ()) == Err(StopError::WouldDeadlock), "nor for each");
    drop(masked);
    for cpu in cpu::online() {
        let inside = call::on(cpu, || stop_machine(LONG, || ()));
        check(inside == Ok(Err(StopError::WouldDeadlock)), "not in a callback");
    }
    static IN_TIMER: AtomicU64 = AtomicU64::new(0);
    let timer = time::after(Duration::from_micros(10), || {
        let refused = stop_machine(LONG, || ()) == Err(StopError::WouldDeadlock);
        IN_TIMER.store(if refused { 1 } else { 2 }, Ordering::Relaxed);
    });
    check(timer.is_ok(), "a timer can be set");
    eventually("the timer fires", || IN_TIMER.load(Ordering::Relaxed) != 0);
    check(IN_TIMER.load(Ordering::Relaxed) == 1, "not in a timer");
}

fn one(cpu: CpuId) -> CpuSet {
    let mut set = CpuSet::EMPTY;
    set.insert(cpu);
    set
}

/// Where each CPU is in [`hold`].
static HELD: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];

/// Has `cpu` mask its interrupts, in thread context, until [`let_go`].
fn hold(cpu: CpuId) {
    HELD[cpu.index()].store(0, Ordering::Relaxed);
    eventually("the CPU takes a closure", || {
        cpu::launch(cpu, move || {
            let held = &HELD[cpu.index()];
            let masked = irq::mask();
            held.store(1, Ordering::Relaxed);
            while held.load(Ordering::Relaxed) != 2 {
                pause();
            }
            drop(masked);
            held.store(3, Ordering::Relaxed);
        })
        .is_ok()
    });
    eventually("it masks", || HELD[cpu.index()].load(Ordering::Relaxed) == 1);
}

fn let_go(cpu: CpuId) {
    HELD[cpu.index()].store(2, Ordering::Relaxed);
}

fn has_gone_on(cpu: CpuId) -> bool {
    HELD[cpu.index()].load(Ordering::Relaxed) == 3
}

static JOBS: AtomicU64 = AtomicU64::new(0);

fn job() -> u64 {
    JOBS.fetch_add(1, Ordering::Relaxed) + 1
}

/// A round is called off that takes `time`, for want of `missing`, which are named. Where a host keeps others waiting as well, and they
/// are named too: once more, with more time.
fn is_called_off(missing: CpuSet) -> bool {
    let mut time = short();
    loop {
        match stop_machine(time, job) {
            Err(StopError::TimedOut(named)) if named == missing => return true,
            Err(StopError::TimedOut(named)) if includes(named, missing) && longer(&mut time) => {}
            _ => return false,
        }
    }
}

fn includes(all: CpuSet, some: CpuSet) -> bool {
    some.iter().all(|cpu| all.contains(cpu))
}

/// A CPU that stays masked: the round is called off and names it; everyone goes on; the next round works.
fn called_off() {
    let others = cpu::online().without(cpu::current());
    for cpu in others {
        hold(cpu);
        let before = JOBS.load(Ordering::Relaxed);
        check(is_called_off(one(cpu)), "a round without it is called off, and names it");
        check(stop_machine_each(short(), |_| _ = job()).is_err(), "and so is a round for each");
        check(JOBS.load(Ordering::Relaxed) == before, "the job of a round that was called off never runs");
        let_go(cpu);
        eventually("it unmasks", || has_gone_on(cpu));
        check(stop_machine(LONG, job) == Ok(before + 1), "the next round is complete");
    }
    // All of them.
    others.into_iter().for_each(hold);
    let result = stop_machine(short(), job);
    check(others.is_empty() || result == Err(StopError::TimedOut(others)), "all that are missing are named");
    others.into_iter().for_each(let_go);
    check(stop_machine(LONG, || ()).is_ok(), "they come late to one round, and are counted in the next");
    others.into_iter().for_each(|cpu| eventually("they unmask", || has_gone_on(cpu)));
}

/// Who is late for one round is not counted in the next, with its interrupt for the first one still pending.
fn latecomers() {
    let others = cpu::online().without(cpu::current());
    let (Some(late), Some(later)) = (others.iter().next(), others.iter().last()) else { return };
    if late == later {
        return;
    }
    for _ in 0..5 {
        hold(late);
        hold(later);
        let mut both = one(late);
        both.insert(later);
        check(is_called_off(both), "two are missing");
        // One comes now, and finds nothing to join. It does not stand in for the other in the next round.
        let_go(late);
        eventually("the first goes on unharmed", || has_gone_on(late));
        let before = JOBS.load(Ordering::Relaxed);
        for _ in 0..3 {
            check(is_called_off(one(later)), "one is missing");
        }
        // The other comes in the middle of a round, while everyone waits for it.
        let timer = time::after(Duration::from_millis(2), move || let_go(later));
        check(timer.is_ok(), "a timer can be set");
        check(stop_machine(LONG, job) == Ok(before + 1), "one that comes in time is counted, once");
        eventually("the second goes on unharmed", || has_gone_on(later));
    }
}

/// A CPU that has joined serves calls, and one of them does not come to an end: it cannot mask, and is named.
fn held_by_a_callback() {
    static INSIDE: AtomicU64 = AtomicU64::new(0);
    let others = cpu::online().without(cpu::current());
    let (Some(victim), Some(last)) = (others.iter().next(), others.iter().last()) else { return };
    if victim == last {
        return;
    }
    let mut time = 2 * short();
    loop {
        // Nobody can be past `Prepare` while this one is masked.
        hold(last);
        INSIDE.store(0, Ordering::Relaxed);
        let timer = time::after(Duration::from_millis(2), move || {
            let posted = call::post(victim, || {
                INSIDE.store(1, Ordering::Relaxed);
                while INSIDE.load(Ordering::Relaxed) != 2 {
                    pause();
                }
                INSIDE.store(3, Ordering::Relaxed);
            });
            check(posted.is_ok(), "a handler may post in the middle of a round");
            while INSIDE.load(Ordering::Relaxed) == 0 {
                pause();
            }
            let_go(last);
        });
        check(timer.is_ok(), "a timer can be set");
        let before = JOBS.load(Ordering::Relaxed);
        let result = stop_machine(time, job);
        let served = INSIDE.load(Ordering::Relaxed) == 1;
        eventually("the call comes", || INSIDE.load(Ordering::Relaxed) == 1);
        INSIDE.store(2, Ordering::Relaxed);
        eventually("the callback ends", || INSIDE.load(Ordering::Relaxed) == 3);
        check(stop_machine(LONG, job) == Ok(before + 1), "the next round is complete");
        eventually("the other goes on", || has_gone_on(last));
        match result {
            Err(StopError::TimedOut(named)) if named == one(victim) && served => return,
            // A host that kept this CPU waiting, or others.
            Err(StopError::TimedOut(_)) if longer(&mut time) => {}
            _ => {
                panic!("one that has joined serves calls: {served}; it cannot mask, and is named: {result:?}")
            }
        }
    }
}

/// A callback that waits for its sender, which has been gathered: the round is called off, and nobody hangs.
fn gate_of_a_gathered_cpu() {
    static GATE: AtomicU64 = AtomicU64::new(0);
    let others = cpu::online().without(cpu::current());
    let (Some(victim), Some(sender)) = (others.iter().next(), others.iter().last()) else { return };
    if victim == sender {
        return;
    }
    GATE.store(0, Ordering::Relaxed);
    eventually("the sender takes a closure", || {
        cpu::launch(sender, move || {
            let posted = call::post(victim, || {
                GATE.store(1, Ordering::Relaxed);
                while GATE.load(Ordering::Relaxed) != 3 {
                    pause();
                }
                GATE.store(4, Ordering::Relaxed);
            });
            check(posted.is_ok(), "a post to an online CPU is accepted");
            while GATE.load(Ordering::Relaxed) != 2 {
                pause();
            }
            // Only here does the sender open the gate: not while it is gathered.
            GATE.store(3, Ordering::Relaxed);
        })
        .is_ok()
    });
    eventually("the victim waits at the gate", || GATE.load(Ordering::Relaxed) == 1);
    check(is_called_off(one(victim)), "a hang becomes an abort");
    GATE.store(2, Ordering::Relaxed);
    eventually("the gate opens", || GATE.load(Ordering::Relaxed) == 4);
    check(stop_machine(LONG, || 7) == Ok(7), "the next round is complete");
    settle();
}

/// Every CPU begins rounds, calls and posts, all at once.
fn under_traffic(rounds: u64) {
    static DONE: AtomicU64 = AtomicU64::new(0);
    static STOPS: AtomicU64 = AtomicU64::new(0);
    static ACCEPTED: AtomicU64 = AtomicU64::new(0);
    static TOTAL: AtomicU64 = AtomicU64::new(0);
    static INSIDE: AtomicBool = AtomicBool::new(false);
    static TIMERS: AtomicU64 = AtomicU64::new(0);
    let count = cpu::online().len() as u64;
    let work = move || {
        let mut random = Random::new(cpu::current().index() as u64 + 77);
        let mut stops = 0;
        // Each its share.
        while stops < rounds.div_ceil(count) {
            let cpu = cpu::get(random.below(count) as usize).expect("below the count");
            match random.below(5) {
                0 => {
                    let done = stop_machine(LONG, || {
                        check(!INSIDE.swap(true, Ordering::Relaxed), "one job at a time");
                        INSIDE.store(false, Ordering::Relaxed);
                    });
                    check(done == Ok(()), "rounds take turns");
                    stops += 1;
                }
                1 => check(call::on(cpu, || 5) == Ok(5), "calls are served meanwhile"),
                2 => {
                    let all = call::on_each(&cpu::online(), |_| ());
                    check(all == Ok(CpuSet::EMPTY), "broadcasts are served meanwhile");
                }
                3 => {
                    let fire = || {
                        let own = cpu::current().index();
                        let next = cpu::get(own + 1).unwrap_or(CpuId::BOOT);
                        count_post(call::post(next, || _ = TOTAL.fetch_add(1, Ordering::Relaxed)).is_ok());
                        TIMERS.fetch_add(1, Ordering::Relaxed);
                    };
                    let _ = time::after(Duration::from_micros(20), fire);
                }
                _ => count_post(call::post(cpu, || _ = TOTAL.fetch_add(1, Ordering::Relaxed)).is_ok()),
            }
            pause();
        }
        STOPS.fetch_add(stops, Ordering::Relaxed);
        DONE.fetch_add(1, Ordering::Relaxed);
    };
    fn count_post(accepted: bool) {
        if accepted {
            ACCEPTED.fetch_add(1, Ordering::Relaxed);
        }
    }
    on_all_others(work);
    work();
    eventually("all CPUs are done", || DONE.load(Ordering::Relaxed) == count);
    settle();
    eventually("every accepted post runs", || {
        TOTAL.load(Ordering::Relaxed) == ACCEPTED.load(Ordering::Relaxed)
    });
    println!(
        "stop: {} rounds under traffic, {} posts, {} from timers, none lost",
        STOPS.load(Ordering::Relaxed),
        TOTAL.load(Ordering::Relaxed),
        TIMERS.load(Ordering::Relaxed)
    );
}

/// A panic while CPUs are gathered, in this stage of the round.
fn panic_in(stage: &str) {
    let others = cpu::online().without(cpu::current());
    let (Some(first), Some(last)) = (others.iter().next(), others.iter().last()) else { return };
    check(first != last, "at least three CPUs are online");
    let posted_in = Duration::from_millis(2);
    match stage {
        // A CPU has joined, serves a call, and that panics; another is masked, so the stage lasts.
        "prepare" => {
            hold(last);
            let panics = move || _ = call::post(first, || panic!("on purpose in Prepare"));
            check(time::after(posted_in, panics).is_ok(), "a timer can be set");
            let _ = stop_machine(LONG, || ());
        }
        // The same call panics when all the others have masked, and wait for it.
        "mask" => {
            hold(last);
            let panics = move || {
                static INSIDE: AtomicBool = AtomicBool::new(false);
                let posted = call::post(first, || {
                    INSIDE.store(true, Ordering::Relaxed);
                    // What the others take to mask.
                    let until = time::Deadline::after(Duration::from_millis(2));
                    while !until.has_passed() {
                        pause();
                    }
                    panic!("on purpose in MaskInactive")
                });
                check(posted.is_ok(), "a handler may post in the middle of a round");
                while !INSIDE.load(Ordering::Relaxed) {
                    pause();
                }
                let_go(last);
            };
            check(time::after(posted_in, panics).is_ok(), "a timer can be set");
            let _ = stop_machine(LONG, || ());
        }
        // The job, where it runs alone: all others wait, masked.
        "run" => _ = stop_machine(LONG, || panic!("on purpose in Run")),
        // The job, on a CPU that was gathered.
        "each" => {
            _ = stop_machine_each(LONG, |cpu| {
                if cpu == last {
                    panic!("on purpose in Run for each")
                }
            });
        }
        // The job, on all CPUs at once: one reports.
        "all" => _ = stop_machine_each(LONG, |cpu| panic!("on purpose everywhere, cpu {cpu}")),
        // A CPU that was gathered never comes to the end of the job: whoever began the round does not wait for ever.
        "stuck" => {
            _ = stop_machine_each(LONG, |cpu| {
                if cpu == last {
                    loop {
                        core::hint::spin_loop();
                    }
                }
            });
        }
        // As soon as the initiator takes interrupts again, and others may still be leaving.
        "exit" => {
            let _ = stop_machine(LONG, || {
                let timer = time::after(Duration::ZERO, || panic!("on purpose in Exit"));
                check(timer.is_ok(), "a timer can be set");
            });
        }
        _ => {}
    }
}
