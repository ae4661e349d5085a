//! Hotplug: taking CPUs out and bringing them back.
//!
//! A CPU is never taken down; it leaves, from its own thread context, at a point where it holds nothing. In a round of
//! stop-machine in which it masks last, it closes its call queue and goes out of the set of online CPUs at one stroke,
//! so that whatever was sent to it either was accepted, and then it runs it before it goes, or is refused. The field
//! report is a kernel mail of 2014.
//!
//! Bringing a CPU (back) up is [`cpu_up`](crate::bringup::cpu_up).

mod callbacks;
mod holds;
mod leave;

pub(crate) use callbacks::online_all;
pub use callbacks::{RegisterError, register};
pub(crate) use holds::Holds;
pub use holds::{Hold, Pin, pin};
pub(crate) use leave::{check, decline, is_due};

use crate::cpu::area::{self, Area};
use crate::cpu::lifecycle::{Denied, Lifecycle};
use crate::cpu::{self, CpuId, CpuSet};
use crate::irq::Sgi;
use crate::time::Deadline;
use crate::{arch, gic, panic, patch, stop};
use core::fmt;
use reveille_protocol::{Progress, State};

/// Why a CPU did not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HotplugError {
    /// It is the last one online.
    LastCpu,
    /// It is not online.
    NotOnline,
    /// It holds something, or does something, that it did not let go of before the deadline. Nothing has changed.
    Held(Hold),
    /// These CPUs did not come to the gathering in which it would have left. Nothing has changed.
    TimedOut(CpuSet),
    /// Another CPU was starting, stopping or gathering CPUs until the deadline.
    Busy,
    /// The caller has interrupts masked, or is an interrupt handler or a callback, an [`offline`](register) one included.
    WouldDeadlock,
    /// It has left the system and takes no more calls, but is not off yet: it still runs calls that it had accepted.
    StillDying,
}

impl fmt::Display for HotplugError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LastCpu => f.write_str("the last online CPU cannot leave"),
            Self::NotOnline => f.write_str("the CPU is not online"),
            Self::Held(hold) => write!(f, "the CPU cannot leave: {hold}"),
            Self::TimedOut(missing) => write!(f, "cpus {missing} did not come in time"),
            Self::Busy => f.write_str("another CPU was starting or stopping CPUs for too long"),
            Self::WouldDeadlock => f.write_str("hotplug with interrupts masked or in interrupt context"),
            Self::StillDying => f.write_str("the CPU has left, but still runs calls that it had accepted"),
        }
    }
}

/// Takes `cpu` down: it leaves, and is turned off, or waits in the pen where firmware cannot turn it off.
///
/// From any CPU, of any other, and of the calling CPU itself: then this returns only on an error. `Ok` means that every
/// call ever sent to it has run or was refused. Its shared interrupts go to another CPU; the [`register`]ed
/// callbacks have run on it.
///
/// It leaves when it comes to [`cpu::idle`] or [`cpu::offline_point`] and holds nothing: no [`Pin`], no
/// [`Mutex`](crate::sync::Mutex), no launched closure, no timer, not `main`. It has until `deadline` for that, and for its
/// callbacks and what it still has to run another ten seconds (bootarg `stop_wait_ms`). The frames of what it runs are
/// given up: a secondary function of the application's has to have agreed to that, by [`entry!`](crate::entry), and else the
/// answer is [`Hold::Frames`], at once.
///
/// Timers that are due within a second do not keep it from trying: it runs its `offline` callbacks, and then waits for those
/// timers, interrupts open. A timer that is set again and again leaves no other moment, and such a callback is what ends
/// it. If some still run after a second, or at the deadline, the callbacks' work is undone, by those for `online`; the CPU goes
/// on for a moment, and is asked again while there is time.
///
/// A CPU that takes itself down is told what it holds, instead of waiting until it lets go; for timers that are due within a
/// second it waits, as above.
///
/// # Errors
///
/// A [`HotplugError`]. But for `StillDying` nothing has changed then.
pub fn cpu_down(cpu: CpuId, deadline: impl Into<Deadline>) -> Result<(), HotplugError> {
    let deadline = deadline.into();
    let target = area::of(cpu);
    if cpu == cpu::current() {
        return leave_self(target, deadline);
    }
    // Beyond the deadline, for a CPU that has agreed to leave.
    let limit = Deadline::at(deadline.instant() + stop::patience());
    let mut held = None;
    loop {
        let lock = Lifecycle::lock(deadline).map_err(|denied| without_lock(denied, held))?;
        may_go(target)?;
        match ask(target, deadline, limit) {
            Ok(()) => return await_gone(target, limit, &lock),
            // It had something at that moment; there is time for it to let go.
            Err(HotplugError::Held(hold)) if hold != Hold::Frames && !deadline.has_passed() => {
                held = Some(hold)
            }
            Err(error) => return Err(error),
        }
        // If it waits for the lock, that is its turn.
        drop(lock);
        pause();
    }
}

