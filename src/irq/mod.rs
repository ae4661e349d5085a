//! Interrupts: masking them, handling them.

pub(crate) mod entry;
mod table;

pub use table::{IrqError, Trigger, register, set_affinity};
pub(crate) use table::{apply_private, dispatch, move_away};

use crate::arch::regs;
use crate::cpu::area;
use crate::gic;
use core::marker::PhantomData;
use core::sync::atomic::Ordering;

/// The software-generated interrupts of the runtime. 0 to 7 alone: the others are the Secure world's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Sgi {
    /// Only ends a WFI: there is something to look at.
    Wake = 0,
    /// A PPI was registered, or the watchdog was turned on or off: do so here too.
    Private = 1,
    /// There is something in the call queue.
    Call = 2,
    /// A round of stop-machine has begun.
    Gather = 3,
    /// Measures what an SGI costs by itself.
    #[cfg(feature = "bench-hooks")]
    Probe = 5,
    /// Stop for good: somebody has the panic gate.
    Stop = 6,
    /// The same, at a priority that no masked section holds back.
    Nmi = 7,
}

/// A section in which this CPU takes no interrupts but those of NMI class. Ends when dropped; nests.
#[must_use = "interrupts are open again as soon as this is dropped"]
pub struct Masked {
    saved: gic::Saved,
    /// It belongs to the CPU that made it.
    not_send: PhantomData<*mut ()>,
}

/// Holds interrupts back on this CPU, by priority where there is an interrupt controller.
///
/// An NMI-class interrupt still comes through, so that a CPU in such a section can be stopped.
#[inline(always)]
pub fn mask() -> Masked {
    Masked { saved: gic::mask(), not_send: PhantomData }
}

/// The same, unless this CPU takes no interrupts already, because of [`mask`] or of `DAIF.I`.
#[inline(always)]
pub(crate) fn mask_if_open() -> Option<Masked> {
    gic::mask_if_open().map(|saved| Masked { saved, not_send: PhantomData })
}

impl Masked {
    /// Ends the section, but leaves `DAIF`, which the caller has set, as it is. For the end of a handler.
    pub(crate) fn end_closed(self) {
        gic::restore_priority(self.saved);
        core::mem::forget(self);
    }
}

impl Drop for Masked {
    #[inline(always)]
    fn drop(&mut self) {
        gic::restore(self.saved);
    }
}

/// Whether this CPU takes no normal interrupts: in a [`mask`]ed section, or in interrupt context.
#[inline]
pub fn is_masked() -> bool {
    gic::is_masked() || in_interrupt()
}

/// Whether this is an interrupt handler or a callback, or was called by one.
#[inline]
pub fn in_interrupt() -> bool {
    // Exceptions have a stack pointer of their own. The depth counts callbacks that a CPU runs from its thread context;
    // relaxed, as only this CPU writes it.
    regs::on_exception_stack() || area::current().interrupt_depth.load(Ordering::Relaxed) != 0
}
