//! Collections on every CPU: each CPU builds its own at the same time, with words that all of them share, and hands them to the next
//! CPU, which looks whether everything is there and frees it. The bootarg `rounds=N` says how often.
//!
//! With the feature `heap` the crate `alloc` has a heap, out of all memory that is free. This image needs nothing else for it.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::sync::SpinLock;
use reveille::time::Deadline;
use reveille::{ExitCode, System, call, memory, println};

reveille::entry!(main);

/// Words in each collection.
const WORDS: u64 = 100;

/// What one CPU builds and another one takes apart.
struct Harvest {
    from: CpuId,
    round: u64,
    /// A word for each number, in the order of the numbers.
    words: BTreeMap<u64, String>,
    /// Numbers, in pieces of all sizes.
    numbers: Vec<Box<[u64]>>,
    shared: Arc<Vec<String>>,
}

static CHECKED: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicU64 = AtomicU64::new(0);
static SUM: AtomicU64 = AtomicU64::new(0);

reveille::percpu! {
    /// What has been sent to this CPU. Others put something in, in interrupt context: the lock masks interrupts.
    static ARRIVED: SpinLock<VecDeque<Box<Harvest>>> = SpinLock::new(VecDeque::new());
}

fn word(from: CpuId, round: u64, number: u64) -> String {
    format!("word {number} of cpu {from} in round {round}")
}

fn build(from: CpuId, round: u64, shared: Arc<Vec<String>>) -> Harvest {
    // Backwards, so that it is the map that puts them in order.
    let words = (0..WORDS).rev().map(|number| (number, word(from, round, number))).collect();
    let numbers = (1..WORDS).map(|len| (0..len).collect()).collect();
    Harvest { from, round, words, numbers, shared }
}

/// Whether all is there; what the numbers come to.
fn examine(harvest: &Harvest) -> (bool, u64) {
    let Harvest { from, round, words, numbers, shared } = harvest;
    let words_good = words
        .iter()
        .zip(0..WORDS)
        .all(|((number, text), expected)| *number == expected && *text == word(*from, *round, expected));
    let good = words_good && words.len() as u64 == WORDS && shared.len() == cpu::possible().len();
    (good, numbers.iter().flat_map(|piece| piece.iter()).sum())
}

/// What the numbers of one collection come to.
fn expected_sum() -> u64 {
    (1..WORDS).map(|len| len * (len - 1) / 2).sum()
}

/// Looks at what has arrived here, and frees it.
fn take_apart() {
    loop {
        // The lock is given back before anything else is done.
        let arrived = ARRIVED.lock().pop_front();
        let Some(harvest) = arrived else { return };
        let (good, sum) = examine(&harvest);
        drop(harvest);
        WRONG.fetch_add(u64::from(!good), Ordering::Relaxed);
        SUM.fetch_add(sum, Ordering::Relaxed);
        CHECKED.fetch_add(1, Ordering::Release);
    }
}

/// The CPU after this one.
fn next(cpu: CpuId) -> CpuId {
    let online = cpu::online();
    let next = online.iter().find(|other| other.index() > cpu.index());
    next.or_else(|| online.iter().next()).unwrap_or(cpu)
}

/// Moves `harvest` to `cpu`, by a closure that runs there in interrupt context.
fn send(cpu: CpuId, harvest: Harvest) {
    let boxed = Box::new(harvest);
    if let Err(refused) = call::post(cpu, move || ARRIVED.lock().push_back(boxed)) {
        // It has no room for another post now: then this CPU keeps what is in the closure.
        refused.into_inner()();
    }
}

/// One CPU's work, in thread context.
fn work(rounds: u64, shared: &Arc<Vec<String>>) {
    let own = cpu::current();
    for round in 0..rounds {
        send(next(own), build(own, round, Arc::clone(shared)));
        take_apart();
    }
}

fn main(system: &'static System) -> ExitCode {
    let rounds = match system.arg("rounds").map(str::parse) {
        None => 4,
        Some(Ok(rounds)) => rounds,
        Some(Err(_)) => {
            println!("bootargs: rounds: not a number");
            return ExitCode::FAILURE;
        }
    };
    if !system.bring_up_all(system.deadline()).is_complete() {
        return ExitCode::FAILURE;
    }
    let shared: Arc<Vec<String>> = Arc::new(cpu::possible().iter().map(|cpu| format!("cpu {cpu}")).collect());
    for cpu in cpu::online().without(cpu::current()) {
        let shared = Arc::clone(&shared);
        if let Err(error) = cpu::launch(cpu, move || work(rounds, &shared)) {
            println!("cpu {cpu}: {error:?}");
            return ExitCode::FAILURE;
        }
    }
    work(rounds, &shared);
    let collections = rounds * cpu::online().len() as u64;
    let until = Deadline::after(Duration::from_secs(60));
    while CHECKED.load(Ordering::Acquire) < collections && !until.has_passed() {
        // What came after a CPU's last look.
        for cpu in cpu::online() {
            let _ = cpu::launch(cpu, take_apart);
        }
        take_apart();
    }
    let (checked, wrong) = (CHECKED.load(Ordering::Acquire), WRONG.load(Ordering::Relaxed));
    let good =
        checked == collections && wrong == 0 && SUM.load(Ordering::Relaxed) == checked * expected_sum();
    println!(
        "heap: {checked} of {collections} collections, {wrong} wrong, {} references left",
        Arc::strong_count(&shared)
    );
    if let Ok(free) = memory::free() {
        println!("heap: {} MiB free in {} pieces", free.bytes >> 20, free.pieces);
    }
    good.into()
}
