//! Counts the instructions of a record: as the other images of benches/, with the feature `trace`.
//!
//! `trace_off` is a site while nobody traces, `trace_on` one of the application's while somebody does: both for each turn of a loop, less what
//! the loop takes without. `trace_runtime` is a record of the runtime's, on average: what a synchronous call takes more while somebody traces,
//! divided by the records that are noted on both CPUs meanwhile.

#![no_std]
#![no_main]

use core::arch::asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille::cpu::{self, CpuId};
use reveille::time::Instant;
use reveille::trace::{self, Mode};
use reveille::{ExitCode, System, call, println};

reveille::entry!(main);

const ROUNDS: usize = 64;
const TURNS: u64 = 1000;

fn report(name: &str, instructions: u64) {
    println!("bench {name} {instructions}");
}

/// The least of an operation, in ticks, of which each is an instruction.
fn least(mut operation: impl FnMut()) -> u64 {
    let mut once = || {
        let start = Instant::now().ticks();
        operation();
        Instant::now().ticks() - start
    };
    (0..ROUNDS).map(|_| once()).min().unwrap_or(0)
}

fn per_turn(instructions: u64) -> u64 {
    (instructions + TURNS / 2) / TURNS
}

#[inline(never)]
fn with_site(mut x: u64) -> u64 {
    let mut left = black_box(TURNS);
    while left != 0 {
        left -= 1;
        reveille::trace!("turn", x);
        x ^= x << 13;
        x ^= x >> 7;
    }
    x
}

#[inline(never)]
fn without_site(mut x: u64) -> u64 {
    let mut left = black_box(TURNS);
    while left != 0 {
        left -= 1;
        // SAFETY: nothing. As opaque to the compiler as a site is, and as far as it knows a branch.
        unsafe { asm!("/* {} */", label { x = rare(x) }, options(nomem, nostack, preserves_flags)) };
        x ^= x << 13;
        x ^= x >> 7;
    }
    x
}

#[inline(never)]
fn rare(x: u64) -> u64 {
    x + 1
}

/// Passes the turn to the next vCPU.
fn give_way() {
    // SAFETY: a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
}

fn noted() -> u64 {
    cpu::online().iter().map(|cpu| trace::read(cpu, |_| ()).noted).sum()
}

/// A call of another CPU that computes, and never waits for an interrupt.
fn call_it(other: CpuId) -> u64 {
    least(|| {
        let _ = call::on(other, || ());
    })
}

fn main(system: &'static System) -> ExitCode {
    if !system.bring_up_all(system.deadline()).is_complete() {
        return ExitCode::FAILURE;
    }
    let other = cpu::possible().iter().find(|cpu| *cpu != cpu::current());
    static BUSY: AtomicU64 = AtomicU64::new(0);
    if let Some(other) = other {
        let busy = || {
            BUSY.store(1, Ordering::Relaxed);
            loop {
                give_way();
            }
        };
        while cpu::launch(other, busy).is_err() {
            cpu::idle();
        }
        while BUSY.load(Ordering::Relaxed) == 0 {
            give_way();
        }
    }
    let without = least(|| _ = black_box(without_site(black_box(7))));
    let off = least(|| _ = black_box(with_site(black_box(7))));
    report("trace_off", per_turn(off - without));
    let call_off = other.map(call_it);
    if trace::start(Mode::Overwrite).is_err() {
        return ExitCode::FAILURE;
    }
    let on = least(|| _ = black_box(with_site(black_box(7))));
    report("trace_on", per_turn(on - without));
    if let (Some(other), Some(call_off)) = (other, call_off) {
        let before = noted();
        let call_on = call_it(other);
        let each = (noted() - before) / ROUNDS as u64;
        // And the branch at its site, where a NOP was before.
        report("trace_runtime", (call_on - call_off).div_ceil(each) + 1);
        report("trace_runtime_records", each);
    }
    ExitCode::SUCCESS
}
