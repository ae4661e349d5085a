//! Both sides of a round.

use super::each::EACH;
use super::error::StopError;
use crate::arch::{self, Hw, HwWord, regs};
use crate::clock::{Deadline, Instant, to_duration, to_ticks};
use crate::gic::{REMIND, Reminder, Sgi, SgiBatch};
use crate::note::note;
use crate::percpu::CpuSet;
use crate::percpu::area::{self, Area, Line, Part as _};
use crate::{gate, masking};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille_machine::BootArgs;
use reveille_protocol::{Action, Attendance, Attendant, Ending, Initiator, Job, Mark, Rendezvous};

/// Alone on its line: it goes from CPU to CPU, and what lies beside it would go along.
static RENDEZVOUS: Line<Rendezvous<Hw>> = Line(Rendezvous::from_parts(HwWord::with(Rendezvous::<Hw>::IDLE)));

/// A round of stop-machine has begun.
pub(crate) const GATHER: Sgi = Sgi::new(3);

/// Time that the CPUs have to come to the end of a job for each, if the bootarg `stop_wait_ms` does not say otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
static PATIENCE_TICKS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Reads the bootarg. By the boot CPU, once the counter's frequency is known.
pub(crate) fn init(args: BootArgs<'_>) {
    let patience = args.milliseconds("stop_wait_ms", PATIENCE);
    PATIENCE_TICKS.store(to_ticks(patience), Ordering::Relaxed);
}

/// How long whoever waits for others does so once there is no way back.
pub(crate) fn patience() -> Duration {
    to_duration(PATIENCE_TICKS.load(Ordering::Relaxed))
}

/// When a wait that begins now for what there is no way back from is given up, ticks.
fn end_of_patience() -> u64 {
    Instant::now().ticks().saturating_add(PATIENCE_TICKS.load(Ordering::Relaxed))
}

/// One CPU's part in rounds.
pub(crate) type Part = Attendance<Hw>;

/// Of a CPU that never took part in one.
pub(crate) const fn part() -> Part {
    Part::from_parts(HwWord::with(Mark::<Hw>::NONE), HwWord::with(Part::IDLE))
}

/// Takes part in the round of another CPU, and in any that follows on its heels. In the handler of [`GATHER`], after
/// its end, with `DAIF.I` set.
#[unsafe(link_section = ".never_patch")]
#[inline(never)]
pub(crate) fn participate(area: &'static Area) {
    Part::of(area).attend(&RENDEZVOUS.0, &mut Here { area, limit: 0, since: 0 });
}

/// For so long rounds on each other's heels may keep a CPU from its thread.
const TIRED_AFTER: Duration = Duration::from_millis(1);
/// For so long it is not kept from it then: until it is told again, if not for the first time, of a round that has not come to its job.
const REST: Duration = Duration::from_micros(200);

/// This CPU in the round of another.
struct Here {
    area: &'static Area,
    /// When a wait for who was stopped is given up, ticks; 0: there is none.
    limit: u64,
    /// When the first round began that followed on the heels of another, ticks; 0: there is none.
    since: u64,
}

impl Attendant for Here {
    type Mask = masking::Masked;

    #[inline(always)]
    fn mask(&mut self) -> masking::Masked {
        masking::mask_on(self.area)
    }

    #[inline(always)]
    fn unmask(&mut self, mask: masking::Masked) {
        mask.end_on(self.area);
    }

    #[inline(always)]
    fn open(&mut self) {
        // SAFETY: the interrupt is ended, what the vector saved is on the stack, and one that asks for this again returns.
        unsafe { regs::daif_open() };
    }

    #[inline(always)]
    fn close(&mut self, mask: masking::Masked) {
        regs::daif_close();
        mask.end_closed(self.area);
    }

    #[inline(always)]
    fn run_job(&mut self) {
        // SAFETY: told to.
        unsafe { EACH.run(self.area.id) }
    }

