//! Every mechanism at once, at random, from a seed, with faults; and everything is accounted for.
//!
//! Each CPU runs the same loop, whenever it is online: it picks an operation by the weights, does it, and checks what
//! came of it. Contexts come between, which do a few operations each, wherever they run. Posts, launches, timers and the like
//! are entered in books on both sides. CPUs come and go all the while, any of them, by others and by themselves. Now and then
//! something goes wrong: a CPU stands still, an SGI is lost, and, with the shim of `tests/shim` below, firmware refuses, delays,
//! lies. When the time is over everyone is brought back,
//! and the books are closed.
//!
//! `scripts/torture` builds this, runs it, and reads what it prints. Bootargs: `seed=N`, `seconds=N` of guest time,
//! `mix=NAME=WEIGHT,..` (see `kinds.rs`), `hang_ms=N`: an operation that takes so long is a hang; `long_ms=N`: time for what is
//! to succeed (default: two thirds of `hang_ms`); `slow=N`: CPUs get N times the time to come together (vCPUs that run at the
//! same time take long); `least_faults=N`: the time goes on until each fault of the mix has happened so often, at most 20 times as
//! long; `linger_ms=N`: timers, alarms and wanted interrupts come so much later, and, once the time is over, what they and callbacks post
//! does too. `plant=lost`, `doubled`, `reordered`, `unaccounted`, `hang`, `masked` or `silent` does what must not be, after a
//! second, to see that it is found.

#![no_std]
#![no_main]

mod alarms;
mod bells;
mod books;
mod contexts;
mod faults;
mod guests;
mod kinds;
mod maps;
mod ops;
mod ticks;
mod verdict;

use crate::kinds::Kind;
use crate::verdict::{Wrong, expect, violated};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::call::PostError;
use reveille::cpu::{self, CpuId};
use reveille::fault::{self, State};
use reveille::hotplug::Callbacks;
use reveille::panic::{self, Action};
use reveille::time::{Deadline, Instant};
use reveille::{ExitCode, System, call, hotplug, irq, println};
use reveille_tests::books::{MOST, scrambled};
use reveille_tests::{Random, argument, pause, shim, trace};

reveille::entry!(
    main,
    // SAFETY: what `life`, and what it calls, has on the stack at an offline point is numbers, and guards that are holds
    // themselves; nothing there is lent to anyone.
    leaving = unsafe { reveille::cpu::Leaving::new(life) },
    scheduler = contexts::Careless,
    exceptions = guests::Host
);

/// What is noted in the traces beside operations, which have the numbers of their kinds.
#[derive(Clone, Copy)]
pub enum Event {
    /// A CPU begins a life: generation.
    Life = 1000,
    /// Its offline callbacks run: generation.
    Going,
    /// A post runs: sender, number.
    Ran,
    /// A fault: which, and the CPU.
    Fault,
    /// This CPU stands still: ticks.
    Frozen,
    /// A start is over: CPU, and what it came to.
    Started,
    /// A CPU was taken down, or not: CPU, 0 if it was.
    Taken,
}

/// The name of an event.
pub fn event_name(what: u64) -> &'static str {
    match what {
        1000 => "life",
        1001 => "going",
        1002 => "ran",
        1003 => "fault",
        1004 => "frozen",
        1005 => "started",
        1006 => "taken",
        _ => "?",
    }
}

/// Notes an event.
pub fn note(event: Event, numbers: [u64; 2]) {
    trace::note(event as u64, numbers);
}

reveille::percpu! {
    /// The random numbers of its thread, kept over its lives.
    static RANDOM: AtomicU64 = AtomicU64::new(0);
    /// The operation it is in: its kind plus one; and since when. 0: none.
    static DOING: AtomicU64 = AtomicU64::new(0);
    static SINCE: AtomicU64 = AtomicU64::new(0);
    /// Its online callbacks have run, and its offline callbacks have not.
    static PRESENT: AtomicBool = AtomicBool::new(false);
    /// One more than the generation of its last life; 0: none.
    static LIVED: AtomicU64 = AtomicU64::new(0);
}

