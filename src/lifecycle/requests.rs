//! How a CPU is asked to leave, and what keeps it.

use crate::arch::{Hw, HwWord};
use crate::holds::{Hold, Holds};
use crate::percpu::area::{Area, Part};
use crate::{launch, time};
use core::time::Duration;
use reveille_protocol::LeaveRequest;

/// How one CPU is asked to leave. Its words lie on one line.
#[repr(align(16))]
pub(crate) struct Requests(LeaveRequest<Hw>);

impl Requests {
    /// Of a CPU that nobody has asked.
    pub(crate) const fn new() -> Self {
        Self(LeaveRequest::from_parts(
            HwWord::with(LeaveRequest::<Hw>::IDLE),
            HwWord::with(LeaveRequest::<Hw>::IDLE),
        ))
    }
}

/// What the CPU of `area` is asked by.
#[inline(always)]
pub(crate) fn requests(area: &Area) -> &LeaveRequest<Hw> {
    &Requests::of(area).0
}

/// Whether this CPU would try to leave at an offline point. For idle, before it waits.
#[inline(always)]
pub(crate) fn is_due(area: &'static Area) -> bool {
    requests(area).is_asked() && would_leave(area)
}

#[cold]
#[inline(never)]
fn would_leave(area: &'static Area) -> bool {
    !Holds::of(area).is_leaving() && before_callbacks(area).is_none()
}

/// For a CPU that waits for the right to start, stop or gather CPUs, and cannot leave meanwhile: if it was asked to, it says
/// so at once, and whoever asked lets it have that right first. Otherwise the two would wait for each other until their
/// deadlines.
pub(crate) fn decline(area: &'static Area) {
    if requests(area).is_asked()
        && let Some(leaving) = requests(area).accept()
    {
        leaving.stayed(kept_by(area).unwrap_or(Hold::Waiting).code());
    }
}

/// What keeps the CPU of `area`. Certain on that CPU in thread context; from elsewhere good for a report.
pub(crate) fn kept_by(area: &Area) -> Option<Hold> {
    of_thread(area).or_else(|| time::are_running(area).then_some(Hold::Timer))
}

/// Timers that are due so soon do not keep a CPU from agreeing to leave. It runs its offline callbacks, which may end what sets
/// them again and again, and waits so long at most for what is left of them.
pub(crate) const TIMERS: Duration = Duration::from_secs(1);

/// What keeps the CPU of `area`, which is the calling one, in thread context, from agreeing to leave.
pub(crate) fn before_callbacks(area: &Area) -> Option<Hold> {
    of_thread(area).or_else(|| time::run_beyond(area, TIMERS).then_some(Hold::Timer))
}

/// All but the timers.
fn of_thread(area: &Area) -> Option<Hold> {
    Holds::of(area).any(|| launch::is_in_use(area))
}
