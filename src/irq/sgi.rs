//! Software-generated interrupts for the application.

use super::handler::{Handler, calls};
use super::table::{IrqError, Use, lock_for, set_up_in};
use crate::gic::{self, Trigger};
use crate::percpu::CpuSet;
use crate::percpu::area;
use core::sync::atomic::{AtomicU32, Ordering};

/// A software-generated interrupt of the application's: see [`register_sgi`].
///
/// ```no_run
/// use reveille::irq::{self, Handler};
/// use reveille::{cpu, println};
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// static HANDLER: Handler = Handler::new(&|_intid| println!("cpu {} was told", cpu::current()));
///
/// let sgi = irq::register_sgi(&HANDLER)?;
/// sgi.send(&cpu::online())?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sgi(gic::Sgi);

/// Those that have a handler, a bit each. Written with the lock of the handlers held; relaxed: it keeps nobody from anything but a
/// useless interrupt.
static REGISTERED: AtomicU32 = AtomicU32::new(0);

/// Gives the application a software-generated interrupt that is not the runtime's, nor firmware's: `handler` is called in interrupt
/// context on each CPU to which somebody sends it, now and as they come online.
///
/// There is one at least where firmware leaves the application none of the upper eight, which are the Secure world's if it wants them
/// (Arm DEN 0098, 4.1.1), up to nine where it leaves all.
///
/// # Errors
///
/// [`IrqError::NoSgi`], [`IrqError::NoController`], [`IrqError::Nmi`]; nothing has changed then.
///
/// # Examples
///
/// ```no_run
/// use reveille::irq::{self, Handler};
/// use reveille::println;
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// static HANDLER: Handler = Handler::new(&|intid| println!("SGI {intid}"));
///
/// let sgi = irq::register_sgi(&HANDLER)?;
/// # Ok(()) }
/// ```
pub fn register_sgi(handler: &'static Handler) -> Result<Sgi, IrqError> {
    for sgi in (0..16).filter_map(gic::Sgi::of_application) {
        let intid = sgi.intid();
        let mut setup = lock_for(intid)?;
        // Firmware that keeps one keeps it on every CPU.
        if REGISTERED.load(Ordering::Relaxed) >> intid & 1 != 0 || !gic::can_enable(1 << intid) {
            continue;
        }
        let uses = Use::Everywhere(Trigger::Edge);
        if set_up_in(&mut setup, intid, uses, 0, || calls(intid, handler)).is_ok() {
            REGISTERED.fetch_or(1 << intid, Ordering::Relaxed);
            return Ok(Sgi(sgi));
        }
    }
    Err(IrqError::NoSgi)
}

/// The handler of `intid` is taken away.
pub(super) fn forget(intid: u32) {
    REGISTERED.fetch_and(!(1 << intid), Ordering::Relaxed);
}

impl Sgi {
    /// The one with this number, if it is one that the application may have: for functions that are handed nothing, and find the number
    /// in an atomic.
    ///
    /// ```no_run
    /// use core::sync::atomic::{AtomicU32, Ordering};
    /// use reveille::{cpu, irq::Sgi};
    ///
    /// # fn example() {
    /// static OURS: AtomicU32 = AtomicU32::new(u32::MAX);
    ///
    /// if let Some(sgi) = Sgi::with_intid(OURS.load(Ordering::Relaxed)) {
    ///     let _ = sgi.send(&cpu::online());
    /// }
    /// # }
    /// ```
    pub fn with_intid(intid: u32) -> Option<Self> {
        gic::Sgi::of_application(intid).map(Self)
    }

    /// Its number, as the handler is told, and for [`unregister`](super::unregister) and [`set_priority`](super::set_priority).
    ///
    /// ```no_run
    /// use reveille::irq::{self, Priority};
    ///
    /// # fn example(sgi: reveille::irq::Sgi) -> Result<(), reveille::irq::IrqError> {
    /// irq::set_priority(sgi.intid(), Priority::Low)?;
    /// # Ok(()) }
    /// ```
    pub fn intid(self) -> u32 {
        self.0.intid()
    }

    /// Interrupts those of `cpus` that are online, the calling one included if it is among them. What the caller has stored before is
    /// seen by the handler. From any context, at NMI level too.
    ///
    /// A CPU to which it is sent several times before it takes it may take it once (GICv2: once from each sender). It is an
    /// interrupt and no message: nothing is sent again if a hypervisor loses it.
    ///
    /// # Errors
    ///
    /// [`IrqError::NotRegistered`] once it was [`unregister`](super::unregister)ed.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille::cpu;
    ///
    /// # fn example(sgi: reveille::irq::Sgi) -> Result<(), reveille::irq::IrqError> {
    /// sgi.send(&cpu::online().without(cpu::current()))?;
    /// # Ok(()) }
    /// ```
    pub fn send(self, cpus: &CpuSet) -> Result<(), IrqError> {
        if REGISTERED.load(Ordering::Relaxed) >> self.intid() & 1 == 0 {
            return Err(IrqError::NotRegistered { intid: self.intid() });
        }
        let online = cpus.iter().filter(|cpu| area::is_online(area::of(*cpu))).collect();
        gic::send_sgi_set(self.0, &online);
        Ok(())
    }
}
