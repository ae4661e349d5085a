//! From the vectors to the application's handlers of exceptions, and back.

use crate::arch::exception::{Frame, Interrupted, had_masked, landing};
use crate::arch::regs;
use crate::exception::{self, Below, Kind, Outcome};
use crate::masking::Masking;
use crate::percpu::area::{self, Area, Part as _};
use crate::{context, gate, panic};

/// What the vectors do when this returns.
const RESUME: u64 = 0;
const LEAVE: u64 = 1;

/// Asks the application about an exception. Called by the vectors on the stack of exceptions, everything masked, which it is again on return.
///
/// Normal interrupts are held back meanwhile, as they are while an interrupt is handled; those of NMI class get in where they did before.
pub(super) extern "C" fn exception(frame: &mut Frame, number: u64) -> u64 {
    let own = area::current();
    let Some(kind) = Kind::from_number(number).filter(|_| !gate::is_stopper()) else {
        panic::exception(frame.fatal())
    };
    if kind == Kind::LowerIrq {
        (frame.elr, frame.spsr) = Below::of(own).resume();
        frame.tpidrro_el0 = Below::of(own).scratch();
        // Those of an earlier exception.
        (frame.esr, frame.far) = (0, 0);
    }
    let masking = Masking::of(own);
    masking.begin(|| masking);
    if kind.is_lower() || !had_masked(frame.spsr) {
        // SAFETY: vectors and stacks are in place; the section that has just begun holds back what is normal, and keeps `DAIF` where it
        // does so by that.
        unsafe { masking.open_daif() };
    }
    let outcome = exception::ask(frame, kind);
    regs::daif_close();
    masking.end_closed();
    match outcome {
        Outcome::Leave if kind.is_lower() && Below::of(own).leave(frame, kind) => return LEAVE,
        Outcome::Resume => {}
        _ => panic::exception(frame.fatal()),
    }
    if may_preempt(frame.spsr)
        && let Some(landing) = context::preempt(own, frame.elr, frame.spsr)
    {
        frame.return_to(landing);
    }
    RESUME
}

/// Whether what was interrupted in the state `spsr` may be preempted as far as that says.
#[inline(always)]
fn may_preempt(spsr: u64) -> bool {
    match Interrupted::of(spsr) {
        Interrupted::Handler => false,
        Interrupted::Thread => !had_masked(spsr),
        Interrupted::Below => true,
    }
}

/// The beginning of an interrupt of the CPU of `own`, which this is, of what was in the state `spsr`.
#[inline(always)]
pub(super) fn before_interrupt(own: &Area, spsr: u64) {
    if exception::exist() && Interrupted::of(spsr) == Interrupted::Below {
        Below::of(own).keep_scratch();
    }
}

/// The end of an interrupt of the CPU of `own`, which this is, in an image that has handlers, or contexts: where it is to return to instead
/// of `elr`, in the state `spsr`.
#[inline(always)]
pub(super) fn after_interrupt(own: &'static Area, elr: u64, spsr: u64) -> Option<u64> {
    if !exception::exist() && !context::exist() {
        return None;
    }
    if exception::exist() && Interrupted::of(spsr) == Interrupted::Below {
        Below::of(own).set_resume(elr, spsr);
        return Some(landing!(reveille_below_el1, reveille_below_el2));
    }
    if may_preempt(spsr) { context::preempt(own, elr, spsr) } else { None }
}
