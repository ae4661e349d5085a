//! The system counter: moments, deadlines, and how long a tick is.

use crate::arch::{self, timer};
use crate::dt;
use core::fmt;
use core::ops::{Add, Sub};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use core::time::Duration;
use reveille_machine::{BootArgs, CounterErrata};

/// Counter frequency, Hz; never 0, so that nothing ever divides by zero. Until something is known of it the highest that there is.
static FREQUENCY: AtomicU64 = AtomicU64::new(*USUAL.end());

/// Why there is no time.
///
/// ```no_run
/// use reveille::{println, time::TimeError};
///
/// # fn example() {
/// // What a boot that ends for it says.
/// println!("{}", TimeError::NoFrequency);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum TimeError {
    /// Neither CNTFRQ_EL0 nor the device tree tells the counter's frequency.
    NoFrequency,
    /// They tell one, in Hz, by which no deadline can be kept.
    Impossible(u64),
    /// The counter does not count: it stays at this value.
    StandsStill(u64),
}

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFrequency => {
                f.write_str("CNTFRQ_EL0 is 0, and no clock-frequency in a device tree says more")
            }
            Self::Impossible(frequency) => {
                write!(
                    f,
                    "a system counter of {frequency} Hz, by CNTFRQ_EL0 or the device tree: no time can be told by it"
                )
            }
            Self::StandsStill(ticks) => {
                write!(
                    f,
                    "the system counter does not count, it stays at {ticks}: firmware has not started it"
                )
            }
        }
    }
}

/// A moment of the system counter, the same on all CPUs.
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::{println, time::Instant};
///
/// # fn example() {
/// let begun = Instant::now();
/// // ..
/// println!("it took {} us", Instant::now().since(begun).as_micros());
/// let soon = begun + Duration::from_millis(5);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// Now. Never earlier than an instant that this or another CPU got before.
    ///
    /// ```no_run
    /// use reveille::time::Instant;
    ///
    /// # fn example() {
    /// let now = Instant::now();
    /// # }
    /// ```
    #[inline]
    pub fn now() -> Self {
        Self(timer::counter())
    }

    /// The counter's value, ticks since it started.
    ///
    /// ```no_run
    /// use core::sync::atomic::{AtomicU64, Ordering};
    /// use reveille::time::Instant;
    ///
    /// # fn example() {
    /// static LAST: AtomicU64 = AtomicU64::new(0);
    ///
    /// LAST.store(Instant::now().ticks(), Ordering::Relaxed);
    /// # }
    /// ```
    pub const fn ticks(self) -> u64 {
        self.0
    }

    /// The instant at which the counter shows `ticks`.
    ///
    /// ```no_run
    /// use reveille::time::Instant;
    ///
    /// # fn example(ticks: u64) {
    /// let then = Instant::from_ticks(ticks);
    /// assert_eq!(then.ticks(), ticks);
    /// # }
    /// ```
    pub const fn from_ticks(ticks: u64) -> Self {
        Self(ticks)
    }

    /// The time since `earlier`, zero if that is later.
    ///
    /// ```no_run
    /// use reveille::{println, time::Instant};
    ///
    /// # fn example(begun: reveille::time::Instant) {
    /// println!("{} ms since", Instant::now().since(begun).as_millis());
    /// # }
    /// ```
    pub fn since(self, earlier: Self) -> Duration {
        to_duration(self.0.saturating_sub(earlier.0))
    }

    /// The time since the counter started.
    ///
    /// ```no_run
    /// use reveille::{println, time::Instant};
    ///
    /// # fn example() {
    /// println!("[{:?}] here", Instant::now().uptime());
    /// # }
    /// ```
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
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::{cpu, time::Deadline};
///
/// # fn example() {
/// let deadline = Deadline::after(Duration::from_millis(20));
/// while !deadline.has_passed() {
///     cpu::idle();
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// `duration` from now.
    ///
    /// ```no_run
    /// use core::time::Duration;
    /// use reveille::time::Deadline;
    ///
    /// # fn example() {
    /// let deadline = Deadline::after(Duration::from_secs(1));
    /// # }
    /// ```
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// At `instant`.
    ///
    /// ```no_run
    /// use core::time::Duration;
    /// use reveille::time::{Deadline, Instant};
    ///
    /// # fn example() {
    /// let deadline = Deadline::at(Instant::now() + Duration::from_millis(3));
    /// # }
    /// ```
    pub const fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// Whether it has passed.
    ///
    /// ```no_run
    /// # fn example(deadline: reveille::time::Deadline, is_done: fn() -> bool) {
    /// while !is_done() && !deadline.has_passed() {
    ///     core::hint::spin_loop();
    /// }
    /// # }
    /// ```
    #[inline]
    pub fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }

    /// The moment.
    ///
    /// ```no_run
    /// # fn example(deadline: reveille::time::Deadline, alarm: &'static reveille::time::Alarm) -> Result<(), reveille::time::TimerError> {
    /// // This CPU is interrupted when it has passed.
    /// alarm.set(deadline.instant())?;
    /// # Ok(()) }
    /// ```
    pub const fn instant(self) -> Instant {
        self.0
    }

    /// The time that is left, zero once it has passed.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(deadline: reveille::time::Deadline) {
    /// println!("{} ms are left", deadline.remaining().as_millis());
    /// # }
    /// ```
    pub fn remaining(self) -> Duration {
        self.0.since(Instant::now())
    }
}

