//! Stopping every other CPU, and saying what became of each.

use super::{GATE, ParkedBy, is_stopper, me, park_here};
use crate::arch::{self, regs};
use crate::call;
use crate::cpu::area::{self, Area};
use crate::cpu::{CpuId, CpuSet};
use crate::gic::{self, NmiReach, SgiBatch};
use crate::irq::{self, Sgi};
use crate::time::{Deadline, Instant, to_duration, to_ticks};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille_machine::BootArgs;
use reveille_protocol::{Entry, State};

/// Milliseconds that CPUs have to stop which take interrupts; bootarg `stop_ms`.
static SGI_MS: AtomicU64 = AtomicU64::new(1000);
/// Milliseconds, after that, for CPUs that have masked them; bootarg `nmi_ms`.
static NMI_MS: AtomicU64 = AtomicU64::new(100);
/// How long the last stop took, ticks.
static TICKS: AtomicU64 = AtomicU64::new(0);

/// Reads the bootargs.
pub(super) fn init(args: BootArgs<'_>) {
    REMIND_TICKS.store(to_ticks(REMIND), Ordering::Relaxed);
    for (name, limit) in [("stop_ms", &SGI_MS), ("nmi_ms", &NMI_MS)] {
        match args.number(name) {
            Ok(Some(ms)) => limit.store(ms, Ordering::Relaxed),
            Ok(None) => {}
            Err(value) => log::error!(
                "bootargs: {name}={value}: not a number of milliseconds; it stays {}",
                limit.load(Ordering::Relaxed)
            ),
        }
    }
}

/// The time for CPUs that take interrupts.
pub(super) fn sgi_time() -> Deadline {
    Deadline::after(Duration::from_millis(SGI_MS.load(Ordering::Relaxed)))
}

/// The time for an NMI-class interrupt to be taken.
pub(crate) fn nmi_time() -> Duration {
    Duration::from_millis(NMI_MS.load(Ordering::Relaxed))
}

/// Whether the CPU of `area` may be running code of the image.
#[inline(always)]
fn is_running(area: &Area) -> bool {
    !area.parked.is_set() && area.slot.0.read().state.is_live()
}

/// Whether this CPU has stopped the others, and none of them runs any more that ever came online: nothing that it does together with
/// one of them goes on. One that never came, and hangs, has no part in anything.
#[cold]
#[inline(never)]
pub(crate) fn is_alone() -> bool {
    let runs = |area: &Area| {
        !area.parked.is_set() && matches!(area.slot.0.read().state, State::Online | State::Dying)
    };
    is_stopper() && !area::areas().iter().any(|area| area.mpidr != regs::affinity() && runs(area))
}

/// Whether another CPU may be running code of the image.
fn others_run() -> bool {
    area::areas().iter().any(|area| area.mpidr != regs::affinity() && is_running(area))
}

/// Closes what may be sent to the CPU of `area`, which is parked.
///
/// Its mark, whose Release `is_set` has seen, was its last word: it takes nothing from its queues and its launch slot any more,
/// and opens none, so they may be closed for it. Who waits for it there is parked too, or that is a panic of this CPU.
#[inline]
fn condemn(area: &'static Area) {
    area.launch.condemn();
    call::condemn(area);
}

/// The same for all CPUs that are parked.
pub(super) fn condemn_parked() {
    area::areas().iter().filter(|area| area.parked.is_set()).for_each(condemn);
}

/// At least this often who does not answer is sent another SGI: the first may have been lost.
const REMIND: Duration = Duration::from_millis(10);
/// The same in ticks, once these are known.
static REMIND_TICKS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Sends an SGI again, from time to time.
pub(crate) struct Reminder {
    sgi: Sgi,
    /// Ticks.
    every: u64,
    next: u64,
}

