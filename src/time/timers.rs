//! One-shot timers, each on the CPU that set it.

use super::alarm::Alarms;
use super::interrupt::{has_timer, view};
use crate::arch::{Hw, HwWord, timer};
use crate::clock::{self, Instant, to_ticks};
use crate::closure::ClosureCell;
use crate::masking;
use crate::percpu::CpuId;
use crate::percpu::area::{self, Area, Part};
use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille_machine::BootArgs;
use reveille_protocol::{State, TimerEntry, TimerTable, TimerUse};

/// Timers that one CPU can have running.
pub const TIMERS_PER_CPU: usize = 8;
/// Bytes that the closure of a timer may capture.
pub const TIMER_BYTES: usize = 48;

/// Why a timer or an alarm was not set.
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::time::{self, TimerError};
///
/// # fn example() {
/// match time::after(Duration::from_millis(5), || { /* .. */ }) {
///     Ok(timer) => drop(timer),
///     Err(TimerError::Full) => { /* as many as there may be run already */ }
///     Err(error) => panic!("no timer: {error}"),
/// }
/// # }
/// ```
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
    /// It belongs to another CPU than the one that asks.
    OtherCpu,
}

impl fmt::Display for TimerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "all timers of this CPU are running",
            Self::NoTimer => "the machine has no timer interrupt",
            Self::Leaving => "this CPU is leaving",
            Self::Nmi => "a timer set at NMI level",
            Self::OtherCpu => "it belongs to another CPU",
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

/// What runs timers: see [`run`].
type Run = fn(&Timers, Option<u64>);

/// The timers of one CPU.
pub(crate) struct Timers {
    table: TimerTable<Hw, TIMERS_PER_CPU>,
    /// [`run`], once a timer was set: it is linked into images that set any.
    run: Cell<Option<Run>>,
    /// What each entry of the table runs.
    closures: [ClosureCell<TIMER_BYTES>; TIMERS_PER_CPU],
    /// When the watchdog's tick is due, ticks.
    tick: Cell<Option<u64>>,
    /// Its alarms.
    alarms: Alarms,
    /// When this CPU has to look around next, ticks. Moved on by the timer's interrupt alone, which looks at everything: what else the timer is
    /// set for, and other interrupts, put it off no further.
    around: Cell<u64>,
}

// SAFETY: the table is atomic but for what its own CPU alone touches: in every function here but `are_running` and `Timer::cancel`, with
// interrupts masked, or in the handler of the timer. So it is with all else but the closures: one of these is its own CPU's, in the same
// way, while its entry is free or as it is set or taken, and whoever's who stops the timer, from then until the entry is free.
unsafe impl Sync for Timers {}

impl Timers {
    const fn no_word() -> HwWord {
        HwWord::with(TimerTable::<Hw, TIMERS_PER_CPU>::NONE)
    }

