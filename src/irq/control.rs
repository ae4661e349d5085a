//! What may be done to an interrupt that has a handler.

use super::private::{Applied, await_all, tell};
use super::table::{IrqError, PRIORITIES, lock, lock_for, lock_own, lock_registered};
use crate::clock::Deadline;
use crate::gic::{self, Priority, Sgi};
use crate::masking;
use crate::percpu::area::{self, Part as _};
use core::sync::atomic::{AtomicU64, Ordering};

/// Takes the handler of `intid` away: of an SPI, a PPI or an SGI, by whatever function it was registered. When this returns `Ok`
/// the interrupt is disabled, on every CPU if it is a private one, what was pending of it here is forgotten, and so is where it goes
/// and its [`Priority`]; its handler runs nowhere, what it did is seen, and what it used may go. The number may be registered again.
///
/// Waits for the other CPUs: each has to take an interrupt, or to come to [`cpu::idle`](crate::cpu::idle()). A handler that wants its own
/// interrupt to end [`disable`]s it.
///
/// # Errors
///
/// [`IrqError::NotRegistered`], [`IrqError::Reserved`], [`IrqError::BadNumber`], [`IrqError::NoController`], [`IrqError::Nmi`],
/// [`IrqError::WouldDeadlock`]: nothing has changed. [`IrqError::StillRuns`]: by `deadline` some CPU had done neither, or somebody
/// else waits for that. Then the interrupt is disabled, but its handler may still run, and nobody can register another one until this
/// was called again, and returned `Ok`.
///
/// # Examples
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::{irq, time::Deadline};
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// // When it returns, the handler runs nowhere any more.
/// irq::unregister(40, Deadline::after(Duration::from_millis(10)))?;
/// # Ok(()) }
/// ```
pub fn unregister(intid: u32, deadline: impl Into<Deadline>) -> Result<(), IrqError> {
    let deadline = deadline.into();
    if masking::in_nmi() {
        return Err(IrqError::Nmi);
    }
    if masking::is_masked() {
        return Err(IrqError::WouldDeadlock);
    }
    let mut setup = lock_for(intid)?;
    setup.take_away(intid)?;
    if intid < 32 {
        set_class(intid, Priority::Normal);
        super::sgi::forget(intid);
    }
    drop(setup);
    let certain = await_all(tell(), deadline);
    lock().forget(intid, certain);
    if certain { Ok(()) } else { Err(IrqError::StillRuns { intid }) }
}

/// Lets the interrupt `intid` come, after [`disable`] or [`register_per_cpu`](super::register_per_cpu): an SPI; of a PPI that of
/// the calling CPU.
///
/// # Errors
///
/// [`IrqError::NotRegistered`], [`IrqError::Reserved`], [`IrqError::BadNumber`] (of an SGI too), [`IrqError::NoController`] or
/// [`IrqError::Nmi`]; nothing has changed then.
///
/// # Examples
///
/// ```no_run
/// use reveille::irq;
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// irq::disable(40)?;
/// // .. what the handler must not come into ..
/// irq::enable(40)?;
/// # Ok(()) }
/// ```
pub fn enable(intid: u32) -> Result<(), IrqError> {
    set_enabled(intid, true)
}

/// Keeps the interrupt `intid` from coming, until [`enable`] lets it: an SPI; of a PPI that of the calling CPU, the others go on. What
/// comes meanwhile is pending. One that a CPU has taken just now may still be handled.
///
/// May be called by the handler. A CPU that leaves and comes back has its PPIs as any other that comes: enabled, unless they were
/// registered by [`register_per_cpu`](super::register_per_cpu).
///
/// # Errors
///
/// As [`enable`].
///
/// # Examples
///
/// ```no_run
/// use reveille::irq;
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// // It comes no more until it is enabled; one that is pending stays so.
/// irq::disable(40)?;
/// # Ok(()) }
/// ```
pub fn disable(intid: u32) -> Result<(), IrqError> {
    set_enabled(intid, false)
}

fn set_enabled(intid: u32, enable: bool) -> Result<(), IrqError> {
    let _setup = lock_peripheral(intid)?;
    if intid < 32 {
        let own = Applied::of(area::current());
        let others = own.off() & !(1 << intid);
        own.set_off(others | u32::from(!enable) << intid);
    }
    if enable {
        gic::enable(intid, true);
    } else {
        gic::disable(intid);
    }
    Ok(())
}

/// The lock, for a PPI or SPI that the application has registered.
fn lock_peripheral(intid: u32) -> Result<impl Sized, IrqError> {
    let setup = lock_own(intid)?;
    if intid < 16 { Err(IrqError::BadNumber { intid }) } else { Ok(setup) }
}

