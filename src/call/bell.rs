//! Doorbells: what a CPU is told without a message.

use super::part::Part;
use crate::gic::{self, Sgi};
use crate::masking;
use crate::percpu::CpuId;
use crate::percpu::area::{self, Area, Part as _};
use crate::sync::Atomics;
use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// A doorbell was rung.
pub(crate) const BELL: Sgi = Sgi::new(4);

/// Doorbells that an image can have registered.
pub const DOORBELLS: usize = 16;
const _: () = assert!(DOORBELLS as u32 <= reveille_protocol::Bells::<Atomics>::BELLS);

/// What each bit stands for; null: nothing yet. Never taken away once a bell has its number.
static TABLE: [AtomicPtr<Doorbell>; DOORBELLS] = [const { AtomicPtr::new(ptr::null_mut()) }; DOORBELLS];

/// A bell at every CPU: who [rings](Self::ring) it has a handler run there, soon, in interrupt context.
///
/// Beside [`post`](super::post()) it is what reschedule requests and executors need: it carries nothing, so it needs no node, is never
/// busy, and never waits; and rings add up to one. It may be rung from anywhere, NMI level included, at a cost that does not depend on
/// the number of CPUs.
///
/// ```no_run
/// use reveille::call::Doorbell;
///
/// static RESCHEDULE: Doorbell = Doorbell::new(reschedule);
///
/// fn reschedule() { /* in interrupt context, on the CPU that was rung at */ }
///
/// # fn example(cpu: reveille::cpu::CpuId) -> Result<(), reveille::call::DoorbellError> {
/// RESCHEDULE.register()?;
/// RESCHEDULE.ring(cpu);
/// # Ok(()) }
/// ```
///
/// A bell that is rung again before its handler has begun runs it once for both, and that run sees what either ringer had written. So
/// after each ring that was heard there is a run that begins after it. One SGI at most is under way to a CPU, for all of its bells; one
/// that is lost costs time: the CPU finds what was rung with its timer's next interrupt, which comes at least as often as it looks
/// around (bootarg `idle_ms`).
///
/// What was rung before a CPU leaves runs before it goes; what is rung later is not remembered: whoever wants its next life to begin
/// with a look sets an alarm in an online callback, where a ring is not heard yet. On a CPU that was stopped nothing runs.
#[derive(Debug)]
pub struct Doorbell {
    handler: fn(),
    /// One more than its bit; 0: it has none yet.
    number: AtomicU32,
}

/// Why a doorbell was not registered. Nothing has changed.
///
/// ```no_run
/// use reveille::call::DoorbellError;
///
/// # fn example(bell: &'static reveille::call::Doorbell) {
/// match bell.register() {
///     Ok(()) | Err(DoorbellError::Registered) => {}
///     Err(error) => panic!("no bell: {error}"),
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DoorbellError {
    /// It is registered already.
    Registered,
    /// [`DOORBELLS`] others are.
    Full,
}

impl fmt::Display for DoorbellError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registered => "the doorbell is registered already",
            Self::Full => "there are as many doorbells as there can be",
        })
    }
}

/// What became of a [`ring`](Doorbell::ring).
///
/// ```no_run
/// use reveille::call::Rung;
///
/// # fn example(bell: &reveille::call::Doorbell, cpu: reveille::cpu::CpuId) {
/// match bell.ring(cpu) {
///     // Its handler runs there, once, after this.
///     Rung::Heard => {}
///     // Nothing is remembered of it: whoever brings the CPU up has to look.
///     _ => {}
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// The handler will run there, beginning after this ring.
    Heard,
    /// The CPU is not online. Nothing has happened.
    Offline,
    /// The doorbell was never [registered](Doorbell::register). Nothing has happened.
    Unregistered,
}