impl From<Duration> for Deadline {
    fn from(duration: Duration) -> Self {
        Self::after(duration)
    }
}

/// When waits of one kind are reported, and what follows: by two bootargs. Relaxed: set by the boot CPU before any other runs.
pub(crate) struct Reports {
    /// The time to the first report, in ticks.
    after: AtomicU64,
    /// A report is a panic.
    panics: AtomicBool,
}

impl Reports {
    /// After this long a wait is reported, if the bootargs do not say otherwise.
    const USUAL: Duration = Duration::from_secs(2);

    /// Never, until the bootargs are read.
    pub(crate) const fn new() -> Self {
        Self { after: AtomicU64::new(u64::MAX), panics: AtomicBool::new(false) }
    }

    /// Reads the bootargs: milliseconds by the name `after`, and `log` or `panic` by the name `what`. By the boot CPU, once the counter's frequency
    /// is known.
    #[inline(never)]
    pub(crate) fn init(&self, args: BootArgs<'_>, after: &str, what: &str) {
        self.after.store(to_ticks(args.milliseconds(after, Self::USUAL)), Ordering::Relaxed);
        self.panics.store(args.chooses(what, "log", "panic"), Ordering::Relaxed);
    }

    /// The time to the first report, in ticks.
    pub(crate) fn after(&self) -> u64 {
        self.after.load(Ordering::Relaxed)
    }

    /// Whether a report is a panic.
    pub(crate) fn are_panics(&self) -> bool {
        self.panics.load(Ordering::Relaxed)
    }
}

/// How long something is waited for before that is reported: after a while, and each time that this has doubled.
#[derive(Clone)]
pub(crate) struct Patience {
    since: u64,
    next_report: u64,
}

impl Patience {
    /// From `now` on, until `first` ticks later.
    pub(crate) fn new(now: u64, first: u64) -> Self {
        Self { since: now, next_report: first }
    }

    /// The age of the wait in ticks, if it is to be reported `now`.
    pub(crate) fn is_over(&mut self, now: u64) -> Option<u64> {
        let age = now.saturating_sub(self.since);
        if age < self.next_report {
            return None;
        }
        self.next_report = self.next_report.saturating_mul(2);
        Some(age)
    }
}

/// So many ticks, as a number of seconds that is printed.
pub(crate) struct Seconds(pub(crate) u64);

impl fmt::Display for Seconds {
    #[inline(never)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = to_duration(self.0);
        write!(f, "{}.{:03} s", time.as_secs(), time.subsec_millis())
    }
}

/// How long hardware is waited for that may never answer. It ends, whatever the counter does.
///
/// By time, because what a look costs is not known: a read of a register takes 50 ns or, under a hypervisor that has it trap, a
/// hundred microseconds. A counter that does not count, which is found out only after the first of these waits, ends it as well, after as
/// many looks as the slowest counter would need to move on; and until its frequency is known see [`assume`].
pub(crate) struct HardwareLimit {
    since: u64,
    ticks: u64,
    /// The latest reading, and how often it has been looked at since without a later one.
    latest: u64,
    stood: u64,
}

