//! Pages, mapped with attributes by one CPU, used by others while the mapping is there, and by none when it is not.

use crate::kinds::{Kind, is_in_mix};
use crate::verdict::{Wrong, expect, violated};
use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille::call::{self, CallError};
use reveille::cpu::{self, CpuId};
use reveille::exception::{Frame, Outcome};
use reveille::memory::{self, Access, Mapping, Memory, Pages, Stack};
use reveille::sync::SpinLock;
use reveille_tests::Random;
use reveille_tests::books::scrambled;

// Accesses that may be faults: x0, and in x1 whether they were. The instruction, and the next, are known to `trap`.
global_asm!(
    ".global torture_read",
    "torture_read: ldr x0, [x0]",
    "mov x1, #0",
    "ret",
    ".global torture_write",
    "torture_write: str x1, [x0]",
    "mov x1, #0",
    "ret",
    ".global torture_run",
    "torture_run: stp x29, x30, [sp, #-16]!",
    "mov x29, sp",
    "blr x0",
    ".global torture_ran",
    "torture_ran: mov x1, #0",
    "ldp x29, x30, [sp], #16",
    "ret",
);

#[repr(C)]
struct Tried {
    value: u64,
    faulted: u64,
}

unsafe extern "C" {
    fn torture_read(address: u64) -> Tried;
    fn torture_write(address: u64, value: u64) -> Tried;
    fn torture_run(address: u64) -> Tried;
    fn torture_ran();
}

impl Tried {
    fn value(self) -> Option<u64> {
        (self.faulted == 0).then_some(self.value)
    }
}

/// A synchronous exception of this level: whether it is one that was looked for.
pub fn trap(frame: &mut Frame) -> Outcome {
    let at = |f: usize| frame.elr == f as u64;
    let go_on = match frame.esr >> 26 {
        0x25 if at(torture_read as *const () as usize) || at(torture_write as *const () as usize) => {
            frame.elr + 8
        }
        // It has not come to its first instruction.
        0x21 if frame.x[30] == torture_ran as *const () as u64 && frame.far == frame.elr => frame.x[30] + 4,
        _ => return Outcome::NotMine,
    };
    TRAPS.fetch_add(1, Ordering::Relaxed);
    frame.elr = go_on;
    frame.x[1] = 1;
    Outcome::Resume
}

static TRAPS: AtomicU64 = AtomicU64::new(0);

/// A mapping that is there for a while, and what is in it.
struct Shared {
    mapping: Mapping,
    seed: u64,
}

const PLACES: usize = 8;
static SHARED: SpinLock<[Option<Shared>; PLACES]> = SpinLock::new([const { None }; PLACES]);

/// Bytes that were free when it began.
static FREE: AtomicU64 = AtomicU64::new(0);

const PAGE: usize = 4096;
/// More than all mappings, or stacks, of a run have together.
const ALL: usize = 8 << 20;

/// Before anything is mapped: page tables for all that will be are taken now, so that free memory stays what it is.
pub fn begin() {
    if !is_in_mix(Kind::Map) && !is_in_mix(Kind::Context) {
        return;
    }
    let pages = match Pages::new(ALL) {
        Ok(pages) => pages,
        Err(error) => violated(Wrong::Lost, format_args!("{error}")),
    };
    if let Err(failed) = memory::map(pages, Memory::Normal, Access::ReadOnly).map(drop) {
        violated(Wrong::Lost, format_args!("{failed}"));
    }
    if let Err(error) = Stack::new("all", ALL).map(drop) {
        violated(Wrong::Lost, format_args!("{error}"));
    }
    FREE.store(free(), Ordering::Relaxed);
}

fn free() -> u64 {
    match memory::free() {
        Ok(free) => free.bytes,
        Err(error) => violated(Wrong::Lost, format_args!("{error}")),
    }
}

/// What is in the first and the last word of each page.
fn word(seed: u64, index: usize) -> u64 {
    scrambled(seed ^ index as u64)
}

/// The words that are looked at.
fn words(len: usize) -> impl Iterator<Item = usize> {
    (0..len / PAGE).flat_map(|page| [page * PAGE / 8, (page + 1) * PAGE / 8 - 1])
}

fn fill(pages: &mut Pages, seed: u64) {
    let at = pages.as_mut_ptr().cast::<u64>();
    for index in words(pages.len()) {
        // SAFETY: inside of the pages, which are ours.
        unsafe { at.add(index).write(word(seed, index)) };
    }
}

/// Some pages, with what `seed` says in them.
fn pages(random: &mut Random, seed: u64) -> Pages {
    match Pages::new(PAGE * (1 + random.below(4) as usize)) {
        Ok(mut pages) => {
            fill(&mut pages, seed);
            pages
        }
        Err(error) => violated(Wrong::Lost, format_args!("{error}")),
    }
}

fn map(pages: Pages, memory: Memory, access: Access) -> Mapping {
    match memory::map(pages, memory, access) {
        Ok(mapping) => mapping,
        Err(failed) => violated(Wrong::Lost, format_args!("pages are not mapped: {failed}")),
    }
}

fn read(address: u64) -> Option<u64> {
    // SAFETY: a fault is trapped.
    unsafe { torture_read(address) }.value()
}

/// # Safety
///
/// What is there, if it can be written, is the caller's.
unsafe fn write(address: u64, value: u64) -> bool {
    // SAFETY: a fault is trapped; else the caller's.
    unsafe { torture_write(address, value) }.value().is_some()
}

/// Everything in `mapping` is as `seed` says.
fn check(start: u64, len: usize, seed: u64) {
    for index in words(len) {
        let found = read(start + 8 * index as u64);
        if found != Some(word(seed, index)) {
            violated(
                Wrong::Lost,
                format_args!(
                    "cpu {} finds {found:x?} in word {index} of a mapping at {start:#x}",
                    cpu::current()
                ),
            );
        }
    }
}

