//! Pages, stacks of the application's, and the heap: taken and given back everywhere, to the last one.
//!
//! `case=overflow`: a context runs over the end of its stack, and the report is the result; `case=plain` the same without a context;
//! `case=gone`: something writes where a stack was.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::alloc::Layout;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille::context::{self, Ended, Ready, Scheduler};
use reveille::cpu;
use reveille::dt::Region;
use reveille::memory::{self, Free, Pages, PagesError, Stack, StackError};
use reveille::sync::SpinLock;
use reveille::{ExitCode, System, call, irq, nmi, println};
use reveille_tests::{Random, argument, check, on_all_others};

reveille::entry!(main, scheduler = One);

const PAGE: usize = 4096;

static HOME: SpinLock<Option<Ready>> = SpinLock::new(None);
static ENDED: AtomicU64 = AtomicU64::new(0);
static TURNS: AtomicU64 = AtomicU64::new(0);

/// `main`, and one context at a time.
struct One;

impl Scheduler for One {
    fn preempt() -> Option<Ready> {
        None
    }
    fn preempted(_: Ready) {}
    fn end() -> Ready {
        HOME.lock().take().expect("main waits")
    }
    fn ended(context: Ended) {
        // With everything masked.
        drop(context.into_stack());
        ENDED.fetch_add(1, Ordering::Relaxed);
    }
}

fn run(ready: Ready) {
    check(context::switch(ready, |home| *HOME.lock() = Some(home)).is_ok(), "a switch");
}

fn free() -> Free {
    memory::free().expect("not at NMI level")
}

/// Fills `pages` with what only their address gives.
fn fill(pages: &mut Pages) {
    let mark = pages.physical() as u8 ^ (pages.physical() >> 12) as u8;
    pages.bytes_mut().iter_mut().for_each(|byte| _ = byte.write(mark));
}

/// Whether that is in them still.
fn is_filled(pages: &Pages) -> bool {
    let mark = pages.physical() as u8 ^ (pages.physical() >> 12) as u8;
    // SAFETY: filled before.
    (0..pages.len()).step_by(64).all(|at| unsafe { pages.as_ptr().add(at).read() } == mark)
}

fn requests(system: &System) {
    let before = free();
    let all: u64 = system.free_memory().map(|piece| piece.size).sum();
    check(before.bytes <= all && before.bytes >= all - (1 << 20), "all that is free, but for the first MiB");
    for (bytes, align) in [(0, PAGE), (1, 0), (1, 3), (usize::MAX, PAGE)] {
        check(
            Pages::aligned(bytes, align).err() == Some(PagesError::BadRequest),
            "what makes no sense is refused",
        );
    }
    check(Pages::new(usize::MAX / 2).err() == Some(PagesError::OutOfMemory), "more than there is");
    check(Pages::aligned(1, 1 << 63).err() == Some(PagesError::OutOfMemory), "aligned to what there is not");
    check(
        Pages::below(1, 1, 1 << 20).err() == Some(PagesError::OutOfMemory),
        "the first MiB is not given out",
    );
    let limit = system.free_memory().map(|piece| piece.base + piece.size).max().expect("there is some");
    for shift in [0, 12, 16, 21] {
        let pages = Pages::below(3 * PAGE - 1, 1 << shift, limit).expect("there is some");
        check(pages.len() == 3 * PAGE && pages.physical().is_multiple_of(1 << shift), "aligned, whole pages");
        check(pages.physical() + 3 * PAGE as u64 <= limit, "below the limit");
        check(
            Pages::below(PAGE, 1, pages.physical()).map_or(true, |lower| lower.physical() < pages.physical()),
            "below",
        );
        let mut pages = pages;
        fill(&mut pages);
        let pages = pages.zeroed();
        // SAFETY: just zeroed.
        check((0..pages.len()).all(|at| unsafe { pages.as_ptr().add(at).read() } == 0), "zeroes");
    }
    check(free() == before, "all came back");
    // What is free by its address is taken by it, once.
    let piece = system.free_memory().max_by_key(|piece| piece.size).expect("there is some");
    let middle = Region { base: (piece.base + piece.size / 2) & !0xfff, size: 2 * PAGE as u64 };
    for wrong in [
        Region { base: middle.base + 1, ..middle },
        Region { size: 0, ..middle },
        Region { size: 5, ..middle },
    ] {
        check(Pages::take(wrong).err() == Some(PagesError::BadRequest), "whole pages");
    }
    let taken = Pages::take(middle).expect("it is free");
    check(taken.physical() == middle.base && taken.len() == 2 * PAGE, "what was asked for");
    check(Pages::take(middle).err() == Some(PagesError::OutOfMemory), "once");
    check(free().pieces == before.pieces + 1, "a hole in it");
    drop(taken);
    check(free() == before, "and none");
    let beyond = Region { base: piece.base + piece.size, size: PAGE as u64 };
    check(Pages::take(beyond).err() == Some(PagesError::OutOfMemory), "nothing that is not free");
}

