//! The report: what happened, where, and what every CPU was doing.

use super::backtrace::{Backtrace, frame_pointer};
use super::{Cause, ParkedBy};
use crate::arch::regs;
use crate::console::print_raw;
use crate::cpu::CpuSet;
use crate::cpu::area::{self, Area};
use crate::time::Instant;
use core::fmt;
use reveille_protocol::State;

macro_rules! line {
    ($($arguments:tt)*) => { print_raw(format_args!("{}\n", format_args!($($arguments)*))) };
}

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(info) => {
                write!(f, "{}", info.message())?;
                info.location().map_or(Ok(()), |place| write!(f, "\n  at {place}"))
            }
            Self::Exception(frame) => frame.fmt(f),
            Self::Restarted(life) => write!(
                f,
                "this CPU was started again while it was {} (generation {}): all that its former life held is lost",
                state(life.state),
                life.generation
            ),
        }
    }
}

/// Writes the report. The caller has the gate, and `left` did not stop.
pub(super) fn write(cause: &Cause<'_>, left: &CpuSet) {
    let time = Instant::now().uptime();
    match super::this_cpu() {
        Some(cpu) => {
            line!("\npanic on cpu {cpu} at {}.{:06} s: {cause}", time.as_secs(), time.subsec_micros())
        }
        None => line!("\npanic on mpidr {:#012x}: {cause}", regs::affinity()),
    }
    let Some(own) = area::try_current() else { return };
    let fp = match cause {
        Cause::Exception(frame) => {
            for (row, values) in frame.x.chunks(4).enumerate() {
                print_raw(format_args!("  x{:<2}", row * 4));
                for value in values {
                    print_raw(format_args!(" {value:016x}"));
                }
                print_raw(format_args!("\n"));
            }
            line!("  sp  {:016x} thread sp {:016x}", frame.sp, frame.sp_el0);
            backtrace(own, Some(frame.elr), frame.x[29]);
            None
        }
        _ => Some(frame_pointer()),
    };
    if let Some(fp) = fp {
        backtrace(own, None, fp);
    }
    for area in area::areas().iter().filter(|area| area.mpidr != own.mpidr) {
        let slot = area.slot.0.read();
        match area.parked.read() {
            Some((how, fp)) => {
                let how = match how {
                    ParkedBy::Sgi => "stopped by SGI",
                    ParkedBy::Nmi => "stopped by NMI, it had interrupts masked",
                    ParkedBy::OwnPanic => "panicked too",
                    ParkedBy::Gate => "stopped at the gate",
                };
                line!("cpu {} {} generation {}: {how}", area.id, state(slot.state), slot.generation);
                backtrace(area, None, fp);
            }
            None if left.contains(area.id) => line!(
                "cpu {} {} generation {}: NOT STOPPED: it does not answer (reach of NMI: {:?})",
                area.id,
                state(slot.state),
                slot.generation,
                crate::gic::nmi_reach()
            ),
            None => {
                line!("cpu {} {} generation {}: was not running", area.id, state(slot.state), slot.generation)
            }
        }
    }
    crate::console::flush();
}

/// A panic while the report was being made: one line, with as little help as possible.
pub(super) fn nested(cause: &Cause<'_>) {
    line!("\npanic while reporting a panic: {cause}");
}

fn backtrace(area: &Area, pc: Option<u64>, fp: u64) {
    print_raw(format_args!("  backtrace:"));
    for address in pc.into_iter().chain(Backtrace::new(area, fp)) {
        print_raw(format_args!(" {address:#x}"));
    }
    print_raw(format_args!("\n"));
}

fn state(state: State) -> &'static str {
    match state {
        State::Offline => "offline",
        State::Claimed => "claimed",
        State::Kicked => "kicked",
        State::Alive => "alive",
        State::Online => "online",
        State::Dying => "dying",
        State::Gone => "gone",
        State::Revoked => "revoked",
        State::Failed => "failed",
        State::Wedged => "wedged",
    }
}