impl Doorbell {
    /// A bell whose rings have `handler` run. To be registered before it is rung.
    ///
    /// `handler` runs in interrupt context: normal interrupts masked, NMI-class ones open.
    ///
    /// ```no_run
    /// use reveille::call::Doorbell;
    ///
    /// static RESCHEDULE: Doorbell = Doorbell::new(|| { /* looks at this CPU's queue */ });
    /// ```
    pub const fn new(handler: fn()) -> Self {
        Self { handler, number: AtomicU32::new(0) }
    }

    /// Makes the bell one that can be rung, at every CPU, for good. From any context.
    ///
    /// # Errors
    ///
    /// [`DoorbellError`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille::call::Doorbell;
    ///
    /// # fn example() -> Result<(), reveille::call::DoorbellError> {
    /// static RESCHEDULE: Doorbell = Doorbell::new(|| { /* looks at this CPU's queue */ });
    ///
    /// RESCHEDULE.register()?;
    /// # Ok(()) }
    /// ```
    pub fn register(&'static self) -> Result<(), DoorbellError> {
        if self.number.load(Ordering::Relaxed) != 0 {
            return Err(DoorbellError::Registered);
        }
        let own = ptr::from_ref(self).cast_mut();
        let free = |entry: &AtomicPtr<Self>| {
            // Relaxed: the number, below, hands it over.
            entry.compare_exchange(ptr::null_mut(), own, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        let bit = TABLE.iter().position(free).ok_or(DoorbellError::Full)?;
        // Release: pairs with `ring`. Who has the number, and with its bit whoever takes that, finds the entry.
        if self.number.compare_exchange(0, bit as u32 + 1, Ordering::Release, Ordering::Relaxed).is_err() {
            // Somebody was faster, and nobody knows of this entry. Relaxed: it hands over nothing.
            TABLE[bit].store(ptr::null_mut(), Ordering::Relaxed);
            return Err(DoorbellError::Registered);
        }
        Ok(())
    }

    /// Has the handler run on `cpu`, which may be this one, and says whether that CPU hears it. What the caller wrote before, the handler
    /// sees.
    ///
    /// From any context, and never waits. On the CPU itself the handler runs as soon as interrupts are open.
    ///
    /// ```no_run
    /// use reveille::cpu;
    ///
    /// # fn example(bell: &reveille::call::Doorbell) {
    /// // From any context; what was written before, the handlers see.
    /// for cpu in cpu::online() {
    ///     bell.ring(cpu);
    /// }
    /// # }
    /// ```
    #[inline]
    pub fn ring(&self, cpu: CpuId) -> Rung {
        // Acquire: pairs with `register`.
        let Some(bit) = self.number.load(Ordering::Acquire).checked_sub(1) else { return Rung::Unregistered };
        let area = area::of(cpu);
        // Until the SGI is sent, or whoever rings meanwhile relies on one that does not come.
        let _masked = masking::mask();
        match Part::of(area).bells.ring(bit) {
            Ok(rung) => {
                if rung.first {
                    gic::interrupt(BELL, area);
                }
                Rung::Heard
            }
            Err(reveille_protocol::Deaf) => Rung::Offline,
        }
    }
}

/// Runs the handlers of all that was rung at this CPU, that of `area`. In interrupt context.
#[inline(always)]
pub(crate) fn answer(area: &Area) {
    let rung = Part::of(area).bells.take();
    if rung != 0 {
        answer_these(area, rung);
    }
}

/// Runs the handlers of these bells. In interrupt context.
#[cold]
#[inline(never)]
pub(super) fn answer_these(area: &Area, mut rung: u64) {
    while rung != 0 {
        let bit = rung.trailing_zeros() as usize;
        rung &= rung - 1;
        // Relaxed: ordered by the ring, whose ringer had the number of this entry.
        // SAFETY: null, or a static that `register` stored.
        let Some(bell) = (unsafe { TABLE[bit].load(Ordering::Relaxed).as_ref() }) else { continue };
        Part::of(area).activity.store(bell.handler as usize as u64, Ordering::Relaxed);
        (bell.handler)();
        Part::of(area).activity.store(0, Ordering::Relaxed);
    }
}
