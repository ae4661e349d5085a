//! From the interrupt vector to a handler.

use super::Sgi;
use crate::arch::exception::IrqFrame;
use crate::cpu::area::{self, Area};
use crate::gic::{self, CpuInterface};
use crate::{call, nmi, panic, stop};

/// Handles one interrupt. Called by the vector with `DAIF.I` set, which it is again on return.
///
/// While a handler runs `DAIF.I` is open: nothing but an NMI-class interrupt gets in, because the priority of the
/// interrupt that is being handled holds back its equals until it is ended (Arm IHI 0069, 4.8.4).
pub(crate) extern "C" fn interrupt(frame: &IrqFrame) {
    let area = area::current();
    match area.gic.entry() {
        gic::V3 => handle::<gic::v3::Cpu>(area, frame),
        gic::V2 => handle::<gic::v2::Cpu>(area, frame),
        _ => handle::<gic::v3::NmiCpu>(area, frame),
    }
    area.masking.end_interrupt(frame);
}

#[inline(always)]
fn handle<C: CpuInterface>(area: &'static Area, frame: &IrqFrame) {
    let interrupt = C::acknowledge();
    let intid = C::intid(interrupt);
    if intid == Sgi::Call as u32 {
        // SAFETY: only NMI-class interrupts come through until this one is ended, and their handler keeps to what is
        // safe at any point. What the vector saved is on the stack.
        unsafe { C::open() };
        call::drain(area);
        C::close();
        return C::end(interrupt);
    }
    #[cfg(feature = "bench-hooks")]
    if intid == Sgi::Probe as u32 {
        // SAFETY: as above.
        unsafe { C::open() };
        crate::bench::answer();
        C::close();
        return C::end(interrupt);
    }
    other::<C>(area, frame, interrupt);
}

/// Everything but a call.
#[cold]
#[inline(never)]
fn other<C: CpuInterface>(area: &'static Area, frame: &IrqFrame, interrupt: u32) {
    let Some(interrupt) = C::settle(interrupt) else { return };
    let intid = C::intid(interrupt);
    if intid == Sgi::Stop as u32 {
        // Nothing is opened, and no call is looked for.
        C::end(interrupt);
        return panic::stop_requested(panic::ParkedBy::Sgi, frame);
    }
    if intid == Sgi::Nmi as u32 {
        // It may have come into the middle of anything.
        if panic::is_stopping() {
            C::end(interrupt);
            return panic::stop_requested(panic::ParkedBy::Nmi, frame);
        }
        // Ended last, so that there is one at a time.
        nmi::answer(area, frame);
        return C::end(interrupt);
    }
    area.wakes.count();
    if intid == Sgi::Gather as u32 {
        // Ended first: the CPU serves other interrupts while it waits.
        C::end(interrupt);
        return stop::participate(area);
    }
    // SAFETY: as in `handle`.
    unsafe { C::open() };
    // Whatever it is, this and the drain below, so that a lost SGI only costs time.
    super::look(area);
    if intid != Sgi::Wake as u32 && intid != Sgi::Private as u32 {
        super::dispatch(intid);
    }
    call::drain(area);
    C::close();
    C::end(interrupt);
}
