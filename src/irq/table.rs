//! Handlers of device interrupts.

use super::private::{Applied, tell};
use crate::arch::{self, Hw, HwWord};
use crate::gic::{self, Priority, Sgi, Trigger};
use crate::masking;
use crate::percpu::area::{self, Part as _};
use crate::percpu::{self, CpuId};
use crate::sync::{SpinGuard, SpinLock};
use core::fmt;
use core::sync::atomic::{AtomicPtr, Ordering};
use reveille_protocol::{NotOnline, Routes, Wanted};
use spin::Once;

/// Why a handler was refused.
///
/// ```no_run
/// use reveille::irq::{self, IrqError, Trigger};
/// use reveille::println;
///
/// # fn example() {
/// match irq::register(40, Trigger::Edge, |_| {}) {
///     Ok(()) => {}
///     Err(IrqError::Taken { intid }) => println!("somebody has interrupt {intid}"),
///     Err(error) => println!("no interrupt: {error}"),
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IrqError {
    /// The machine has no interrupt controller, or it does not work.
    NoController,
    /// Not a private (16 to 31) or shared (32 and up) peripheral interrupt of this machine.
    BadNumber {
        /// The number.
        intid: u32,
    },
    /// Somebody handles it already.
    Taken {
        /// The number.
        intid: u32,
    },
    /// A private interrupt cannot be sent to another CPU.
    Private {
        /// The number.
        intid: u32,
    },
    /// The CPU is not online.
    Offline {
        /// The CPU.
        cpu: CpuId,
    },
    /// The caller is at NMI level ([`nmi::on_each`](crate::nmi::on_each)), and may have interrupted what sets an interrupt up.
    Nmi,
    /// Nobody handles it.
    NotRegistered {
        /// The number.
        intid: u32,
    },
    /// The runtime handles it: the timer's, or the console's.
    Reserved {
        /// The number.
        intid: u32,
    },
    /// It was taken away, and its handler is not called for what comes from now on; but on some CPU it may still run, for what came
    /// before.
    StillRuns {
        /// The number.
        intid: u32,
    },
    /// The caller has interrupts masked, or is an interrupt handler or a callback: what it would wait for may be itself.
    WouldDeadlock,
    /// Firmware keeps to itself what interrupts a handler (the binary point), or the controller has no priorities (BCM2836): so that there
    /// is one [`Priority`].
    NoPriorities,
    /// The controller passes on levels, and keeps nothing of its own that could be said or set (BCM2836).
    NoState,
    /// No SGI is left: the application has all that firmware does not keep to itself.
    NoSgi,
}

impl fmt::Display for IrqError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoController => f.write_str("no interrupt controller"),
            Self::BadNumber { intid } => write!(f, "interrupt {intid}: not a PPI or SPI of this machine"),
            Self::Taken { intid } => write!(f, "interrupt {intid} has a handler already"),
            Self::Private { intid } => write!(f, "interrupt {intid} is private to each CPU"),
            Self::Offline { cpu } => write!(f, "cpu {cpu} is not online"),
            Self::Nmi => f.write_str("an interrupt set up at NMI level"),
            Self::NotRegistered { intid } => write!(f, "interrupt {intid} has no handler"),
            Self::Reserved { intid } => write!(f, "interrupt {intid} is the runtime's"),
            Self::StillRuns { intid } => write!(f, "interrupt {intid}: its handler may still run"),
            Self::WouldDeadlock => {
                f.write_str("an interrupt taken away with interrupts masked or in interrupt context")
            }
            Self::NoPriorities => f.write_str(
                "firmware keeps the binary point of interrupts to itself, or there are no priorities",
            ),
            Self::NoState => f.write_str("the interrupt controller keeps no state of an interrupt"),
            Self::NoSgi => f.write_str("no SGI is left"),
        }
    }
}

/// Handlers by interrupt number; null: none. Written with the lock held.
static HANDLERS: [AtomicPtr<()>; 1020] = [const { AtomicPtr::new(core::ptr::null_mut()) }; 1020];

/// What is known of an interrupt besides its handler, a bit each.
pub(super) mod mark {
    /// The runtime has registered it, and keeps it.
    pub(crate) const KEPT: u8 = 1 << 0;
    /// Its handler was taken away, and it is not certain yet that it runs nowhere.
    pub(crate) const LEAVES: u8 = 1 << 1;
    /// Somebody waits until it is.
    pub(crate) const AWAITED: u8 = 1 << 2;
}

