//! How a CPU leaves.

use super::holds::{self, Hold, from_code};
use super::{HotplugError, callbacks};
use crate::bringup::arrival;
use crate::cpu::area::{self, Area};
use crate::cpu::lifecycle::{self, Lifecycle};
use crate::cpu::{self, CpuSet};
use crate::stop::{Round, StopError};
use crate::sync::SpinLock;
use crate::time::{Deadline, Instant};
use crate::{arch, call, irq, panic};
use reveille_protocol::{Job, Leaving};

/// Reason of a refusal: the gathering was called off.
const TIMED_OUT: u16 = 0x100;
/// Reason of a refusal: the rendezvous was taken.
const BUSY: u16 = 0x101;
/// Reason of a refusal: there is no other CPU.
const LAST: u16 = 0x102;

/// Who did not come to the last gathering that was called off so. Written before that answer, and read by who gets it: one CPU
/// at a time is asked to leave.
static MISSING: SpinLock<CpuSet> = SpinLock::new(CpuSet::EMPTY);

/// What the number of a refusal means to the requester.
pub(super) fn error(why: u16, deadline: Deadline) -> HotplugError {
    match why {
        TIMED_OUT => HotplugError::TimedOut(*MISSING.lock()),
        BUSY if deadline.has_passed() => HotplugError::TimedOut(CpuSet::EMPTY),
        BUSY => HotplugError::Busy,
        LAST => HotplugError::LastCpu,
        why => HotplugError::Held(from_code(why)),
    }
}

/// Why a CPU stays.
enum Refused {
    Late(CpuSet),
    Held(Hold),
    Busy,
    /// All others have been stopped.
    Last,
}

impl From<StopError> for Refused {
    fn from(error: StopError) -> Self {
        match error {
            StopError::TimedOut(missing) => Self::Late(missing),
            _ => Self::Busy,
        }
    }
}

/// Whether this CPU would try to leave at an offline point. For idle, before it waits.
pub(crate) fn is_due(area: &'static Area) -> bool {
    area.leave.is_asked() && !area.holds.is_leaving() && holds::before_callbacks(area).is_none()
}

/// An offline point: leaves if this CPU was asked to, and holds nothing. In thread context, interrupts open.
pub(crate) fn check(area: &'static Area) {
    if !is_due(area) {
        return;
    }
    let Some(leaving) = area.leave.accept() else { return };
    // If it did, it does no longer once it is gone.
    lifecycle::ceases_to_wait(area);
    let deadline = Deadline::at(Instant::from_ticks(leaving.deadline()));
    let mut leaving = Some(leaving);
    // The requester has the lifecycle lock, and keeps it until this CPU is gone; or it has given up, and then this CPU
    // stays.
    let refused = try_leave(area, deadline, || leaving.take().is_some_and(Leaving::left));
    if let Some(leaving) = leaving {
        leaving.stayed(match refused {
            Refused::Late(missing) => {
                *MISSING.lock() = missing;
                TIMED_OUT
            }
            Refused::Held(hold) => hold as u16,
            Refused::Busy => BUSY,
            Refused::Last => LAST,
        });
    }
}

/// For a CPU that waits for the right to start, stop or gather CPUs, and cannot leave meanwhile: if it was asked to, it says
/// so at once, and whoever asked lets it have that right first. Otherwise the two would wait for each other until their
/// deadlines.
pub(crate) fn decline(area: &'static Area) {
    if area.leave.is_asked()
        && let Some(leaving) = area.leave.accept()
    {
        leaving.stayed(holds::of(area).unwrap_or(Hold::Waiting) as u16);
    }
}

