//! Time: the system counter, deadlines, and one-shot timers of each CPU.

mod timers;

pub use timers::{TIMER_BYTES, TIMERS_PER_CPU, Timer, TimerError, after};
pub(crate) use timers::{Timers, drop_timers, init_look_around, look_around, set_tick};

use crate::arch::regs;
use crate::irq::{self, Trigger};
use core::fmt;
use core::ops::{Add, Sub};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

/// Counter frequency, Hz. 1 until it is known, so that nothing ever divides by zero.
static FREQUENCY: AtomicU64 = AtomicU64::new(1);
/// Interrupt number of the timer; 0 until it is known.
static INTERRUPT: AtomicU32 = AtomicU32::new(0);

/// Why there is no time.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum TimeError {
    /// Neither CNTFRQ_EL0 nor the device tree tells the counter's frequency.
    NoFrequency,
}

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFrequency => {
                f.write_str("CNTFRQ_EL0 is 0, and the timer node of the device tree has no clock-frequency")
            }
        }
    }
}

/// A moment of the system counter, the same on all CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// Now. Never earlier than an instant that this or another CPU got before.
    #[inline]
    pub fn now() -> Self {
        Self(regs::counter())
    }

    /// The counter's value, ticks since it started.
    pub const fn ticks(self) -> u64 {
        self.0
    }

    /// The instant at which the counter shows `ticks`.
    pub const fn from_ticks(ticks: u64) -> Self {
        Self(ticks)
    }

    /// The time since `earlier`, zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        to_duration(self.0.saturating_sub(earlier.0))
    }

    /// The time since the counter started.
    pub fn uptime(self) -> Duration {
        to_duration(self.0)
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(to_ticks(duration)))
    }
}

/// A moment after which a wait gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// `duration` from now.
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// At `instant`.
    pub const fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// Whether it has passed.
    #[inline]
    pub fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }

    /// The moment.
    pub const fn instant(self) -> Instant {
        self.0
    }

    /// The time that is left, zero once it has passed.
    pub fn remaining(self) -> Duration {
        self.0.since(Instant::now())
    }
}

/// Ticks of the counter in `duration`, rounded up; saturates.
pub(crate) fn to_ticks(duration: Duration) -> u64 {
    let frequency = u128::from(FREQUENCY.load(Ordering::Relaxed));
    let ticks = (duration.as_nanos() * frequency).div_ceil(1_000_000_000);
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// The time that `ticks` of the counter take.
pub(crate) fn to_duration(ticks: u64) -> Duration {
    let frequency = FREQUENCY.load(Ordering::Relaxed);
    let nanos = u128::from(ticks % frequency) * 1_000_000_000 / u128::from(frequency);
    // Below one second, as the remainder is below the frequency.
    Duration::new(ticks / frequency, nanos as u32)
}

/// Learns the counter's frequency and the timer's interrupt. By the boot CPU, once.
pub(crate) fn init(timer: Option<&reveille_machine::Timer>) -> Result<(), TimeError> {
    let frequency = match regs::counter_frequency() {
        0 => timer.and_then(|timer| timer.clock_frequency).map_or(0, u64::from),
        frequency => frequency,
    };
    if frequency == 0 {
        return Err(TimeError::NoFrequency);
    }
    FREQUENCY.store(frequency, Ordering::Relaxed);
    let interrupt =
        timer.and_then(|timer| if regs::at_el2() { timer.hyp_physical } else { timer.virtual_timer });
    INTERRUPT.store(interrupt.map_or(0, |interrupt| interrupt.id), Ordering::Relaxed);
    Ok(())
}

/// Has the timer's interrupt handled on every CPU. By the boot CPU, once, when there is an interrupt controller. Without, no
/// timer fires.
pub(crate) fn init_interrupt() {
    let interrupt = INTERRUPT.load(Ordering::Relaxed);
    if interrupt == 0 {
        return;
    }
    if let Err(error) = irq::register(interrupt, Trigger::Level, |_| timers::expired()) {
        log::error!("timer: {error}");
        INTERRUPT.store(0, Ordering::Relaxed);
    }
}

/// Starts this CPU's timer: nothing due but its look around, event stream on. Its interrupt comes with those of all others.
pub(crate) fn init_cpu() {
    look_around();
    regs::enable_event_stream(FREQUENCY.load(Ordering::Relaxed));
}

/// Stops this CPU's timer: it leaves.
pub(crate) fn quiet_cpu() {
    regs::set_timer(None);
}

/// Whether timers can fire.
pub(crate) fn has_timer() -> bool {
    INTERRUPT.load(Ordering::Relaxed) != 0
}