/// Has the interrupt `intid` pending, as if its device had signalled: an SPI; of a PPI that of the calling CPU. One that is
/// level-triggered is then pending until it is taken.
///
/// # Errors
///
/// As [`enable`]; [`IrqError::NoState`] on a BCM2836.
///
/// # Examples
///
/// ```no_run
/// use reveille::irq;
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// // As if the device had asked: to try the handler.
/// irq::set_pending(40)?;
/// # Ok(()) }
/// ```
pub fn set_pending(intid: u32) -> Result<(), IrqError> {
    let _setup = lock_peripheral(intid)?;
    if !gic::keeps_state() {
        return Err(IrqError::NoState);
    }
    gic::set_pending(intid, true);
    Ok(())
}

/// Forgets that the interrupt `intid` is pending: an SPI; of a PPI that of the calling CPU. A device that signals a level still does.
///
/// # Errors
///
/// As [`enable`].
///
/// # Examples
///
/// ```no_run
/// use reveille::irq;
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// // An edge from before the device was set up.
/// irq::clear_pending(40)?;
/// # Ok(()) }
/// ```
pub fn clear_pending(intid: u32) -> Result<(), IrqError> {
    let _setup = lock_peripheral(intid)?;
    gic::set_pending(intid, false);
    Ok(())
}

/// Whether the interrupt `intid` is pending: an SPI; of a PPI that of the calling CPU. As the controller says it; a hypervisor may not, and
/// on a BCM2836 none is that is disabled.
///
/// # Errors
///
/// As [`enable`].
///
/// # Examples
///
/// ```no_run
/// use reveille::{irq, println};
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// if irq::is_pending(40)? {
///     println!("interrupt 40 waits");
/// }
/// # Ok(()) }
/// ```
pub fn is_pending(intid: u32) -> Result<bool, IrqError> {
    let _setup = lock_peripheral(intid)?;
    Ok(gic::is_pending(intid))
}

/// Whether a CPU has taken the interrupt `intid` and not ended it: an SPI; of a PPI the calling CPU. As the controller says it; a
/// hypervisor may not.
///
/// # Errors
///
/// As [`enable`]; [`IrqError::NoState`] on a BCM2836.
///
/// # Examples
///
/// ```no_run
/// use reveille::{irq, println};
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// if irq::is_active(40)? {
///     println!("its handler runs somewhere");
/// }
/// # Ok(()) }
/// ```
pub fn is_active(intid: u32) -> Result<bool, IrqError> {
    let _setup = lock_peripheral(intid)?;
    if !gic::keeps_state() {
        return Err(IrqError::NoState);
    }
    Ok(gic::is_active(intid))
}

/// Gives the interrupt `intid` a [`Priority`]: from now on, on every CPU, until it is [`unregister`]ed. For an SPI, a PPI or an SGI; the
/// runtime's own, such as the timer's, too. Other CPUs hear of that of a private one, and may take it as before until they have.
///
/// # Errors
///
/// [`IrqError::NoPriorities`], [`IrqError::NotRegistered`], [`IrqError::BadNumber`], [`IrqError::NoController`] or [`IrqError::Nmi`];
/// nothing has changed then.
///
/// # Examples
///
/// ```no_run
/// use reveille::irq::{self, Priority};
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// irq::set_priority(40, Priority::High)?;
/// # Ok(()) }
/// ```
pub fn set_priority(intid: u32, priority: Priority) -> Result<(), IrqError> {
    let _setup = lock_registered(intid)?;
    if !gic::use_classes() {
        return Err(IrqError::NoPriorities);
    }
    if intid >= 32 {
        gic::set_priority(intid, priority);
        return Ok(());
    }
    set_class(intid, priority);
    PRIORITIES.call_once(|| set_private);
    set_private();
    tell();
    Ok(())
}

/// The private interrupts that are not `Normal`, a bit each: those that are `High`, and from bit 32 those that are `Low`. Written with the
/// lock held; relaxed, as the news order it.
static CLASSES: AtomicU64 = AtomicU64::new(0);

fn set_class(intid: u32, priority: Priority) {
    let (high, low) = (1 << intid, 1 << (32 + intid));
    let others = CLASSES.load(Ordering::Relaxed) & !(high | low);
    let own = match priority {
        Priority::High => high,
        Priority::Normal => 0,
        Priority::Low => low,
    };
    CLASSES.store(others | own, Ordering::Relaxed);
}

/// Gives this CPU's private interrupts their priorities.
fn set_private() {
    let classes = CLASSES.load(Ordering::Relaxed);
    for intid in (0..32).filter(|intid| *intid >= 16 || Sgi::of_application(*intid).is_some()) {
        let priority = match (classes >> intid & 1, classes >> (32 + intid) & 1) {
            (0, 0) => Priority::Normal,
            (0, _) => Priority::Low,
            _ => Priority::High,
        };
        gic::set_priority(intid, priority);
    }
}
