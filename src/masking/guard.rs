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
///
/// ```no_run
/// use reveille::irq::{self, Masked};
///
/// # fn example() {
/// let masked: Masked = irq::mask();
/// // .. no interrupt of normal priority comes here ..
/// drop(masked);
/// # }
/// ```
#[must_use = "interrupts are open again as soon as this is dropped"]
pub struct Masked {
    /// It belongs to the CPU that made it.
    not_send: PhantomData<*mut ()>,
}

/// Holds interrupts back on this CPU, by priority where there is an interrupt controller.
///
/// An NMI-class interrupt still comes through, so that a CPU in such a section can be stopped.
///
/// ```no_run
/// use reveille::irq;
///
/// # fn example() {
/// let _masked = irq::mask();
/// // Until the end of the scope this CPU takes no interrupts but those of NMI class.
/// # }
/// ```
#[inline(always)]
pub fn mask() -> Masked {
    mask_here().0
}

/// A section of what is rarely done: begins and ends by a call, which takes less room.
#[must_use = "interrupts are open again as soon as this is dropped"]
pub(crate) struct Rarely {
    /// It belongs to the CPU that made it.
    not_send: PhantomData<*mut ()>,
}

/// Begins such a section.
#[inline(never)]
pub(crate) fn mask_rarely() -> Rarely {
    core::mem::forget(mask());
    Rarely { not_send: PhantomData }
}

impl Drop for Rarely {
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: forgotten by `mask_rarely`.
        drop(unsafe { Masked::remembered() });
    }
}

/// The same as [`mask`], with the area of this CPU.
#[inline(always)]
pub(crate) fn mask_here() -> (Masked, &'static Area) {
    let mut own = area::current();
    Masking::of(own).begin(|| {
        own = area::settled(own);
        Masking::of(own)
    });
    (Masked { not_send: PhantomData }, own)
}

/// The same on the CPU of `own`, which is this one, and stays so.
#[inline(always)]
pub(crate) fn mask_on(own: &Area) -> Masked {
    let masking = Masking::of(own);
    masking.begin(|| masking);
    Masked { not_send: PhantomData }
}

/// The same as [`mask`], unless this CPU is at NMI level, where what masked sections protect may be half done.
#[inline(always)]
pub(crate) fn mask_below_nmi() -> Option<Masked> {
    mask_below_nmi_here().map(|(masked, _)| masked)
}

/// The same, with the area of this CPU.
#[inline(always)]
pub(crate) fn mask_below_nmi_here() -> Option<(Masked, &'static Area)> {
    let mut own = area::current();
    let begun = Masking::of(own).begin_below_nmi(|| {
        own = area::settled(own);
        Masking::of(own)
    });
    // Not a value that is made in any case: that would be dropped.
    if begun { Some((Masked { not_send: PhantomData }, own)) } else { None }
}

/// The same, unless this CPU takes no interrupts already, because of [`mask`] or of `DAIF.I`.
#[inline(always)]
pub(crate) fn mask_if_open_here() -> Option<(Masked, &'static Area)> {
    let mut own = area::current();
    let begun = Masking::of(own).begin_if_open(|| {
        own = area::settled(own);
        Masking::of(own)
    });
    if begun { Some((Masked { not_send: PhantomData }, own)) } else { None }
}

/// A section of a few instructions, none of them the application's, in which this CPU takes no interrupts, by `DAIF`. Ends when dropped.
///
/// It costs less than [`Masked`], by two accesses to the interrupt controller and a count; and it holds back the NMI-class interrupts of a CPU without
/// FEAT_NMI: hence the few.
#[must_use = "interrupts are open again as soon as this is dropped"]
pub(crate) struct Closed {
    /// What `DAIF` was.
    daif: u64,
    /// It belongs to the CPU that made it.
    not_send: PhantomData<*mut ()>,
}

/// Begins such a section, unless this CPU is at NMI level. With the area of this CPU.
#[inline(always)]
pub(crate) fn close_below_nmi_here() -> Option<(Closed, &'static Area)> {
    let closed = Closed { daif: regs::daif_mask(), not_send: PhantomData };
    let own = area::current();
    if Masking::of(own).is_nmi() { None } else { Some((closed, own)) }
}

/// The same, unless this CPU takes no interrupts already, because of [`mask`] or of `DAIF.I`.
#[inline(always)]
pub(crate) fn close_if_open_here() -> Option<(Closed, &'static Area)> {
    let daif = regs::daif();
    if daif & regs::DAIF_I != 0 {
        return None;
    }
    regs::daif_set();
    // A handler that came before that may have left a guard.
    let closed = Closed { daif, not_send: PhantomData };
    let own = area::current();
    if Masking::of(own).is_held() { None } else { Some((closed, own)) }
}

impl Closed {
    /// Goes on as a masked section of `own`, which is this CPU's area: for what takes longer.
    pub(crate) fn into_masked(self, own: &Area) -> Masked {
        Masking::of(own).begin_closed(self.daif);
        core::mem::forget(self);
        Masked { not_send: PhantomData }
    }
}

impl Drop for Closed {
    #[inline(always)]
    fn drop(&mut self) {
        regs::daif_restore(self.daif);
    }
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
///
/// ```no_run
/// use reveille::{cpu, irq};
///
/// # fn example() {
/// if !irq::is_masked() {
///     cpu::idle();
/// }
/// # }
/// ```
#[inline]
pub fn is_masked() -> bool {
    open_here(|_| ()).is_none()
}

/// Runs `f` in [`area::here`] unless this CPU takes no normal interrupts.
#[inline(always)]
pub(crate) fn open_here<R>(f: impl FnOnce(&'static Area) -> R) -> Option<R> {
    if regs::daif() & regs::DAIF_I != 0 || regs::on_exception_stack() {
        return None;
    }
    area::here(|own| (!Masking::of(own).is_held() && !is_called_back(own)).then(|| f(own)))
}

/// Whether the CPU of `own`, which is this one, runs a callback in its thread context. Relaxed: it alone writes the number.
#[inline(always)]
fn is_called_back(own: &Area) -> bool {
    Callbacks::of(own).0.load(Ordering::Relaxed) != 0
}

/// Whether this is at NMI level: a function of [`nmi::on_each`](crate::nmi::on_each), which may have interrupted anything.
///
/// What cannot be done there is refused; [`nmi`](crate::nmi) says what can.
///
/// ```no_run
/// use reveille::irq;
///
/// # fn example() {
/// // What takes a lock is not for code that may have interrupted its holder.
/// let may_lock = !irq::in_nmi();
/// # }
/// ```
#[inline]
pub fn in_nmi() -> bool {
    area::here(|own| Masking::of(own).is_nmi())
}

/// Whether this is an interrupt handler or a callback, or was called by one.
///
/// ```no_run
/// use reveille::irq;
///
/// # fn example() {
/// let may_wait = !irq::in_interrupt();
/// # }
/// ```
#[inline]
pub fn in_interrupt() -> bool {
    // Exceptions have a stack pointer of their own. Callbacks that a CPU runs from its thread context are counted. And a CPU may bring itself to
    // NMI level.
    regs::on_exception_stack() || area::here(|own| is_called_back(own) || Masking::of(own).is_nmi())
}
