//! Who may start CPUs, take them down, or gather them: one CPU at a time, and from where it can wait for others.

use super::requests::decline;
use crate::arch::{self, Hw, HwWord, regs};
use crate::clock::Deadline;
use crate::gic::{self, WAKE};
use crate::holds::Holds;
use crate::percpu::area::{self, Area, Line, Part};
use crate::{gate, masking};
use core::time::Duration;
use reveille_protocol::{Awaited, Holder, LifecycleLock, Snapshot, State, Tenure, Turns};

/// Why the right was not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Never from here: see [`may_wait`].
    Context,
    /// Others had it until the deadline.
    Busy,
}

/// Whether the calling CPU may wait here for other CPUs to come, go or gather: then its thread stays there. Comes with its generation.
///
/// It may in thread context, interrupts open, as a member of the system: not where it could not take part in the round of
/// another CPU (masked, in a handler, in a callback, in the job of a round), not while it comes (an online callback is
/// masked, too) or goes (an offline callback: whoever asked it to leave has the right until it is gone).
fn may_wait() -> Option<(Stays, u32)> {
    masking::open_here(|own| {
        let Snapshot { generation, state, .. } = area::slot(own).read();
        // The right is the CPU's, so no other context of it may ask for it meanwhile.
        let may = state == State::Online && !Holds::of(own).is_leaving();
        may.then(|| (Stays::new(own), generation))
    })
    .flatten()
}

/// No holder is ever `Wedged`, so nobody has to take the lock over from one: to take it a CPU has to be `Online`
/// ([`may_wait`]), and only one that is `Alive` can become `Wedged`. What becomes of a holder that was online: it gives the
/// lock back; it leaves with it, and its slot says so; it is parked, and then whoever stopped it takes over (a CPU parks itself only
/// once it has stopped all others); or it comes out of reset, and that is a panic.
///
/// The two are written one after the other, and so lie on one line, where nothing else is disturbed by that.
static RIGHT: Line<(LifecycleLock<Hw>, Turns<Hw>)> = Line((
    LifecycleLock::from_parts(HwWord::with(LifecycleLock::<Hw>::FREE)),
    Turns::from_parts(HwWord::with(Turns::<Hw>::NOBODY), HwWord::with(Turns::<Hw>::NONE)),
));

/// The lock itself.
fn lock() -> &'static LifecycleLock<Hw> {
    &RIGHT.0.0
}

/// Who had the right last, and how many wait for it: a CPU that asks again and again, perhaps because one of those will not
/// leave before it had its turn, must not keep it from all others.
fn turns() -> &'static Turns<Hw> {
    &RIGHT.0.1
}

/// The CPU of `own`, which is the calling one, leaves, perhaps in the middle of its wait for the right.
pub(crate) fn ceases_to_wait(own: &Area) {
    turns().set_waiting(Holds::of(own).turn(), false);
}

/// How many CPUs wait for the right.
#[cfg(feature = "fault-injection")]
pub(crate) fn waiting() -> u64 {
    turns().waiting()
}

/// The longest that a CPU lets others go first. They are awake, and need a few instructions; but a hypervisor may have taken their CPUs away,
/// and gives them back after some milliseconds each.
const TURN: Duration = Duration::from_millis(50);
/// The least of that, where half of the time that the CPU has is less than [`TURN`]. Not nothing: a CPU that has no time at all would never let
/// anyone go first.
const SHORT_TURN: Duration = Duration::from_millis(1);

/// The slot of `area` as it counts. One that this CPU has stopped has left for good.
#[inline(always)]
pub(crate) fn slot_of(area: &Area) -> Snapshot {
    let slot = area::slot(area).read();
    if gate::is_stopper() && area::parked(area).is_set() {
        Snapshot { state: State::Gone, ..slot }
    } else {
        slot
    }
}