impl HardwareLimit {
    /// From now on, in whole milliseconds: less to compute than [`to_ticks`].
    #[inline]
    pub(crate) fn after(duration: Duration) -> Self {
        let since = timer::counter();
        let ticks = frequency().saturating_mul(duration.as_millis() as u64).div_ceil(1000);
        Self { since, ticks, latest: since, stood: 0 }
    }

    /// Looks until `done` says so, for so long; whether it did in time. What is done at once costs no look at the clock.
    #[inline]
    pub(crate) fn within(duration: Duration, mut done: impl FnMut() -> bool) -> bool {
        done() || Self::after(duration).until(done)
    }

    /// Looks until `done` says so; whether it did in time. With a limit that has passed it looks once.
    pub(crate) fn until(&mut self, mut done: impl FnMut() -> bool) -> bool {
        loop {
            // The look comes last: a CPU that a hypervisor has held up in between does not miss what was there in time.
            let passed = self.has_passed();
            if done() {
                return true;
            }
            if passed {
                return false;
            }
        }
    }

    #[inline(never)]
    fn has_passed(&mut self) -> bool {
        let now = timer::counter();
        if now > self.latest {
            (self.latest, self.stood) = (now, 0);
        } else {
            self.stood += 1;
        }
        self.latest - self.since >= self.ticks || self.stood >= readings(SLOWEST)
    }
}

/// Ticks of the counter in `duration`, rounded up; saturates.
pub(crate) fn to_ticks(duration: Duration) -> u64 {
    const NANOS: u64 = 1_000_000_000;
    let frequency = FREQUENCY.load(Ordering::Relaxed);
    // The frequency has 32 bits, and there are 30 bits of nanoseconds.
    let fraction = (u64::from(duration.subsec_nanos()) * frequency).div_ceil(NANOS);
    duration.as_secs().saturating_mul(frequency).saturating_add(fraction)
}

/// The time that `ticks` of the counter take.
pub(crate) fn to_duration(ticks: u64) -> Duration {
    let frequency = FREQUENCY.load(Ordering::Relaxed);
    // As in `to_ticks`: the remainder has 32 bits, and the billion 30.
    let nanos = ticks % frequency * 1_000_000_000 / frequency;
    // Below one second, as the remainder is below the frequency.
    Duration::new(ticks / frequency, nanos as u32)
}

/// Whole microseconds of `duration`, in 64 bits, which are shown with less code than 128.
pub(crate) fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(duration.subsec_micros().into())
}

/// The frequency of the system counter, ticks per second: what [`Instant::ticks`] counts in.
///
/// The same on all CPUs, and for as long as the image runs; never 0. It is what the device tree says (`clock-frequency` of the timer's
/// node), else CNTFRQ_EL0 (Arm ARM D12.1.2).
///
/// ```no_run
/// use reveille::{println, time};
///
/// # fn example() {
/// println!("a tick is {} ns", 1_000_000_000 / time::frequency());
/// # }
/// ```
pub fn frequency() -> u64 {
    FREQUENCY.load(Ordering::Relaxed)
}

/// Below this, a microsecond lock wait and a timer of a second could not be told apart: no counter is that slow (Arm ARM D12.1.2
/// has 1 MHz to 50 MHz as usual, and 1 GHz from Armv8.6 on).
const SLOWEST: u64 = 1000;
/// What counters have. Outside of it the frequency is used, and questioned.
const USUAL: core::ops::RangeInclusive<u64> = 1_000_000..=1_000_000_000;
/// Readings of a counter of so many Hz in which it moves on, if it does at all: no CPU makes one in less than a nanosecond, as there is
/// an ISB to each. A few more, as the frequency may be wrong.
const fn readings(frequency: u64) -> u64 {
    1_000_000_000 / frequency + 10_000
}

/// What the counter of this CPU stands at, if it does not count.
fn stands_at(frequency: u64) -> Option<u64> {
    let first = timer::counter_reading();
    (0..readings(frequency)).all(|_| timer::counter_reading() == first).then_some(first)
}

/// Whether the counter of this CPU, which is not the one that boots, counts.
pub(crate) fn counts() -> bool {
    stands_at(frequency()).is_none()
}