/// Runs `f` on `target`, or here if that is not online.
fn there(target: CpuId, mut f: impl FnMut() + Send) {
    match call::on(target, &mut f) {
        Ok(()) => {}
        Err(CallError::Offline) => f(),
        Err(error) => violated(Wrong::Lost, format_args!("a call to cpu {target}: {error}")),
    }
}

/// Does one of many things with pages and mappings. In thread context.
pub fn operate(target: CpuId, random: &mut Random) -> bool {
    let number = random.number();
    let place = (number >> 32) as usize % PLACES;
    match number & 7 {
        0..3 => whole(target, number, random),
        3 => {
            let seed = random.number();
            let access = if number >> 8 & 1 == 0 { Access::ReadOnly } else { Access::ReadWrite };
            let memory = if number >> 9 & 1 == 0 { Memory::Normal } else { Memory::NonCacheable };
            let mapping = map(pages(random, seed), memory, access);
            let before = SHARED.lock()[place].replace(Shared { mapping, seed });
            // Behind the lock.
            drop(before);
        }
        4 => {
            let taken = SHARED.lock()[place].take();
            let Some(Shared { mapping, seed }) = taken else { return false };
            unmap(mapping, seed, number);
        }
        _ => return look(place),
    }
    true
}

/// Reads what somebody has mapped. In any context but NMI level.
fn look(place: usize) -> bool {
    let shared = SHARED.lock();
    let Some(Shared { mapping, seed }) = &shared[place] else { return false };
    check(mapping.as_ptr() as u64, mapping.len(), *seed);
    true
}

/// Unmaps what has `seed` in it: no CPU finds it any more.
fn unmap(mapping: Mapping, seed: u64, number: u64) {
    let (start, len) = (mapping.as_ptr() as u64, mapping.len());
    let mut pages = match mapping.unmap() {
        Ok(pages) => pages,
        Err(mapping) => violated(Wrong::Lost, format_args!("{mapping:?} is not unmapped")),
    };
    // As long as the pages are ours nobody else maps them.
    let gone = |_: CpuId| {
        for index in words(len) {
            let found = read(start + 8 * index as u64);
            expect(found.is_none(), Wrong::Doubled, "no CPU reads what is not mapped any more");
        }
    };
    if number >> 12 & 1 == 0 {
        gone(cpu::current());
    } else if let Err(error) = call::on_each(&cpu::online(), gone) {
        violated(Wrong::Lost, format_args!("a call of all: {error}"));
    }
    let at = pages.as_mut_ptr().cast::<u64>();
    for index in words(len) {
        // SAFETY: inside of the pages, which are ours.
        let found = unsafe { at.add(index).read() };
        expect(found == word(seed, index), Wrong::Lost, "pages come back with what is in them");
    }
}

/// A mapping from its beginning to its end.
fn whole(target: CpuId, number: u64, random: &mut Random) {
    let seed = random.number();
    let mut pages = pages(random, seed);
    let (memory, access) = match number >> 8 & 7 {
        0 | 1 => (Memory::Normal, Access::ReadWrite),
        2 => (Memory::Normal, Access::ReadOnly),
        3 => (Memory::NonCacheable, Access::ReadWrite),
        4 => (Memory::NonCacheable, Access::ReadOnly),
        _ => (Memory::Normal, Access::Execute),
    };
    let immediate = number >> 40 & 0xffff;
    let code = 64;
    if access == Access::Execute {
        // MOV x0, #immediate; RET.
        let instructions = (0xd65f_03c0 << 32) | 0xd280_0000 | immediate << 5;
        // SAFETY: inside of the first page, which is ours.
        unsafe { pages.as_mut_ptr().add(code).cast::<u64>().write(instructions) };
    }
    let mapping = map(pages, memory, access);
    let (start, len) = (mapping.as_ptr() as u64, mapping.len());
    let mut now = seed;
    there(target, || {
        check(start, len, seed);
        match access {
            Access::ReadWrite => {
                now = !seed;
                for index in words(len) {
                    // SAFETY: in the mapping, whose pages nobody else uses.
                    let done = unsafe { write(start + 8 * index as u64, word(now, index)) };
                    expect(done, Wrong::Lost, "what is mapped to be written can be written");
                }
            }
            Access::ReadOnly | Access::Execute => {
                // SAFETY: as above.
                let done = unsafe { write(start + 8, 0) };
                expect(!done, Wrong::Doubled, "what is mapped to be read is not written");
            }
        }
        // SAFETY: the two instructions above, which keep to AAPCS64; or a fault, which is trapped.
        let ran = unsafe { torture_run(start + code as u64) }.value();
        let right = if access == Access::Execute { Some(immediate) } else { None };
        expect(
            ran == right,
            Wrong::Lost,
            "what is mapped to be executed is what was written there, and nothing else is",
        );
    });
    check(start, len, now);
    if number >> 16 & 1 == 0 {
        drop(mapping);
    } else {
        unmap(mapping, now, number);
    }
}

/// All is over: what is mapped is unmapped, and all memory is free that was.
pub fn close() {
    for place in 0..PLACES {
        let taken = SHARED.lock()[place].take();
        if let Some(Shared { mapping, seed }) = taken {
            unmap(mapping, seed, u64::MAX);
        }
    }
    let (before, after) = (FREE.load(Ordering::Relaxed), free());
    if before != 0 && before != after {
        let wrong = if after < before { Wrong::Lost } else { Wrong::Doubled };
        violated(wrong, format_args!("{after} bytes are free, and {before} were when it began"));
    }
}
