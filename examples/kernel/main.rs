//! A small preemptive kernel, as docs/kernel.md describes them: threads on all CPUs, in turn, with channels, locks, sleep and join, while
//! CPUs leave and come back.
//!
//! Its threads sort blocks of numbers, and what comes out is compared with what one CPU gets without any of this. Bootarg: `rounds=N`, blocks
//! for each thread.

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
use reveille::cpu::{self, CpuId};
use reveille::hotplug::{self, HotplugError};
use reveille::{ExitCode, System, println};
use scheduler::{ENDED, PREEMPTIONS, STOLEN, SWITCHES};

reveille::entry!(main, exceptions = thread::Traps, scheduler = scheduler::Turns);

const THREADS: u64 = 64;
/// Between a CPU that leaves or comes, and the next.
const PAUSE: Duration = Duration::from_millis(5);

/// Has CPUs leave and come back, one after the other, until `is_over`. How often one left.
fn come_and_go(is_over: impl Fn() -> bool) -> u64 {
    let mut left = 0;
    for cpu in cpu::possible().iter().cycle() {
        scheduler::sleep(PAUSE);
        if is_over() {
            break;
        }
        if cpu == CpuId::BOOT {
            continue;
        }
        match hotplug::cpu_down(cpu, Duration::from_millis(500)) {
            Ok(()) => left += 1,
            // It had too much to do, or the others had; or it is the one that this runs on.
            Err(HotplugError::Held(_) | HotplugError::TimedOut(_) | HotplugError::Busy) => {}
            Err(error) => panic!("cpu {cpu}: {error}"),
        }
        scheduler::sleep(PAUSE);
        if !bringup::is_online(cpu) {
            assert_eq!(bringup::cpu_up(cpu, Duration::from_secs(10)), Verdict::Online, "cpu {cpu}");
        }
    }
    left
}

fn main(system: &'static System) -> ExitCode {
    let rounds =
        system.arg("rounds").map_or(Some(48), |value| value.parse().ok().filter(|rounds| *rounds > 0));
    let Some(rounds) = rounds else {
        println!("bootargs: rounds: not a number from 1");
        return ExitCode::FAILURE;
    };
    let blocks = THREADS * rounds;
    let expected = sort::sequentially(blocks);
    if !system.bring_up_all(system.deadline()).is_complete() {
        return ExitCode::FAILURE;
    }
    scheduler::start();
    let hotplug = thread::spawn(move || come_and_go(|| ENDED.load(Ordering::Relaxed) >= THREADS));
    let sorting = sort::by_threads(THREADS, blocks);
    let down = loop {
        if let Some(down) = hotplug.value() {
            break down;
        }
        scheduler::rest();
    };
    let checksum = sorting.value().unwrap_or(0);
    let good = checksum == expected;
    println!(
        "kernel: {THREADS} threads, {} switches, {} preemptions, {} stolen, {} times down, checksum {checksum:#018x} {}",
        SWITCHES.load(Ordering::Relaxed),
        PREEMPTIONS.load(Ordering::Relaxed),
        STOLEN.load(Ordering::Relaxed),
        down,
        if good { "ok" } else { "WRONG" }
    );
    good.into()
}
