//! The watchdog: every CPU looks whether its neighbour still takes interrupts.
//!
//! Each online CPU takes a timer interrupt twice a period, notes the time, and looks at the note of the next online CPU in
//! the order of their ids. One whose note is older than a period and a half has had interrupts masked, or hangs, for a period
//! or more, as its next note was due half a period after the last, and is found so before it is two:
//! it is asked by an NMI-class interrupt what it is doing, and the answer is printed; or the machine panics, which
//! stops it the same way and reports all the others as well ([`Response`]). A neighbour that is stuck is looked past, so
//! that the CPU behind it has somebody to look at it, too. One that may not have heard that the watchdog was started is told
//! again before it is called stuck.
//!
//! What it cannot see: a CPU that takes interrupts but gets nothing done; all CPUs stuck at once. While it runs, idle CPUs
//! wake up twice a period. It is off until [`start`].

use crate::arch::{Hw, HwWord};
use crate::clock::{Deadline, Instant, to_duration, to_ticks};
use crate::irq::PRIVATE;
use crate::percpu::CpuId;
use crate::percpu::area::{self, Area, Part as _};
use crate::time::{self, has_timer};
use crate::{console, gate, gic, irq, masking, nmi};
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use reveille_protocol::{Heartbeat, Look, Watch};

static WATCH: Watch<Hw> = Watch::from_parts(HwWord::with(Watch::<Hw>::OFF), HwWord::with(Watch::<Hw>::OFF));
/// [`Response::Panic`].
static PANICS: AtomicBool = AtomicBool::new(false);

/// The shortest period. Shorter ones would be eaten up by the interrupts.
pub const MIN_PERIOD: Duration = Duration::from_millis(1);

/// How long the report waits for the console, which the stuck CPU may hold.
const CONSOLE_PATIENCE: Duration = Duration::from_millis(200);

/// One CPU's part.
pub(crate) type Part = Heartbeat<Hw>;

/// Of a CPU that never took its tick.
pub(crate) const fn part() -> Part {
    const NEVER: u64 = Part::NEVER;
    Part::from_parts(HwWord::with(NEVER), HwWord::with(NEVER), HwWord::with(NEVER))
}

/// What follows when a CPU is found stuck.
///
/// ```no_run
/// use reveille::watchdog::{self, Response};
///
/// # fn example() {
/// watchdog::set_response(Response::Panic);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// Its place and backtrace are printed, once for each time that it gets stuck. The default.
    Report,
    /// The machine panics.
    Panic,
}

/// Why the watchdog was not started.
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::println;
/// use reveille::watchdog::{self, WatchdogError};
///
/// # fn example() {
/// match watchdog::start(Duration::from_secs(2)) {
///     Ok(()) => {}
///     Err(WatchdogError::NoTimer) => println!("nobody watches"),
///     Err(error) => panic!("{error}"),
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchdogError {
    /// The machine has no interrupt controller, or no timer interrupt.
    NoTimer,
    /// The period is shorter than [`MIN_PERIOD`].
    TooShort,
    /// The caller is at NMI level ([`nmi::on_each`]), and may have interrupted what sets a timer.
    Nmi,
}

impl fmt::Display for WatchdogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTimer => f.write_str("the machine has no timer interrupt"),
            Self::TooShort => write!(f, "the period is shorter than {MIN_PERIOD:?}"),
            Self::Nmi => f.write_str("the watchdog started at NMI level"),
        }
    }
}

/// Turns the watchdog on, on every CPU that is online and every one that comes; or changes its period.
///
/// A CPU is stuck if it has taken no interrupt for `period`, and is found so at most another `period` later. On a machine
/// whose host lets a CPU stand still, that looks the same.
///
/// # Errors
///
/// [`WatchdogError::NoTimer`], [`WatchdogError::TooShort`] or [`WatchdogError::Nmi`]; nothing has changed then.
///
/// # Examples
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::watchdog;
///
/// # fn example() -> Result<(), reveille::watchdog::WatchdogError> {
/// // A CPU that takes no interrupt for two seconds is reported.
/// watchdog::start(Duration::from_secs(2))?;
/// # Ok(()) }
/// ```
pub fn start(period: Duration) -> Result<(), WatchdogError> {
    if !has_timer() || !gic::is_present() {
        return Err(WatchdogError::NoTimer);
    }
    if period < MIN_PERIOD {
        return Err(WatchdogError::TooShort);
    }
    if masking::in_nmi() {
        return Err(WatchdogError::Nmi);
    }
    let half = to_ticks(period / 2).max(1);
    if WATCH.half() == half {
        // It runs so already. To count anew would put off what it is about to find.
        return Ok(());
    }
    WATCH.start(half, Instant::now().ticks(), area::areas().iter().map(Part::of));
    apply_and_tell();
    Ok(())
}

