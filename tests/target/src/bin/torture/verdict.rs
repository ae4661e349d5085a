//! The end of a run: what it came to, told so that a script can read it; and what a failure leaves behind.

use crate::contexts;
use crate::kinds::{self, FAULTS, KINDS};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille::cpu;
use reveille::panic::CrashReport;
use reveille::time::Instant;
use reveille::{ExitCode, power, println};
use reveille_tests::trace;

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Something that was accepted never ran.
    Lost,
    /// Something ran twice, or ran although it was refused.
    Doubled,
    /// Something ran before what was sent earlier, or did not see what was written earlier.
    Reordered,
    /// A CPU is not where it should be, in two states, or nowhere.
    Unaccounted,
    /// Something takes too long.
    Hang,
}

const WRONGS: [(Wrong, &str); 5] = [
    (Wrong::Lost, "lost"),
    (Wrong::Doubled, "doubled"),
    (Wrong::Reordered, "reordered"),
    (Wrong::Unaccounted, "unaccounted"),
    (Wrong::Hang, "hangs"),
];

static WRONG: [AtomicU64; WRONGS.len()] = [const { AtomicU64::new(0) }; WRONGS.len()];
static SEED: AtomicU64 = AtomicU64::new(0);
static BEGAN: AtomicU64 = AtomicU64::new(0);

/// The run begins.
pub fn begin(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
    BEGAN.store(Instant::now().ticks(), Ordering::Relaxed);
}

/// When it began.
pub fn began() -> Instant {
    Instant::from_ticks(BEGAN.load(Ordering::Relaxed))
}

/// Counts what is wrong.
pub fn add(wrong: Wrong, times: u64) {
    WRONG[wrong as usize].fetch_add(times, Ordering::Relaxed);
}

fn wrongs() -> u64 {
    WRONG.iter().map(|count| count.load(Ordering::Relaxed)).sum()
}

/// Counts what is wrong, and ends the run: the traces show how it came to that.
#[track_caller]
pub fn violated(wrong: Wrong, what: fmt::Arguments<'_>) -> ! {
    add(wrong, 1);
    panic!("{what}");
}

/// [`violated`] unless it holds.
#[track_caller]
pub fn expect(holds: bool, wrong: Wrong, what: &str) {
    if !holds {
        violated(wrong, format_args!("not so: {what}"));
    }
}

/// The run as one line of JSON.
struct Json;

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = Instant::now() - began();
        write!(
            f,
            "{{\"seed\":{},\"seconds\":{}.{:03},\"operations\":{},\"by_kind\":{{",
            SEED.load(Ordering::Relaxed),
            took.as_secs(),
            took.subsec_millis(),
            kinds::operations()
        )?;
        let mut comma = "";
        for (kind, name, _) in KINDS.iter().filter(|(kind, _, _)| kinds::is_here(*kind)) {
            write!(f, "{comma}\"{name}\":{}", kinds::counted(*kind).0)?;
            comma = ",";
        }
        f.write_str("},\"faults\":{")?;
        comma = "";
        for (fault, name, _) in FAULTS.iter().filter(|(fault, _, _)| kinds::is_wanted(*fault)) {
            write!(f, "{comma}\"{name}\":{}", kinds::faults_counted(*fault))?;
            comma = ",";
        }
        f.write_str("}")?;
        for ((_, name), count) in WRONGS.iter().zip(&WRONG) {
            write!(f, ",\"{name}\":{}", count.load(Ordering::Relaxed))?;
        }
        f.write_str("}")
    }
}

/// A line each second.
pub fn progress() {
    static LAST: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
    let took = (Instant::now() - began()).as_millis() as u64;
    let operations = kinds::operations();
    let ms = took - LAST[0].swap(took, Ordering::Relaxed);
    let done = operations - LAST[1].swap(operations, Ordering::Relaxed);
    println!(
        "torture: {:4} s {operations:11} operations {:8}/s {:3} of {} online {:7} faults",
        took / 1000,
        done * 1000 / ms.max(1),
        cpu::online().len(),
        cpu::possible().len(),
        kinds::faults()
    );
}

/// Counts, shares, and the part of all CPUs' time that was spent so.
fn table() {
    let operations = kinds::operations().max(1);
    let all = (Instant::now().ticks() - began().ticks()).max(1) * cpu::possible().len() as u64;
    let percent = |part: u64, of: u64| part.saturating_mul(10_000) / of;
    println!("torture: operation          count   share     refused    time");
    for (kind, name, _) in KINDS {
        if !kinds::is_here(*kind) {
            println!("torture: {name:14}  not here");
            continue;
        }
        let (count, refused) = kinds::counted(*kind);
        let (share, time) = (percent(count, operations), percent(kinds::time_of(*kind), all));
        println!(
            "torture: {name:14} {count:9} {:4}.{:02} % {refused:10} {:4}.{:02} %",
            share / 100,
            share % 100,
            time / 100,
            time % 100
        );
    }
    let [made, switches, preemptions, moves] = contexts::progress();
    println!(
        "torture: {made} contexts, {switches} switches, {preemptions} preemptions, {moves} moves to another CPU"
    );
    println!("torture: fault              count                        time");
    for (fault, name, _) in FAULTS {
        if kinds::is_wanted(*fault) {
            let (count, time) = (kinds::faults_counted(*fault), percent(kinds::time_of_fault(*fault), all));
            println!("torture: {name:14} {count:9} {:24}.{:02} %", time / 100, time % 100);
        } else {
            println!("torture: {name:14}  not here");
        }
    }
}

/// The run is over, and nobody panicked.
pub fn end() -> ! {
    table();
    let took = (Instant::now() - began()).as_millis() as u64;
    let operations = kinds::operations();
    println!(
        "torture: {operations} operations in {}.{:03} s, {}/s; {} wrong",
        took / 1000,
        took % 1000,
        operations * 1000 / took.max(1),
        wrongs()
    );
    println!("{Json}");
    power::exit((wrongs() == 0).into())
}

/// What follows the report of a panic: the traces.
pub fn after_panic(report: &CrashReport) -> ! {
    let own = report.cpu();
    for cpu in cpu::possible() {
        println!("trace of cpu {cpu}{}", if Some(cpu) == own { ", which panicked" } else { "" });
        for event in trace::last(cpu) {
            let [a, b] = event.numbers;
            let name = match KINDS.get(event.what as usize) {
                Some((_, name, _)) => name,
                None => crate::event_name(event.what),
            };
            println!("  {event} {name} {a:#x} {b:#x}");
        }
    }
    table();
    if wrongs() == 0 {
        // It was no finding of the books, but nobody can close them any more.
        add(Wrong::Unaccounted, cpu::possible().len() as u64);
    }
    println!("{Json}");
    power::exit(ExitCode::from(101))
}
