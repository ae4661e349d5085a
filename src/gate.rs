//! The panic gate: one word that says whether somebody stops the machine, and who.
//!
//! On the ground, because every wait looks at it: a CPU that waits for another one stops as soon as the machine does. What stopping
//! means is said at the top of the house, by an implementation of [`Stop`]; nothing here knows of reports.

use crate::arch::{HwGate, HwWord, regs};
use crate::percpu::area::{self, Area};
use reveille_protocol::{Phase, State};

static GATE: HwGate = HwGate::from_parts(HwWord::with(HwGate::FREE), HwWord::with(HwGate::NOBODY));

/// What becomes of a CPU that finds another one stopping the machine. Implemented once, for [`Machine`].
pub(crate) trait Stop {
    /// Stops this CPU if another one has the gate. Inlined into whoever waits, whose registers the report shows.
    fn noticed();
}

/// What [`Stop`] is implemented for.
pub(crate) struct Machine;

/// The word itself, for whoever takes it, and for arrivals.
#[inline(always)]
pub(crate) fn word() -> &'static HwGate {
    &GATE
}

/// Who this CPU is to the gate: its affinity in 32 bits. From MPIDR and not from memory, which may be what broke.
#[inline(always)]
pub(crate) fn me() -> u32 {
    let affinity = regs::affinity();
    (affinity >> 8) as u32 & 0xff00_0000 | affinity as u32 & 0x00ff_ffff
}

/// Stops this CPU if another one has the gate. In every wait loop.
#[inline(always)]
pub(crate) fn poll() {
    // A thread that is moved after it has asked who it is may have come to the very CPU that has the gate.
    if GATE.is_taken_by_other(me()) && area::here(|_| GATE.is_taken_by_other(me())) {
        <Machine as Stop>::noticed();
    }
}

/// [`poll`] in the wait for something that another CPU holds or has to do: once this CPU has stopped the others it
/// will wait for ever.
#[inline(always)]
pub(crate) fn poll_for_another() {
    poll();
    if is_stopper() {
        waits_for_the_stopped();
    }
}

/// The end of a wait for what another CPU holds or has to do, on the CPU that has stopped the others.
#[cold]
#[inline(never)]
pub(crate) fn waits_for_the_stopped() -> ! {
    panic!("this CPU has stopped the others, and now waits for one of them");
}

/// Whether anybody has the gate.
#[inline(always)]
pub(crate) fn is_stopping() -> bool {
    GATE.phase() != Phase::Free
}

/// Whether another CPU has the gate, so that this one is about to be stopped.
pub(crate) fn is_taken_by_other() -> bool {
    GATE.is_taken_by_other(me())
}

/// Whether this CPU has the gate: every other one is stopped or about to be, and whatever it held, it will hold for
/// ever.
#[inline]
pub(crate) fn is_stopper() -> bool {
    GATE.owner().is_some_and(|owner| owner == me())
}

/// Whether this CPU has stopped the others, and none of them runs any more that ever came online: nothing that it does together with
/// one of them goes on. One that never came, and hangs, has no part in anything.
#[cold]
#[inline(never)]
pub(crate) fn is_alone() -> bool {
    let runs = |area: &Area| {
        !area::parked(area).is_set() && matches!(area::slot(area).read().state, State::Online | State::Dying)
    };
    is_stopper() && !area::areas().iter().any(|area| area.mpidr != regs::affinity() && runs(area))
}