/// Turns the watchdog off. At NMI level too, where it is left to the next tick of each CPU to be its last.
///
/// ```no_run
/// use reveille::watchdog;
///
/// # fn example() {
/// watchdog::stop();
/// assert!(!watchdog::is_running());
/// # }
/// ```
pub fn stop() {
    WATCH.stop();
    if !masking::in_nmi() {
        apply_and_tell();
    }
}

fn apply_and_tell() {
    // The CPU that applies it is the one that is not told.
    let _masked = masking::mask();
    apply();
    irq::tell();
}

/// Whether the watchdog is on.
///
/// ```no_run
/// use reveille::{println, watchdog};
///
/// # fn example() {
/// if !watchdog::is_running() {
///     println!("nobody watches");
/// }
/// # }
/// ```
pub fn is_running() -> bool {
    WATCH.half() != 0
}

/// Chooses what follows when a CPU is found stuck, from now on.
///
/// ```no_run
/// use reveille::watchdog::{self, Response};
///
/// # fn example() {
/// watchdog::set_response(Response::Report);
/// # }
/// ```
pub fn set_response(response: Response) {
    PANICS.store(response == Response::Panic, Ordering::Relaxed);
}

/// Starts or stops this CPU's ticks as the watchdog is on or off. As a CPU comes online, and when told that something has
/// changed. With interrupts masked.
pub(crate) fn apply() {
    let now = Instant::now().ticks();
    Part::of(area::current()).beat(now);
    time::set_tick(next_tick(now));
}

/// When the tick after the one at `now` is due.
fn next_tick(now: u64) -> Option<u64> {
    Some(WATCH.half()).filter(|half| *half != 0).map(|half| now.saturating_add(half))
}

/// This CPU's tick. In its timer interrupt; returns when the next one is due.
pub(crate) fn tick() -> Option<u64> {
    let now = Instant::now().ticks();
    let own = area::current();
    let last = Part::of(own).last();
    Part::of(own).beat(now);
    let half = WATCH.half();
    let period = half.saturating_mul(2);
    // Late itself, it cannot tell a neighbour that is stuck from one that was held up with it: the machine may have been
    // stopped for a while, by a gathering or by the host.
    let late = now.saturating_sub(last) > period;
    if half != 0 && !late && !gate::is_stopping() {
        look(own, now, half);
    }
    next_tick(Instant::now().ticks())
}

/// Looks at those after `own`, up to the first that is well.
fn look(own: &Area, now: u64, half: u64) {
    let areas = area::areas();
    let (before, after) = (&areas[..own.id.index()], &areas[own.id.index() + 1..]);
    for area in after.iter().chain(before) {
        if !area::is_online(area) {
            continue;
        }
        // Told by SGI, which may have been lost: it may not know that it has to beat, or how often.
        match WATCH.look(Part::of(area), now, half, || gic::interrupt(PRIVATE, area)) {
            Look::Well => return,
            Look::NotHeard | Look::Known => {}
            Look::Stuck { since } => {
                let patience = 2 * nmi::time() + CONSOLE_PATIENCE;
                // This CPU is busy with the report, interrupts masked: its own neighbour is to bear with it. A beat from the
                // future is no age at all.
                Part::of(own).beat((Instant::now() + patience).ticks());
                respond(area.id, to_duration(now.saturating_sub(since)));
                Part::of(own).beat(Instant::now().ticks());
            }
        }
    }
}

/// `cpu` has taken no interrupt for `age`.
#[cold]
fn respond(cpu: CpuId, age: Duration) {
    let (seconds, ms) = (age.as_secs(), age.subsec_millis());
    assert!(
        !PANICS.load(Ordering::Relaxed),
        "watchdog: cpu {cpu} has not taken its timer interrupt for {seconds}.{ms:03} s"
    );
    let limit = Deadline::after(CONSOLE_PATIENCE);
    match nmi::note(cpu) {
        Some(note) => console::print_before(
            limit,
            format_args!(
                "watchdog: cpu {cpu} has not taken its timer interrupt for {seconds}.{ms:03} s\n{note}\n"
            ),
        ),
        None => console::print_before(
            limit,
            format_args!(
                "watchdog: cpu {cpu} has not taken its timer interrupt for {seconds}.{ms:03} s, and does not answer\n"
            ),
        ),
    }
}
