//! What became of each CPU when the machine was stopped.

use super::park::{self, ParkedBy};
use crate::arch::regs;
use crate::clock::{micros, to_duration};
use crate::gic::{self, NmiReach};
use crate::percpu::area::{self, Area};
use crate::percpu::{CpuId, CpuSet};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille_protocol::State;

/// How long the last stop took, ticks.
static TICKS: AtomicU64 = AtomicU64::new(0);

/// A stop has taken so many ticks.
pub(super) fn note_time(ticks: u64) {
    TICKS.store(ticks, Ordering::Relaxed);
}

/// Why a CPU may not have stopped.
///
/// ```no_run
/// use reveille::panic::{Fate, Obstacle};
/// use reveille::println;
///
/// # fn example(report: &reveille::panic::StopReport) {
/// for (cpu, fate) in report.fates() {
///     if let Fate::NotStopped(Obstacle::Unresponsive) = fate {
///         println!("cpu {cpu} does not answer");
///     }
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// Interrupts are masked by `DAIF`, as the bootarg `reveille.mask=daif` wants it, and the machine has no FEAT_NMI.
    MaskedByBootarg,
    /// It runs code that masks `DAIF` itself, and the machine has no FEAT_NMI; or it hangs.
    MaskedByDaif,
    /// It runs code that has interrupts masked, or handles one, and the interrupt controller has no priorities; or it hangs.
    NoPriorities,
    /// Not even an interrupt with superpriority gets through: it hangs, or firmware has it.
    Unresponsive,
    /// Bring-up has given up on it: it may never have got as far as taking interrupts.
    Wedged,
    /// There is no interrupt controller to reach it by.
    NoController,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MaskedByBootarg => {
                "it does not answer; interrupts are masked by DAIF here (reveille.mask=daif)"
            }
            Self::MaskedByDaif => "it does not answer; it may have masked DAIF, and there is no FEAT_NMI",
            Self::NoPriorities => {
                "it does not answer; it may have interrupts masked, and the interrupt controller has no priorities"
            }
            Self::Unresponsive => "it does not answer, not even to an interrupt with superpriority",
            Self::Wedged => "it does not answer; it never came online",
            Self::NoController => "there is no interrupt controller to reach it by",
        })
    }
}

/// What became of a CPU when the machine was stopped.
///
/// ```no_run
/// use reveille::panic::Fate;
///
/// # fn example(report: &reveille::panic::StopReport) {
/// let by_nmi = report.fates().filter(|(_, fate)| *fate == Fate::NonMaskable).count();
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It is the one that stopped the others.
    Stopper,
    /// Parked: it took the stop interrupt.
    Interrupted,
    /// Parked: it had interrupts masked, and took the NMI-class one.
    NonMaskable,
    /// Parked: it panicked too.
    Panicked,
    /// Parked: it was waiting or coming up, and saw for itself.
    Noticed,
    /// Parked: bring-up had given up on it, and it found out.
    Late,
    /// It was not running.
    NotRunning,
    /// It may still be running.
    NotStopped(Obstacle),
}

impl Fate {
    pub(super) fn of(area: &Area) -> Self {
        if let Some(how) = park::how(area) {
            return match how {
                ParkedBy::Sgi => Self::Interrupted,
                ParkedBy::Nmi => Self::NonMaskable,
                ParkedBy::OwnPanic => Self::Panicked,
                ParkedBy::Gate => Self::Noticed,
                ParkedBy::Wedged => Self::Late,
            };
        }
        let state = area::slot(area).read().state;
        if area.mpidr == regs::affinity() {
            return Self::Stopper;
        }
        if !state.is_live() {
            return Self::NotRunning;
        }
        Self::NotStopped(match (state, gic::nmi_reach()) {
            (State::Wedged, _) => Obstacle::Wedged,
            _ if !gic::is_present() => Obstacle::NoController,
            (_, NmiReach::Daif) => Obstacle::Unresponsive,
            (_, NmiReach::Priority) => Obstacle::MaskedByDaif,
            (_, NmiReach::Never) => Obstacle::NoPriorities,
            (_, NmiReach::Unmasked) => Obstacle::MaskedByBootarg,
        })
    }

