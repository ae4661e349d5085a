//! Panic and stop: one CPU reports, every other one is parked, and the report says how.
//!
//! The question of a 2011 kernel mail: two CPUs panic at once, the second with interrupts masked, so the stop
//! interrupt never reaches it, and both write. Here the first to take the gate (`reveille_protocol::Gate`)
//! reports; whoever else panics parks on the spot; CPUs with interrupts masked are stopped by an interrupt of
//! higher priority; and nothing is written before all are stopped or the time for it is over.
//!
//! In order, on the CPU that panics:
//!
//! 1. Everything is masked, the gate taken. From here on it runs on its emergency stack, so neither a bad stack
//!    pointer nor a stack without room keeps it from reporting.
//! 2. Starts under way are called off, and every running CPU gets the stop interrupt; those that have not parked after
//!    a second (bootarg `stop_ms=N`, milliseconds) get the NMI-class one, and another 100 ms (`nmi_ms=N`).
//! 3. The report: message, place, CPU, time; then for every CPU of the machine how it was stopped or why not, its
//!    registers and a backtrace. No lock, no allocation; every wait for the console is bounded. `scripts/symbolize`
//!    turns the addresses into functions and lines.
//! 4. The same text becomes a record in RAM that outlives a warm reset: [`last_words()`].
//! 5. The [`Action`]: park, reset, power off, exit, or a function of the application's.
//!
//! A panic while this is going on is nested: one raw line, and the action all the same.
//!
//! [`stop_others`] is step 2 alone, for one who wants the machine to himself without having failed.

mod action;
mod backtrace;
mod last_words;
mod report;
mod stop;

pub use action::{Action, CrashReport, set_action};
pub(crate) use backtrace::Backtrace;
#[cfg(feature = "fault-injection")]
#[doc(hidden)]
pub use last_words::record_address;
pub use last_words::{LastWords, last_words};
pub(crate) use last_words::{region_size, remember};
pub(crate) use stop::nmi_time;
pub use stop::{Fate, Obstacle, StopReport, stop_others};

use crate::arch::exception::{FatalFrame, IrqFrame};
use crate::arch::{self, HwGate, HwWord, regs};
use crate::bootargs::BootArgs;
use crate::cpu::area::{self, Area};
use crate::gic;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use reveille_protocol::{Entry, Phase, Snapshot};

static GATE: HwGate = HwGate::from_parts(HwWord::with(HwGate::FREE));

/// Reads the bootargs `stop_ms`, `nmi_ms` and `reveille.panic`. By the boot CPU, once there is a console to complain to.
pub(crate) fn init(args: BootArgs<'_>) {
    stop::init(args);
    action::init(args);
}

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

/// How a CPU came to park.
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
    /// It came up too late: bring-up had given up on it.
    Wedged = 5,
}

