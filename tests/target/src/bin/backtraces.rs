//! Backtraces of a CPU that is interrupted at any instruction of functions that are known, and in a call that has interrupted them.
//!
//! Bootarg `samples=N`: how many of each kind.

#![no_std]
#![no_main]

use core::arch::global_asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuSet};
use reveille::{ExitCode, System, call, nmi, println};
use reveille_tests::{Random, argument, check, eventually};

reveille::entry!(main);

static TURNS: AtomicU64 = AtomicU64::new(0);
static INSIDE: AtomicBool = AtomicBool::new(false);
static GO_ON: AtomicBool = AtomicBool::new(false);

/// Has a record, and calls functions that have one, that have none, that call on and that are called on to.
#[unsafe(no_mangle)]
#[inline(never)]
fn chain_outer(turns: u64) -> u64 {
    let mut bytes = [0_u8; 96];
    (0..turns).fold(0, |sum, turn| sum ^ chain_middle(turn, &mut bytes))
}

#[unsafe(no_mangle)]
#[inline(never)]
fn chain_middle(turn: u64, bytes: &mut [u8; 96]) -> u64 {
    let length = turn as usize % 90;
    bytes[..black_box(length)].fill(turn as u8);
    let leaf = chain_leaf(turn, bytes);
    for _ in 0..4 {
        // SAFETY: changes no register that is the caller's, and no memory.
        unsafe { chain_ways(0) };
    }
    leaf ^ chain_tail(black_box(turn), black_box(chain_last))
}

/// Calls nothing.
#[unsafe(no_mangle)]
#[inline(never)]
fn chain_leaf(turn: u64, bytes: &[u8; 96]) -> u64 {
    let early = turn & 7 == 0;
    if early { turn } else { u64::from(bytes[turn as usize % 96]) * black_box(turn) }
}

// Has no record, and much to look at for who wants to know: from each of its first seven instructions there are as many ways to a jump that
// could lead anywhere, one that ends too late, and one, the last of all, that shows that it returns by x30 as it is. None is taken.
global_asm!(
    ".section .text.chain_ways, \"ax\"",
    ".global chain_ways",
    ".balign 4",
    "chain_ways:",
    ".rept 7",
    "tbnz x0, #0, 1f",
    ".endr",
    "tbnz x0, #0, 2f",
    ".rept 31",
    "nop",
    ".endr",
    "ret",
    "1: br x30",
    "2: ret",
);

unsafe extern "C" {
    fn chain_ways(zero: u64);
}

/// Jumps to the last one, and is not in the backtrace of it.
#[unsafe(no_mangle)]
#[inline(never)]
fn chain_tail(turn: u64, last: fn(u64) -> u64) -> u64 {
    if chain_leaf(turn, &[1; 96]) == 1 { turn } else { last(turn) }
}

#[unsafe(no_mangle)]
#[inline(never)]
fn chain_last(turn: u64) -> u64 {
    TURNS.fetch_add(1, Ordering::Relaxed);
    turn.rotate_left(7)
}

fn for_ever() {
    black_box(chain_outer(u64::MAX));
}

fn wait_inside() {
    INSIDE.store(true, Ordering::Relaxed);
    while !GO_ON.load(Ordering::Relaxed) {
        core::hint::spin_loop();
    }
    INSIDE.store(false, Ordering::Relaxed);
}

fn main(system: &'static System) -> ExitCode {
    let Some(cpu) = cpu::possible().without(cpu::current()).iter().next() else {
        panic!("there is one CPU alone");
    };
    check(cpu_up(cpu, system.deadline()) == Verdict::Online, "the CPU comes online");
    eventually("it takes a closure", || cpu::launch(cpu, for_ever).is_ok());
    eventually("it goes round", || TURNS.load(Ordering::Relaxed) > 10);
    let set: CpuSet = [cpu].into_iter().collect();
    println!("backtraces: chain_outer at {:#x}", chain_outer as *const () as usize);
    let samples = argument(system, "samples", 100);
    let mut random = Random::new(1);
    for _ in 0..samples {
        some_time(&mut random);
        nmi::backtrace(&set);
        some_time(&mut random);
        GO_ON.store(false, Ordering::Relaxed);
        check(call::post(cpu, wait_inside).is_ok(), "it takes a call");
        eventually("the call runs", || INSIDE.load(Ordering::Relaxed));
        nmi::backtrace(&set);
        GO_ON.store(true, Ordering::Relaxed);
        eventually("it ends", || !INSIDE.load(Ordering::Relaxed));
    }
    println!("backtraces: {samples} of each kind, of cpu {cpu}");
    ExitCode::SUCCESS
}

fn some_time(random: &mut Random) {
    for _ in 0..random.below(500) {
        core::hint::spin_loop();
    }
}
