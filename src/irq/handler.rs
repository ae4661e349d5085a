//! Handlers that have something of their own.

use super::table::{IrqError, Use, set_up};
use crate::gic::Trigger;
use core::fmt;
use core::sync::atomic::{AtomicPtr, Ordering};

/// A handler that has something of its own: a closure, or whatever else can be called, with what it captures.
///
/// In a static, beside what it uses:
///
/// ```no_run
/// use core::sync::atomic::{AtomicU32, Ordering};
/// use reveille::irq::Handler;
///
/// struct Device {
///     interrupts: AtomicU32,
/// }
///
/// impl Device {
///     fn interrupt(&self, _intid: u32) {
///         self.interrupts.fetch_add(1, Ordering::Relaxed);
///     }
/// }
///
/// static DEVICES: [Device; 2] = [const { Device { interrupts: AtomicU32::new(0) } }; 2];
/// static HANDLERS: [Handler; 2] =
///     [Handler::new(&|intid| DEVICES[0].interrupt(intid)), Handler::new(&|intid| DEVICES[1].interrupt(intid))];
/// ```
///
/// One that is made at run time is leaked (`Box::leak`), or stored for good in another way: handlers are called by reference, at any
/// time, on any CPU.
#[derive(Clone, Copy)]
pub struct Handler(&'static (dyn Fn(u32) + Sync));

impl Handler {
    /// Calls `handler`, in interrupt context, with the number of the interrupt.
    ///
    /// ```no_run
    /// use reveille::irq::Handler;
    /// use reveille::sync::SpinLock;
    ///
    /// static SEEN: SpinLock<u32> = SpinLock::new(0);
    /// static HANDLER: Handler = Handler::new(&|_intid| *SEEN.lock() += 1);
    /// ```
    pub const fn new(handler: &'static (dyn Fn(u32) + Sync)) -> Self {
        Self(handler)
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

/// The handlers of those interrupts whose entry in the table is [`call`].
static HANDLERS: [AtomicPtr<Handler>; 1020] = [const { AtomicPtr::new(core::ptr::null_mut()) }; 1020];

/// As [`register`](super::register), with a handler that has something of its own.
///
/// # Errors
///
/// As there.
///
/// # Examples
///
/// ```no_run
/// use reveille::irq::{self, Handler, Trigger};
/// use reveille::println;
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// static HANDLER: Handler = Handler::new(&|intid| println!("interrupt {intid}"));
///
/// irq::register_with(40, Trigger::Edge, &HANDLER)?;
/// # Ok(()) }
/// ```
pub fn register_with(intid: u32, trigger: Trigger, handler: &'static Handler) -> Result<(), IrqError> {
    set_up(intid, Use::Everywhere(trigger), 0, || calls(intid, handler))
}

/// Handles the private interrupt `intid` (a PPI, 16 to 31) from now on, on those CPUs that ask for it, each for itself, by
/// [`enable`](super::enable). A CPU that leaves and comes back asks again: its `online` callback
/// ([`hotplug::register`](crate::hotplug::register)) is a good place.
///
/// # Errors
///
/// As for [`register`](super::register); [`IrqError::BadNumber`] if it is none of the private ones.
///
/// # Examples
///
/// ```no_run
/// use reveille::irq::{self, Handler};
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// static OVERFLOW: Handler = Handler::new(&|_intid| { /* this CPU's performance counter */ });
///
/// // A PPI: on every CPU, each for itself.
/// irq::register_per_cpu(23, &OVERFLOW)?;
/// # Ok(()) }
/// ```
pub fn register_per_cpu(intid: u32, handler: &'static Handler) -> Result<(), IrqError> {
    if intid >= 32 {
        return Err(if crate::masking::in_nmi() { IrqError::Nmi } else { IrqError::BadNumber { intid } });
    }
    set_up(intid, Use::Nowhere, 0, || calls(intid, handler))
}

/// Stores `handler`, and says what is to be called for it. With the lock held that keeps others from doing the same.
pub(super) fn calls(intid: u32, handler: &'static Handler) -> fn(u32) {
    // Release: pairs with `call`. What the handler uses is there.
    HANDLERS[intid as usize].store(core::ptr::from_ref(handler).cast_mut(), Ordering::Release);
    call
}

fn call(intid: u32) {
    // Acquire: pairs with `calls`.
    let handler = HANDLERS[intid as usize].load(Ordering::Acquire);
    // SAFETY: only `calls` stores here, what lives for ever; and whoever finds `call` in the table finds what was stored before. That may
    // be a later one, which is as good.
    let handler = unsafe { &*handler };
    (handler.0)(intid);
}