/// What a CPU leaves behind that parks: where the reporter finds what it was doing.
#[derive(Clone, Copy)]
enum Evidence<'a> {
    /// Nothing but the frames that its frame pointer leads to.
    Frames,
    /// The interrupt that stopped it.
    Interrupt(&'a IrqFrame),
    /// Its own exception.
    Exception(&'a FatalFrame),
    /// Its own panic.
    Panic(&'a PanicInfo<'a>),
}

/// How and where a CPU parked; read by the reporter.
///
/// Written once in a life, by its own CPU, which then never leaves the frames that it points to.
pub(crate) struct ParkMark {
    how: AtomicU8,
    /// Frame pointer.
    fp: AtomicU64,
    /// Stack pointer of what was interrupted; 0 unknown.
    sp: AtomicU64,
    /// Address of the [`Evidence`], its kind in bits 1:0.
    evidence: AtomicU64,
}

impl ParkMark {
    pub(crate) const fn new() -> Self {
        Self {
            how: AtomicU8::new(0),
            fp: AtomicU64::new(0),
            sp: AtomicU64::new(0),
            evidence: AtomicU64::new(0),
        }
    }

    #[inline(always)]
    fn set(&self, how: ParkedBy, fp: u64, evidence: Evidence<'_>) {
        let (word, sp) = match evidence {
            Evidence::Frames => (0, 0),
            Evidence::Interrupt(frame) => (core::ptr::from_ref(frame) as u64 | 1, frame.stack_pointer()),
            Evidence::Exception(frame) => (core::ptr::from_ref(frame) as u64 | 2, 0),
            Evidence::Panic(info) => (core::ptr::from_ref(info) as u64 | 3, 0),
        };
        self.fp.store(fp, Ordering::Relaxed);
        self.sp.store(sp, Ordering::Relaxed);
        self.evidence.store(word, Ordering::Relaxed);
        // Release: pairs with the Acquire of `how`. The reporter reads the rest, and this CPU's stacks, which are final.
        self.how.store(how as u8, Ordering::Release);
    }

    /// How it parked; `None` while it has not. After `Some` everything that it left behind may be read.
    fn how(&self) -> Option<ParkedBy> {
        // Acquire: pairs with the Release of `set`.
        Some(match self.how.load(Ordering::Acquire) {
            1 => ParkedBy::Sgi,
            2 => ParkedBy::Nmi,
            3 => ParkedBy::OwnPanic,
            4 => ParkedBy::Gate,
            5 => ParkedBy::Wedged,
            _ => return None,
        })
    }

    fn frame_pointer(&self) -> u64 {
        self.fp.load(Ordering::Relaxed)
    }

    fn stack_pointer(&self) -> u64 {
        self.sp.load(Ordering::Relaxed)
    }

    /// What it left behind.
    ///
    /// # Safety
    ///
    /// [`Self::how`] has said `Some`, on this CPU.
    unsafe fn evidence(&self) -> Evidence<'static> {
        let word = self.evidence.load(Ordering::Relaxed);
        let address = word & !3;
        // SAFETY: `set` stored the address of a reference with the kind of what it refers to, and its CPU has been parked
        // since, inside the function that was given the reference.
        unsafe {
            match word & 3 {
                1 => Evidence::Interrupt(&*(address as *const IrqFrame)),
                2 => Evidence::Exception(&*(address as *const FatalFrame)),
                3 => Evidence::Panic(&*(address as *const PanicInfo<'static>)),
                _ => Evidence::Frames,
            }
        }
    }
}

/// Stops this CPU if another one has the gate. In every wait loop.
#[inline(always)]
pub(crate) fn poll_gate() {
    if GATE.is_taken_by_other(me()) {
        stop_requested(ParkedBy::Gate, None);
    }
}

/// [`poll_gate`] in the wait for something that another CPU holds or has to do: once this CPU has stopped the others it
/// will wait for ever.
#[inline(always)]
pub(crate) fn poll_gate_for_another() {
    poll_gate();
    if is_stopping() {
        waits_for_the_stopped();
    }
}

#[cold]
#[inline(never)]
fn waits_for_the_stopped() {
    assert!(!is_stopper(), "this CPU has stopped the others, and now waits for one of them");
}

/// Whether anybody has the gate.
pub(crate) fn is_stopping() -> bool {
    GATE.phase() != Phase::Free
}

/// Whether this CPU has the gate: every other one is stopped or about to be, and whatever it held, it will hold for
/// ever.
pub(crate) fn is_stopper() -> bool {
    GATE.owner() == Some(me())
}

/// This CPU was told to stop, or saw that it should: it parks if somebody else has the gate. A stray request returns.
/// `frame`: the interrupt that told it so.
#[inline(never)]
#[unsafe(link_section = ".never_patch")]
pub(crate) fn stop_requested(how: ParkedBy, frame: Option<&IrqFrame>) {
    if GATE.join(me()) {
        park(how, frame.map_or(Evidence::Frames, Evidence::Interrupt));
    }
}

/// Parks a CPU that bring-up has given up on. Its stacks are its own for ever, so it may leave its mark.
pub(crate) fn park_wedged() -> ! {
    park(ParkedBy::Wedged, Evidence::Frames)
}

#[inline(never)]
#[unsafe(link_section = ".never_patch")]
fn park(how: ParkedBy, evidence: Evidence<'_>) -> ! {
    regs::mask_all();
    gic::silence();
    if let Some(area) = area::find_current() {
        area.parked.set(how, backtrace::frame_pointer(), evidence);
    }
    arch::park()
}

/// What a panic is about.
#[derive(Clone, Copy)]
enum Cause<'a> {
    Panic(&'a PanicInfo<'a>),
    Exception(&'a FatalFrame),
    Restarted(Snapshot),
}

impl<'a> Cause<'a> {
    fn evidence(self) -> Evidence<'a> {
        match self {
            Self::Panic(info) => Evidence::Panic(info),
            Self::Exception(frame) => Evidence::Exception(frame),
            Self::Restarted(_) => Evidence::Frames,
        }
    }
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

/// What the reporter takes along to its emergency stack.
struct Failure<'a> {
    cause: Cause<'a>,
    /// Where its backtrace begins.
    fp: u64,
}

#[inline(always)]
fn fail(cause: Cause<'_>) -> ! {
    // Also SError and debug: nothing may come between any more.
    regs::mask_all();
    match GATE.enter(me()) {
        Entry::Other => park(ParkedBy::OwnPanic, cause.evidence()),
        Entry::Reporter => {}
        Entry::Nested(phase) => nested(phase, cause),
    }
    let failure = Failure { cause, fp: backtrace::frame_pointer() };
    if let Some(area) = area::find_current()
        && !area.is_on_emergency_stack(arch::stack_pointer())
        && area.emergency_top() != 0
    {
        // SAFETY: this CPU's emergency stack, on which nothing is in use: it is not the current one, and nobody but a
        // CPU with the gate comes here. 32 bytes at its top are the exception vectors' own.
        unsafe { arch::continue_on(area.emergency_top() - 32, report_and_act, &raw const failure) }
    }
    report_and_act(&raw const failure)
}

extern "C" fn report_and_act(failure: *const Failure<'_>) -> ! {
    // SAFETY: `fail` made it from a reference, on a stack that it has left for good and that nothing else uses.
    let failure = unsafe { &*failure };
    stop::stop_all(stop::sgi_time(), stop::nmi_time());
    GATE.set_phase(me(), Phase::Reporting);
    report::write(failure);
    last_words::seal(false);
    action::act()
}

/// This CPU failed again, in `phase` of its report.
#[cold]
fn nested(phase: Phase, cause: Cause<'_>) -> ! {
    match phase {
        // Even saying so has failed.
        Phase::Mute => {}
        Phase::Acting => report::nested(cause),
        _ => {
            report::nested(cause);
            last_words::seal(true);
            action::act()
        }
    }
    gic::silence();
    arch::park()
}