/// What belongs to the handlers, and is changed by one CPU at a time.
pub(super) struct Setup {
    /// Where shared interrupts go.
    routes: Routes<1020>,
    marks: [u8; 1020],
}

/// With its lock held one CPU at a time sets up an interrupt: some registers are shared by sixteen.
static SETUP: SpinLock<Setup> = SpinLock::new(Setup { routes: Routes::new(), marks: [0; 1020] });

/// What every CPU enables for itself: PPIs that have a handler, and SGIs of the application's; 32 bits further what it disables, because
/// their handlers were taken away.
static WANTED: Wanted<Hw> = Wanted::from_parts(HwWord::with(Wanted::<Hw>::NOTHING));
/// From here on what is to be disabled.
const DISABLED: u32 = 32;

/// What else every CPU does for its private interrupts: what gives them priorities, once somebody has asked for that.
pub(super) static PRIORITIES: Once<fn()> = Once::new();

/// Handles interrupt `intid` from now on: a PPI (16 to 31) on every CPU, now and as they come online, an SPI (32
/// to 1019) on this one until [`set_affinity`] says otherwise.
///
/// `handler` is called in interrupt context with the number. It has to quiet a level-triggered device
/// before it returns. `trigger` counts for SPIs of a GIC; a PPI is wired as it is, and on a BCM2836 everything is a level.
///
/// # Errors
///
/// [`IrqError::NoController`], [`IrqError::BadNumber`], [`IrqError::Taken`], [`IrqError::Nmi`]; nothing has changed then.
///
/// # Examples
///
/// ```no_run
/// use reveille::irq::{self, Trigger};
/// use reveille::println;
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// const RTC: u32 = 34;
///
/// irq::register(RTC, Trigger::Level, |intid| {
///     // In interrupt context; silences the device before it returns.
///     println!("interrupt {intid}");
/// })?;
/// # Ok(()) }
/// ```
pub fn register(intid: u32, trigger: Trigger, handler: fn(u32)) -> Result<(), IrqError> {
    set_up(intid, Use::Everywhere(trigger), 0, || handler)
}

/// The same for the runtime, which keeps it: nobody takes the handler away, or disables the interrupt.
pub(crate) fn keep(intid: u32, trigger: Trigger, handler: fn(u32)) -> Result<(), IrqError> {
    set_up(intid, Use::Everywhere(trigger), mark::KEPT, || handler)
}

/// Where an interrupt is enabled as it is registered.
#[derive(Clone, Copy)]
pub(super) enum Use {
    /// On every CPU, now and as they come, if it is a private one; else on this one.
    Everywhere(Trigger),
    /// Nowhere: CPUs ask for it.
    Nowhere,
}

/// `handler` says which one, once it is certain that there is none, with the lock held.
pub(super) fn set_up(
    intid: u32,
    uses: Use,
    marks: u8,
    handler: impl FnOnce() -> fn(u32),
) -> Result<(), IrqError> {
    if intid < 16 {
        return Err(if masking::in_nmi() { IrqError::Nmi } else { IrqError::BadNumber { intid } });
    }
    let mut setup = lock_for(intid)?;
    set_up_in(&mut setup, intid, uses, marks, handler)
}

/// The lock, for an interrupt that there is, and that the application may have.
pub(super) fn lock_for(intid: u32) -> Result<SpinGuard<'static, Setup>, IrqError> {
    if masking::in_nmi() {
        return Err(IrqError::Nmi);
    }
    if !gic::is_present() {
        return Err(IrqError::NoController);
    }
    if !gic::has(intid) && Sgi::of_application(intid).is_none() {
        return Err(IrqError::BadNumber { intid });
    }
    Ok(SETUP.lock())
}

/// The same for one that has a handler, which was not taken away.
pub(super) fn lock_registered(intid: u32) -> Result<SpinGuard<'static, Setup>, IrqError> {
    let setup = lock_for(intid)?;
    // Relaxed: written with the lock held.
    let none = HANDLERS[intid as usize].load(Ordering::Relaxed).is_null();
    if none || setup.marks[intid as usize] & mark::LEAVES != 0 {
        return Err(IrqError::NotRegistered { intid });
    }
    Ok(setup)
}

