//! Handlers of device interrupts.

use super::private::tell;
use crate::arch::{self, Hw, HwWord};
use crate::gic::{self, Trigger};
use crate::masking;
use crate::percpu::{self, CpuId, area};
use crate::sync::SpinLock;
use core::fmt;
use core::sync::atomic::{AtomicPtr, Ordering};
use reveille_protocol::{NotOnline, Routes, Wanted};

/// Why a handler was refused.
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
        }
    }
}

/// Handlers by interrupt number, from 16 on; null: none.
static HANDLERS: [AtomicPtr<()>; 1020] = [const { AtomicPtr::new(core::ptr::null_mut()) }; 1020];

/// Where shared interrupts go. With its lock held one CPU at a time sets up an interrupt: some registers are shared by sixteen.
static SETUP: SpinLock<Routes<1020>> = SpinLock::new(Routes::new());

/// The PPIs that have a handler: every CPU enables them for itself.
static WANTED: Wanted<Hw> = Wanted::from_parts(HwWord::with(Wanted::<Hw>::NOTHING));

/// Handles interrupt `intid` from now on: a PPI (16 to 31) on every CPU, now and as they come online, an SPI (32
/// to 1019) on this one until [`set_affinity`] says otherwise.
///
/// `handler` is called in interrupt context with the number. It has to quiet a level-triggered device
/// before it returns. `trigger` counts for SPIs; a PPI is wired as it is.
///
/// # Errors
///
/// [`IrqError::NoController`], [`IrqError::BadNumber`], [`IrqError::Taken`], [`IrqError::Nmi`]; nothing has changed then.
pub fn register(intid: u32, trigger: Trigger, handler: fn(u32)) -> Result<(), IrqError> {
    if masking::in_nmi() {
        return Err(IrqError::Nmi);
    }
    if !gic::is_present() {
        return Err(IrqError::NoController);
    }
    if !(16..gic::interrupts().max(32)).contains(&intid) {
        return Err(IrqError::BadNumber { intid });
    }
    let mut routes = SETUP.lock();
    // Release: pairs with `dispatch`. On the CPU that takes the interrupt, what the caller set up is there.
    HANDLERS[intid as usize]
        .compare_exchange(core::ptr::null_mut(), handler as *mut (), Ordering::Release, Ordering::Relaxed)
        .map_err(|_| IrqError::Taken { intid })?;
    if intid < 32 {
        WANTED.add(intid);
        enable_private();
        tell();
    } else {
        gic::set_trigger(intid, trigger);
        let own = percpu::current();
        routes.take(intid as usize, own.index() as u16);
        gic::route(intid, own);
        gic::enable(intid, true);
    }
    Ok(())
}

/// Sends the shared interrupt `intid` to `cpu` from now on. An instance that is pending may still go where it
/// would have gone before.
///
/// # Errors
///
/// [`IrqError::NoController`], [`IrqError::BadNumber`], [`IrqError::Private`], [`IrqError::Offline`] or [`IrqError::Nmi`]; nothing
/// has changed then.
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
    let mut routes = SETUP.lock();
    let sent = routes.send(intid as usize, cpu.index() as u16, || area::is_online(area::of(cpu)));
    sent.map_err(|NotOnline| IrqError::Offline { cpu })?;
    gic::route(intid, cpu);
    Ok(())
}

/// Sends all shared interrupts that go to `cpu`, which is no longer online, to a CPU that is.
pub(crate) fn move_away(cpu: CpuId) {
    let heir = || percpu::online().without(cpu).iter().next().map(|heir| heir.index() as u16);
    SETUP.lock().move_away(cpu.index() as u16, heir, |intid, heir| {
        gic::route(intid as u32, CpuId::from_index(heir.into()));
    });
}

/// Enables on this CPU every PPI that has a handler.
pub(crate) fn enable_private() {
    WANTED.all().for_each(|intid| gic::enable(intid, true));
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
            gic::enable(intid, false);
            log::warn!("interrupt {intid} has no handler: disabled");
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
