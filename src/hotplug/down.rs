//! Taking a CPU down: asking it to leave, and waiting until it has.

use super::asking;
use super::error::{HotplugError, error};
use crate::arch;
use crate::clock::Deadline;
use crate::gic::{self, WAKE};
use crate::holds::{Hold, Holds};
use crate::lifecycle::{Denied, Lifecycle, kept_by, requests};
use crate::note::note;
use crate::percpu::CpuId;
use crate::percpu::area::{self, Area, Part as _};
use crate::{gate, patch, percpu, stop};
use core::time::Duration;
use reveille_protocol::{Progress, State};

/// How the calling CPU leaves. Implemented once, for [`Machine`], at the top of the house, where all are known that have a part in it.
pub(crate) trait Leave {
    /// An offline point of the CPU of `own`: leaves if it was asked to, and holds nothing.
    fn offline_point(own: &'static Area);

    /// The CPU of `own` leaves; returns only if it cannot, and why.
    fn leave(own: &'static Area, lock: Lifecycle, deadline: Deadline) -> HotplugError;
}

/// What [`Leave`] is implemented for.
pub(crate) struct Machine;

/// An application that said no is asked again after this time.
const ASK_AGAIN: Duration = Duration::from_millis(1);

/// Takes `cpu` down: it leaves, and is turned off, or waits in the pen where firmware cannot turn it off.
///
/// From any CPU, of any other, and of the calling CPU itself: then this returns only on an error. `Ok` means that every
/// call ever sent to it has run or was refused. Its shared interrupts go to another CPU; the [`register`](crate::hotplug::register)ed
/// callbacks have run on it.
///
/// It leaves when it comes to [`cpu::idle`](crate::cpu::idle()) or [`cpu::offline_point`](crate::cpu::offline_point) and holds nothing: no [`Pin`](crate::hotplug::Pin), no
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
/// Before it is asked, the application is, there: [`register_callbacks`](crate::hotplug::register_callbacks).
///
/// A CPU that takes itself down is told what it holds, instead of waiting until it lets go; for timers that are due within a
/// second it waits, as above. A [context](crate::context) of the application's that takes down the CPU on which it is waits until it is moved to
/// another one: it is what keeps that CPU ([`Hold::Context`]).
///
/// # Errors
///
/// A [`HotplugError`]. But for `StillDying` nothing has changed then.
///
/// # Examples
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::{bringup, hotplug, println, time::Deadline};
///
/// # fn example(cpu: reveille::cpu::CpuId) {
/// let in_time = || Deadline::after(Duration::from_millis(100));
/// match hotplug::cpu_down(cpu, in_time()) {
///     // It is off, or in the pen, and can come back.
///     Ok(()) => println!("{:?}", bringup::cpu_up(cpu, in_time())),
///     // It is online as before.
///     Err(error) => println!("cpu {cpu} stays: {error}"),
/// }
/// # }
/// ```
pub fn cpu_down(cpu: CpuId, deadline: impl Into<Deadline>) -> Result<(), HotplugError> {
    note!(DOWN, cpu.index() as u64);
    let result = down(cpu, deadline.into());
    note!(DOWN_END, 0);
    result
}

#[inline(always)]
fn down(cpu: CpuId, deadline: Deadline) -> Result<(), HotplugError> {
    let target = area::of(cpu);
    // What may be moved to another CPU keeps the one on which it is.
    if area::here(|own| own.id == cpu && !Holds::of(own).is_away()) {
        return leave_self(target, deadline);
    }
    // Beyond the deadline, for a CPU that has agreed to leave.
    let limit = Deadline::at(deadline.instant() + stop::patience());
    let mut held = None;
    loop {
        let lock = Lifecycle::lock(deadline).map_err(|denied| without_lock(denied, held))?;
        may_go(target)?;
        let ask_target = || {
            // A context that is there itself keeps the CPU until it is moved.
            let is_here = area::threads_move() && cpu == percpu::current();
            if is_here { Err(HotplugError::Held(Hold::Context)) } else { ask(target, deadline, limit) }
        };
        match asking::ask(target, deadline, held, &lock).and_then(|()| ask_target()) {
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
        // The application was asked just now.
        let again = Deadline::after(ASK_AGAIN).min(deadline);
        while matches!(held, Some(Hold::Application(_))) && !again.has_passed() {
            pause();
        }
    }
}

/// The same for the calling CPU.
fn leave_self(own: &'static Area, deadline: Deadline) -> Result<(), HotplugError> {
    let mut held = None;
    // Whoever has the lock may wait for this very CPU to leave. It may as well; and if it cannot, because it holds what only
    // its thread lets go of, it does so sooner by not waiting here.
    let lock = Lifecycle::lock_with(deadline, |own| {
        <Machine as Leave>::offline_point(own);
        held = kept_by(own).filter(|hold| requests(own).is_asked() && *hold != Hold::Timer);
        held.is_none()
    });
    let lock = lock.map_err(|denied| without_lock(denied, held))?;
    may_go(own)?;
    asking::ask_self(own, &lock)?;
    Err(<Machine as Leave>::leave(own, lock, deadline))
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
    if !area::is_online(target) {
        return Err(HotplugError::NotOnline);
    }
    // Most often the first that is looked at.
    let is_other = |area: &Area| area.id != target.id && area::is_online(area);
    if area::areas().iter().any(is_other) { Ok(()) } else { Err(HotplugError::LastCpu) }
}

/// Waits for the end of a CPU that leaves.
fn await_gone(target: &Area, limit: Deadline, lock: &Lifecycle) -> Result<(), HotplugError> {
    while matches!(area::slot(target).read().state, State::Online | State::Dying) {
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
    let Ok(asking) = requests(target).ask(deadline.instant().ticks()) else {
        return Err(HotplugError::Held(Hold::Callback));
    };
    gic::interrupt(WAKE, target);
    loop {
        match asking.poll() {
            Progress::Asked if deadline.has_passed() || Holds::of(target).is_for_ever() => {
                if asking.withdraw().is_ok() {
                    return Err(HotplugError::Held(kept_by(target).unwrap_or(Hold::NotIdle)));
                }
            }
            Progress::Accepted if limit.has_passed() => {
                return match asking.abandon() {
                    Progress::Left => Ok(()),
                    Progress::Stayed(why) => Err(error(why, deadline)),
                    // The gathering has a deadline of its own, so it did not even come to that.
                    _ => Err(HotplugError::Held(Hold::Callback)),
                };
            }
            Progress::Left => return Ok(()),
            Progress::Stayed(why) => return Err(error(why, deadline)),
            Progress::Withdrawn => return Err(HotplugError::Held(Hold::NotIdle)),
            Progress::Asked | Progress::Accepted => {}
        }
        pause();
    }
}

fn pause() {
    gate::poll();
    arch::yield_now();
}