/// Takes the frequency for what CNTFRQ_EL0 says, until there is a device tree to ask: for what is reported before that, and for how long
/// the console is waited for. By the boot CPU.
///
/// Where it says nothing of use it stays the highest that there is, so that no [`HardwareLimit`] is shorter than it should be: on the slowest
/// counter it is a thousand times as long.
pub(crate) fn assume() {
    let register = timer::counter_frequency();
    if USUAL.contains(&register) {
        FREQUENCY.store(register, Ordering::Relaxed);
    }
}

/// Learns the counter's frequency. By the boot CPU, once.
///
/// What the device tree says is there because CNTFRQ_EL0 is not to be believed (Arm binding `arm,arch_timer.yaml`), so it counts.
pub(crate) fn init(described: Option<&dt::Timer>) -> Result<(), TimeError> {
    timer::work_around(described.map_or(CounterErrata::NONE, |timer| timer.errata));
    let register = timer::counter_frequency();
    let described = described.and_then(|timer| timer.clock_frequency).map_or(0, u64::from);
    let frequency = if described != 0 { described } else { register };
    if frequency == 0 {
        return Err(TimeError::NoFrequency);
    }
    if frequency < SLOWEST {
        return Err(TimeError::Impossible(frequency));
    }
    if let Some(ticks) = stands_at(SLOWEST) {
        return Err(TimeError::StandsStill(ticks));
    }
    FREQUENCY.store(frequency, Ordering::Relaxed);
    if register != 0 && register != frequency {
        log::warn!("CNTFRQ_EL0 says {register} Hz, and the device tree {frequency} Hz, which is used");
    }
    if !USUAL.contains(&frequency) {
        log::warn!("a system counter of {frequency} Hz is not usual: every time limit goes by it");
    }
    tell_errata();
    Ok(())
}

/// The errata that have been told of.
static TOLD: AtomicU8 = AtomicU8::new(CounterErrata::NONE.bits());

/// Says which errata of the counter are worked around, once each: when time begins, and as CPUs come that have their own.
pub(crate) fn tell_errata() {
    let errata = timer::worked_around();
    // Relaxed: who says it is no matter.
    if errata.is_within(CounterErrata::from_bits(TOLD.load(Ordering::Relaxed))) {
        return;
    }
    let told = CounterErrata::from_bits(TOLD.fetch_or(errata.bits(), Ordering::Relaxed));
    if !errata.is_within(told) {
        for name in errata.names().filter(|name| told.names().all(|other| other != *name)) {
            log::info!("system counter: erratum worked around: {name}");
        }
    }
}

/// How far the virtual counter of the CPU that booted is behind the physical one, which all share; 0 where that is not known to be
/// anything else.
static OFFSET: AtomicU64 = AtomicU64::new(0);

/// Finds out the offset of a virtual counter that somebody above has set up for the CPU that boots (CNTVOFF_EL2): CPUs that come in
/// above it have their own to set, and are to tell the same time.
///
/// # Safety
///
/// By the boot CPU, which runs at EL1 and was entered there: alone, in thread context, with all exceptions masked.
pub(crate) unsafe fn learn_offset() {
    const TRIES: u32 = 64;
    let (mut least, mut most) = (i64::MIN, i64::MAX);
    let mut last = None;
    // SAFETY: the caller's.
    if !unsafe { arch::may_read_physical_counter() } {
        return;
    }
    for _ in 0..TRIES {
        let (physical, virtual_) = (timer::physical_counter(), timer::counter());
        // Both counters run on between two reads.
        least = least.max(physical.wrapping_sub(virtual_) as i64);
        if let Some(last) = last.replace(virtual_) {
            most = most.min(physical.wrapping_sub(last) as i64);
        }
    }
    let middle = least.saturating_add(most.saturating_sub(least) / 2);
    let offset = if least <= 0 && most >= 0 { 0 } else { middle };
    OFFSET.store(offset as u64, Ordering::Relaxed);
}

/// Has the counter of this CPU, which came in above EL1 and has left it, show the same as that of the CPU that booted.
pub(crate) fn apply_offset() {
    let offset = OFFSET.load(Ordering::Relaxed);
    if offset != 0 {
        let mut args = [0; 17];
        args[0] = offset;
        <smccc::Hvc as smccc::Call>::call64(arch::SET_OFFSET, args);
    }
}
