//! A secondary function that has not agreed to be abandoned is not: what it has on its stack stays, and so does its CPU.
//!
//! The bootarg `panic=closure|again` has a CPU end `main` where that cannot be. With `--cfg entry="unsafe"` or `"safe"` the image
//! says that its function may be abandoned, and must not compile: that takes an `unsafe` of its own, which it forbids.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]
#![allow(unexpected_cfgs, reason = "`entry` is for the test that compiles this")]

use core::marker::PhantomPinned;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::hotplug::{self, Hold, HotplugError};
use reveille::time::Instant;
use reveille::{ExitCode, System, call, power, println};
use reveille_tests::{check, eventually};

#[cfg(not(any(entry = "unsafe", entry = "safe")))]
reveille::entry!(main, secondary = secondary);
#[cfg(entry = "unsafe")]
reveille::entry!(main, leaving = unsafe { cpu::Leaving::new(secondary) });
#[cfg(entry = "safe")]
reveille::entry!(main, leaving = cpu::Leaving::new(secondary));

const LONG: Duration = Duration::from_secs(60);
const KEPT: Result<(), HotplugError> = Err(HotplugError::Held(Hold::Frames));

reveille::percpu! {
    /// How often this CPU has begun with its function, and how often it has gone round in it.
    static BEGUN: AtomicU64 = AtomicU64::new(0);
    static ROUNDS: AtomicU64 = AtomicU64::new(0);
    /// It is to ask for its own leave.
    static ASKS: AtomicBool = AtomicBool::new(false);
    static ASKED: AtomicU64 = AtomicU64::new(0);
    /// It is to go on in the runtime's own loop.
    static LOOPS: AtomicBool = AtomicBool::new(false);
}

/// The main CPU has ended `main`, and is to try it once more.
static AGAIN: AtomicBool = AtomicBool::new(false);

/// Something that would be linked into a list: it must stay where it is until it is dropped.
struct Node {
    words: [AtomicU64; 16],
    _stays: PhantomPinned,
}

impl Node {
    fn new(own: CpuId) -> Self {
        Self { words: [const { AtomicU64::new(0) }; 16].map(|_| word(own)), _stays: PhantomPinned }
    }

    fn is_whole(self: Pin<&Self>, own: CpuId) -> bool {
        self.words.iter().all(|found| found.load(Ordering::Relaxed) == word(own).into_inner())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        panic!("nobody has ended the function");
    }
}

fn word(own: CpuId) -> AtomicU64 {
    AtomicU64::new(0x5afe_0000 + own.index() as u64)
}

fn secondary(own: CpuId) -> ! {
    BEGUN.fetch_add(1, Ordering::Relaxed);
    let node = pin!(Node::new(own));
    if AGAIN.load(Ordering::Relaxed) && own == CpuId::BOOT {
        cpu::become_secondary();
    }
    loop {
        cpu::idle();
        cpu::offline_point();
        check(node.as_ref().is_whole(own), "what is pinned stays as it is");
        if ASKS.swap(false, Ordering::Relaxed) {
            check(hotplug::cpu_down(own, LONG) == KEPT, "it cannot go by itself either");
            ASKED.fetch_add(1, Ordering::Relaxed);
        }
        ROUNDS.fetch_add(1, Ordering::Relaxed);
        if LOOPS.load(Ordering::Relaxed) {
            cpu::idle_loop(own);
        }
    }
}

/// `cpu` is asked to leave: it says no at once, and goes on.
fn stays(cpu: CpuId) {
    let start = Instant::now();
    let answer = hotplug::cpu_down(cpu, LONG);
    assert!(answer == KEPT, "cpu {cpu}: {answer:?}");
    check(Instant::now() - start < LONG / 2, "that is no matter of time");
    check(cpu::online().contains(cpu) && call::on(cpu, cpu::current) == Ok(cpu), "it goes on");
    check(BEGUN.of(cpu).load(Ordering::Relaxed) == 1, "in the same life");
}

fn goes_round(cpu: CpuId) {
    let before = ROUNDS.of(cpu).load(Ordering::Relaxed);
    cpu::wake(cpu);
    eventually("it goes round", || {
        cpu::wake(cpu);
        ROUNDS.of(cpu).load(Ordering::Relaxed) > before + 1
    });
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    match system.arg("panic") {
        Some("closure") => {
            check(cpu::launch(CpuId::BOOT, || cpu::become_secondary()).is_ok(), "main takes a closure");
            loop {
                cpu::idle();
            }
        }
        Some("again") => {
            AGAIN.store(true, Ordering::Relaxed);
            cpu::become_secondary();
        }
        _ => {}
    }
    let others = cpu::online().without(CpuId::BOOT);
    for cpu in others {
        eventually("every secondary begins", || BEGUN.of(cpu).load(Ordering::Relaxed) == 1);
        stays(cpu);
        goes_round(cpu);
        ASKS.of(cpu).store(true, Ordering::Relaxed);
        eventually("it asks for itself", || {
            cpu::wake(cpu);
            ASKED.of(cpu).load(Ordering::Relaxed) == 1
        });
        let pinned =
            cpu::launch(cpu, || check(hotplug::cpu_down(cpu::current(), LONG) == KEPT, "in a closure"));
        check(pinned.is_ok(), "it takes closures");
        eventually("the closure ends", || cpu::launch(cpu, || ()).is_ok());
        goes_round(cpu);
        // The runtime's own loop, with frames of the application's below it.
        LOOPS.of(cpu).store(true, Ordering::Relaxed);
        cpu::wake(cpu);
        eventually("it is in the loop", || cpu::launch(cpu, || ()).is_ok());
        eventually("and takes closures there", || cpu::launch(cpu, || ()).is_ok());
        stays(cpu);
    }
    if let Some(next) = others.iter().next() {
        let finish = || {
            eventually("the main CPU is a secondary", || BEGUN.of(CpuId::BOOT).load(Ordering::Relaxed) == 1);
            stays(CpuId::BOOT);
            goes_round(CpuId::BOOT);
            println!("frames: all good");
            power::exit(ExitCode::SUCCESS)
        };
        eventually("it takes the rest", || cpu::launch(next, finish).is_ok());
    }
    cpu::become_secondary()
}