    /// Whether the CPU parked.
    ///
    /// ```no_run
    /// # fn example(report: &reveille::panic::StopReport) {
    /// let parked = report.fates().filter(|(_, fate)| fate.is_parked()).count();
    /// # }
    /// ```
    pub const fn is_parked(self) -> bool {
        !matches!(self, Self::Stopper | Self::NotRunning | Self::NotStopped(_))
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopper => "stopped the others",
            Self::Interrupted => "stopped by SGI",
            Self::NonMaskable => "stopped by NMI, it had interrupts masked",
            Self::Panicked => "panicked too",
            Self::Noticed => "stopped at the gate",
            Self::Late => "stopped by itself, it had come too late",
            Self::NotRunning => "was not running",
            Self::NotStopped(obstacle) => return write!(f, "NOT STOPPED: {obstacle}"),
        })
    }
}

/// What became of every CPU when the machine was stopped.
///
/// Asked again later it may know better: a CPU that had not stopped in time may have done so since.
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::{panic, println, time::Deadline};
///
/// # fn example() {
/// let report = panic::stop_others(Deadline::after(Duration::from_millis(100)));
/// println!("{} us, {:?} left", report.elapsed().as_micros(), report.left());
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StopReport {
    /// Ticks.
    elapsed: u64,
}

impl StopReport {
    pub(super) fn now() -> Self {
        Self { elapsed: TICKS.load(Ordering::Relaxed) }
    }

    /// What became of `cpu`.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(report: &reveille::panic::StopReport, cpu: reveille::cpu::CpuId) {
    /// println!("cpu {cpu}: {:?}", report.fate(cpu));
    /// # }
    /// ```
    pub fn fate(&self, cpu: CpuId) -> Fate {
        Fate::of(area::of(cpu))
    }

    /// What became of each, in id order.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(report: &reveille::panic::StopReport) {
    /// for (cpu, fate) in report.fates() {
    ///     println!("cpu {cpu}: {fate:?}");
    /// }
    /// # }
    /// ```
    pub fn fates(&self) -> impl Iterator<Item = (CpuId, Fate)> {
        area::areas().iter().map(|area| (area.id, Fate::of(area)))
    }

    /// The CPUs that may still be running, beside the one that asks.
    ///
    /// ```no_run
    /// # fn example(report: &reveille::panic::StopReport) {
    /// assert!(report.left().is_empty(), "somebody still runs");
    /// # }
    /// ```
    pub fn left(&self) -> CpuSet {
        area::areas()
            .iter()
            .filter(|area| matches!(Fate::of(area), Fate::NotStopped(_)))
            .map(|area| area.id)
            .collect()
    }

    /// Whether no other CPU is running.
    ///
    /// ```no_run
    /// use reveille::power;
    ///
    /// # fn example(report: &reveille::panic::StopReport) {
    /// if !report.is_complete() {
    ///     // What another CPU still uses cannot be taken away from it.
    ///     power::reset();
    /// }
    /// # }
    /// ```
    pub fn is_complete(&self) -> bool {
        self.left().is_empty()
    }

    /// How long it took, from the gate to the last CPU that parked or the last deadline.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(report: &reveille::panic::StopReport) {
    /// println!("{} us", report.elapsed().as_micros());
    /// # }
    /// ```
    pub fn elapsed(&self) -> Duration {
        to_duration(self.elapsed)
    }
}

impl fmt::Display for StopReport {
    /// The sums: `4 CPUs: 3 parked, 0 not stopped, 0 not running, after 12 us`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut parked, mut left, mut absent) = (0, 0, 0);
        for (_, fate) in self.fates() {
            match fate {
                Fate::Stopper => {}
                Fate::NotRunning => absent += 1,
                Fate::NotStopped(_) => left += 1,
                _ => parked += 1,
            }
        }
        write!(
            f,
            "{} CPUs: {parked} parked, {left} not stopped, {absent} not running, after {} us",
            area::areas().len(),
            micros(self.elapsed())
        )
    }
}
