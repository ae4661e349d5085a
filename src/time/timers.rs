//! One-shot timers, each on the CPU that set it.

use super::interrupt::{has_timer, view};
use crate::arch::{Hw, HwWord, timer};
use crate::clock::{self, Instant, to_ticks};
use crate::closure::ClosureCell;
use crate::masking;
use crate::percpu::area::{self, Area, Part};
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille_machine::BootArgs;
use reveille_protocol::{State, TimerTable, TimerUse};

/// Timers that one CPU can have running.
pub const TIMERS_PER_CPU: usize = 8;
/// Bytes that the closure of a timer may capture.
pub const TIMER_BYTES: usize = 48;

/// Why a timer was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerError {
    /// [`TIMERS_PER_CPU`] timers are running on this CPU already.
    Full,
    /// The machine has no interrupt controller, or no timer interrupt.
    NoTimer,
    /// This CPU is leaving the system: it only runs what it had accepted before.
    Leaving,
    /// The caller is at NMI level ([`nmi::on_each`](crate::nmi::on_each)), and may have interrupted what sets a timer.
    Nmi,
}

impl fmt::Display for TimerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "all timers of this CPU are running",
            Self::NoTimer => "the machine has no timer interrupt",
            Self::Leaving => "this CPU is leaving",
            Self::Nmi => "a timer set at NMI level",
        })
    }
}

/// Every online CPU takes an interrupt at least this often, and looks for what is queued for it: an SGI that was lost
/// costs time and never a CPU.
const LOOK_AROUND: Duration = Duration::from_millis(100);
static LOOK_AROUND_TICKS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Reads the bootarg `idle_ms`. By the boot CPU, once the counter's frequency is known.
pub(crate) fn init_look_around(args: BootArgs<'_>) {
    let span = args.milliseconds("idle_ms", LOOK_AROUND);
    LOOK_AROUND_TICKS.store(to_ticks(span), Ordering::Relaxed);
}

/// The timers of one CPU.
pub(crate) struct Timers {
    table: TimerTable<Hw, TIMERS_PER_CPU>,
    /// What each entry of the table runs.
    closures: [ClosureCell<TIMER_BYTES>; TIMERS_PER_CPU],
    /// When the watchdog's tick is due, ticks.
    tick: Cell<Option<u64>>,
    /// When this CPU has to look around next, ticks. Moved on by a look alone: what else the timer is set for puts it off no further.
    around: Cell<u64>,
}

// SAFETY: only its own CPU touches it, and only with interrupts masked: every function here but `are_running`, which looks at an atomic,
// goes through the area of the calling CPU inside a masked section, or in the handler of the timer.
unsafe impl Sync for Timers {}

impl Timers {
    pub(crate) const fn new() -> Self {
        Self {
            table: TimerTable::from_parts(HwWord::with(TimerTable::<Hw, TIMERS_PER_CPU>::NONE)),
            closures: [const { ClosureCell::new() }; TIMERS_PER_CPU],
            tick: Cell::new(None),
            around: Cell::new(u64::MAX),
        }
    }

    fn are_running(&self) -> bool {
        self.table.are_running()
    }

    fn run_beyond(&self, span: Duration) -> bool {
        if !self.are_running() {
            return false;
        }
        let _masked = masking::mask();
        let until = (Instant::now() + span).ticks();
        self.table.run_beyond(until)
    }

    /// Sets the hardware's timer: for what is due first, but no later than the CPU has to look around.
    fn program(&self) {
        let earliest =
            self.table.first_due().into_iter().chain(self.tick.get()).fold(self.around.get(), u64::min);
        timer::set_timer(view(), Some(earliest));
    }

    /// This CPU looks around now: it has to again after the time for that.
    fn look_around(&self) {
        let span = LOOK_AROUND_TICKS.load(Ordering::Relaxed);
        self.around.set(Instant::now().ticks().saturating_add(span));
        self.program();
    }
}

/// A timer that was set.
///
/// Dropping it lets the timer run; [`Timer::cancel`] stops it.
#[derive(Debug)]
pub struct Timer {
    timer: TimerUse,
    /// It is this CPU's.
    not_send: PhantomData<*mut ()>,
}