    pub(crate) const fn new() -> Self {
        Self {
            table: TimerTable::from_parts(
                [const { TimerEntry::from_parts(Self::no_word()) }; TIMERS_PER_CPU],
                Self::no_word(),
            ),
            run: Cell::new(None),
            closures: [const { ClosureCell::new() }; TIMERS_PER_CPU],
            tick: Cell::new(None),
            alarms: Alarms::new(),
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
        let _masked = masking::mask_rarely();
        let until = (Instant::now() + span).ticks();
        self.table.run_beyond(until)
    }

    /// Sets the hardware's timer: for what is due first, but no later than the CPU has to look around.
    fn program(&self) {
        let earliest = self.around.get().min(self.alarms.first());
        let earliest = self.table.first_due().into_iter().chain(self.tick.get()).fold(earliest, u64::min);
        timer::set_timer(view(), Some(earliest));
    }

    /// Its alarms. For its own CPU, with interrupts masked.
    pub(super) fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// One of its alarms was set or taken away.
    pub(super) fn plan_alarms(&self) {
        if self.alarms.plan() {
            self.program();
        }
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
/// Dropping it lets the timer run; [`Timer::cancel`] stops it. It may be handed to another CPU, and still is a timer of the one that set
/// it.
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::{println, time};
///
/// # fn example() -> Result<(), reveille::time::TimerError> {
/// let timer = time::after(Duration::from_millis(100), || println!("no answer in time"))?;
/// // The answer is there. Any CPU may do this.
/// let was_early_enough = timer.cancel();
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Timer {
    timer: TimerUse,
    /// The CPU that has set it.
    cpu: CpuId,
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
///
/// # Examples
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::{println, time};
///
/// # fn example() -> Result<(), reveille::time::TimerError> {
/// time::after(Duration::from_secs(1), || println!("a second has passed"))?;
/// # Ok(()) }
/// ```
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
    timers.run.set(Some(run));
    timers.program();
    Ok(Timer { timer, cpu: area.id })
}

impl Timer {
    /// Stops the timer, from any CPU and in any context. `true`: it will not run, and its closure was dropped, here; `false`: it has run,
    /// or is just running.
    ///
    /// ```no_run
    /// # fn example(timer: reveille::time::Timer) {
    /// if timer.cancel() {
    ///     // Its closure never runs, and has been dropped.
    /// }
    /// # }
    /// ```
    pub fn cancel(self) -> bool {
        // What it captured is dropped as in a handler, in whose place it would have been.
        let _masked = masking::mask();
        let timers = Timers::of(area::of(self.cpu));
        timers.table.cancel(self.timer, || {
            // SAFETY: ours, as the timer was set and we have stopped it, until its entry is free. The closure is there: it was put in before
            // there was a `Timer`.
            unsafe { timers.closures[self.timer.index()].discard() };
        })
    }

    /// Has the timer run once `delay` has passed from now, instead of when it was to: `true`. `false`: it has run, or is just running.
    ///
    /// # Errors
    ///
    /// [`TimerError::OtherCpu`] on another CPU than the one that has set it, and [`TimerError::Nmi`]. It is set as before then.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use core::time::Duration;
    ///
    /// # fn example(timer: &reveille::time::Timer) -> Result<(), reveille::time::TimerError> {
    /// // A sign of life: the time begins anew.
    /// let was_set = timer.set_again(Duration::from_secs(5))?;
    /// # Ok(()) }
    /// ```
    pub fn set_again(&self, delay: Duration) -> Result<bool, TimerError> {
        let Some(_masked) = masking::mask_below_nmi() else { return Err(TimerError::Nmi) };
        let area = area::current();
        if area.id != self.cpu {
            return Err(TimerError::OtherCpu);
        }
        let timers = Timers::of(area);
        let is_set = timers.table.set_again(self.timer, (Instant::now() + delay).ticks());
        if is_set {
            timers.program();
        }
        Ok(is_set)
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

/// Runs the timers that are due by `now`, in the order in which they are; without, drops all. By their own CPU, with interrupts masked.
fn run(timers: &Timers, now: Option<u64>) {
    let Some(now) = now else {
        // What a closure captured may set a timer as it is dropped: there is room for none.
        timers.table.clear(|index| {
            // SAFETY: ours, as the table says, in the masked section. An entry that was free has an empty cell, of which this does nothing.
            unsafe { timers.closures[index].discard() };
        });
        return;
    };
    // No more often than there are entries: one that a closure sets for at once has the next interrupt.
    for _ in &timers.closures {
        let Some(index) = timers.table.take_due(now) else { break };
        let closure = ClosureCell::new();
        // SAFETY: interrupts are masked, so only we set this CPU's timers; we have taken this one, so nobody can stop it any more. The
        // closure leaves its entry before it runs, so that it may set a timer itself; the new cell is empty and nobody else's.
        unsafe {
            timers.closures[index].move_to(&closure);
            closure.run();
        }
    }
}

/// Runs every timer of this CPU that is due, in the order in which they are, and `tick` if the watchdog's is: it says when the next one
/// is due. In the timer's interrupt, of which it is the handler.
pub(crate) fn expired(tick: impl FnOnce() -> Option<u64>) {
    debug_assert!(masking::in_interrupt(), "timers run in the timer's interrupt");
    let timers = Timers::of(area::current());
    let now = Instant::now().ticks();
    if let Some(run) = timers.run.get() {
        run(timers, Some(now));
    }
    timers.alarms.fire(now);
    if timers.tick.get().is_some_and(|due| due <= Instant::now().ticks()) {
        timers.tick.set(tick());
    }
    // The interrupt has come, and looks for all there is.
    timers.look_around();
}

/// Drops all timers of this CPU without running them: it does not come online after all.
pub(crate) fn drop_timers() {
    let _masked = masking::mask_rarely();
    let timers = Timers::of(area::current());
    if let Some(run) = timers.run.get() {
        run(timers, None);
    }
}

/// Sets when this CPU takes its next watchdog tick; `None`: it takes no more.
pub(crate) fn set_tick(due: Option<u64>) {
    let _masked = masking::mask_rarely();
    let timers = Timers::of(area::current());
    timers.tick.set(due);
    timers.program();
}

/// Starts this CPU's timer: nothing due but its look around, event stream on. Its interrupt comes with those of all others.
pub(crate) fn init_cpu() {
    Timers::of(area::current()).look_around();
    timer::enable_event_stream(clock::frequency());
}

/// Stops this CPU's timer, and takes its alarms away: it leaves. With interrupts masked.
pub(crate) fn quiet_cpu() {
    Timers::of(area::current()).alarms.disarm();
    timer::set_timer(view(), None);
}
