//! Sizes that the application chooses: large stacks, which every CPU fills, and an image of more than a few MiB.
//!
//! Bootarg `case=thread` or `case=exception`: then the last CPU overflows that one.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille::cpu::{self, CpuId, Stacks};
use reveille::{ExitCode, System, call, println};
use reveille_tests::{check, eventually, launch, pause};

const STACKS: Stacks = Stacks { thread: Stacks::MOST, exception: 256 * 1024 };
/// What of a stack is left to those below.
const ROOM: usize = 6 * 1024;

reveille::entry!(main, stacks = STACKS);

const CONSTANT: u64 = 0x0123_4567_89ab_cdef;
/// 5 MiB of constants, and 8 MiB of zeros.
static CONSTANTS: [u64; 5 << 17] = [CONSTANT; 5 << 17];
static ZEROS: [AtomicU64; 8 << 17] = [const { AtomicU64::new(0) }; 8 << 17];

/// How many stacks have been filled.
static FILLED: AtomicU64 = AtomicU64::new(0);

/// Calls itself until the stack is `bytes` deeper than `top`, and comes back.
#[inline(never)]
fn fill(top: usize, bytes: usize) -> u64 {
    let frame = black_box([1_u64; 64]);
    if top - frame.as_ptr() as usize >= bytes { frame[3] } else { fill(top, bytes) + frame[5] }
}

/// Fills nearly all of a stack of this size, on which not much lies yet.
fn fill_stack(size: usize) {
    let here = 0_u8;
    let frames = fill(&raw const here as usize, size - ROOM);
    check(frames > 8, "it took frames");
    FILLED.fetch_add(1, Ordering::Relaxed);
}

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    overflow(depth + 1) + frame[3]
}

/// Both stacks of `cpu`, which is another one or the caller's.
fn fill_both(cpu: CpuId) {
    let before = FILLED.load(Ordering::Relaxed);
    if cpu == cpu::current() {
        fill_stack(STACKS.thread);
    } else {
        launch(cpu, || fill_stack(STACKS.thread));
    }
    let post = call::post(cpu, || fill_stack(STACKS.exception));
    check(post.is_ok(), "a post is accepted");
    eventually("both are filled", || FILLED.load(Ordering::Relaxed) == before + 2);
}

fn image_is_whole() {
    let (constants, zeros) = (black_box(&CONSTANTS), black_box(&ZEROS));
    check(constants.iter().all(|word| *word == CONSTANT), "the constants are what they were made");
    check(zeros.iter().all(|word| word.load(Ordering::Relaxed) == 0), "what begins as zero is zero");
    for (index, word) in zeros.iter().enumerate().step_by(512) {
        word.store(index as u64 + 1, Ordering::Relaxed);
    }
    let written = zeros.iter().enumerate().step_by(512);
    check(
        written.into_iter().all(|(index, word)| word.load(Ordering::Relaxed) == index as u64 + 1),
        "and keeps",
    );
}

/// The early page tables have lain in memory that held anything, and every word of them has been written: each of them is nothing, or
/// leads to the image, and all pages of the image are there.
fn early_tables_are_whole() {
    unsafe extern "C" {
        static __image_start: u8;
        static __image_end: u8;
        static __early_tables: u8;
        static __early_tables_end: u8;
    }
    const PAGE: usize = 4096;
    let [from, to, tables, tables_end] = [
        &raw const __image_start,
        &raw const __image_end,
        &raw const __early_tables,
        &raw const __early_tables_end,
    ]
    .map(|symbol| symbol as usize);
    let mut pages = 0;
    for at in (tables..tables_end).step_by(8) {
        // SAFETY: part of the image, mapped with its data, aligned, and not written any more.
        let word = unsafe { (at as *const u64).read_volatile() };
        let leads = (word & 0xffff_ffff_f000) as usize;
        check(
            word == 0 || word & 3 == 3 && (from..to).contains(&leads),
            "nothing but the image is mapped early",
        );
        // The Access flag.
        pages += usize::from(word & 1 << 10 != 0);
    }
    check(pages == (to - from) / PAGE, "and all of it is");
}

fn main(system: &'static System) -> ExitCode {
    early_tables_are_whole();
    image_is_whole();
    let more = STACKS.thread + STACKS.exception - Stacks::DEFAULT.thread - Stacks::DEFAULT.exception;
    let figure = cpu::bytes_per_cpu() - cpu::BYTES_PER_CPU;
    // And their share of a page table, 8 bytes for each page of address space.
    check((more..more + 8 * 1024).contains(&figure), "what a CPU takes follows from its stacks");
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    for cpu in cpu::online() {
        fill_both(cpu);
    }
    println!("sizes: {} stacks filled", FILLED.load(Ordering::Relaxed));
    let last = cpu::online().iter().last().unwrap_or(CpuId::BOOT);
    let fall = || println!("{}", overflow(0));
    match system.arg("case") {
        None => return ExitCode::SUCCESS,
        Some("thread") => launch(last, fall),
        Some("exception") => check(call::post(last, fall).is_ok(), "a post is accepted"),
        Some(other) => panic!("case={other}: unknown"),
    }
    loop {
        pause();
    }
}
