//! How a CPU leaves: asked to, or by itself, and its last instructions.
//!
//! It runs its offline callbacks while it is still called like any other; then, in a round in which everyone else masks first, it
//! closes its queues and goes out of the set of online CPUs at one stroke; then it runs what it had accepted, and goes.

use crate::arch::{HwSlot, regs};
use crate::clock::{Deadline, Instant};
use crate::holds::{Hold, Holds};
use crate::hotplug::{self, HotplugError, Leave, Machine};
use crate::launch::Mailbox;
use crate::lifecycle::{
    Lifecycle, Stays, TIMERS, before_callbacks, ceases_to_wait, is_due, kept_by, requests,
};
use crate::note::note;
use crate::percpu::CpuSet;
use crate::percpu::area::{self, Area, Part as _};
use crate::stop::{self, Missed};
use crate::{arch, call, gate, gic, irq, masking, percpu, psci, time};
use reveille_protocol::{Job, Leaving, Snapshot, State};

/// An offline point: leaves if this CPU was asked to, and holds nothing. In thread context, interrupts open.
#[inline(always)]
pub(super) fn check(area: &'static Area) {
    if is_due(area) {
        leave_if_asked(area);
    }
}

#[cold]
#[inline(never)]
fn leave_if_asked(area: &'static Area) {
    // Until it has answered: another thread of this CPU might wait for who has asked, who waits for the answer.
    let _stays = Stays::at_home(area);
    let Some(leaving) = requests(area).accept() else { return };
    // If it did, it does no longer once it is gone.
    ceases_to_wait(area);
    let deadline = Deadline::at(Instant::from_ticks(leaving.deadline()));
    let mut leaving = Some(leaving);
    // The requester has the lifecycle lock, and keeps it until this CPU is gone; or it has given up, and then this CPU
    // stays.
    let refused = try_leave(area, deadline, || leaving.take().is_some_and(Leaving::left));
    if let Some(leaving) = leaving {
        leaving.stayed(hotplug::answer(refused));
    }
}

impl Leave for Machine {
    fn offline_point(own: &'static Area) {
        check(own);
    }

    fn leave(own: &'static Area, lock: Lifecycle, deadline: Deadline) -> HotplugError {
        if let Some(hold) = before_callbacks(own) {
            return HotplugError::Held(hold);
        }
        let mut lock = Some(lock);
        try_leave(own, deadline, || {
            if let Some(lock) = lock.take() {
                lock.keep_to_the_end();
            }
            true
        })
    }
}

/// Waits until none of this CPU's timers is running. `false`: by `deadline`, or in a while, some still are.
fn await_timers(area: &'static Area, deadline: Deadline) -> bool {
    let limit = deadline.min(Deadline::after(TIMERS));
    while time::are_running(area) {
        if limit.has_passed() {
            return false;
        }
        gate::poll();
        arch::yield_now();
    }
    true
}

/// What the callbacks have taken down they set up again: this CPU stays, because it was `refused`.
fn stay(area: &'static Area, refused: HotplugError) -> HotplugError {
    let masked = masking::mask_rarely();
    if hotplug::online_all(area.id).is_err() {
        log::error!("cpu {}: an online callback failed after the CPU could not leave", area.id);
    }
    drop(masked);
    Holds::of(area).set_leaving(false);
    Mailbox::of(area).open();
    note!(STAY, 0);
    refused
}

/// Whether no CPU but that of `area`, the calling one, is online. Whoever asks it to leave sees to it that there are others, which may
/// have been stopped since.
fn is_last(area: &Area) -> bool {
    gate::is_stopping() && percpu::online().without(area.id).is_empty()
}