    #[inline(always)]
    fn wait(&mut self) {
        if gate::is_stopping() {
            end_without_the_stopped(&mut self.limit);
        }
        arch::yield_now();
    }

    /// Whatever was changed, this CPU fetches it anew.
    #[inline(always)]
    fn synchronise(&mut self) {
        arch::isb();
    }

    #[cold]
    fn is_tired(&mut self) -> bool {
        let now = Instant::now().ticks();
        if self.since == 0 {
            self.since = now;
            return false;
        }
        now.saturating_sub(self.since) >= to_ticks(TIRED_AFTER)
    }

    #[cold]
    fn rest(&mut self) -> u64 {
        // Never one of the numbers that mean something else.
        Instant::now().ticks().saturating_add(to_ticks(REST)).max(2)
    }

    #[cold]
    fn has_rested(&mut self, until: u64) -> bool {
        let left = until.saturating_sub(Instant::now().ticks());
        // More than there was at first: of a life with another counter.
        left == 0 || left > to_ticks(REST)
    }
}

/// In the wait for a round of another CPU, once somebody stops the machine. If that is another CPU, this one parks. If it is this
/// CPU, the round is over when the others have parked: whoever began it may be one of them.
///
/// # Panics
///
/// If this CPU has stopped the others, and some neither go on nor park until `limit`, ticks, which is set here if it is 0.
#[cold]
#[inline(never)]
#[unsafe(link_section = ".never_patch")]
fn end_without_the_stopped(limit: &mut u64) {
    gate::poll();
    if gate::is_alone() {
        return RENDEZVOUS.0.condemn();
    }
    if gate::is_stopper() {
        if *limit == 0 {
            *limit = end_of_patience();
        }
        assert!(
            Instant::now().ticks() < *limit,
            "stop-machine: this CPU has stopped the others, and some neither park nor go on"
        );
    }
}

/// Why a round did not come to its job.
#[derive(Clone, Copy)]
pub(crate) enum Missed {
    /// Another one was under way until the deadline.
    Busy,
    /// Not all came.
    Absent,
}

impl Missed {
    /// The same for whoever wanted the round; `absent` is what [`gather`] has left there.
    #[cold]
    pub(crate) fn error(self, absent: &CpuSet) -> StopError {
        match self {
            Self::Busy => StopError::Busy,
            Self::Absent => StopError::TimedOut(*absent),
        }
    }
}

/// Gathers all CPUs that are online, and has `job` done when all have come and masked. Interrupts stay masked until what comes back is
/// dropped. The caller has the lifecycle lock, or acts for who has. In thread context, interrupts open.
///
/// `others` is empty, and what is left there after [`Missed::Absent`] are those who did not come. (It lies with the caller because a set
/// is large, and nothing here is to be moved about.)
#[inline(never)]
pub(crate) fn gather(
    others: &mut CpuSet,
    kind: Job,
    deadline: Deadline,
    job: &mut dyn FnMut(),
) -> Result<Option<masking::Masked>, Missed> {
    let mut round = Round::begin(others, kind, deadline).ok_or(Missed::Busy)?;
    match round.run(deadline, job) {
        Some(masked) => Ok(Some(masked)),
        None => {
            let absent = round.absent();
            *others = absent;
            Err(Missed::Absent)
        }
    }
}

/// A round, seen from the CPU that began it.
struct Round<'a> {
    initiator: Initiator<'static, Hw>,
    others: &'a CpuSet,
    own: &'static Area,
}

