//! The machine as text on the console, for a debugger: what each CPU was doing, its stacks, and the state of the runtime in memory.
//!
//! With the bootarg `reveille.core=console`, once the report is over. `scripts/core --from LOG` makes an ELF core of it; `docs/core.md`.

use super::park::{self, Evidence, ParkMark};
use crate::arch::exception::{FatalFrame, Registers};
use crate::arch::{mmu, regs};
use crate::percpu::area::{self, Area, Part as _};
use crate::{backtrace, call, console, memory};
use core::sync::atomic::{AtomicBool, Ordering};
use reveille_machine::BootArgs;
use reveille_machine::dump::{self, Encoder, cpus, info};

/// Whether there is to be one.
static WANTED: AtomicBool = AtomicBool::new(false);

/// Bytes of one stack that are shown, from the stack pointer on; stacks of a CPU; bytes below a frame record in which the rest of its
/// frame is.
const STACK: u64 = 16 << 10;
const STACKS: usize = 4;
const BELOW: u64 = 512;

/// Reads the bootarg `reveille.core`. By the boot CPU, once there is a console to complain to.
pub(crate) fn init(args: BootArgs<'_>) {
    WANTED.store(args.chooses("reveille.core", "off", "console"), Ordering::Relaxed);
}

type Lines = Encoder<fn(&[u8])>;

/// Writes it, if it is wanted. The others are stopped, or their time is over; this CPU has left its [`ParkMark`] as they have.
pub(super) fn write() {
    if !WANTED.load(Ordering::Relaxed) {
        return;
    }
    line(dump::BEGIN);
    let mut lines: Lines =
        Encoder::new(|line| console::write_raw(core::str::from_utf8(line).unwrap_or_default()));
    let areas = area::areas();
    // Before the areas are carved there is that of the boot CPU alone.
    let early = area::find_current().filter(|_| areas.is_empty());
    let mut about = [0; info::WORDS];
    about[info::VERSION] = dump::VERSION;
    about[info::IMAGE] = memory::image().0;
    about[info::BUILD] = memory::build_id();
    about[info::CPUS] = areas.len().max(1) as u64;
    about[info::REPORTER] = regs::affinity() | 1 << 63;
    put(&mut lines, dump::INFO, &about);
    for area in areas.iter().chain(early) {
        cpu(&mut lines, area);
    }
    let (start, end) = memory::written();
    range(&mut lines, start, end);
    range(&mut lines, areas.as_ptr() as u64, areas.as_ptr_range().end as u64);
    if let Some(area) = areas.first() {
        for (start, bytes) in call::state(area) {
            range(&mut lines, start, start + bytes as u64);
        }
    }
    lines.finish();
    line(dump::END);
}

/// A line that is no part of it.
fn line(text: &str) {
    console::write_raw(text);
    console::write_raw("\n");
}

/// Words that lie nowhere.
fn put(lines: &mut Lines, at: u64, words: &[u64]) {
    for (word, at) in words.iter().zip((at..).step_by(8)) {
        lines.word(at, *word);
    }
}

/// Words of memory: up to `to`, or to what is no RAM. Returns where it ends.
fn range(lines: &mut Lines, from: u64, to: u64) -> u64 {
    let mut at = from & !7;
    let mut is_ram = false;
    while at < to {
        if !is_ram || at.is_multiple_of(mmu::PAGE as u64) {
            is_ram = mmu::is_ram(at);
        }
        if !is_ram {
            break;
        }
        // SAFETY: an aligned word of a page that is mapped as RAM, as the MMU itself has said just now; whatever it holds is only shown.
        // Volatile: a CPU that has not stopped may write it.
        lines.word(at, unsafe { (at as *const u64).read_volatile() });
        at += 8;
    }
    at
}

/// What a CPU was doing, and its stacks.
fn cpu(lines: &mut Lines, area: &Area) {
    let mut words = [0; cpus::WORDS];
    words[cpus::MPIDR] = area.mpidr;
    words[cpus::SLOT] = area::slot(area).read().to_bits();
    words[cpus::PARKED] = park::how(area).map_or(0, |how| how as u64);
    if let Some(crumbs) = area.crumbs.map(|crumbs| crumbs.read()) {
        words[cpus::STAGE] = crumbs.stage | crumbs.pen.map_or(0, |pen| 1 << 8 | u64::from(pen) << 32);
    }
    if words[cpus::PARKED] != 0 || area.mpidr == regs::affinity() {
        // SAFETY: the mark is set, looked at just now; or this is the CPU itself, which has left what it refers to for good.
        match unsafe { ParkMark::of(area).evidence() } {
            Evidence::Call(registers) | Evidence::Panic(_, registers) => called(&mut words, registers),
            Evidence::Stopped(frame) => interrupted(&mut words, frame),
            Evidence::Exception(frame) => {
                interrupted(&mut words, frame);
                words[cpus::ESR] = frame.esr;
                words[cpus::FAR] = frame.far;
            }
        }
    }
    put(lines, dump::cpu(area.id.index()), &words);
    if words[cpus::KIND] != cpus::NOTHING {
        stacks(lines, words[cpus::SP], words[cpus::X + 29]);
    }
}

fn called(words: &mut [u64; cpus::WORDS], registers: &Registers) {
    words[cpus::KIND] = cpus::CALL;
    words[cpus::X + 19..][..10].copy_from_slice(&registers.x);
    words[cpus::X + 29] = registers.fp;
    words[cpus::X + 30] = registers.lr;
    words[cpus::SP] = registers.sp;
    words[cpus::PC] = registers.pc;
    words[cpus::PSTATE] = registers.spsr;
}

fn interrupted(words: &mut [u64; cpus::WORDS], frame: &FatalFrame) {
    words[cpus::KIND] = cpus::ALL;
    words[cpus::X..][..31].copy_from_slice(&frame.x);
    words[cpus::SP] = frame.interrupted_sp();
    words[cpus::PC] = frame.elr;
    words[cpus::PSTATE] = frame.spsr;
}

/// The stacks that a CPU uses: the one at `sp`, and those that the frame records from `fp` on lead to.
fn stacks(lines: &mut Lines, sp: u64, mut fp: u64) {
    let mut from = sp;
    for _ in 0..STACKS {
        let shown = from..range(lines, from, from.saturating_add(STACK));
        while shown.contains(&fp) {
            let Some([next, _]) = backtrace::read::<2>(fp) else { return };
            // A record below the one before is on another stack.
            let is_above = next > fp;
            fp = next;
            if !is_above {
                break;
            }
        }
        if fp == 0 {
            return;
        }
        from = fp.saturating_sub(BELOW);
    }
}