/// The slot of a CPU that has the right.
#[cold]
#[inline(never)]
fn slot(cpu: u32) -> Snapshot {
    let area = &area::areas()[cpu as usize];
    let slot = slot_of(area);
    // It asks for the right, which it does not while it has it: it has kept it to leave, and was left as the last one.
    if gate::is_stopper() && area.mpidr == regs::affinity() {
        Snapshot { state: State::Gone, ..slot }
    } else {
        slot
    }
}

/// The right to change which CPUs there are.
pub(crate) struct Lifecycle(Option<Tenure<'static, Hw>>, #[expect(dead_code, reason = "for its end")] Stays);

/// The thread of this CPU is not preempted while it has the right, or waits for it; nor does one move that is at an offline point.
pub(crate) struct Stays(&'static Area);

impl Stays {
    /// The thread of the CPU of `own`, which is this one, stays there. In [`area::here`], or where it does not move.
    fn new(own: &'static Area) -> Self {
        Holds::of(own).preemption().stay();
        Self(own)
    }

    /// The thread of the CPU of `own`, which it does not leave as it is at home or stays there already, is not preempted either. Nothing without
    /// a scheduler.
    #[inline(always)]
    pub(crate) fn at_home(own: &'static Area) -> Option<Self> {
        area::threads_move().then(|| Self::new(own))
    }

    /// A thread that may be moved stays on the CPU on which it is, whose area it gets. What a CPU runs by itself is never moved, and may still be
    /// preempted. `None`: interrupts are masked.
    #[inline(always)]
    pub(crate) fn unless_home() -> Option<(&'static Area, Option<Self>)> {
        masking::open_here(|own| {
            let may_move = area::threads_move() && Holds::of(own).is_away();
            (own, may_move.then(|| Self::new(own)))
        })
    }
}

impl Drop for Stays {
    fn drop(&mut self) {
        if Holds::of(self.0).preemption().let_go() {
            // A preemption was put off, and comes now; or has come, and the thread was moved.
            area::here(|own| gic::interrupt(WAKE, own));
        }
    }
}

impl Lifecycle {
    /// Waits for the right until `deadline`. Refused at once where the caller may not wait.
    pub(crate) fn lock(deadline: Deadline) -> Result<Self, Denied> {
        Self::lock_with(deadline, |own| {
            decline(own);
            true
        })
    }

    /// The same; `meanwhile` is called between looks, with the area of this CPU, and says whether to go on waiting.
    pub(crate) fn lock_with(
        deadline: Deadline,
        mut meanwhile: impl FnMut(&'static Area) -> bool,
    ) -> Result<Self, Denied> {
        let (stays, generation) = may_wait().ok_or(Denied::Context)?;
        let own = stays.0;
        let me = Holder { cpu: own.id.index() as u32, generation };
        let mut until = None;
        // Those that this CPU has stopped have no turn any more.
        let let_go_first = || Deadline::after(TURN.min(SHORT_TURN.max(deadline.remaining() / 2)));
        let is_over = || gate::is_stopper() || until.get_or_insert_with(let_go_first).has_passed();
        let go_on = |awaited| {
            gate::poll();
            if deadline.has_passed() || !meanwhile(own) {
                return false;
            }
            match awaited {
                Awaited::Others => arch::yield_now(),
                Awaited::Lock => arch::wfe(),
            }
            true
        };
        let turn = Holds::of(own).turn();
        let tenure = turns().take(me.cpu, turn, is_over, go_on, || lock().try_acquire(me, slot).ok());
        tenure.map(|tenure| Self(Some(tenure), stays)).ok_or(Denied::Busy)
    }

    /// For a CPU that leaves: others take the right over once its slot says that it is gone.
    pub(crate) fn keep_to_the_end(mut self) {
        if let Some(tenure) = self.0.take() {
            tenure.keep_to_the_end();
        }
    }
}

impl Drop for Lifecycle {
    fn drop(&mut self) {
        self.0 = None;
        // Partner of the WFE in `lock`: the store is visible first.
        arch::dsb_ishst();
        arch::sev();
    }
}