/// The same for one that the application has registered.
pub(super) fn lock_own(intid: u32) -> Result<SpinGuard<'static, Setup>, IrqError> {
    let setup = lock_registered(intid)?;
    if setup.marks[intid as usize] & mark::KEPT != 0 {
        return Err(IrqError::Reserved { intid });
    }
    Ok(setup)
}

impl Setup {
    /// Takes the handler of `intid` away, or has done so: it is not called for what comes from now on. What the other CPUs have to do
    /// for that is stored. The caller waits until none runs it, and then [`forgets`](Self::forget) it.
    ///
    /// # Errors
    ///
    /// [`IrqError::NotRegistered`], [`IrqError::Reserved`]; [`IrqError::StillRuns`] if somebody else waits.
    pub(super) fn take_away(&mut self, intid: u32) -> Result<(), IrqError> {
        let (place, marks) = (&HANDLERS[intid as usize], &mut self.marks[intid as usize]);
        if place.load(Ordering::Relaxed).is_null() {
            return Err(IrqError::NotRegistered { intid });
        }
        if *marks & mark::KEPT != 0 {
            return Err(IrqError::Reserved { intid });
        }
        if *marks & mark::AWAITED != 0 {
            return Err(IrqError::StillRuns { intid });
        }
        *marks |= mark::LEAVES | mark::AWAITED;
        // Relaxed: `removed` uses nothing. The news that follow say when nobody finds the former one any more.
        place.store(removed as fn(u32) as *mut (), Ordering::Relaxed);
        gic::disable(intid);
        if intid < 32 {
            WANTED.remove(intid);
            WANTED.remove(DISABLED + intid);
            WANTED.add(DISABLED + intid);
            enable_private();
        } else {
            self.routes.forget(intid as usize);
            gic::set_priority(intid, Priority::Normal);
        }
        if intid >= 16 {
            gic::set_pending(intid, false);
        }
        Ok(())
    }

    /// The handler of `intid`, which was taken away, runs nowhere any more, if that is `certain`: another one may come. If not, somebody
    /// may wait once more.
    pub(super) fn forget(&mut self, intid: u32, certain: bool) {
        self.marks[intid as usize] &= !mark::AWAITED;
        if certain {
            self.marks[intid as usize] = 0;
            HANDLERS[intid as usize].store(core::ptr::null_mut(), Ordering::Relaxed);
        }
    }
}

/// The lock, whatever is to be done.
pub(super) fn lock() -> SpinGuard<'static, Setup> {
    SETUP.lock()
}

/// What is called in place of a handler that was taken away: for what came before the interrupt was disabled, or a private one on a CPU
/// that has not disabled it yet. It may not disable it here: if its news are applied, another handler may have come by now.
fn removed(_: u32) {}

/// The same as [`set_up`] with the lock held.
pub(super) fn set_up_in(
    setup: &mut Setup,
    intid: u32,
    uses: Use,
    marks: u8,
    handler: impl FnOnce() -> fn(u32),
) -> Result<(), IrqError> {
    let place = &HANDLERS[intid as usize];
    // Relaxed: written with the lock held.
    if !place.load(Ordering::Relaxed).is_null() {
        return Err(IrqError::Taken { intid });
    }
    // Release: pairs with `dispatch`. On the CPU that takes the interrupt, what the caller set up is there.
    place.store(handler() as *mut (), Ordering::Release);
    setup.marks[intid as usize] = marks;
    match uses {
        Use::Nowhere => WANTED.remove(DISABLED + intid),
        Use::Everywhere(_) if intid < 32 => {
            WANTED.remove(DISABLED + intid);
            WANTED.add(intid);
            enable_private();
            tell();
        }
        Use::Everywhere(trigger) => {
            gic::set_trigger(intid, trigger);
            let own = percpu::current();
            setup.routes.take(intid as usize, own.index() as u16);
            gic::route(intid, own);
            gic::enable(intid, true);
        }
    }
    Ok(())
}