impl Reminder {
    /// For an SGI that is sent now, and is waited for until `limit`: it is sent again before a tenth of that time is over.
    pub(crate) fn new(sgi: Sgi, limit: Deadline) -> Self {
        let now = Instant::now().ticks();
        let left = limit.instant().ticks().saturating_sub(now);
        let every = REMIND_TICKS.load(Ordering::Relaxed).min(left / 10);
        Self { sgi, every, next: now.saturating_add(every) }
    }

    /// Interrupts those of `left` again, if it is time.
    pub(crate) fn look(&mut self, left: impl FnOnce() -> CpuSet) {
        let now = Instant::now().ticks();
        if now >= self.next {
            self.next = now.saturating_add(self.every);
            gic::send_sgi_set(self.sgi, &left());
        }
    }
}

/// Stops every other CPU. The caller has the gate: from the moment it took it nobody comes online any more.
///
/// The order of looking is that of `Slot::go_online`'s proof: first the gate, with its fence, then the slots.
///
/// With `close` what may be sent to a CPU that has parked, or is gone, is closed.
pub(super) fn stop_all(limit: Deadline, nmi: Duration, close: bool) {
    #[cfg(feature = "fault-injection")]
    crate::fault::about_to_stop();
    let own = regs::affinity();
    let start = Instant::now();
    let mut left = CpuSet::EMPTY;
    {
        let mut batch = SgiBatch::new(Sgi::Stop);
        for area in area::areas() {
            // A start that has not arrived is called off; one that has is `Alive`, and stopped like any other.
            let state = area.slot.0.revoke_if_kicked().state;
            if state.is_live() && area.mpidr != own {
                if !area.parked.is_set() {
                    left.insert(area.id);
                    batch.add(area);
                } else if close {
                    condemn(area);
                }
            }
        }
    }
    await_parked(&mut left, Sgi::Stop, limit, close);
    if !left.is_empty() {
        gic::send_sgi_set(Sgi::Nmi, &left);
        await_parked(&mut left, Sgi::Nmi, Deadline::after(nmi), close);
    }
    TICKS.store(Instant::now().ticks().saturating_sub(start.ticks()), Ordering::Relaxed);
}

/// Stops every other CPU, where [`stop_all`] has failed: one after the other, with as little as possible that may fail too.
pub(super) fn stop_bare() {
    for (sgi, limit) in [(Sgi::Stop, sgi_time()), (Sgi::Nmi, Deadline::after(nmi_time()))] {
        let mut left = CpuSet::EMPTY;
        for area in area::areas().iter().filter(|area| area.mpidr != regs::affinity()) {
            area.slot.0.revoke_if_kicked();
            if is_running(area) {
                left.insert(area.id);
                gic::send_sgi(sgi, area.id);
            }
        }
        await_parked(&mut left, sgi, limit, false);
    }
}

/// Waits until none of `left`, which were sent `sgi`, runs any more or the time is up; leaves in it those that may. One that was
/// leaving the system may be `Gone` instead of parked.
fn await_parked(left: &mut CpuSet, sgi: Sgi, limit: Deadline, close: bool) {
    let mut reminder = Reminder::new(sgi, limit);
    // A CPU that waits in WFE looks at the gate.
    arch::sev();
    loop {
        for cpu in left.iter() {
            let area = area::of(cpu);
            if !is_running(area) {
                left.remove(cpu);
                if close {
                    condemn(area);
                }
            }
        }
        if left.is_empty() || limit.has_passed() {
            return;
        }
        reminder.look(|| *left);
        // Not WFE: on a CPU that was restarted under the runtime the event stream is off, and nothing would end it.
        arch::yield_now();
    }
}

/// Why a CPU may not have stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// Interrupts are masked by `DAIF`, as the bootarg `reveille.mask=daif` wants it, and the machine has no FEAT_NMI.
    MaskedByBootarg,
    /// It runs code that masks `DAIF` itself, and the machine has no FEAT_NMI; or it hangs.
    MaskedByDaif,
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
            Self::Unresponsive => "it does not answer, not even to an interrupt with superpriority",
            Self::Wedged => "it does not answer; it never came online",
            Self::NoController => "there is no interrupt controller to reach it by",
        })
    }
}

