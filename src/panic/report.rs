//! The report: what happened, where, and what every CPU was doing.
//!
//! Written once to the console and to the record that outlives a reset, piece by piece, without a lock and without a
//! buffer in between.

use super::cause::Cause;
use super::fate::{Fate, StopReport};
use super::last_words;
use super::park::{self, Evidence, ParkMark};
use crate::arch::exception::{FRAME_RECORD, FatalFrame, Interrupted, Registers};
use crate::arch::regs;
use crate::backtrace::{self, Backtrace};
use crate::clock::{Instant, Seconds};
use crate::context::{How, Name, Resting};
use crate::memory::stacks;
use crate::percpu::CpuSet;
use crate::percpu::area::{self, Area, Part as _};
use crate::sync::Awaited;
use crate::{console, context, memory};
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

/// This CPU is in the middle of the record: if it fails there the record is [`UNUSABLE`].
static IN_RECORD: AtomicBool = AtomicBool::new(false);
static UNUSABLE: AtomicBool = AtomicBool::new(false);

/// This CPU has failed: if that was in the middle of the console's or the record's work, that is not used any more.
pub(super) fn give_up_what_failed() {
    console::give_up_if_busy();
    if IN_RECORD.load(Ordering::Relaxed) {
        UNUSABLE.store(true, Ordering::Relaxed);
    }
}

/// Where the report goes.
struct Out;

impl Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !UNUSABLE.load(Ordering::Relaxed) {
            IN_RECORD.store(true, Ordering::Relaxed);
            last_words::append(text);
            IN_RECORD.store(false, Ordering::Relaxed);
        }
        console::write_raw(text);
        Ok(())
    }
}

macro_rules! out {
    ($($arguments:tt)*) => {{
        // The sink never fails; a `Display` that does has said so in its own output.
        let _ = Out.write_fmt(format_args!($($arguments)*));
    }};
}

/// An exception, with the name of the guard page that it met.
struct Explained<'a>(&'a FatalFrame);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(frame) = self;
        let guard = stacks::guard_name(frame.far);
        frame.describe(
            f,
            guard.as_ref().map(|guard| guard as &dyn fmt::Display),
            memory::instruction(frame.elr),
        )
    }
}

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(info, _) => {
                write!(f, "{}", info.message())?;
                info.location().map_or(Ok(()), |place| write!(f, "\n  at {place}"))
            }
            Self::Exception(frame) => Explained(frame).fmt(f),
            Self::Restarted(life, _) => write!(
                f,
                "this CPU was started again while it was {} (generation {}): all that its former life held is lost",
                life.state, life.generation
            ),
        }
    }
}

/// Writes the report. The caller has the gate, and the others are stopped, or their time is over. `then` names what comes next.
pub(super) fn write(cause: Cause<'_>, then: fn() -> &'static str) {
    let time = Instant::now().uptime();
    match area::find(regs::affinity()) {
        Some(cpu) => out!("\npanic on cpu {cpu} at "),
        None => out!("\npanic on mpidr {:#012x} at ", regs::affinity()),
    }
    out!("{}.{:06} s: {cause}\n", time.as_secs(), time.subsec_micros());
    let (start, end) = memory::image();
    out!("  image {start:#x} to {end:#x}, build {:016x}\n", memory::build_id());
    if let Some(own) = area::find_current() {
        runs(own);
        locks(own);
    }
    match cause {
        Cause::Exception(frame) => exception(frame, area::find_current()),
        // The panic machinery's own functions are left out.
        Cause::Panic(_, registers) => called(registers, None),
        Cause::Restarted(_, registers) => called(registers, Some(registers.pc)),
    }
    for area in area::areas().iter().filter(|area| area.mpidr != regs::affinity()) {
        other(area);
    }
    if context::exist() {
        contexts();
    }
    out!("end of the report: {}; then: {}\n", StopReport::now(), then());
    console::flush();
}

/// Another CPU.
fn other(area: &Area) {
    let slot = area::slot(area).read();
    let fate = Fate::of(area);
    out!("cpu {} {} generation {}: {fate}", area.id, slot.state, slot.generation);
    if fate == Fate::NotRunning && area.crumbs.is_some_and(|crumbs| crumbs.read().pen.is_some()) {
        out!(", it waits in the pen");
    }
    out!("\n");
    runs(area);
    // Whatever the fate was read as: the evidence is there only behind the mark.
    if park::how(area).is_none() {
        return;
    }
    locks(area);
    // SAFETY: the mark is set, looked at just now.
    let evidence = unsafe { ParkMark::of(area).evidence() };
    match evidence {
        Evidence::Call(registers) => called(registers, Some(registers.pc)),
        Evidence::Stopped(frame) => {
            interrupted(frame.elr, frame.interrupted_sp(), frame.spsr, &frame.x, area.below());
        }
        Evidence::Exception(frame) => {
            out!("  {}\n", Explained(frame));
            exception(frame, Some(area));
        }
        Evidence::Panic(info, registers) => {
            own_panic(info);
            called(registers, None);
        }
    }
}

/// Place and message of a panic, as far as they can be had without running code of the application.
fn own_panic(info: &PanicInfo<'_>) {
    if let Some(message) = info.message().as_str() {
        out!("  {message}\n");
    }
    if let Some(place) = info.location() {
        out!("  at {place}\n");
    }
}

/// A CPU that came by itself: what a call keeps.
fn called(saved: &Registers, pc: Option<u64>) {
    out!("  pc {:#x} lr {:#x} sp {:#x} spsr {:#x}\n", saved.pc, saved.lr, saved.sp, saved.spsr);
    registers(19, &saved.x);
    frames(&mut pc.into_iter().chain(Backtrace::of_record(saved.fp)));
}

