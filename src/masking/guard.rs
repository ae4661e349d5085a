//! Sections in which interrupts are held back, and the contexts that code runs in.

use super::depth::Masking;
use crate::arch::regs;
use crate::percpu::area::{self, Area, Part};
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, Ordering};

/// Callbacks under way in thread context; those in interrupt context show in the stack pointer. Written by its CPU alone.
pub(crate) struct Callbacks(AtomicU32);

impl Callbacks {
    /// None.
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }
}

/// Whether the CPU of `area` runs callbacks in its thread context. From elsewhere good for a report.
#[cfg(feature = "fault-injection")]
pub(crate) fn is_in_callback(area: &Area) -> bool {
    Callbacks::of(area).0.load(Ordering::Relaxed) != 0
}

/// Runs `f` as if an interrupt had come, on the CPU of `own`, which is this one. Interrupts are masked.
#[inline(always)]
pub(crate) fn as_interrupt<R>(own: &Area, f: impl FnOnce() -> R) -> R {
    // Relaxed: this CPU alone looks.
    let callbacks = &Callbacks::of(own).0;
    let depth = callbacks.load(Ordering::Relaxed);
    callbacks.store(depth + 1, Ordering::Relaxed);
    let result = f();
    callbacks.store(depth, Ordering::Relaxed);
    result
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
    Masking::of(own).begin();
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
    if Masking::of(own).begin_below_nmi() { Some(Masked { not_send: PhantomData }) } else { None }
}

/// The same, unless this CPU takes no interrupts already, because of [`mask`] or of `DAIF.I`.
#[inline(always)]
pub(crate) fn mask_if_open(own: &Area) -> Option<Masked> {
    if Masking::of(own).begin_if_open() { Some(Masked { not_send: PhantomData }) } else { None }
}

impl Masked {
    /// Ends the section, like a drop, on the CPU of `own`, which is this one: cheaper where that is at hand.
    #[inline(always)]
    pub(crate) fn end_on(self, own: &Area) {
        core::mem::forget(self);
        Masking::of(own).end();
    }

    /// The same for the end of a handler, which has closed `DAIF`: that stays as it is.
    #[inline(always)]
    pub(crate) fn end_closed(self, own: &Area) {
        core::mem::forget(self);
        Masking::of(own).end_closed();
    }

    /// The section of a guard that was forgotten.
    ///
    /// # Safety
    ///
    /// This CPU has forgotten one, and takes its section up again once.
    #[cfg(any(feature = "critical-section", feature = "lock_api"))]
    #[inline(always)]
    pub(crate) unsafe fn remembered() -> Self {
        Self { not_send: PhantomData }
    }
}

impl Drop for Masked {
    #[inline(always)]
    fn drop(&mut self) {
        Masking::of(area::current()).end();
    }
}

/// Whether this CPU takes no normal interrupts: in a [`mask`]ed section, or in interrupt context.
#[inline]
pub fn is_masked() -> bool {
    Masking::of(area::current()).is_masked() || in_interrupt()
}

/// Whether this is at NMI level: a function of [`nmi::on_each`](crate::nmi::on_each), which may have interrupted anything.
///
/// What cannot be done there is refused; [`nmi`](crate::nmi) says what can.
#[inline]
pub fn in_nmi() -> bool {
    Masking::of(area::current()).is_nmi()
}

/// Whether this is an interrupt handler or a callback, or was called by one.
#[inline]
pub fn in_interrupt() -> bool {
    let own = area::current();
    // Exceptions have a stack pointer of their own. The depth counts callbacks that a CPU runs from its thread context;
    // relaxed, as only this CPU writes it. And a CPU may bring itself to NMI level.
    regs::on_exception_stack()
        || Callbacks::of(own).0.load(Ordering::Relaxed) != 0
        || Masking::of(own).is_nmi()
}
