//! CPUs that go idle and are woken, over and over: not one wake-up is missed.
//!
//! To be run with `idle_ms=1000000000`, so that nothing but the wake-up itself ends a wait. Every wait of the program is
//! `while !condition { cpu::idle() }`. Delays of a few instructions, at random, move the wake-up through every point between
//! the condition and the wait. A timer that nobody should ever see fire tells of a miss.
//!
//! Bootargs: `rounds=N` of each kind (default 2000), `seed=N`.

#![no_std]
#![no_main]

use core::arch::asm;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::time::{self, Instant};
use reveille::{ExitCode, System, call, println};
use reveille_tests::{Random, argument, check, nothing_left, on_all_others};

reveille::entry!(main);

/// No wait of this program takes that long.
const MISSED: Duration = Duration::from_secs(2);

fn main(system: &'static System) -> ExitCode {
    let (rounds, seed) = (argument(system, "rounds", 2000), argument(system, "seed", 1));
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    event_stream();
    let start = Instant::now();
    let random = Delays(Cell::new(seed));
    timers(rounds, &random);
    println!("wakeups: {rounds} timers");
    for cpu in cpu::online().without(cpu::current()) {
        posts(cpu, rounds, &random);
        calls(cpu, rounds, &random);
        launches(cpu, rounds, &random);
    }
    println!("wakeups: {rounds} posts there and back, calls, and launches, for each CPU");
    ring(rounds, seed);
    println!("wakeups: {rounds} times round the ring");
    nothing_left();
    println!("wakeups: none missed in {} ms", (Instant::now() - start).as_millis());
    ExitCode::SUCCESS
}

/// Every CPU has its event stream on, which bounds a wait for an event that is lost: CNTKCTL_EL1.EVNTEN, or at EL2 CNTHCTL_EL2.EVNTEN
/// (Arm ARM D24.10), the bit is the same. No emulator waits in a WFE, so nothing else shows that it is missing.
fn event_stream() {
    let ran = call::on_each(&cpu::possible(), |cpu| {
        let (level, control): (u64, u64);
        // SAFETY: reads registers that exist at the level that this runs at.
        unsafe {
            asm!("mrs {level}, currentel", "mrs {control}, cntkctl_el1", "cmp {level}, #8", "b.ne 2f", "mrs {control}, cnthctl_el2", "2:",
                level = out(reg) level, control = out(reg) control, options(nomem, nostack))
        };
        assert!(control & 1 << 2 != 0, "cpu {cpu} has no event stream at level {}", level >> 2);
    });
    check(ran == Ok(CpuSet::EMPTY), "all are asked");
}

/// Delays of up to 255 instructions.
struct Delays(Cell<u64>);

impl Delays {
    fn pause(&self) {
        self.0.set(self.0.get().wrapping_add(1));
        let mut random = Random::new(self.0.get());
        random.number();
        for _ in 0..random.below(128) {
            // SAFETY: does nothing.
            unsafe { asm!("nop", options(nomem, nostack, preserves_flags)) };
        }
    }

    /// Waits idle until `condition`, which something on its way will make true.
    fn idle_until(&self, mut condition: impl FnMut() -> bool) {
        let alarm = time::after(MISSED, || panic!("a wake-up was missed"));
        self.pause();
        while !condition() {
            cpu::idle();
        }
        check(alarm.is_ok_and(time::Timer::cancel), "the alarm did not go off");
    }
}

/// A timer of this CPU makes the condition true.
fn timers(rounds: u64, delays: &Delays) {
    static FIRED: AtomicBool = AtomicBool::new(false);
    for round in 0..rounds {
        FIRED.store(false, Ordering::Relaxed);
        let set = time::after(Duration::from_nanos(round % 4000), || FIRED.store(true, Ordering::Relaxed));
        check(set.is_ok(), "a timer can be set");
        delays.idle_until(|| FIRED.load(Ordering::Relaxed));
    }
}

/// A post to an idle CPU, whose answer is a post to this one.
fn posts(target: CpuId, rounds: u64, delays: &Delays) {
    static ANSWERS: AtomicU64 = AtomicU64::new(0);
    let own = cpu::current();
    ANSWERS.store(0, Ordering::Relaxed);
    for round in 1..=rounds {
        delays.pause();
        let posted = call::post(target, move || {
            let answered = call::post(own, || _ = ANSWERS.fetch_add(1, Ordering::Relaxed));
            check(answered.is_ok(), "the answer is accepted");
        });
        check(posted.is_ok(), "the post is accepted");
        delays.idle_until(|| ANSWERS.load(Ordering::Relaxed) == round);
    }
}

/// Calls that an idle CPU has to wake up for.
fn calls(target: CpuId, rounds: u64, delays: &Delays) {
    for round in 0..rounds {
        delays.pause();
        check(call::on(target, move || round) == Ok(round), "a call brings its value back");
    }
}

/// A closure for an idle CPU, which then wakes this one.
fn launches(target: CpuId, rounds: u64, delays: &Delays) {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let own = cpu::current();
    RUNS.store(0, Ordering::Relaxed);
    let mut launched = 0;
    while launched < rounds {
        delays.pause();
        let run = move || {
            RUNS.fetch_add(1, Ordering::Relaxed);
            cpu::wake(own);
        };
        // It may not be through with the last one yet, though that one has told us.
        if cpu::launch(target, run).is_ok() {
            launched += 1;
            delays.idle_until(|| RUNS.load(Ordering::Relaxed) == launched);
        }
    }
}

/// A token goes round all CPUs. Whoever has it gives it to the next and wakes that; whoever has not waits, idle.
fn ring(rounds: u64, seed: u64) {
    static TOKEN: AtomicU64 = AtomicU64::new(0);
    static DONE: AtomicU32 = AtomicU32::new(0);
    let count = cpu::online().len() as u64;
    let own = cpu::current();
    let work = move || {
        let me = cpu::current().index() as u64;
        let delays = Delays(Cell::new(seed ^ me << 32));
        for round in 0..rounds {
            let turn = round * count + me;
            delays.idle_until(|| TOKEN.load(Ordering::Acquire) == turn);
            delays.pause();
            TOKEN.store(turn + 1, Ordering::Release);
            cpu::wake(cpu::get((me as usize + 1) % count as usize).expect("below the number of CPUs"));
        }
        DONE.fetch_add(1, Ordering::Relaxed);
        cpu::wake(own);
    };
    on_all_others(work);
    work();
    Delays(Cell::new(seed)).idle_until(|| u64::from(DONE.load(Ordering::Relaxed)) == count);
}
