//! A small preemptive kernel, as docs/kernel.md describes them: threads on all CPUs, in turn, with channels, locks, sleep and join, while
//! CPUs leave and come back.
//!
//! Its threads sort blocks of numbers, and what comes out is compared with what one CPU gets without any of this. Bootargs: `threads=N`, from
//! 3; `rounds=N`, blocks for each thread.
//!
//! | | |
//! |---|---|
//! | `scheduler` | who runs where: queues, turns, stealing, sleep, CPUs that come and go |
//! | `sync` | a mutex and a channel that park who waits |
//! | `thread` | spawn, join, and a system call |
//! | `sort` | the work |

#![no_std]
#![no_main]

extern crate alloc;

mod scheduler;
mod sort;
mod sync;
mod thread;

use core::sync::atomic::Ordering;
use core::time::Duration;
use reveille::bringup::{self, Verdict};
use reveille::cpu;
use reveille::hotplug::{self, HotplugError};
use reveille::time::{Deadline, Instant};
use reveille::{ExitCode, System, println};
use scheduler::{ENDED, PREEMPTIONS, STOLEN, SWITCHES};

reveille::entry!(main, exceptions = thread::Traps, scheduler = scheduler::Turns);

/// For a CPU to leave: what it has preempted has to come to a switch.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between a CPU that leaves or comes, and the next.
const PAUSE: Duration = Duration::from_millis(20);

fn number(system: &System, name: &str, default: u64, least: u64) -> Option<u64> {
    let number = system.arg(name).map_or(Some(default), |value| value.parse().ok());
    number.filter(|number| *number >= least).or_else(|| {
        println!("bootargs: {name}: not a number from {least}");
        None
    })
}

/// Takes the next CPU down, or brings it back. Whether one went down; `None`: something is wrong.
fn come_and_go(turn: usize) -> Option<bool> {
    let others = cpu::possible().without(cpu::current());
    // Down and up again, before the next.
    let Some(cpu) = others.iter().nth(turn / 2 % others.len().max(1)) else { return Some(false) };
    if !bringup::is_online(cpu) {
        let verdict = bringup::cpu_up(cpu, Duration::from_secs(10));
        if verdict != Verdict::Online {
            println!("cpu {cpu}: {verdict:?}");
            return None;
        }
        return Some(false);
    }
    match hotplug::cpu_down(cpu, PATIENCE) {
        Ok(()) => Some(true),
        // It had too much to do, or the others had.
        Err(HotplugError::Held(_) | HotplugError::TimedOut(_)) => Some(false),
        Err(error) => {
            println!("cpu {cpu}: {error}");
            None
        }
    }
}

fn main(system: &'static System) -> ExitCode {
    let (Some(threads), Some(rounds)) = (number(system, "threads", 64, 3), number(system, "rounds", 8, 1))
    else {
        return ExitCode::FAILURE;
    };
    let blocks = threads * rounds;
    let expected = sort::sequentially(blocks);
    if !system.bring_up_all(system.deadline()).is_complete() {
        return ExitCode::FAILURE;
    }
    scheduler::start();
    let first = sort::by_threads(threads, blocks);
    let (mut down, mut turn) = (0, 0);
    let mut next = Instant::now();
    let checksum = loop {
        if let Some(checksum) = first.value() {
            break checksum;
        }
        if Deadline::at(next).has_passed() {
            let Some(went) = come_and_go(turn) else { return ExitCode::FAILURE };
            down += u64::from(went);
            turn += 1;
            next = Instant::now() + PAUSE;
        }
        scheduler::rest();
    };
    // The first one has left its value, and is about to end.
    while ENDED.load(Ordering::Relaxed) < threads {
        scheduler::rest();
    }
    let good = checksum == expected && ENDED.load(Ordering::Relaxed) == threads;
    println!(
        "kernel: {threads} threads, {} switches, {} preemptions, {} stolen, {down} times down, checksum {checksum:#018x} {}",
        SWITCHES.load(Ordering::Relaxed),
        PREEMPTIONS.load(Ordering::Relaxed),
        STOLEN.load(Ordering::Relaxed),
        if good { "ok" } else { "WRONG" }
    );
    good.into()
}