/// Leaves, or says why not. `may_leave` is asked when there is nothing else in the way; if it says so there is no way back.
fn try_leave(area: &'static Area, deadline: Deadline, may_leave: impl FnOnce() -> bool) -> HotplugError {
    if is_last(area) {
        return HotplugError::LastCpu;
    }
    if !Mailbox::of(area).close() {
        return HotplugError::Held(Hold::Closure);
    }
    Holds::of(area).set_leaving(true);
    note!(LEAVE, 0);
    hotplug::offline_all(area.id);
    if !await_timers(area, deadline) {
        return stay(area, HotplugError::Held(Hold::Timer));
    }
    let generation = area::slot(area).read().generation;
    let mut may_leave = Some(may_leave);
    let mut others = CpuSet::EMPTY;
    let mut kept = call::Kept::NONE;
    let mut refused = None;
    // Everyone else masks first. While this CPU still takes interrupts nobody can be between looking whether it is there
    // and telling it something; and then it masks too.
    let left = stop::gather(&mut others, Job::Initiator, deadline, &mut || {
        // Callbacks have run since it was last asked, and any of them may have set a timer, or stopped the others.
        refused = match kept_by(area) {
            Some(hold) => Some(HotplugError::Held(hold)),
            None if is_last(area) => Some(HotplugError::LastCpu),
            None if !may_leave.take().is_some_and(|may_leave| may_leave()) => Some(HotplugError::Busy),
            None => None,
        };
        if refused.is_none() {
            // Nobody else writes the slot of a CPU that is online.
            let _ = area::slot(area).begin_leave(generation);
            kept = call::close(area);
        }
    });
    let masked = match (left, refused) {
        (Ok(masked), None) => masked,
        (Ok(masked), Some(refused)) => {
            drop(masked);
            return stay(area, refused);
        }
        (Err(Missed::Absent), _) => return stay(area, HotplugError::TimedOut(others)),
        (Err(Missed::Busy), _) => return stay(area, HotplugError::Busy),
    };
    // Its next life has nothing to do with that.
    Holds::of(area).set_leaving(false);
    // With the others live: what was accepted may wait for who sent it.
    call::run_kept(area, kept);
    if gate::is_stopper() {
        // What has just run has stopped all others: nobody would be left.
        let stays = area::slot(area).cancel_leave(generation);
        assert!(stays, "a CPU that leaves has become something else");
        call::open(area);
        drop(masked);
        return stay(area, HotplugError::LastCpu);
    }
    // The last moment at which this CPU can still be stopped like any other.
    gate::poll();
    // Its thread may have been in a wait that stays put, which is not gone on with.
    Holds::of(area).reset_contexts();
    quiet(area);
    note!(GONE, 0);
    depart(area, generation)
}

/// The CPU of `area`, which runs this, has no part in the system any more: no timer, no interrupts, its own or shared.
pub(super) fn quiet(area: &'static Area) {
    time::quiet_cpu();
    irq::move_away(area.id);
    gic::quiet_cpu();
}

/// Turns this CPU off, or sends it to the pen. Its slot says already that this life is over.
pub(super) fn leave(area: &'static Area, generation: u32) -> ! {
    leave_with(area, generation, None)
}

/// The end of a CPU that has left the system: says `Gone` as its last act and is turned off, or goes to the pen. Its slot
/// is `Dying` with `generation`, its interrupts are masked, its part of the interrupt controller is quiet.
pub(super) fn depart(area: &'static Area, generation: u32) -> ! {
    leave_with(area, generation, Some(area::slot(area)))
}

#[unsafe(link_section = ".never_patch")]
fn leave_with(area: &'static Area, generation: u32, slot: Option<&'static HwSlot>) -> ! {
    unsafe extern "C" {
        fn reveille_leave(
            conduit: u64,
            function: u32,
            line: u64,
            crumbs: u64,
            generation: u32,
            slot: u64,
            gone: u64,
        ) -> !;
    }
    regs::disable_nmi();
    let gone = Snapshot { generation, reason: 0, state: State::Gone }.to_bits();
    let slot = slot.map_or(0, |slot| core::ptr::from_ref(slot) as u64);
    let (conduit, function) = psci::cpu_off();
    let line = area.line.map_or(0, |line| core::ptr::from_ref(line) as u64);
    let crumbs = area.crumbs.map_or(0, |crumbs| core::ptr::from_ref(crumbs) as u64);
    // SAFETY: it uses no stack. `slot` is 0, and then this CPU's slot is `Failed`; or it is this CPU's, `Dying`, which
    // nobody else writes, and `gone` is the next word of it.
    unsafe { reveille_leave(conduit, function, line, crumbs, generation, slot, gone) }
}
