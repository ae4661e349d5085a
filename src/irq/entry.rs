//! From the interrupt vector to a handler.

use super::Sgi;
use crate::arch::exception::IrqFrame;
use crate::arch::regs;
use crate::cpu::area;
use crate::{call, gic, panic, time};
use core::sync::atomic::Ordering;

/// Handles one interrupt. Called by the vector with `DAIF.I` set, which it is again on return.
///
/// While a handler runs the priority mask is raised and `DAIF.I` open: nothing but an NMI-class interrupt
/// gets in, and that does.
pub(crate) extern "C" fn interrupt(_frame: &IrqFrame) {
    // First of all: with the mask raised it would be told that there is nothing for it.
    let Some(interrupt) = gic::acknowledge() else { return };
    let saved = gic::mask();
    let area = area::current();
    // Load and store, not an atomic addition: an interrupt that comes between leaves it as it was.
    let depth = area.interrupt_depth.load(Ordering::Relaxed);
    area.interrupt_depth.store(depth + 1, Ordering::Relaxed);
    let intid = interrupt.intid();
    // SAFETY: the priority mask is raised, so of the exceptions that this opens only NMI-class ones come,
    // and their handler keeps to what is safe at any point. The vector's saved state is on the stack.
    unsafe { regs::daif_open() };
    match intid {
        stop if stop == Sgi::Stop as u32 => {
            gic::end(interrupt);
            panic::stop_requested(panic::ParkedBy::Sgi);
        }
        nmi if nmi == Sgi::Nmi as u32 => {
            gic::end(interrupt);
            panic::stop_requested(panic::ParkedBy::Nmi);
        }
        // What they are sent for is looked at after every interrupt.
        call if call == Sgi::Call as u32 => {}
        wake if wake == Sgi::Wake as u32 => {}
        private if private == Sgi::Private as u32 => super::apply_private(),
        timer if time::is_timer(timer) => time::expired(),
        other => super::dispatch(other),
    }
    // After any interrupt, so that a lost SGI only costs time; but not after one that masked code was interrupted by.
    if intid != Sgi::Nmi as u32 {
        call::drain(area);
    }
    regs::daif_mask();
    if intid != Sgi::Stop as u32 && intid != Sgi::Nmi as u32 {
        gic::end(interrupt);
    }
    area.interrupt_depth.store(depth, Ordering::Relaxed);
    gic::restore(saved);
}
