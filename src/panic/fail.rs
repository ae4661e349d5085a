//! The way of a CPU that panics: stop the others, report, and what comes then. Each step once.

use super::cause::Cause;
use super::park::{ParkMark, ParkedBy, park};
use super::{action, dump, last_words, report, stop};
use crate::arch::exception::{FatalFrame, Registers, with_registers};
use crate::arch::{self, regs};
use crate::memory::stacks;
use crate::percpu::area::{self, Area, Part as _};
use crate::{console, gate, gic, nmi};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};
use reveille_protocol::{Entry, Phase, Snapshot};

#[panic_handler]
fn on_panic(info: &PanicInfo<'_>) -> ! {
    extern "C" fn panicked(info: *const PanicInfo<'_>, registers: &Registers) {
        // SAFETY: the pointer of the call below, whose frame is still there.
        fail(Cause::Panic(unsafe { &*info }, registers))
    }
    with_registers(info, panicked);
    arch::park()
}

/// An exception that nothing handles.
pub(crate) fn exception(frame: &FatalFrame) -> ! {
    fail(Cause::Exception(frame))
}

/// This CPU was started a second time while it was in use: its former life has ended without letting go of
/// anything. Called on its porch.
pub(crate) fn restarted(_area: &'static Area, life: Snapshot) -> ! {
    extern "C" fn noticed(life: *const Snapshot, registers: &Registers) {
        // SAFETY: the pointer of the call below, whose frame is still there.
        fail(Cause::Restarted(unsafe { life.read() }, registers))
    }
    with_registers(&raw const life, noticed);
    arch::park()
}

#[inline(always)]
fn fail(cause: Cause<'_>) -> ! {
    // Also SError and debug: nothing may come between any more.
    regs::mask_all();
    match gate::word().enter(gate::me()) {
        Entry::Other => park(ParkedBy::OwnPanic, cause.evidence()),
        Entry::Reporter => {}
        Entry::Nested(phase) => nested(phase, cause),
    }
    #[cfg(feature = "trace")]
    if let Some(area) = area::find_current() {
        // It may be what was lost, and whoever notes goes by it.
        regs::set_thread_pointer(core::ptr::from_ref(area) as u64);
        crate::note::on(area, crate::__trace_site!(crate::note::event::PANIC), 0);
    }
    if let Some(area) = area::find_current()
        && !stacks::is_emergency(area, arch::stack_pointer())
        && area.emergency_top() != 0
    {
        // SAFETY: this CPU's emergency stack, on which nothing is in use: it is not the current one, and nobody but a
        // CPU with the gate comes here. 32 bytes at its top are the exception vectors' own.
        unsafe { arch::continue_on(area.emergency_top() - 32, report_and_act, &raw const cause) }
    }
    report_and_act(&raw const cause)
}

extern "C" fn report_and_act(cause: *const Cause<'_>) -> ! {
    // SAFETY: `fail` made it from a reference, on a stack that it has left for good and that nothing else uses.
    let cause = unsafe { *cause };
    if let Some(area) = area::find_current() {
        // For whoever looks with a debugger, and for the dump. Its `Parked` says nothing of it.
        ParkMark::of(area).set(cause.evidence());
    }
    stop::stop_all(stop::sgi_time(), nmi::time(), false);
    gate::word().set_phase(gate::me(), Phase::Reporting);
    report::write(cause, action::name);
    if begins(Step::Seal) {
        last_words::seal(false);
    }
    act()
}

/// What is done once, however often this CPU fails on the way.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Step {
    /// The bare stop, where the full one failed.
    Stop = 1 << 0,
    Seal = 1 << 1,
    Act = 1 << 2,
    #[cfg(feature = "trace")]
    Trace = 1 << 3,
}

/// The steps that have begun. Written by the CPU with the gate alone.
static BEGUN: AtomicU32 = AtomicU32::new(0);
/// How often it failed again.
static FAILED_AGAIN: AtomicU32 = AtomicU32::new(0);
/// One for each step, each place that text goes to, and the end of each; after that nothing is tried any more.
const MOST_FAILURES: u32 = 8;

/// Whether `step` has not begun before. It counts as begun now: if it fails, what comes after it is tried.
fn begins(step: Step) -> bool {
    let begun = BEGUN.load(Ordering::Relaxed);
    BEGUN.store(begun | step as u32, Ordering::Relaxed);
    begun & step as u32 == 0
}

/// The dump and the action, or, if that was what failed, what is left of them.
fn act() -> ! {
    dump::write();
    console::flush();
    #[cfg(feature = "trace")]
    if begins(Step::Trace) {
        crate::unroll::behind_report();
        console::flush();
    }
    if begins(Step::Act) {
        action::act()
    }
    gic::silence();
    arch::park()
}

/// This CPU failed again, in `phase` of its report: what failed is given up, what is left is done.
#[cold]
fn nested(phase: Phase, cause: Cause<'_>) -> ! {
    let failures = FAILED_AGAIN.load(Ordering::Relaxed);
    FAILED_AGAIN.store(failures.saturating_add(1), Ordering::Relaxed);
    // The gate comes to `Mute` step by step. If it is there at once, the memory is not what it was.
    if failures >= MOST_FAILURES || phase == Phase::Mute && failures == 0 {
        arch::park()
    }
    report::give_up_what_failed();
    if phase == Phase::Stopping && begins(Step::Stop) {
        stop::stop_bare();
    }
    report::nested(cause);
    if begins(Step::Seal) {
        last_words::seal(true);
    }
    act()
}
