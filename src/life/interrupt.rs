//! From the interrupt vector to a handler.

use super::count;
use super::exception::{after_interrupt, before_interrupt};
use super::news::apply_news;
use crate::arch::exception::IrqFrame;
use crate::call::{BELL, CALL, Look};
use crate::gic::{self, CpuInterface, CpuPart, NMI, Sgi, WAKE};
use crate::irq::PRIVATE;
use crate::masking::Masking;
use crate::note::note;
use crate::panic::STOP;
use crate::percpu::area::{self, Area, Part as _};
use crate::stop::GATHER;
use crate::{call, gate, irq, nmi, panic, stop, time, watchdog};

/// The SGIs of all rooms. No two have the same number.
const SGIS: &[Sgi] = &[
    WAKE,
    PRIVATE,
    CALL,
    BELL,
    GATHER,
    #[cfg(feature = "bench-hooks")]
    crate::bench::PROBE,
    STOP,
    NMI,
];
const _: () = {
    let mut seen = 0_u32;
    let mut index = 0;
    while index < SGIS.len() {
        let bit = 1 << SGIS[index].intid();
        assert!(seen & bit == 0, "two SGIs with the same number");
        seen |= bit;
        index += 1;
    }
    assert!(seen & gic::APPLICATION == 0, "an SGI of the runtime's that the application may have");
};

/// Interrupts with lower numbers are SGIs.
const SGI_COUNT: u32 = 16;

/// By which bits [`CpuPart::entry`] tells the kinds apart.
const NOT_V2: u8 = 1;
const NO_NMI: u8 = 2;
const NO_GIC: u8 = 4;
const _: () = assert!(
    gic::V2 & (NOT_V2 | NO_GIC) == 0
        && gic::BCM2836 & (NOT_V2 | NO_GIC) == NO_GIC
        && gic::V3 & (NOT_V2 | NO_NMI) == NOT_V2 | NO_NMI
        && gic::V3_NMI & (NOT_V2 | NO_NMI) == NOT_V2
);

/// Handles one interrupt. Called by the vector with `DAIF.I` set, which it is again on return.
///
/// While a handler runs `DAIF.I` is open: nothing but an NMI-class interrupt gets in, because the priority of the
/// interrupt that is being handled holds back its equals until it is ended (Arm IHI 0069, 4.8.4). Where there are no priorities it stays
/// closed.
pub(crate) extern "C" fn interrupt(frame: &IrqFrame) {
    let area = area::current();
    before_interrupt(area, frame.spsr());
    let entry = CpuPart::of(area).entry();
    // A bit each, so that each is one instruction.
    if entry & NOT_V2 == 0 {
        if entry & NO_GIC == 0 {
            handle::<gic::v2::Cpu, gic::v2::CpuOrBcm2836>(area, frame);
        } else {
            without_gic(area, frame);
        }
    } else if entry & NO_NMI != 0 {
        handle::<gic::v3_cpu::Cpu, gic::v3_cpu::Cpu>(area, frame);
    } else {
        handle::<gic::v3_cpu::NmiCpu, gic::v3_cpu::NmiCpu>(area, frame);
    }
    Masking::of(area).end_interrupt(frame);
    if let Some(landing) = after_interrupt(area, frame.pc(), frame.spsr()) {
        frame.return_to(landing);
    }
    #[cfg(feature = "fault-injection")]
    super::fault::about_to_return(area.id);
}

/// The same where there is no GIC.
#[cold]
#[inline(never)]
fn without_gic(area: &'static Area, frame: &IrqFrame) {
    handle::<gic::bcm2836::Cpu, gic::v2::CpuOrBcm2836>(area, frame);
}

/// `O` is the interface `C` for what is no call.
#[inline(always)]
fn handle<C: CpuInterface, O: CpuInterface>(area: &'static Area, frame: &IrqFrame) {
    let interrupt = C::acknowledge();
    let intid = C::intid(interrupt);
    note!(INTERRUPT, intid.into());
    if intid == CALL.intid() {
        // SAFETY: only NMI-class interrupts come through until this one is ended, and their handler keeps to what is
        // safe at any point. What the vector saved is on the stack.
        unsafe { C::open(interrupt) };
        call::drain(area);
        C::close(interrupt);
        C::end(interrupt);
        return note!(INTERRUPT_END, 0);
    }
    #[cfg(feature = "bench-hooks")]
    if intid == crate::bench::PROBE.intid() {
        // SAFETY: as above.
        unsafe { C::open(interrupt) };
        crate::bench::answer();
        C::close(interrupt);
        C::end(interrupt);
        return note!(INTERRUPT_END, 0);
    }
    other::<O>(area, frame, interrupt);
    note!(INTERRUPT_END, 0);
}

/// Everything but a call.
#[cold]
#[inline(never)]
fn other<C: CpuInterface>(area: &'static Area, frame: &IrqFrame, interrupt: u32) {
    let Some(interrupt) = C::settle(interrupt) else { return };
    let intid = C::intid(interrupt);
    if intid == STOP.intid() {
        // Nothing is opened, and no call is looked for.
        C::end(interrupt);
        note!(STOPPED, 0);
        return panic::stop_requested(panic::ParkedBy::Sgi, frame);
    }
    if intid == NMI.intid() {
        // It may have come into the middle of anything.
        if gate::is_stopping() {
            C::end(interrupt);
            note!(STOPPED, 0);
            return panic::stop_requested(panic::ParkedBy::Nmi, frame);
        }
        // Ended last, so that there is one at a time.
        nmi::answer(area, frame);
        return C::end(interrupt);
    }
    count::wakes(area).count();
    if intid == GATHER.intid() {
        // Ended first: the CPU serves other interrupts while it waits.
        C::end(interrupt);
        note!(ATTEND, 0);
        stop::participate(area);
        return note!(ATTEND_END, 0);
    }
    // SAFETY: as in `handle`.
    unsafe { C::open(interrupt) };
    // Whatever it is, this and the drain below, so that a lost SGI only costs time.
    irq::look(area, apply_news);
    if intid >= SGI_COUNT {
        irq::dispatch(intid);
        call::drain(area);
    } else {
        software(area, intid);
    }
    C::close(interrupt);
    C::end(interrupt);
}

/// An SGI that is nothing of the above. It looks no further than takes the same time however many CPUs there are: what was lost is found
/// by the next interrupt that is no SGI, such as the timer's.
#[inline(always)]
fn software(area: &'static Area, intid: u32) {
    if intid == BELL.intid() {
        call::answer(area);
    } else if intid != WAKE.intid() && intid != PRIVATE.intid() {
        irq::dispatch(intid);
    }
    call::drain_as(area, Look::Near);
}

/// The handler of the timer.
pub(super) fn timer(_: u32) {
    // What was rung with an SGI that was lost.
    call::answer(area::current());
    time::expired(watchdog::tick);
}