/// Sends the shared interrupt `intid` to `cpu` from now on. An instance that is pending may still go where it
/// would have gone before.
///
/// On a BCM2836 shared interrupts go to one CPU, all of them: to that of which this, or [`register`], was told last. Nothing holds back there what
/// is being handled: while all of them are moved, a handler may run on the new CPU before it has ended on the old one.
///
/// # Errors
///
/// [`IrqError::NoController`], [`IrqError::BadNumber`], [`IrqError::Private`], [`IrqError::Offline`] or [`IrqError::Nmi`]; nothing
/// has changed then.
///
/// # Examples
///
/// ```no_run
/// use reveille::{cpu, irq};
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// // Interrupt 40 comes here from now on.
/// irq::set_affinity(40, cpu::current())?;
/// # Ok(()) }
/// ```
pub fn set_affinity(intid: u32, cpu: CpuId) -> Result<(), IrqError> {
    if masking::in_nmi() {
        return Err(IrqError::Nmi);
    }
    if !gic::is_present() {
        return Err(IrqError::NoController);
    }
    if (16..32).contains(&intid) {
        return Err(IrqError::Private { intid });
    }
    if !(32..gic::interrupts()).contains(&intid) {
        return Err(IrqError::BadNumber { intid });
    }
    let mut setup = SETUP.lock();
    let sent = setup.routes.send(intid as usize, cpu.index() as u16, || area::is_online(area::of(cpu)));
    sent.map_err(|NotOnline| IrqError::Offline { cpu })?;
    gic::route(intid, cpu);
    Ok(())
}

/// Sends all shared interrupts that go to `cpu`, the calling one, which is no longer online, to a CPU that is; what it has disabled for
/// itself of its own it has not in its next life.
pub(crate) fn move_away(cpu: CpuId) {
    Applied::of(area::of(cpu)).set_off(0);
    let heir = || heir_of(cpu);
    let mut setup = SETUP.lock();
    setup.routes.move_away(cpu.index() as u16, heir, |intid, heir| {
        gic::route(intid as u32, CpuId::from_index(heir.into()));
    });
    if gic::has_one_route()
        && let Some(heir) = heir()
    {
        gic::route_all(cpu, CpuId::from_index(heir.into()));
    }
    setup.end();
}

/// The number of a CPU that is online, and not this one.
#[inline(never)]
fn heir_of(cpu: CpuId) -> Option<u16> {
    percpu::online().without(cpu).iter().next().map(|heir| heir.index() as u16)
}

/// Enables on this CPU what every CPU enables for itself, unless this one has disabled it, and disables what was taken away. With
/// interrupts masked.
pub(crate) fn enable_private() {
    let own = Applied::of(area::current());
    for bit in WANTED.all() {
        let intid = bit % DISABLED;
        if bit >= DISABLED {
            own.set_off(own.off() & !(1 << intid));
        }
        gic::enable(intid, bit < DISABLED && own.off() >> intid & 1 == 0);
    }
    if let Some(priorities) = PRIORITIES.get() {
        priorities();
    }
}

/// Disables `intid`, which has no handler, unless one has come by now.
#[cold]
fn disable_unhandled(intid: u32) {
    let setup = SETUP.lock();
    let none = HANDLERS[intid as usize].load(Ordering::Relaxed).is_null();
    if none {
        gic::enable(intid, false);
    }
    setup.end();
    if none {
        log::warn!("interrupt {intid} has no handler: disabled");
    }
}

/// Calls the handler of `intid`. One without a handler is turned off, or a level would storm.
pub(crate) fn dispatch(intid: u32) {
    // Acquire: pairs with `register`.
    let handler =
        HANDLERS.get(intid as usize).map_or(core::ptr::null_mut(), |handler| handler.load(Ordering::Acquire));
    if handler.is_null() {
        if intid >= gic::interrupts() {
            // An LPI, or one of an extended range: on since before this image, and not to be turned off by number.
            log::warn!("interrupt {intid} is none of this image's: ended");
        } else if intid >= 16 {
            disable_unhandled(intid);
        }
        #[cfg(feature = "fault-injection")]
        if intid < 16 {
            super::fault::stray();
        }
        return;
    }
    // SAFETY: only `register` stores here, and it stores a `fn(u32)`.
    let handler: fn(u32) = unsafe { core::mem::transmute(handler) };
    handler(intid);
    // The device is quiet before the interrupt is ended, or a level would come again.
    arch::dsb_sy();
}
