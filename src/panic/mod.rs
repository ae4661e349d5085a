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
//! A panic while this is going on is nested: one raw line, and the action all the same. What failed is given up - the stop
//! for a plainer one, the console, the record - and what comes after it is done; each step begins once.
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
pub(crate) use last_words::{BYTES_PER_CPU, region_size, remember};
pub use last_words::{LastWords, last_words};
pub use stop::{Fate, Obstacle, StopReport, stop_others};
pub(crate) use stop::{Reminder, is_alone, nmi_time};

use crate::arch::exception::{FatalFrame, IrqFrame, Registers, with_registers};
use crate::arch::{self, HwGate, HwWord, regs};
use crate::bootargs::BootArgs;
use crate::cpu::area::{self, Area};
use crate::{console, gic};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
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

impl ParkedBy {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Sgi,
            2 => Self::Nmi,
            3 => Self::OwnPanic,
            4 => Self::Gate,
            5 => Self::Wedged,
            _ => return None,
        })
    }
}

/// What a CPU leaves behind that parks: where the reporter finds what it was doing.
#[derive(Clone, Copy)]
enum Evidence<'a> {
    /// It came by itself, from this place.
    Call(&'a Registers),
    /// It was interrupted.
    Stopped(&'a FatalFrame),
    /// Its own exception.
    Exception(&'a FatalFrame),
    /// Its own panic.
    Panic(&'a PanicInfo<'a>, &'a Registers),
}

/// How and where a CPU parked; read by the reporter.
///
/// Written once in a life, by its own CPU, which then never leaves the frames that it points to.
pub(crate) struct ParkMark {
    how: AtomicU8,
    /// Address of the registers of the [`Evidence`], its kind in bits 1:0.
    evidence: AtomicU64,
    /// Address of the `PanicInfo`, where the kind is that.
    info: AtomicU64,
    /// Of a CPU that is about to park because of an interrupt: the [`ParkedBy`], and where and how it was interrupted. For
    /// itself alone.
    by: AtomicU8,
    elr: AtomicU64,
    spsr: AtomicU64,
}

impl ParkMark {
    pub(crate) const fn new() -> Self {
        Self {
            how: AtomicU8::new(0),
            evidence: AtomicU64::new(0),
            info: AtomicU64::new(0),
            by: AtomicU8::new(0),
            elr: AtomicU64::new(0),
            spsr: AtomicU64::new(0),
        }
    }

    #[inline(always)]
    fn set(&self, how: ParkedBy, evidence: Evidence<'_>) {
        let (word, info) = match evidence {
            Evidence::Call(registers) => (core::ptr::from_ref(registers) as u64, 0),
            Evidence::Stopped(frame) => (core::ptr::from_ref(frame) as u64 | 1, 0),
            Evidence::Exception(frame) => (core::ptr::from_ref(frame) as u64 | 2, 0),
            Evidence::Panic(info, registers) => {
                (core::ptr::from_ref(registers) as u64 | 3, core::ptr::from_ref(info) as u64)
            }
        };
        self.evidence.store(word, Ordering::Relaxed);
        self.info.store(info, Ordering::Relaxed);
        // Release: pairs with the Acquire of `how`. The reporter reads the rest, and this CPU's stacks, which are final.
        self.how.store(how as u8, Ordering::Release);
    }

    /// Whether it parked; as [`Self::how`].
    pub(crate) fn is_set(&self) -> bool {
        // Acquire: pairs with the Release of `set`.
        self.how.load(Ordering::Acquire) != 0
    }

    /// How it parked; `None` while it has not. After `Some` everything that it left behind may be read.
    fn how(&self) -> Option<ParkedBy> {
        // Acquire: pairs with the Release of `set`.
        ParkedBy::from_byte(self.how.load(Ordering::Acquire))
    }

    /// What it left behind.
    ///
    /// # Safety
    ///
    /// [`Self::how`] has said `Some`, on this CPU.
    unsafe fn evidence(&self) -> Evidence<'static> {
        let word = self.evidence.load(Ordering::Relaxed);
        let address = word & !3;
        let info = self.info.load(Ordering::Relaxed);
        // SAFETY: `set` stored the addresses of references with the kind of what they refer to, and its CPU has been parked
        // since, inside the function that was given the references.
        unsafe {
            match word & 3 {
                1 => Evidence::Stopped(&*(address as *const FatalFrame)),
                2 => Evidence::Exception(&*(address as *const FatalFrame)),
                3 => Evidence::Panic(&*(info as *const PanicInfo<'static>), &*(address as *const Registers)),
                _ => Evidence::Call(&*(address as *const Registers)),
            }
        }
    }
}

/// Stops this CPU if another one has the gate. In every wait loop.
#[inline(always)]
pub(crate) fn poll_gate() {
    if GATE.is_taken_by_other(me()) {
        stop_noticed();
    }
}

/// [`poll_gate`] in the wait for something that another CPU holds or has to do: once this CPU has stopped the others it
/// will wait for ever.
#[inline(always)]
pub(crate) fn poll_gate_for_another() {
    poll_gate();
    if is_stopper() {
        waits_for_the_stopped();
    }
}

/// The end of a wait for what another CPU holds or has to do, on the CPU that has stopped the others.
#[cold]
#[inline(never)]
pub(crate) fn waits_for_the_stopped() -> ! {
    panic!("this CPU has stopped the others, and now waits for one of them");
}

/// Whether anybody has the gate.
#[inline(always)]
pub(crate) fn is_stopping() -> bool {
    GATE.phase() != Phase::Free
}

/// Whether another CPU has the gate, so that this one is about to be stopped.
pub(crate) fn is_stopped_by_other() -> bool {
    GATE.is_taken_by_other(me())
}

/// Whether this CPU has the gate: every other one is stopped or about to be, and whatever it held, it will hold for
/// ever.
#[inline]
pub(crate) fn is_stopper() -> bool {
    GATE.owner().is_some_and(|owner| owner == me())
}

/// An interrupt of `frame` told this CPU to stop: if somebody else has the gate it parks when its handler returns, which is
/// to be at once and without enabling anything. A stray request changes nothing.
#[inline(never)]
#[unsafe(link_section = ".never_patch")]
pub(crate) fn stop_requested(how: ParkedBy, frame: &IrqFrame) {
    // One that is on its way to park was told twice.
    let mark = &area::current().parked;
    if mark.by.load(Ordering::Relaxed) == 0 && GATE.is_taken_by_other(me()) {
        mark.by.store(how as u8, Ordering::Relaxed);
        mark.elr.store(frame.pc(), Ordering::Relaxed);
        mark.spsr.store(frame.spsr(), Ordering::Relaxed);
        frame.return_to_stopped();
    }
}

/// The end of a CPU that was stopped by an interrupt: `frame` is what it was doing.
#[unsafe(link_section = ".never_patch")]
pub(crate) fn stopped(frame: &mut FatalFrame) -> ! {
    let mark = &area::current().parked;
    frame.elr = mark.elr.load(Ordering::Relaxed);
    frame.spsr = mark.spsr.load(Ordering::Relaxed);
    let how = ParkedBy::from_byte(mark.by.load(Ordering::Relaxed)).unwrap_or(ParkedBy::Sgi);
    park(how, Evidence::Stopped(frame))
}

/// This CPU saw by itself that it should stop: it parks if somebody else has the gate.
#[inline(always)]
pub(crate) fn stop_noticed() {
    with_registers(&raw const GATE, join);
}

#[unsafe(link_section = ".never_patch")]
extern "C" fn join(_: *const HwGate, registers: &Registers) {
    if GATE.is_taken_by_other(me()) {
        park(ParkedBy::Gate, Evidence::Call(registers));
    }
}

/// Parks this CPU, which has been counted at the gate, or was given up before there was one.
#[inline(always)]
fn park_here(how: ParkedBy) -> ! {
    #[unsafe(link_section = ".never_patch")]
    extern "C" fn park_as(how: *const ParkedBy, registers: &Registers) {
        // SAFETY: the pointer of the call below, whose frame is still there.
        park(unsafe { how.read() }, Evidence::Call(registers))
    }
    with_registers(&raw const how, park_as);
    arch::park()
}

/// Parks a CPU that bring-up has given up on. Its stacks are its own for ever, so it may leave its mark.
///
/// # Panics
///
/// As [`must_not_be_the_last`].
pub(crate) fn park_wedged() -> ! {
    must_not_be_the_last();
    park_here(ParkedBy::Wedged)
}

/// Stops every other CPU, and parks this one too: the end of what cannot end in another way. From any context.
pub(crate) fn park_all() -> ! {
    stop_others(stop::sgi_time());
    park_here(ParkedBy::Gate)
}

/// A CPU that is about to go in a way of which nobody is told is not the one that has stopped all others.
///
/// # Panics
///
/// If it is, so that this is reported: nobody would be left.
pub(crate) fn must_not_be_the_last() {
    assert!(!is_stopper(), "this CPU has stopped the others while it came up, and now cannot come up itself");
}

#[inline(never)]
#[unsafe(link_section = ".never_patch")]
fn park(how: ParkedBy, evidence: Evidence<'_>) -> ! {
    regs::mask_all();
    gic::silence();
    if let Some(area) = area::find_current() {
        area.parked.set(how, evidence);
    }
    arch::park()
}

/// What a panic is about.
#[derive(Clone, Copy)]
enum Cause<'a> {
    Panic(&'a PanicInfo<'a>, &'a Registers),
    Exception(&'a FatalFrame),
    Restarted(Snapshot, &'a Registers),
}

impl<'a> Cause<'a> {
    fn evidence(self) -> Evidence<'a> {
        match self {
            Self::Panic(info, registers) => Evidence::Panic(info, registers),
            Self::Exception(frame) => Evidence::Exception(frame),
            Self::Restarted(_, registers) => Evidence::Call(registers),
        }
    }
}

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
    match GATE.enter(me()) {
        Entry::Other => park(ParkedBy::OwnPanic, cause.evidence()),
        Entry::Reporter => {}
        Entry::Nested(phase) => nested(phase, cause),
    }
    if let Some(area) = area::find_current()
        && !area.is_on_emergency_stack(arch::stack_pointer())
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
    stop::stop_all(stop::sgi_time(), stop::nmi_time(), false);
    GATE.set_phase(me(), Phase::Reporting);
    report::write(cause);
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

/// The action, or, if that was what failed, the end.
fn act() -> ! {
    console::flush();
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