/// The calling CPU leaves; returns only on an error.
pub(super) fn now(lock: Lifecycle, deadline: Deadline) -> Result<(), HotplugError> {
    let area = area::current();
    if let Some(hold) = holds::before_callbacks(area) {
        return Err(HotplugError::Held(hold));
    }
    let mut lock = Some(lock);
    let refused = try_leave(area, deadline, || {
        if let Some(lock) = lock.take() {
            lock.keep_to_the_end();
        }
        true
    });
    Err(match refused {
        Refused::Late(missing) => HotplugError::TimedOut(missing),
        Refused::Held(hold) => HotplugError::Held(hold),
        Refused::Busy => HotplugError::Busy,
        Refused::Last => HotplugError::LastCpu,
    })
}

/// Waits until none of this CPU's timers is running. `false`: by `deadline`, or in a while, some still are.
fn await_timers(area: &'static Area, deadline: Deadline) -> bool {
    let limit = deadline.min(Deadline::after(holds::TIMERS));
    while area.timers.are_running() {
        if limit.has_passed() {
            return false;
        }
        panic::poll_gate();
        arch::yield_now();
    }
    true
}

/// What the callbacks have taken down they set up again: this CPU stays, because it was `refused`.
fn stay(area: &'static Area, refused: Refused) -> Refused {
    let masked = irq::mask();
    if callbacks::online_all(area.id).is_err() {
        log::error!("cpu {}: an online callback failed after the CPU could not leave", area.id);
    }
    drop(masked);
    area.holds.set_leaving(false);
    area.launch.open();
    refused
}

/// Whether no CPU but that of `area`, the calling one, is online. Whoever asks it to leave sees to it that there are others, which may
/// have been stopped since.
fn is_last(area: &Area) -> bool {
    panic::is_stopping() && cpu::online().without(area.id).is_empty()
}

/// Leaves, or says why not. `may_leave` is asked when there is nothing else in the way; if it says so there is no way back.
fn try_leave(area: &'static Area, deadline: Deadline, may_leave: impl FnOnce() -> bool) -> Refused {
    if is_last(area) {
        return Refused::Last;
    }
    if !area.launch.close() {
        return Refused::Held(Hold::Closure);
    }
    area.holds.set_leaving(true);
    callbacks::offline_all(area.id);
    if !await_timers(area, deadline) {
        return stay(area, Refused::Held(Hold::Timer));
    }
    let generation = area.slot.0.read().generation;
    let others = cpu::online().without(area.id);
    let mut kept = call::Kept::NONE;
    let mut refused = None;
    // Everyone else masks first. While this CPU still takes interrupts nobody can be between looking whether it is there
    // and telling it something; and then it masks too.
    let left = Round::begin(&others, Job::Initiator, deadline).and_then(|mut round| {
        round.run_masked(
            || {
                // Callbacks have run since it was last asked, and any of them may have set a timer, or stopped the others.
                refused = match holds::of(area) {
                    Some(hold) => Some(Refused::Held(hold)),
                    None if is_last(area) => Some(Refused::Last),
                    None if !may_leave() => Some(Refused::Busy),
                    None => None,
                };
                if refused.is_none() {
                    // Nobody else writes the slot of a CPU that is online.
                    let _ = area.slot.0.begin_leave(generation);
                    kept = call::close(area);
                }
            },
            false,
        )
    });
    let masked = match (left, refused) {
        (Ok(masked), None) => masked,
        (Ok(masked), refused) => {
            drop(masked);
            return stay(area, refused.unwrap_or(Refused::Busy));
        }
        (Err(error), _) => return stay(area, error.into()),
    };
    // Its next life has nothing to do with that.
    area.holds.set_leaving(false);
    // With the others live: what was accepted may wait for who sent it.
    call::run_kept(area, kept);
    if panic::is_stopper() {
        // What has just run has stopped all others: nobody would be left.
        let stays = area.slot.0.cancel_leave(generation);
        assert!(stays, "a CPU that leaves has become something else");
        call::open(area);
        drop(masked);
        return stay(area, Refused::Last);
    }
    // The last moment at which this CPU can still be stopped like any other.
    panic::poll_gate();
    arrival::quiet(area);
    arrival::depart(area, generation)
}