/// Runs `f` on this CPU, in interrupt context, once `delay` has passed: not before, and later by as long as
/// interrupts are masked.
///
/// A CPU does not leave while it has timers running. One that does not come online, because an online callback fails
/// ([`hotplug::register`](crate::hotplug::register)), drops the timers that its callbacks have set: they do not run in a later
/// life.
///
/// # Errors
///
/// [`TimerError::Full`], [`TimerError::NoTimer`], [`TimerError::Leaving`] or [`TimerError::Nmi`]; `f` is dropped then.
pub fn after<F: FnOnce() + Send + 'static>(delay: Duration, f: F) -> Result<Timer, TimerError> {
    if !has_timer() {
        return Err(TimerError::NoTimer);
    }
    let Some(_masked) = masking::mask_below_nmi() else { return Err(TimerError::Nmi) };
    let area = area::current();
    if area::slot(area).read().state == State::Dying {
        return Err(TimerError::Leaving);
    }
    let timers = Timers::of(area);
    let timer = timers.table.set((Instant::now() + delay).ticks()).ok_or(TimerError::Full)?;
    // SAFETY: the cell of an entry that was free is empty, and in the masked section only we use this CPU's timers.
    unsafe { timers.closures[timer.index()].put(f) };
    timers.program();
    Ok(Timer { timer, not_send: PhantomData })
}

impl Timer {
    /// Stops the timer. `true`: it will not run; `false`: it has run, or is just running.
    pub fn cancel(self) -> bool {
        let _masked = masking::mask();
        let timers = Timers::of(area::current());
        if !timers.table.cancel(self.timer) {
            return false;
        }
        // SAFETY: ours, in the masked section; the closure is there, since the entry was due, and nobody runs it any more.
        unsafe { timers.closures[self.timer.index()].discard() };
        timers.program();
        true
    }
}

/// Whether any timer of the CPU of `area` is running. Certain on its own CPU in thread context; from elsewhere good for a report.
pub(crate) fn are_running(area: &Area) -> bool {
    Timers::of(area).are_running()
}

/// Whether any of those of the CPU of `own`, which is the calling one, is due later than in `span`.
pub(crate) fn run_beyond(own: &Area, span: Duration) -> bool {
    Timers::of(own).run_beyond(span)
}

/// Runs every timer of this CPU that is due, in the order in which they are, and `tick` if the watchdog's is: it says when the next one
/// is due. In the timer's interrupt, of which it is the handler.
pub(crate) fn expired(tick: impl FnOnce() -> Option<u64>) {
    debug_assert!(masking::in_interrupt(), "timers run in the timer's interrupt");
    let timers = Timers::of(area::current());
    let now = Instant::now().ticks();
    // No more often than there are entries: one that a closure sets for at once has the next interrupt.
    for _ in &timers.closures {
        let Some(index) = timers.table.take_due(now) else { break };
        let closure = ClosureCell::new();
        // SAFETY: interrupts are masked, so only we use this CPU's timers. The closure leaves its entry before
        // it runs, so that it may set a timer itself; the new cell is empty and nobody else's.
        unsafe {
            timers.closures[index].move_to(&closure);
            closure.run();
        }
    }
    if timers.tick.get().is_some_and(|due| due <= Instant::now().ticks()) {
        timers.tick.set(tick());
    }
    // The interrupt has come, and looks for all there is.
    timers.look_around();
}

/// Drops all timers of this CPU without running them: it does not come online after all.
pub(crate) fn drop_timers() {
    let _masked = masking::mask();
    let timers = Timers::of(area::current());
    // What a closure captured may set a timer as it is dropped: there is room for none.
    timers.table.clear(|| {
        for closure in &timers.closures {
            // SAFETY: ours, in the masked section. An entry that was free has an empty cell, of which this does nothing.
            unsafe { closure.discard() };
        }
    });
}

/// Sets when this CPU takes its next watchdog tick; `None`: it takes no more.
pub(crate) fn set_tick(due: Option<u64>) {
    let _masked = masking::mask();
    let timers = Timers::of(area::current());
    timers.tick.set(due);
    timers.program();
}

/// This CPU looks around: its timer fires within the time after which it does so again. With interrupts masked; before a
/// wait, when it has looked for whatever it may be told, and as it comes online.
pub(crate) fn look_around() {
    Timers::of(area::current()).look_around();
}

/// Starts this CPU's timer: nothing due but its look around, event stream on. Its interrupt comes with those of all others.
pub(crate) fn init_cpu() {
    look_around();
    timer::enable_event_stream(clock::frequency());
}

/// Stops this CPU's timer: it leaves.
pub(crate) fn quiet_cpu() {
    timer::set_timer(view(), None);
}