/// What became of a CPU when the machine was stopped.
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
        if let Some(how) = area.parked.how() {
            return match how {
                ParkedBy::Sgi => Self::Interrupted,
                ParkedBy::Nmi => Self::NonMaskable,
                ParkedBy::OwnPanic => Self::Panicked,
                ParkedBy::Gate => Self::Noticed,
                ParkedBy::Wedged => Self::Late,
            };
        }
        let state = area.slot.0.read().state;
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
            (_, NmiReach::Unmasked) => Obstacle::MaskedByBootarg,
        })
    }

    /// Whether the CPU parked.
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
#[derive(Clone, Copy, Debug)]
pub struct StopReport {
    elapsed: Duration,
}

impl StopReport {
    pub(super) fn now() -> Self {
        Self { elapsed: to_duration(TICKS.load(Ordering::Relaxed)) }
    }

    /// What became of `cpu`.
    pub fn fate(&self, cpu: CpuId) -> Fate {
        Fate::of(area::of(cpu))
    }

    /// What became of each, in id order.
    pub fn fates(&self) -> impl Iterator<Item = (CpuId, Fate)> {
        area::areas().iter().map(|area| (area.id, Fate::of(area)))
    }

    /// The CPUs that may still be running, beside the one that asks.
    pub fn left(&self) -> CpuSet {
        area::areas()
            .iter()
            .filter(|area| matches!(Fate::of(area), Fate::NotStopped(_)))
            .map(|area| area.id)
            .collect()
    }

    /// Whether no other CPU is running.
    pub fn is_complete(&self) -> bool {
        self.left().is_empty()
    }

    /// How long it took, from the gate to the last CPU that parked or the last deadline.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
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
            self.elapsed.as_micros()
        )
    }
}

/// Stops every other CPU for good, without a panic: afterwards this one has the machine to itself.
///
/// CPUs that take interrupts have until `deadline`; then those that have masked them get an NMI-class interrupt and
/// another 100 ms (bootarg `nmi_ms`). There is no way back: the others are parked and can only be reset.
///
/// May be called from anywhere; interrupts stay as they are. A panic of this CPU afterwards is reported as usual. If
/// another CPU has begun to stop the machine, this one is stopped like all others, and the call does not return. Called
/// again it tries again with those that are left, and says what there is to say now.
///
/// A parked CPU is not online any more. Calls, posts and closures for it are refused; it cannot be started
/// ([`Verdict::Parked`](crate::bringup::Verdict::Parked)); what it had accepted and not begun never runs. What it held, it holds
/// for ever: a [`SpinLock`](crate::sync::SpinLock) or [`Mutex`](crate::sync::Mutex) for which
/// this CPU then waits is a panic, and so is a synchronous call that it waits for. A lock that a parked CPU only waited for is free.
/// The console is not affected: this CPU prints past its lock from now on.
///
/// What the others were in the middle of together with this CPU ends without them. A stop-machine that one of them has begun
/// is called off, one that this CPU has begun is done by it alone; a CPU that was about to leave stays, as the last one. Shared
/// interrupts that went to a CPU that is parked still do: [`irq::set_affinity`] brings them here.
pub fn stop_others(deadline: impl Into<Deadline>) -> StopReport {
    let deadline = deadline.into();
    let _masked = irq::mask();
    match GATE.stop_begin(me()) {
        Entry::Other => park_here(ParkedBy::Gate),
        Entry::Reporter => stop_all(deadline, nmi_time(), true),
        Entry::Nested(_) => {
            if others_run() {
                stop_all(deadline, nmi_time(), true);
            }
            // Those that have parked since, too late for the last time.
            condemn_parked();
        }
    }
    StopReport::now()
}