/// What was interrupted: a CPU that was stopped, or a context. `below`: the stack pointer of the thread, if it ran a lower exception level.
fn interrupted(pc: u64, sp: u64, spsr: u64, x: &[u64; 31], below: u64) {
    out!("  pc {pc:#x} lr {:#x} sp {sp:#x} spsr {spsr:#x}\n", x[30]);
    all_saved(pc, spsr, x, below);
}

/// What a fatal exception has saved.
fn exception(frame: &FatalFrame, area: Option<&Area>) {
    out!("  pc {:#x} lr {:#x} sp {:#x} thread sp {:#x}\n", frame.elr, frame.x[30], frame.sp, frame.sp_el0);
    all_saved(frame.elr, frame.spsr, &frame.x, area.map_or(0, |area| area.below()));
}

/// What the CPU of `area` runs, as the application calls it.
fn runs(area: &Area) {
    if let Some(name) = context::name_of(area) {
        out!("  runs {name}\n");
    }
    if let Some(label) = area.label() {
        out!("  {label}\n");
    }
}

/// The lock that the CPU of `area` waits for, which has parked or is this one, and who waits for what it has itself.
fn locks(area: &Area) {
    let own = regs::affinity();
    let mut others = CpuSet::EMPTY;
    for other in area::areas().iter().filter(|other| other.mpidr == own || park::how(other).is_some()) {
        // SAFETY: this CPU, in the middle of whatever it waits for, or one that has parked, of which the mark was seen.
        let Some(lock) = (unsafe { Awaited::by(other) }) else { continue };
        let holder = lock.holder();
        // It was stopped as it had just taken it.
        if holder == Some(other.owner) && other.mpidr != own {
            continue;
        }
        if holder == Some(area.owner) {
            others.insert(other.id);
        }
        if other.id == area.id {
            let time = Instant::now().ticks().saturating_sub(lock.since);
            out!("  waits for the lock at {:#x} for {}", lock.address(), Seconds(time));
            if let Some(holder) = holder {
                out!(", taken on cpu {}", holder.cpu());
            }
            out!("\n");
        }
    }
    if !others.is_empty() {
        out!("  took what is waited for by {others}\n");
    }
}

/// The contexts of each kind that are shown.
const SHOWN: usize = 16;

/// The contexts that do not run: those that were preempted, then the others. Not inlined: what comes after the report has the stack.
#[inline(never)]
fn contexts() {
    for preempted in [true, false] {
        let mut found = 0;
        context::resting(&mut |resting| {
            if (resting.how == How::Preempted) == preempted {
                found += 1;
                if found <= SHOWN {
                    resting_context(resting);
                }
            }
        });
        if found > SHOWN {
            let how = if preempted { "were preempted" } else { "have switched away or not begun" };
            out!("{} more contexts {how}\n", found - SHOWN);
        }
    }
}

/// A context that does not run.
fn resting_context(resting: &Resting) {
    let Resting { name, bound, how, pc, sp, fp, spsr, ref x, below } = *resting;
    let how_it_is = match how {
        How::Preempted => "preempted",
        How::Switched => "switched away",
        How::New => "not begun",
    };
    match (name, bound) {
        (Name::Home(cpu), _) => out!("home of cpu {cpu}: {how_it_is}\n"),
        (Name::Stack(name), None) => out!("context {name}: {how_it_is}\n"),
        (Name::Stack(name), Some(cpu)) => out!("context {name}: {how_it_is}, bound to cpu {cpu}\n"),
    }
    match how {
        How::Preempted => interrupted(pc, sp, spsr, x, below),
        How::Switched => {
            out!("  pc {pc:#x} sp {sp:#x}\n");
            frames(&mut core::iter::once(pc).chain(Backtrace::of_record(fp)));
        }
        How::New => {}
    }
}

/// All registers of what was interrupted at `pc`, and its functions; if it is a lower exception level, those of the thread that has entered
/// that, whose stack pointer is `below`.
fn all_saved(pc: u64, spsr: u64, x: &[u64; 31], below: u64) {
    registers(0, x);
    if Interrupted::of(spsr) == Interrupted::Below {
        out!("  a lower exception level, entered from here:\n");
        return frames(&mut Backtrace::of_record(if below == 0 {
            0
        } else {
            below.wrapping_add(FRAME_RECORD)
        }));
    }
    frames(&mut Backtrace::of_interrupted(pc, x[30], x[29]));
}

fn registers(first: usize, x: &[u64]) {
    for (row, values) in x.chunks(4).enumerate() {
        out!("  x{:<2}", first + row * 4);
        for value in values {
            out!(" {value:016x}");
        }
        out!("\n");
    }
}

fn frames(addresses: &mut dyn Iterator<Item = u64>) {
    out!("  backtrace:");
    let _ = backtrace::write(&mut Out, addresses);
    out!("\n");
}

/// A panic while the report was being made, or after it: one line, with as little help as possible. What the
/// application would have to format is left out, because that may be what fails.
pub(super) fn nested(cause: Cause<'_>) {
    out!("\npanic while a panic was reported: ");
    match cause {
        Cause::Panic(info, _) => {
            out!("{}", info.message().as_str().unwrap_or("(formatted message)"));
            if let Some(place) = info.location() {
                out!(" at {}:{}", place.file(), place.line());
            }
        }
        Cause::Exception(frame) => out!("ESR {:#x} ELR {:#x} FAR {:#x}", frame.esr, frame.elr, frame.far),
        Cause::Restarted(..) => out!("this CPU was started again"),
    }
    out!("\n");
    console::flush();
}

/// A line past the report.
pub(super) fn raw_line(text: fmt::Arguments<'_>) {
    out!("{text}\n");
    console::flush();
}
