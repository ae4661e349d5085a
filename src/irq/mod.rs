//! Interrupts: masking them, handling them.

pub(crate) mod entry;
mod private;
mod table;

pub(crate) use private::{Applied, applied, arrive, look, tell};
pub use table::{IrqError, Trigger, register, set_affinity};
pub(crate) use table::{dispatch, move_away};

use crate::arch::regs;
use crate::cpu::area::{self, Area};
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

/// A section in which this CPU takes no interrupts but those of NMI class. Ends when dropped.
///
/// Sections nest, and may end in any order: interrupts are masked for as long as one of them is alive on this CPU, and so are they
/// for ever where one was forgotten. A section that begins at NMI level ([`nmi::on_each`](crate::nmi::on_each)) ends there at the latest.
#[must_use = "interrupts are open again as soon as this is dropped"]
pub struct Masked {
    /// It belongs to the CPU that made it.
    not_send: PhantomData<*mut ()>,
}

/// Holds interrupts back on this CPU, by priority where there is an interrupt controller.
///
/// An NMI-class interrupt still comes through, so that a CPU in such a section can be stopped.
#[inline(always)]
pub fn mask() -> Masked {
    mask_on(area::current())
}

/// The same on the CPU of `own`, which is this one.
#[inline(always)]
pub(crate) fn mask_on(own: &Area) -> Masked {
    own.masking.begin();
    Masked { not_send: PhantomData }
}

/// The same, unless this CPU is at NMI level, where what masked sections protect may be half done.
#[inline(always)]
pub(crate) fn mask_below_nmi() -> Option<Masked> {
    mask_below_nmi_on(area::current())
}

/// The same on the CPU of `own`, which is this one.
#[inline(always)]
pub(crate) fn mask_below_nmi_on(own: &Area) -> Option<Masked> {
    // Not a value that is made in any case: that would be dropped.
    if own.masking.begin_below_nmi() { Some(Masked { not_send: PhantomData }) } else { None }
}

/// The same, unless this CPU takes no interrupts already, because of [`mask`] or of `DAIF.I`.
#[inline(always)]
pub(crate) fn mask_if_open(own: &Area) -> Option<Masked> {
    if own.masking.begin_if_open() { Some(Masked { not_send: PhantomData }) } else { None }
}

impl Masked {
    /// Ends the section, like a drop, on the CPU of `own`, which is this one: cheaper where that is at hand.
    #[inline(always)]
    pub(crate) fn end_on(self, own: &Area) {
        core::mem::forget(self);
        own.masking.end();
    }

    /// The same for the end of a handler, which has closed `DAIF`: that stays as it is.
    #[inline(always)]
    pub(crate) fn end_closed(self, own: &Area) {
        core::mem::forget(self);
        own.masking.end_closed();
    }

    /// The section of a guard that was forgotten.
    ///
    /// # Safety
    ///
    /// This CPU has forgotten one, and takes its section up again once.
    #[cfg(feature = "critical-section")]
    pub(crate) unsafe fn remembered() -> Self {
        Self { not_send: PhantomData }
    }
}

impl Drop for Masked {
    #[inline(always)]
    fn drop(&mut self) {
        area::current().masking.end();
    }
}

/// Whether this CPU takes no normal interrupts: in a [`mask`]ed section, or in interrupt context.
#[inline]
pub fn is_masked() -> bool {
    area::current().masking.is_masked() || in_interrupt()
}

/// Whether this is at NMI level: a function of [`nmi::on_each`](crate::nmi::on_each), which may have interrupted anything.
///
/// What cannot be done there is refused; [`nmi`](crate::nmi) says what can.
#[inline]
pub fn in_nmi() -> bool {
    area::current().masking.is_nmi()
}

/// Whether this is an interrupt handler or a callback, or was called by one.
#[inline]
pub fn in_interrupt() -> bool {
    let own = area::current();
    // Exceptions have a stack pointer of their own. The depth counts callbacks that a CPU runs from its thread context;
    // relaxed, as only this CPU writes it. And a CPU may bring itself to NMI level.
    regs::on_exception_stack() || own.interrupt_depth.load(Ordering::Relaxed) != 0 || own.masking.is_nmi()
}