/// When the time is over, ticks.
static END: AtomicU64 = AtomicU64::new(u64::MAX);
/// The time goes on until each fault of the mix has happened so often, but not past the limit, ticks.
static LEAST_FAULTS: AtomicU64 = AtomicU64::new(0);
static LIMIT: AtomicU64 = AtomicU64::new(0);
/// When the next line is due, ticks.
static NEXT_LINE: AtomicU64 = AtomicU64::new(u64::MAX);
/// Who closes the books: one more than its index; 0: nobody yet.
static CLOSER: AtomicU32 = AtomicU32::new(0);
/// An operation that takes so long is a hang, ms.
static HANG_MS: AtomicU64 = AtomicU64::new(0);
/// What [`long`] says, ms.
static LONG_MS: AtomicU64 = AtomicU64::new(0);

/// How much longer it takes to gather CPUs than where they run in turns.
static SLOWNESS: AtomicU32 = AtomicU32::new(1);

/// By how much the time for gatherings and for CPUs that leave is multiplied.
pub fn slowness() -> u32 {
    SLOWNESS.load(Ordering::Relaxed)
}

/// Time for what is to succeed: less than what counts as a hang, if the bootargs do not say otherwise.
pub fn long() -> Duration {
    Duration::from_millis(LONG_MS.load(Ordering::Relaxed))
}

fn main(system: &'static System) -> ExitCode {
    let number = |name, default| argument(system, name, default);
    let (seed, seconds) = (number("seed", 1), number("seconds", 10));
    let hang_ms = number("hang_ms", 30_000).max(3);
    HANG_MS.store(hang_ms, Ordering::Relaxed);
    LONG_MS.store(number("long_ms", hang_ms * 2 / 3), Ordering::Relaxed);
    SLOWNESS.store(number("slow", 1).clamp(1, 1000) as u32, Ordering::Relaxed);
    if cpu::possible().len() > MOST {
        println!("torture: at most {MOST} CPUs");
        return ExitCode::FAILURE;
    }
    guests::begin();
    let firmware = shim::is_present(system);
    if let Err(what) = kinds::set_weights(system.arg("mix").unwrap_or(""), firmware) {
        println!("torture: mix: '{what}' makes no sense");
        return ExitCode::FAILURE;
    }
    if let Some(plant) = system.arg("plant") {
        let Some(index) = PLANTS.iter().position(|known| *known == plant) else {
            println!("torture: plant: '{plant}' makes no sense");
            return ExitCode::FAILURE;
        };
        PLANT.store(index as u32 + 1, Ordering::Relaxed);
    }
    faults::set_lingers(number("linger_ms", 0));
    trace::publish();
    verdict::begin(seed);
    panic::set_action(Action::Hook(verdict::after_panic));
    for cpu in cpu::possible() {
        let start = scrambled(scrambled(seed) ^ (1 + cpu.index() as u64) << 32);
        RANDOM.of(cpu).store(start, Ordering::Relaxed);
    }
    faults::begin(firmware);
    bells::begin();
    maps::begin();
    PRESENT.store(true, Ordering::Relaxed);
    {
        let _masked = irq::mask();
        comes(cpu::current());
    }
    let registered = hotplug::register_callbacks(Callbacks {
        online: |cpu| {
            expect(!PRESENT.swap(true, Ordering::Relaxed), Wrong::Unaccounted, "callbacks run in pairs");
            expect(cpu == cpu::current(), Wrong::Unaccounted, "callbacks run where they should");
            books::check_comes(cpu);
            comes(cpu);
            Ok(())
        },
        offline: |cpu| {
            note(Event::Going, [fault::slot(cpu).generation.into(), 0]);
            contexts::goes(cpu);
            expect(PRESENT.swap(false, Ordering::Relaxed), Wrong::Unaccounted, "callbacks run in pairs");
            expect(cpu == cpu::current(), Wrong::Unaccounted, "callbacks run where they should");
        },
        asked: contexts::asked,
    });
    expect(registered.is_ok(), Wrong::Unaccounted, "callbacks can be registered");
    if let Err(error) = ticks::begin(system) {
        println!("torture: no interrupts of the physical timer: {error}");
        return ExitCode::FAILURE;
    }
    println!(
        "torture: seed {seed}, {} CPUs, {seconds} s, {}; image at {:#x}",
        cpu::possible().len(),
        if firmware { "firmware lies" } else { "firmware is honest" },
        trace::image()
    );
    let roll_call = system.bring_up_all(long());
    expect(roll_call.is_complete(), Wrong::Unaccounted, "all CPUs come online");
    let now = Instant::now();
    LEAST_FAULTS.store(number("least_faults", 0), Ordering::Relaxed);
    LIMIT.store((now + Duration::from_secs(20 * seconds)).ticks(), Ordering::Relaxed);
    END.store((now + Duration::from_secs(seconds)).ticks(), Ordering::Relaxed);
    // Release: pairs with `life`. From here on it goes.
    NEXT_LINE.store((now + Duration::from_secs(1)).ticks(), Ordering::Release);
    cpu::become_secondary()
}

