//! Panic: one CPU reports, every other one stops.
//!
//! The question of a 2011 kernel mail: two CPUs panic at once, the second with interrupts masked, so the stop
//! interrupt never reaches it, and both write. Here the first to take the gate (`reveille_protocol::Gate`)
//! reports; whoever else panics parks on the spot; CPUs with interrupts masked are stopped by an interrupt of
//! higher priority; and nothing is written before all are stopped or the time for it is over.

mod backtrace;
mod report;

use crate::arch::exception::FatalFrame;
use crate::arch::{self, HwGate, HwWord, regs};
use crate::cpu::area::{self, Area};
use crate::cpu::{CpuId, CpuSet};
use crate::irq::Sgi;
use crate::power::{self, ExitCode};
use crate::time::{Deadline, has_timer};
use crate::{bringup, gic, system};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use core::time::Duration;
use reveille_protocol::{Entry, Phase, Snapshot, State};

static GATE: HwGate = HwGate::from_parts(HwWord::with(HwGate::FREE));

/// Time for CPUs that take interrupts to stop.
const STOP_TIME: Duration = Duration::from_secs(1);
/// Time, after that, for CPUs that have masked them.
const NMI_TIME: Duration = Duration::from_millis(100);

/// The panic gate.
pub(crate) fn gate() -> &'static HwGate {
    &GATE
}

/// Who this CPU is to the gate: its affinity in 32 bits. From MPIDR and not from memory, which may be what broke.
#[inline(always)]
pub(crate) fn me() -> u32 {
    let affinity = regs::affinity();
    (affinity >> 8) as u32 & 0xff00_0000 | affinity as u32 & 0x00ff_ffff
}

/// How a CPU came to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ParkedBy {
    /// It took the stop interrupt.
    Sgi = 1,
    /// It had interrupts masked, and took the one that cannot be.
    Nmi = 2,
    /// It panicked too.
    OwnPanic = 3,
    /// It was waiting for something, or coming up, and saw the gate taken.
    Gate = 4,
}

/// How and where a CPU stopped; read by the reporter.
pub(crate) struct ParkMark {
    how: AtomicU8,
    frame: AtomicU64,
}

impl ParkMark {
    pub(crate) const fn new() -> Self {
        Self { how: AtomicU8::new(0), frame: AtomicU64::new(0) }
    }

    fn set(&self, how: ParkedBy, frame: u64) {
        self.frame.store(frame, Ordering::Relaxed);
        // Release: pairs with `read`. The reporter walks this CPU's stack, which is final now.
        self.how.store(how as u8, Ordering::Release);
    }

    /// How it stopped and its frame pointer; `None` while it has not.
    fn read(&self) -> Option<(ParkedBy, u64)> {
        let how = match self.how.load(Ordering::Acquire) {
            1 => ParkedBy::Sgi,
            2 => ParkedBy::Nmi,
            3 => ParkedBy::OwnPanic,
            4 => ParkedBy::Gate,
            _ => return None,
        };
        Some((how, self.frame.load(Ordering::Relaxed)))
    }
}

/// Stops this CPU if another one has the gate. In every wait loop.
#[inline(always)]
pub(crate) fn poll_gate() {
    if GATE.is_taken_by_other(me()) {
        stop_requested(ParkedBy::Gate, None);
    }
}

/// Whether anybody has the gate.
pub(crate) fn is_stopping() -> bool {
    GATE.phase() != Phase::Free
}

/// This CPU was told to stop, or saw that it should: it parks if somebody else has the gate. A stray request
/// returns.
#[inline(never)]
pub(crate) fn stop_requested(how: ParkedBy, _frame: Option<&crate::arch::exception::IrqFrame>) {
    if GATE.join(me()) {
        park(how)
    }
}

#[inline(never)]
fn park(how: ParkedBy) -> ! {
    regs::mask_all();
    gic::silence();
    if let Some(area) = area::try_current() {
        area.parked.set(how, backtrace::frame_pointer());
    }
    arch::park()
}

/// What a panic is about.
enum Cause<'a> {
    Panic(&'a PanicInfo<'a>),
    Exception(&'a FatalFrame),
    Restarted(Snapshot),
}

#[panic_handler]
fn on_panic(info: &PanicInfo<'_>) -> ! {
    fail(Cause::Panic(info))
}

/// An exception that nothing handles.
pub(crate) fn exception(frame: &FatalFrame) -> ! {
    fail(Cause::Exception(frame))
}

/// This CPU was started a second time while it was in use: its former life has ended without letting go of
/// anything. Called on its porch.
pub(crate) fn restarted(_area: &'static Area, life: Snapshot) -> ! {
    fail(Cause::Restarted(life))
}

fn fail(cause: Cause<'_>) -> ! {
    // Also SError and debug: nothing may come between any more.
    regs::mask_all();
    match GATE.enter(me()) {
        Entry::Other => park(ParkedBy::OwnPanic),
        Entry::Reporter => {}
        Entry::Nested(Phase::Mute | Phase::Acting) => arch::park(),
        Entry::Nested(_) => {
            report::nested(&cause);
            act()
        }
    }
    let stopped = stop_all();
    GATE.set_phase(me(), Phase::Reporting);
    report::write(&cause, &stopped);
    GATE.set_phase(me(), Phase::Acting);
    act()
}

/// Stops every other CPU and says which did not stop.
fn stop_all() -> CpuSet {
    bringup::revoke_all();
    let mut left: CpuSet = area::areas()
        .iter()
        .filter(|area| area.mpidr != regs::affinity())
        .filter(|area| {
            matches!(area.slot.0.read().state, State::Alive | State::Online | State::Dying | State::Wedged)
        })
        .map(|area| area.id)
        .collect();
    for (sgi, time) in [(Sgi::Stop, STOP_TIME), (Sgi::Nmi, NMI_TIME)] {
        if left.is_empty() {
            break;
        }
        gic::send_sgi_set(sgi, &left);
        // A CPU that waits in WFE looks at the gate.
        arch::sev();
        let deadline = Deadline::after(time);
        loop {
            left = left.iter().filter(|cpu| area::of(*cpu).parked.read().is_none()).collect();
            if left.is_empty() || deadline.has_passed() {
                break;
            }
            if has_timer() {
                arch::wfe();
            }
        }
    }
    left
}

fn act() -> ! {
    if system::exits_to_host() {
        power::exit(ExitCode::from(PANIC_EXIT));
    }
    arch::park()
}

/// Exit code of a run that panicked, where there is a host to tell.
const PANIC_EXIT: u8 = 101;

/// The id of the CPU with this gate name, for a report.
fn this_cpu() -> Option<CpuId> {
    area::find(regs::affinity())
}