/// Page for page until there is none, each linked to the one before; then back, every other one first.
fn exhaustion() {
    let before = free();
    // A piece at most is left, so that there are not too many pages to count.
    let size = (before.bytes / 2000) as usize & !(PAGE - 1);
    static LIST: SpinLock<[Option<Pages>; 4096]> = SpinLock::new([const { None }; 4096]);
    let mut list = LIST.lock();
    let mut count = 0;
    let error = loop {
        match Pages::new(size) {
            Ok(pages) => list[count] = Some(pages),
            Err(error) => break error,
        }
        count += 1;
    };
    check(error == PagesError::OutOfMemory && count >= 1900, "until there is none");
    check(free().largest < size as u64, "no piece is left that is large enough");
    check(Stack::new("none", 16 << 20).is_err(), "no stack either");
    for first in [0, 1] {
        list.iter_mut().skip(first).step_by(2).for_each(|pages| *pages = None);
    }
    check(free() == before, "and all of it back, in the same pieces");
    println!("pages: {count} times {size} bytes, then none");
}

/// In a handler, with interrupts masked, at NMI level.
fn contexts() {
    let before = free();
    let other = cpu::online().iter().last().expect("this one at least");
    {
        let _masked = irq::mask();
        drop(Pages::new(1).expect("masked"));
        drop(Stack::new("masked", 8192).expect("masked"));
    }
    // Taken on another CPU, in an interrupt, and given back here; and the other way round.
    static SENT: SpinLock<Option<(Pages, Stack)>> = SpinLock::new(None);
    let take =
        || *SENT.lock() = Some((Pages::new(5).expect("pages"), Stack::new("sent", 20000).expect("stack")));
    check(call::on(other, take).is_ok(), "a call");
    check(SENT.lock().take().is_some_and(|(_, stack)| stack.len() == 20480), "pages of another CPU");
    take();
    check(call::on(other, || drop(SENT.lock().take())).is_ok(), "a call");
    check(free().bytes == before.bytes || other == cpu::current(), "given back, but for tables");
    static REFUSED: AtomicU64 = AtomicU64::new(0);
    let answers = nmi::on_each(&cpu::online(), || {
        let refused = Pages::new(1).err() == Some(PagesError::Nmi)
            && memory::free().err() == Some(PagesError::Nmi)
            && Stack::new("nmi", 8192).err() == Some(StackError::Pages(PagesError::Nmi));
        REFUSED.fetch_add(u64::from(refused), Ordering::Relaxed);
    });
    check(answers.is_complete(), "everyone answers");
    check(REFUSED.load(Ordering::Relaxed) == cpu::online().len() as u64, "refused at NMI level");
}

/// Everyone at once, with what is taken checked.
fn all_at_once(rounds: u64) {
    static DONE: AtomicU64 = AtomicU64::new(0);
    let work = move || {
        let mut random = Random::new(7 + cpu::current().index() as u64);
        let mut held: [Option<Pages>; 8] = [const { None }; 8];
        let mut stacks: [Option<Stack>; 4] = [const { None }; 4];
        for _ in 0..rounds {
            let place = &mut held[random.below(8) as usize];
            check(place.as_ref().is_none_or(is_filled), "nobody else wrote there");
            *place = Pages::aligned(1 + random.below(5 * PAGE as u64) as usize, 1 << random.below(15)).ok();
            if let Some(pages) = place {
                fill(pages);
            }
            let place = &mut stacks[random.below(4) as usize];
            if let Some(stack) = place.take() {
                // SAFETY: the stack's own, written below.
                let found = unsafe { (stack.bottom() as *const usize).read() };
                check(found == stack.top(), "nobody else wrote there");
            } else if let Ok(stack) = Stack::new("busy", 8192 << random.below(3)) {
                // SAFETY: mapped, and nobody's but this one's.
                unsafe { (stack.bottom() as *mut usize).write(stack.top()) };
                *place = Some(stack);
            }
        }
        drop((held, stacks));
        DONE.fetch_add(1, Ordering::Release);
    };
    on_all_others(work);
    work();
    while DONE.load(Ordering::Acquire) < cpu::online().len() as u64 {
        core::hint::spin_loop();
    }
}