/// `own` comes online, or stays, with interrupts masked.
fn comes(own: CpuId) {
    alarms::comes(own);
    contexts::comes(own);
    guests::comes();
}

/// What every CPU does, each time it comes online.
fn life(own: CpuId) -> ! {
    let generation = fault::slot(own).generation;
    note(Event::Life, [generation.into(), 0]);
    let before = LIVED.swap(u64::from(generation) + 1, Ordering::Relaxed);
    expect(u64::from(generation) + 1 > before, Wrong::Unaccounted, "every life has a number of its own");
    faults::lives(own, generation);
    ticks::arm();
    // Acquire: pairs with `main`.
    while NEXT_LINE.load(Ordering::Acquire) == u64::MAX {
        cpu::idle();
    }
    let mut random = Random::resume(RANDOM.load(Ordering::Relaxed));
    loop {
        let now = Instant::now().ticks();
        if is_over(now) {
            rest(own);
        }
        ticks::check(now);
        alarms::check(now);
        let next = NEXT_LINE.load(Ordering::Relaxed);
        if now >= next {
            let after = (Instant::from_ticks(next) + Duration::from_secs(1)).ticks();
            if NEXT_LINE.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                verdict::progress();
                plant(own);
            }
        }
        let slot = fault::slot(own);
        if slot.state != State::Online || slot.generation != generation {
            violated(
                Wrong::Unaccounted,
                format_args!("cpu {own} runs as generation {generation}, but is {slot:?}"),
            );
        }
        let (choice, extra) = (random.number(), random.number());
        RANDOM.store(random.state(), Ordering::Relaxed);
        operate(own, kinds::choose(choice), now, &mut random);
        if let Some(fault) = kinds::choose_fault(extra) {
            let now = Instant::now().ticks();
            faults::happen(own, fault, &mut random);
            kinds::spent_on_fault(fault, Instant::now().ticks() - now);
        }
        RANDOM.store(random.state(), Ordering::Relaxed);
        SINCE.store(0, Ordering::Relaxed);
        if extra >> 8 & 15 == 0 {
            contexts::wake_one();
        }
        match extra % 64 {
            // What is launched here runs soon, or this CPU could hardly ever leave.
            0..3 => cpu::idle(),
            _ if books::is_launched() => cpu::idle(),
            3..24 => {
                cpu::offline_point();
                pause();
            }
            _ => cpu::offline_point(),
        }
    }
}

/// Whether the time is over. Once it is, it stays so: faults are only counted up.
fn is_over(now: u64) -> bool {
    now >= END.load(Ordering::Relaxed)
        && (now >= LIMIT.load(Ordering::Relaxed)
            || kinds::least_faults() >= LEAST_FAULTS.load(Ordering::Relaxed))
}

fn operate(own: CpuId, kind: Kind, now: u64, random: &mut Random) {
    DOING.store(kind as u64 + 1, Ordering::Relaxed);
    SINCE.store(now, Ordering::Relaxed);
    ops::operate(own, kind, random);
    kinds::spent(kind, Instant::now().ticks() - now);
}

/// What must not be, and is done all the same if the bootarg `plant` says so.
const PLANTS: [&str; 7] = ["lost", "doubled", "reordered", "unaccounted", "hang", "masked", "silent"];
/// Its place among them, plus one; 0: nothing.
static PLANT: AtomicU32 = AtomicU32::new(0);