impl<'a> Round<'a> {
    /// Tells all other CPUs to come that are online. `None`: there is another round until `deadline`.
    #[inline(always)]
    fn begin(others: &'a mut CpuSet, kind: Job, deadline: Deadline) -> Option<Self> {
        let own = area::current();
        let mut limit = 0;
        let initiator = loop {
            // Anew each time: one whose round this waited for may have left in it.
            *others = CpuSet::EMPTY;
            let mut count = 0;
            for area in area::areas() {
                if area::is_online(area) && !core::ptr::eq(area, own) {
                    others.insert(area.id);
                    count += 1;
                }
            }
            match RENDEZVOUS.0.begin(Part::of(own).mark(), count, kind, deadline.instant().ticks()) {
                Ok(initiator) => break initiator,
                Err(_) if deadline.has_passed() => return None,
                // A CPU that was asked to leave gathers the others for who asked, who may have given up and let go of the lock
                // since. Its round ends by itself, and needs this CPU, whose interrupts are open.
                Err(_) => {
                    if gate::is_stopping() {
                        end_without_the_stopped(&mut limit);
                    }
                    arch::wfe();
                }
            }
        };
        let mut batch = SgiBatch::new(GATHER);
        for area in area::areas() {
            if others.contains(area.id) {
                batch.add(area);
            }
        }
        drop(batch);
        Some(Self { initiator, others, own })
    }

    /// Sees the round through: `job` runs once all have come and masked. `None`: the round was called off.
    #[inline(always)]
    fn run(&mut self, deadline: Deadline, job: &mut dyn FnMut()) -> Option<masking::Masked> {
        note!(GATHER, self.others.len() as u64);
        let mut masked = None;
        let mut reminder = Reminder::early(GATHER, deadline);
        let mut ran = false;
        let mut give_up_at = None;
        loop {
            let now = Instant::now().ticks();
            match self.initiator.step(now) {
                Action::Mask => {
                    note!(GATHERED, 0);
                    masked = Some(masking::mask_on(self.own));
                }
                Action::RunJob => {
                    note!(JOB, 0);
                    job();
                    note!(JOB_END, 0);
                    // What the job has changed, this CPU fetches anew too.
                    arch::isb();
                    ran = true;
                }
                Action::Wait => {
                    if gate::is_stopping() && self.is_left_alone() {
                        continue;
                    }
                    reminder.look_at(now, || self.missing());
                    if ran {
                        assert!(
                            now < *give_up_at.get_or_insert_with(end_of_patience),
                            "stop-machine: cpus {} do not go on after the job ({:?})",
                            self.missing(),
                            self.initiator.standing().stage
                        );
                    }
                    arch::yield_now();
                }
                // The others', not the initiator's.
                Action::OpenInterrupts => {}
                Action::Leave(Ending::Aborted) => {
                    note!(GATHER_END, 0);
                    return None;
                }
                Action::Leave(Ending::Done | Ending::Overtaken) => {
                    note!(GATHER_END, 0);
                    return masked;
                }
            }
        }
    }

    /// Once somebody stops the machine: if that is another CPU, this one parks; if it is this one, the round is its alone when the
    /// others have parked, and it goes on. Whether it does.
    #[cold]
    #[inline(never)]
    #[unsafe(link_section = ".never_patch")]
    fn is_left_alone(&mut self) -> bool {
        gate::poll();
        let alone = gate::is_alone();
        if alone {
            self.initiator.go_on_alone();
        }
        alone
    }

    /// The CPUs that the stage waits for; for a moment also one that has just acknowledged.
    #[cold]
    #[inline(never)]
    fn missing(&self) -> CpuSet {
        let standing = self.initiator.standing();
        self.others.iter().filter(|cpu| standing.lacks(Part::of(area::of(*cpu)).mark())).collect()
    }

    /// Who was missing when the round was called off.
    #[cold]
    #[inline(never)]
    fn absent(&self) -> CpuSet {
        let left = usize::from(self.initiator.standing().left);
        // Marks follow acknowledgements within a few instructions of their CPU; but that one may be held up, so this
        // is bounded, and then names it too.
        let until = Deadline::after(REMIND);
        loop {
            let missing = self.missing();
            if missing.len() <= left || until.has_passed() {
                return missing.without(self.own.id);
            }
            arch::yield_now();
        }
    }
}