fn stacks() {
    for bytes in [0, 8191, (16 << 20) + 1, usize::MAX] {
        check(
            Stack::new("wrong", bytes).err() == Some(StackError::Size { bytes }),
            "a size that there is not",
        );
    }
    let mut before = 0;
    for round in 0..3 {
        let largest = Stack::new("largest", 16 << 20).expect("16 MiB");
        check(largest.len() == 16 << 20 && largest.top() - largest.bottom() == 16 << 20, "its size");
        for at in (largest.bottom()..largest.top()).step_by(PAGE) {
            // SAFETY: a word of the stack's, which nobody runs on.
            unsafe { (at as *mut usize).write(at) };
        }
        // SAFETY: as above.
        check(
            (largest.bottom()..largest.top())
                .step_by(PAGE)
                .all(|at| unsafe { (at as *const usize).read() } == at),
            "all of it is there",
        );
        drop(largest);
        // Tables stay.
        check(round == 0 || free().bytes == before, "given back");
        before = free().bytes;
    }
    // The same addresses again and again, by another that runs.
    for round in 0..200 {
        let stack = Stack::new("turn", 8192 + (round as usize % 5) * 4096).expect("a stack");
        let turn = || _ = TURNS.fetch_add(1, Ordering::Relaxed);
        run(context::new(stack, turn).expect("room"));
        check(TURNS.load(Ordering::Relaxed) == round + 1, "it ran");
    }
    check(ENDED.load(Ordering::Relaxed) == 200 && free().bytes == before, "each gave its stack back");
}

/// The sizes and alignments of both ways, from everywhere.
fn heap() {
    for shift in 0..22 {
        for size in [1_usize << shift, (1 << shift) + 1, 3 << shift] {
            let layout = Layout::from_size_align(size, 1 << (shift % 18)).expect("a layout");
            // SAFETY: of some size; given back as it was had.
            unsafe {
                let at = alloc::alloc::alloc(layout);
                check(!at.is_null() && (at as usize).is_multiple_of(layout.align()), "memory, aligned");
                at.write_bytes(0xa5, size);
                alloc::alloc::dealloc(at, layout);
            }
        }
    }
    let before = free();
    drop(Vec::<u8>::with_capacity(3 << 20));
    check(free() == before, "what is large comes back");
    let layout = Layout::from_size_align(usize::MAX / 2, 1).expect("a layout");
    // SAFETY: of some size.
    check(black_box(unsafe { alloc::alloc::alloc(layout) }).is_null(), "more than there is");
    // From a handler, given back here, in a masked section.
    static MADE: SpinLock<Option<BTreeMap<u64, Box<[u64]>>>> = SpinLock::new(None);
    let other = cpu::online().iter().last().expect("this one at least");
    let make = || *MADE.lock() = Some((0..100).map(|i| (i, (0..i).collect())).collect());
    check(call::on(other, make).is_ok(), "a call");
    let made = MADE.lock().take().expect("made");
    let sum: u64 = made.values().flat_map(|list| list.iter()).sum();
    check(sum == (0..100).map(|i| i * (i.max(1) - 1) / 2).sum(), "what was put in");
    let masked = irq::mask();
    drop(made);
    drop(masked);
    static NULL: AtomicU64 = AtomicU64::new(0);
    let answers = nmi::on_each(&cpu::online(), || {
        for size in [64, 1 << 20] {
            let layout = Layout::from_size_align(size, 8).expect("a layout");
            // SAFETY: of some size.
            let at = black_box(unsafe { alloc::alloc::alloc(layout) });
            NULL.fetch_add(u64::from(at.is_null()), Ordering::Relaxed);
        }
    });
    check(answers.is_complete(), "everyone answers");
    check(NULL.load(Ordering::Relaxed) == 2 * cpu::online().len() as u64, "none at NMI level");
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "until there is no stack left")]
fn overflow(depth: u64) -> u64 {
    black_box(1 + overflow(black_box(depth + 1)))
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    match system.arg("case") {
        Some("overflow") => {
            let others = [Stack::new("sleepy", 8192), Stack::new("lazy", 8192)];
            let stack = Stack::new("deep thinker", 16384).expect("a stack");
            run(context::new(stack, || _ = overflow(0)).expect("room"));
            drop(others);
        }
        Some("plain") => {
            let stack = Stack::new("plain", 8192).expect("a stack");
            // SAFETY: none: the report is the result.
            unsafe { (stack.bottom() as *mut u8).sub(1).write_volatile(0) };
        }
        Some("gone") => {
            let stack = Stack::new("gone", 8192).expect("a stack");
            let at = stack.bottom() as *mut u8;
            // SAFETY: the stack's own.
            unsafe { at.write_volatile(0) };
            drop(stack);
            // SAFETY: none: the report is the result.
            unsafe { at.write_volatile(0) };
        }
        _ => {
            requests(system);
            stacks();
            contexts();
            heap();
            let before = free();
            all_at_once(argument(system, "rounds", 300));
            let after = free();
            check(before.bytes - after.bytes < 1 << 20, "given back, but for tables");
            exhaustion();
            println!("pages: all good, {} bytes free in {} pieces", after.bytes, after.pieces);
            return ExitCode::SUCCESS;
        }
    }
    ExitCode::FAILURE
}