/// Does what is planted.
fn plant(own: CpuId) {
    let Some(what) = PLANT.swap(0, Ordering::Relaxed).checked_sub(1) else { return };
    SINCE.store(Instant::now().ticks(), Ordering::Relaxed);
    let others = cpu::online().without(own);
    let target = others.iter().next().unwrap_or(own);
    match PLANTS[what as usize] {
        "lost" => books::accepted(target, books::next_number()),
        "doubled" => {
            let number = books::next_number();
            books::runs(own, number);
            books::runs(own, number);
        }
        "reordered" => {
            let number = books::next_number();
            books::runs(own, books::next_number());
            books::runs(own, number);
        }
        "unaccounted" => PRESENT.store(false, Ordering::Relaxed),
        "hang" => loop {
            pause();
        },
        "silent" => {
            for cpu in &others {
                while matches!(call::post(cpu, || fall_silent()), Err(PostError::Busy(_))) {
                    pause();
                }
            }
            fall_silent()
        }
        _ => {
            let _masked = irq::mask();
            loop {
                pause();
            }
        }
    }
}

/// Nothing reaches this CPU any more.
fn fall_silent() -> ! {
    // SAFETY: masks all that can be masked; nothing here waits for an exception.
    unsafe { asm!("msr daifset, #15", options(nomem, nostack)) };
    loop {
        pause();
    }
}

/// Whether some CPU has been in one operation for too long: which, in what, for how long.
pub fn find_hang(now: u64) -> Option<(CpuId, &'static str, Duration)> {
    let limit = Duration::from_millis(HANG_MS.load(Ordering::Relaxed));
    cpu::online().iter().find_map(|cpu| {
        let since = SINCE.of(cpu).load(Ordering::Relaxed);
        if since == 0 {
            return None;
        }
        let age = Instant::from_ticks(now).since(Instant::from_ticks(since));
        let kind = DOING.of(cpu).load(Ordering::Relaxed).checked_sub(1)?;
        (age > limit).then(|| (cpu, kinds::KINDS[kind as usize].1, age))
    })
}

/// The time is over: no more operations. One CPU closes the books.
fn rest(own: CpuId) -> ! {
    SINCE.store(0, Ordering::Relaxed);
    // AcqRel, and Relaxed when it fails: whoever wins goes on alone.
    if CLOSER.compare_exchange(0, own.index() as u32 + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
        let _stay = hotplug::pin();
        close(own);
    }
    loop {
        contexts::wake_one();
        if !contexts::yield_now() {
            cpu::idle();
        }
    }
}

/// Brings everyone back, waits until nothing is under way, and closes the books.
fn close(own: CpuId) -> ! {
    faults::end();
    let limit = Deadline::after(long());
    // Who was just leaving, or being taken down, is brought back too; who is still in its last operation ends it.
    loop {
        for cpu in cpu::possible() {
            if !cpu::online().contains(cpu) {
                // Whoever is still in a start of its own, which may have to go wrong, ends that first.
                let Some(_alone) = faults::alone(cpu) else { continue };
                faults::forget(cpu);
                let verdict = cpu_up(cpu, long());
                if !matches!(verdict, Verdict::Online | Verdict::Busy) {
                    violated(
                        Wrong::Unaccounted,
                        format_args!("cpu {cpu} does not come back: {verdict:?}, {:?}", fault::slot(cpu)),
                    );
                }
            }
        }
        let others = cpu::possible().without(own);
        if cpu::online() == cpu::possible() && others.iter().all(books::rests) {
            break;
        }
        if limit.has_passed() {
            let missing = cpu::possible().iter().filter(|cpu| !cpu::online().contains(*cpu)).count() as u64;
            verdict::add(Wrong::Unaccounted, missing);
            violated(Wrong::Hang, format_args!("not everyone comes to rest: online {}", cpu::online()));
        }
        pause();
    }
    for cpu in cpu::possible() {
        expect(call::on(cpu, cpu::current) == Ok(cpu), Wrong::Unaccounted, "every CPU answers");
    }
    if !faults::lingers().is_zero() {
        // Something is under way on another CPU, and posts on.
        let next = cpu::possible().without(own).iter().next().unwrap_or(own);
        ops::post(next, 2);
    }
    books::close(own);
    verdict::end()
}
