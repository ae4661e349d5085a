//! How a CPU leaves.

use super::holds::{self, Hold, from_code};
use super::{HotplugError, callbacks};
use crate::bringup::arrival;
use crate::cpu::area::{self, Area};
use crate::cpu::lifecycle::Lifecycle;
use crate::cpu::{self, CpuSet};
use crate::irq;
use crate::stop::{Round, StopError};
use crate::time::{Deadline, Instant};
use crate::{call, gic, time};
use reveille_protocol::Job;

/// Reason of a refusal: the gathering was called off.
const TIMED_OUT: u16 = 0x100;
/// Reason of a refusal: the rendezvous was taken.
const BUSY: u16 = 0x101;

/// What the number of a refusal means to the requester.
pub(super) fn error(why: u16, deadline: Deadline) -> HotplugError {
    match why {
        // Only the CPU that tried knew which.
        TIMED_OUT => HotplugError::TimedOut(CpuSet::EMPTY),
        BUSY if deadline.has_passed() => HotplugError::TimedOut(CpuSet::EMPTY),
        BUSY => HotplugError::Busy,
        why => HotplugError::Held(from_code(why)),
    }
}

/// Why a CPU stays.
enum Refused {
    Late(CpuSet),
    Held(Hold),
    Busy,
}

impl From<StopError> for Refused {
    fn from(error: StopError) -> Self {
        match error {
            StopError::TimedOut(missing) => Self::Late(missing),
            _ => Self::Busy,
        }
    }
}

/// An offline point: leaves if this CPU was asked to, and holds nothing. In thread context, interrupts open.
pub(crate) fn check(area: &'static Area) {
    if !area.leave.is_asked() || holds::of(area).is_some() {
        return;
    }
    let Some(leaving) = area.leave.accept() else { return };
    let deadline = Deadline::at(Instant::from_ticks(leaving.deadline()));
    let mut leaving = Some(leaving);
    // The requester has the lifecycle lock, and keeps it until this CPU is gone.
    let refused = try_leave(area, deadline, || {
        if let Some(leaving) = leaving.take() {
            leaving.left();
        }
    });
    if let Some(leaving) = leaving {
        leaving.stayed(match refused {
            Refused::Late(_) => TIMED_OUT,
            Refused::Held(hold) => hold as u16,
            Refused::Busy => BUSY,
        });
    }
}

/// The calling CPU leaves; returns only on an error.
pub(super) fn now(lock: Lifecycle, deadline: Deadline) -> Result<(), HotplugError> {
    let area = area::current();
    if let Some(hold) = holds::of(area) {
        return Err(HotplugError::Held(hold));
    }
    let mut lock = Some(lock);
    let refused = try_leave(area, deadline, || {
        if let Some(lock) = lock.take() {
            lock.keep_to_the_end();
        }
    });
    Err(match refused {
        Refused::Late(missing) => HotplugError::TimedOut(missing),
        Refused::Held(hold) => HotplugError::Held(hold),
        Refused::Busy => HotplugError::Busy,
    })
}

/// Leaves, or says why not; `gone` is called once there is no way back.
fn try_leave(area: &'static Area, deadline: Deadline, gone: impl FnOnce()) -> Refused {
    if !area.launch.close() {
        return Refused::Held(Hold::Closure);
    }
    callbacks::offline_all(area.id);
    let generation = area.slot.0.read().generation;
    let others = cpu::online().without(area.id);
    let mut kept = call::Kept::NONE;
    // Everyone else masks first. While this CPU still takes interrupts nobody can be between looking whether it is there
    // and telling it something; and then it masks too.
    let left = Round::begin(&others, Job::Initiator, deadline).and_then(|mut round| {
        round.run_masked(
            || {
                // Nobody else writes the slot of a CPU that is online.
                let _ = area.slot.0.begin_leave(generation);
                kept = call::close(area);
            },
            false,
        )
    });
    let _masked = match left {
        Ok(masked) => masked,
        Err(error) => {
            area.launch.open();
            if callbacks::online_all(area.id).is_err() {
                log::error!("cpu {}: an online callback failed after the CPU could not leave", area.id);
            }
            return error.into();
        }
    };
    gone();
    // With the others live: what was accepted may wait for who sent it.
    call::run_kept(area, kept);
    time::quiet_cpu();
    irq::move_away(area.id);
    gic::quiet_cpu();
    arrival::depart(area, generation)
}
