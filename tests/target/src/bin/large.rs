//! An image of nearly 64 MiB, of all kinds: code, constants, data and zeros.
//!
//! With `--cfg too_large` it is larger, and must not link.

#![no_std]
#![no_main]
#![allow(unexpected_cfgs, reason = "`too_large` is for the test that compiles this")]

use core::arch::global_asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::sync::SpinLock;
use reveille::{ExitCode, System, call, cpu, nmi, println, static_key, stop_machine};
use reveille_tests::check;

reveille::entry!(main);

const MIB: usize = 1 << 20;
const WORDS: usize = MIB / 8;
/// Halves of a MiB of zeros: with them there is room for what the rest takes where it is not optimised.
const ZEROED: usize = if cfg!(too_large) { 32 } else { 29 };
const CONSTANT: u64 = 0x0123_4567_89ab_cdef;

static CONSTANTS: [u64; 16 * WORDS] = [CONSTANT; 16 * WORDS];
static DATA: [AtomicU64; 12 * WORDS] = [const { AtomicU64::new(CONSTANT) }; 12 * WORDS];
static ZEROS: [AtomicU64; ZEROED * WORDS / 2] = [const { AtomicU64::new(0) }; ZEROED * WORDS / 2];
/// Relocated, and far behind its place.
static POINTERS: SpinLock<[fn() -> u64; 2]> = SpinLock::new([before, after]);

static_key!(FAR, false);

// 20 MiB of code between two functions.
global_asm!(
    ".section .text.filler, \"ax\"",
    ".balign 4",
    ".global large_before",
    "large_before:",
    "mov x0, #1",
    "ret",
    ".fill 20 << 18, 4, 0xd503201f",
    ".global large_after",
    "large_after:",
    "mov x0, #2",
    "ret",
);

unsafe extern "C" {
    safe fn large_before() -> u64;
    safe fn large_after() -> u64;
}

fn before() -> u64 {
    large_before()
}

fn after() -> u64 {
    large_after()
}

fn main(system: &'static System) -> ExitCode {
    let size = large_after as *const () as usize - large_before as *const () as usize;
    check(size > 20 * MIB, "the code is as large as it was made");
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let (constants, data, zeros) = (black_box(&CONSTANTS), black_box(&DATA), black_box(&ZEROS));
    check(constants.iter().all(|word| *word == CONSTANT), "constants");
    check(data.iter().all(|word| word.load(Ordering::Relaxed) == CONSTANT), "data");
    check(zeros.iter().all(|word| word.load(Ordering::Relaxed) == 0), "zeros");
    let everywhere = || {
        let [before, after] = *POINTERS.lock();
        before() + after()
    };
    for cpu in cpu::online() {
        check(call::on(cpu, everywhere) == Ok(3), "code on every CPU");
        let last = zeros.len() - 1 - cpu.index();
        check(
            call::on(cpu, move || zeros[last].fetch_add(1, Ordering::Relaxed)) == Ok(0),
            "zeros of every CPU",
        );
    }
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let answers = nmi::on_each(&cpu::online(), || _ = ASKED.fetch_add(1, Ordering::Relaxed));
    check(ASKED.load(Ordering::Relaxed) as usize == cpu::online().len(), "a function by its number");
    check(answers.done.len() == cpu::online().len(), "and all say so");
    check(!FAR.is_enabled(), "a key begins off");
    check(FAR.enable().is_ok() && FAR.is_enabled(), "and is turned on");
    check(stop_machine(Duration::from_secs(60), || ()).is_ok(), "all come to a round");
    println!("large: all good on {} CPUs", cpu::online().len());
    ExitCode::SUCCESS
}