/// The same for the calling CPU.
fn leave_self(own: &'static Area, deadline: Deadline) -> Result<(), HotplugError> {
    let mut held = None;
    // Whoever has the lock may wait for this very CPU to leave. It may as well; and if it cannot, because it holds what only
    // its thread lets go of, it does so sooner by not waiting here.
    let lock = Lifecycle::lock_with(deadline, || {
        check(own);
        held = holds::of(own).filter(|hold| own.leave.is_asked() && *hold != Hold::Timer);
        held.is_none()
    });
    let lock = lock.map_err(|denied| without_lock(denied, held))?;
    may_go(own)?;
    leave::now(lock, deadline)
}

/// The lock was not to be had. What the CPU held meanwhile says more than that others had it until the deadline.
fn without_lock(denied: Denied, held: Option<Hold>) -> HotplugError {
    match denied {
        Denied::Context => HotplugError::WouldDeadlock,
        Denied::Busy => held.map_or(HotplugError::Busy, HotplugError::Held),
    }
}

/// Whether the CPU of `target` can be spared. Under the lock.
fn may_go(target: &Area) -> Result<(), HotplugError> {
    if !target.is_online() {
        return Err(HotplugError::NotOnline);
    }
    if cpu::online().len() == 1 {
        return Err(HotplugError::LastCpu);
    }
    Ok(())
}

/// Waits for the end of a CPU that leaves.
fn await_gone(target: &Area, limit: Deadline, lock: &Lifecycle) -> Result<(), HotplugError> {
    while matches!(target.slot.0.read().state, State::Online | State::Dying) {
        if limit.has_passed() {
            return Err(HotplugError::StillDying);
        }
        pause();
    }
    // Whoever is left may be alone now.
    patch::settle(lock);
    Ok(())
}

/// Asks the CPU of `target` to leave by `deadline`. `Ok`: it does.
fn ask(target: &'static Area, deadline: Deadline, limit: Deadline) -> Result<(), HotplugError> {
    // The last one who had the right has given up, and what it asked for is still under way.
    let Ok(asking) = target.leave.ask(deadline.instant().ticks()) else {
        return Err(HotplugError::Held(Hold::Callback));
    };
    gic::interrupt(Sgi::Wake, target);
    loop {
        match asking.poll() {
            Progress::Asked if deadline.has_passed() || target.holds.is_for_ever() => {
                if asking.withdraw().is_ok() {
                    return Err(HotplugError::Held(holds::of(target).unwrap_or(Hold::NotIdle)));
                }
            }
            Progress::Accepted if limit.has_passed() => {
                return match asking.abandon() {
                    Progress::Left => Ok(()),
                    Progress::Stayed(why) => Err(leave::error(why, deadline)),
                    // The gathering has a deadline of its own, so it did not even come to that.
                    _ => Err(HotplugError::Held(Hold::Callback)),
                };
            }
            Progress::Left => return Ok(()),
            Progress::Stayed(why) => return Err(leave::error(why, deadline)),
            Progress::Withdrawn => return Err(HotplugError::Held(Hold::NotIdle)),
            Progress::Asked | Progress::Accepted => {}
        }
        pause();
    }
}

fn pause() {
    panic::poll_gate();
    arch::yield_now();
}
