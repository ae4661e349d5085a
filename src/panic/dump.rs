//! The machine as text on the console, for a debugger: what each CPU was doing, its stacks, and the state of the runtime in memory.
//!
//! With the bootarg `reveille.core=console`, once the report is over. `scripts/core --from LOG` makes an ELF core of it; `docs/core.md`.

use super::park::{self, Evidence, ParkMark};
use crate::arch::exception::{FATAL_FRAME_SIZE, FRAME_RECORD, FatalFrame, Interrupted, Registers};
use crate::arch::{mmu, regs};
use crate::percpu::area::{self, Area, Part as _};
use crate::{backtrace, call, console, memory};
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, Ordering};
use reveille_machine::BootArgs;
use reveille_machine::dump::{self, Encoder, frame, info};

// What the reader relies on.
const _: () = {
    assert!(offset_of!(Registers, fp) as u64 == dump::call::FP);
    assert!(offset_of!(Registers, x) as u64 == dump::call::X19);
    assert!(offset_of!(Registers, sp) as u64 == dump::call::SP);
    assert!(offset_of!(FatalFrame, x) as u64 == frame::X && offset_of!(FatalFrame, sp) as u64 == frame::SP);
    assert!(
        offset_of!(FatalFrame, elr) as u64 == frame::PC && offset_of!(FatalFrame, esr) as u64 == frame::ESR
    );
};

/// Whether there is to be one.
static WANTED: AtomicBool = AtomicBool::new(false);

/// Bytes of one stack that are shown, from the stack pointer on; stacks of a CPU; bytes below a frame record in which the rest of its
/// frame is.
const STACK: u64 = 16 << 10;
const STACKS: usize = 4;
const BELOW: u64 = 512;
/// Records of one stack that are followed.
const RECORDS: usize = 1024;
/// Bytes of the runtime's state for each CPU that are shown: more than it is, unless the RAM of the machine is in small pieces.
const STATE: usize = 64 << 10;

/// Reads the bootarg `reveille.core`. By the boot CPU, once there is a console to complain to.
pub(crate) fn init(args: BootArgs<'_>) {
    WANTED.store(args.chooses("reveille.core", "off", "console"), Ordering::Relaxed);
}

/// Writes it, if it is wanted. The others are stopped, or their time is over; this CPU has left its [`ParkMark`] as they have.
pub(super) fn write() {
    if !WANTED.load(Ordering::Relaxed) {
        return;
    }
    // Once: if it fails, it is not tried again.
    WANTED.store(false, Ordering::Relaxed);
    let areas = area::areas();
    // Before they are carved there is no more to say than the report has.
    let [area, ..] = areas else { return };
    console::write_raw(dump::BEGIN);
    let mut lines = Encoder::new(letter);
    let offset = |part: *const u8| (part as u64).wrapping_sub(core::ptr::from_ref(area) as u64);
    let mut about = [0; info::WORDS];
    about[info::VERSION] = dump::VERSION;
    about[info::IMAGE] = memory::image().0;
    about[info::BUILD] = memory::build_id();
    about[info::CPUS] = areas.len() as u64;
    about[info::REPORTER] = regs::affinity() | 1 << 63;
    about[info::AREAS] = areas.as_ptr() as u64;
    about[info::LAYOUT] = size_of::<Area>() as u64
        | offset((&raw const area.mpidr).cast()) << 16
        | offset(core::ptr::from_ref(area::slot(area)).cast()) << 32
        | offset(core::ptr::from_ref(area::parked(area)).cast()) << 48;
    about[info::MARKS] = offset(core::ptr::from_ref(ParkMark::of(area)).cast())
        | offset((&raw const area.crumbs).cast()) << 16;
    let mut at = dump::INFO;
    for word in about {
        lines.word(at, word);
        at += 8;
    }
    // In this order: a log that is cut off lacks what is needed least.
    let (start, bytes) = call::state(areas, STATE);
    range(&mut lines, start, start + bytes as u64, true);
    for area in areas {
        cpu(&mut lines, area);
    }
    let (start, bytes) = memory::written();
    range(&mut lines, start, start + bytes as u64, true);
    lines.finish();
    console::write_raw(dump::END);
}

/// A character of a line.
fn letter(letter: &u8) {
    console::write_raw(core::str::from_utf8(core::slice::from_ref(letter)).unwrap_or_default());
}

/// Words of memory: from where there is RAM up to `to`, or to where there is none. With `holes` that is left out, such as a guard page.
/// Returns where it ends.
#[inline(never)]
fn range(lines: &mut Encoder, from: u64, to: u64, holes: bool) -> u64 {
    // Both are multiples, so that `at` comes to `to` also at the end of the address space.
    let (mut at, to) = (from & !7, to & !7);
    let (mut is_ram, mut goes_on) = (false, true);
    while at < to {
        if !is_ram || at.is_multiple_of(mmu::PAGE as u64) {
            is_ram = mmu::is_ram(at);
        }
        if is_ram {
            // SAFETY: an aligned word of a page that is mapped as RAM, as the MMU itself has said just now; whatever it holds is only
            // shown. Volatile: a CPU that has not stopped may write it.
            lines.word(at, unsafe { (at as *const u64).read_volatile() });
            goes_on = holes;
        } else if !goes_on {
            break;
        }
        at += 8;
    }
    at
}

/// What a CPU has left, and the stacks that it used: the one at its stack pointer, and those that its frame records lead to.
fn cpu(lines: &mut Encoder, area: &Area) {
    if park::how(area).is_none() && area.mpidr != regs::affinity() {
        return;
    }
    // SAFETY: the mark is set, looked at just now; or this is the CPU itself, which has left what it refers to for good.
    let (at, mut from, mut fp) = match unsafe { ParkMark::of(area).evidence() } {
        Evidence::Call(registers) | Evidence::Panic(_, registers) => {
            (core::ptr::from_ref(registers) as u64, registers.sp, registers.fp)
        }
        Evidence::Stopped(frame) | Evidence::Exception(frame) => {
            let (sp, fp) = if Interrupted::of(frame.spsr) == Interrupted::Below {
                // The stack of the thread that entered the lower level, not what that level has in its registers.
                (area.below(), area.below().wrapping_add(FRAME_RECORD))
            } else {
                (frame.interrupted_sp(), frame.x[29])
            };
            (core::ptr::from_ref(frame) as u64, sp, fp)
        }
    };
    range(lines, at, at + FATAL_FRAME_SIZE as u64, false);
    for _ in 0..STACKS {
        let shown = from..range(lines, from, from.wrapping_add(STACK), false);
        for _ in 0..RECORDS {
            if !shown.contains(&fp) {
                break;
            }
            fp = backtrace::read::<2>(fp).map_or(0, |[next, _]| next);
        }
        // On another stack. Where there is none, there is no RAM.
        from = fp.wrapping_sub(BELOW);
    }
}
