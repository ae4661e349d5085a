//! Exceptions that are the application's, and what runs at a lower exception level.
//!
//! An image that says `entry!(main, exceptions = H)` is asked before an exception is a panic: a synchronous one of its own level (an `svc`,
//! a fault on memory that it manages, a trap), and everything that what it runs at a lower level causes. The handler gets all registers,
//! changes what it likes, and says how it goes on.
//!
//! A handler runs on the CPU's stack of exceptions with normal interrupts held back, like an interrupt handler, and NMI-class ones come
//! through where they did before. It is *interrupt context* ([`irq::in_interrupt`](crate::irq::in_interrupt)). An exception inside of a handler
//! is one too, and asked about again, as long as the stack has room. While the machine is being stopped nobody is asked.
//!
//! What runs below: an EL2 image ([feature `el2`](crate)) has guests at EL1 and EL0, an EL1 image has EL0. [`enter`] goes there, from thread
//! context, and comes back when a handler says [`Outcome::Leave`]. Meanwhile interrupts are served as ever, and then
//! [`Handlers::lower_irq`] is asked; a call, a stop, a panic, a round of stop-machine reach the CPU as if it ran a thread.
//!
//! The runtime keeps of what runs below what is in a [`Frame`], and touches nothing else of it: the system registers of EL1, stage 2, the
//! virtual interface of the interrupt controller and the virtual timer are the application's.

pub use crate::arch::exception::Frame;

use crate::arch::regs;
use crate::holds::Holds;
use crate::masking;
use crate::percpu::area::{self, Part as _};
use core::cell::Cell;
use core::fmt;

/// How it goes on after a handler.
///
/// ```no_run
/// use reveille::exception::{Frame, Kind, Outcome};
///
/// /// Instructions of EL0 that this machine does not have read as zero.
/// fn emulate(frame: &mut Frame, _kind: Kind) -> Outcome {
///     match frame.esr >> 26 {
///         0 => {
///             frame.elr += 4;
///             Outcome::Resume
///         }
///         _ => Outcome::NotMine,
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With what is in the frame.
    Resume,
    /// With the thread that had what runs below entered: [`enter`] returns. From the handlers of lower levels; any other has not said
    /// anything that makes sense, which is as [`Outcome::NotMine`].
    Leave,
    /// Not at all: it is a panic, with the registers as they were.
    NotMine,
}

/// Which exception it was.
///
/// ```no_run
/// use reveille::exception::Kind;
///
/// # fn example(kind: reveille::exception::Kind) {
/// let word = match kind {
///     Kind::Thread => "a thread",
///     Kind::Handler => "a handler",
///     kind if kind.is_lower() => "what runs below",
///     _ => "something else",
/// };
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
#[non_exhaustive]
pub enum Kind {
    /// Synchronous, in a thread of this level.
    Thread = 0,
    /// Synchronous, in a handler of this level.
    Handler = 4,
    /// Synchronous, below, in AArch64.
    Lower = 8,
    /// An interrupt, below, which has been served.
    LowerIrq = 9,
    /// An FIQ, below.
    LowerFiq = 10,
    /// An SError, below.
    LowerSError = 11,
    /// Synchronous, below, in AArch32.
    Lower32 = 12,
    /// An FIQ, below, in AArch32.
    Lower32Fiq = 14,
    /// An SError, below, in AArch32.
    Lower32SError = 15,
}

impl Kind {
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Thread,
            4 => Self::Handler,
            8 => Self::Lower,
            9 => Self::LowerIrq,
            10 => Self::LowerFiq,
            11 => Self::LowerSError,
            12 => Self::Lower32,
            14 => Self::Lower32Fiq,
            15 => Self::Lower32SError,
            _ => return None,
        })
    }

    /// Whether it comes from below.
    ///
    /// ```no_run
    /// use reveille::exception::Kind;
    ///
    /// # fn example() {
    /// assert!(Kind::LowerIrq.is_lower());
    /// assert!(!Kind::Thread.is_lower());
    /// # }
    /// ```
    pub const fn is_lower(self) -> bool {
        !matches!(self, Self::Thread | Self::Handler)
    }
}

/// What an application does about exceptions, for [`entry!`](crate::entry). What it does not say is not its own.
///
/// # Safety
///
/// With what they leave in the frame, and say, whatever was interrupted goes on: its own code as its compiler and its callers rely on
/// it, or other code that may run there. They do not panic across a frame that they have half changed.
///
/// # Examples
///
/// ```no_run
/// use reveille::exception::{Frame, Handlers, Kind, Outcome};
/// use reveille::{ExitCode, System};
///
/// struct Calls;
///
/// // SAFETY: only the answer of an SVC is left in the frame, which whoever executes one expects there.
/// unsafe impl Handlers for Calls {
///     fn lower_synchronous(frame: &mut Frame, _kind: Kind) -> Outcome {
///         // Arm ARM, ESR_ELx.EC: SVC in AArch64 state.
///         if frame.esr >> 26 != 0x15 {
///             return Outcome::NotMine;
///         }
///         frame.x[0] = 42;
///         Outcome::Resume
///     }
/// }
///
/// reveille::entry!(main, exceptions = Calls);
///
/// fn main(_system: &'static System) -> ExitCode {
///     ExitCode::SUCCESS
/// }
/// ```
pub unsafe trait Handlers {
    /// A synchronous exception of this level, in a thread or ([`Kind::Handler`]) in a handler.
    fn synchronous(frame: &mut Frame, kind: Kind) -> Outcome {
        let _ = (frame, kind);
        Outcome::NotMine
    }

    /// A synchronous exception from below.
    fn lower_synchronous(frame: &mut Frame, kind: Kind) -> Outcome {
        let _ = (frame, kind);
        Outcome::NotMine
    }

    /// An interrupt came while this ran below, and has been served.
    fn lower_irq(frame: &mut Frame) -> Outcome {
        let _ = frame;
        Outcome::Resume
    }

    /// An FIQ from below.
    fn lower_fiq(frame: &mut Frame) -> Outcome {
        let _ = frame;
        Outcome::NotMine
    }

    /// An SError from below.
    fn lower_serror(frame: &mut Frame) -> Outcome {
        let _ = frame;
        Outcome::NotMine
    }
}

/// What [`entry!`](crate::entry) makes of the handlers that it is given.
#[doc(hidden)]
#[inline(always)]
pub fn dispatch<H: Handlers>(frame: &mut Frame, kind: Kind) -> Outcome {
    match kind {
        Kind::Thread | Kind::Handler => H::synchronous(frame, kind),
        Kind::Lower | Kind::Lower32 => H::lower_synchronous(frame, kind),
        Kind::LowerIrq => H::lower_irq(frame),
        Kind::LowerFiq | Kind::Lower32Fiq => H::lower_fiq(frame),
        Kind::LowerSError | Kind::Lower32SError => H::lower_serror(frame),
    }
}

/// What [`entry!`](crate::entry) makes of it where there are none.
#[doc(hidden)]
#[derive(Debug)]
pub struct Nobody;

// SAFETY: it changes nothing, and has nothing go on.
unsafe impl Handlers for Nobody {}

unsafe extern "Rust" {
    safe fn reveille_has_handlers() -> bool;
    safe fn reveille_handle(frame: &mut Frame, kind: Kind) -> Outcome;
}

/// Whether the application has handlers. Known when the image is linked.
#[inline(always)]
pub(crate) fn exist() -> bool {
    reveille_has_handlers()
}

/// Asks the application.
#[inline(always)]
pub(crate) fn ask(frame: &mut Frame, kind: Kind) -> Outcome {
    reveille_handle(frame, kind)
}

/// What one CPU has to do with what runs below it. For itself alone.
pub(crate) struct Below {
    /// Where it continues, and how, when an interrupt has been served: between that and its handler.
    resume: Cell<(u64, u64)>,
    /// Its `TPIDRRO_EL0`, for as long.
    scratch: Cell<u64>,
    /// The frame of who entered it, for what it comes back with.
    entered: Cell<*mut Frame>,
    /// Why it was left.
    left: Cell<Option<Kind>>,
}

// SAFETY: its own CPU alone uses it, with interrupts masked.
unsafe impl Sync for Below {}

impl Below {
    /// Of a CPU that runs nothing below.
    pub(crate) const fn new() -> Self {
        Self {
            resume: Cell::new((0, 0)),
            scratch: Cell::new(0),
            entered: Cell::new(core::ptr::null_mut()),
            left: Cell::new(None),
        }
    }

    /// What runs below is interrupted: whatever serves that may take exceptions of this level.
    pub(crate) fn keep_scratch(&self) {
        self.scratch.set(regs::scratch());
    }

    /// What was kept.
    pub(crate) fn scratch(&self) -> u64 {
        self.scratch.get()
    }

    /// An interrupt of what runs below has been served: it is to go on at `elr`, in the state `spsr`, once its handler has been asked.
    pub(crate) fn set_resume(&self, elr: u64, spsr: u64) {
        self.resume.set((elr, spsr));
    }

    /// The same, for the handler.
    pub(crate) fn resume(&self) -> (u64, u64) {
        self.resume.get()
    }

    /// The frame of who entered what runs below; null: nobody did.
    pub(crate) fn entered(&self) -> *mut Frame {
        self.entered.get()
    }

    /// Who it is of from now on.
    pub(crate) fn set_entered(&self, frame: *mut Frame) {
        self.entered.set(frame);
    }

    /// What runs below is left, as `frame` is, because of `kind`. `false`: nobody has entered it.
    pub(crate) fn leave(&self, frame: &Frame, kind: Kind) -> bool {
        let entered = self.entered.replace(core::ptr::null_mut());
        if entered.is_null() {
            return false;
        }
        // SAFETY: `enter` lent it for as long as it has not returned, which it does by this alone.
        unsafe { entered.write(frame.clone()) };
        self.left.set(Some(kind));
        true
    }
}

/// Why a lower level was not entered.
///
/// ```no_run
/// use reveille::exception::{self, EnterError};
/// use reveille::println;
///
/// # fn example(frame: &mut reveille::exception::Frame) {
/// // SAFETY: a program at EL0 whose memory is apart, interrupts open.
/// match unsafe { exception::enter(frame) } {
///     Ok(kind) => println!("it came back by {kind:?}"),
///     Err(EnterError::NotLower { spsr }) => println!("{spsr:#x} is no state of EL0"),
///     Err(error) => println!("{error}"),
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnterError {
    /// The caller has interrupts masked, is in interrupt context, or in a callback of a CPU that leaves.
    Context,
    /// The image has no handlers, by which it could come back ([`entry!`](crate::entry)).
    NoHandlers,
    /// The state in the frame is not one of a lower level.
    NotLower {
        /// `SPSR_ELx`.
        spsr: u64,
    },
}

impl fmt::Display for EnterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Context => {
                f.write_str("a lower level entered with interrupts masked, or in interrupt context")
            }
            Self::NoHandlers => f.write_str("a lower level entered without handlers that could leave it"),
            Self::NotLower { spsr } => write!(f, "not a state of a lower level: SPSR {spsr:#x}"),
        }
    }
}

/// Runs what is in `frame` at a lower exception level, until a handler says [`Outcome::Leave`]; then it is as that left it. Says which
/// exception it was.
///
/// In thread context, interrupts open. In the state of the frame interrupts are taken by this level whatever `PSTATE` masks there: at EL2
/// because `HCR_EL2.IMO`, `FMO` and `AMO` are set (Arm ARM D1.3.6.3), by the runtime as the CPU comes; an application that writes the register keeps
/// them set. At EL1 only if `DAIF` of EL0 is clear.
///
/// # Errors
///
/// An [`EnterError`]; nothing has run then.
///
/// # Safety
///
/// What runs there keeps out of the memory of this level, by the tables that are set up for it; it has all that it needs in registers which
/// this does not touch. Interrupts are not masked against this level.
///
/// # Examples
///
/// ```no_run
/// use reveille::exception;
///
/// # fn example(frame: &mut reveille::exception::Frame, entry: u64, stack: u64) -> Result<(), reveille::exception::EnterError> {
/// frame.elr = entry;
/// frame.sp_el0 = stack;
/// // EL0, nothing masked.
/// frame.spsr = 0;
/// // SAFETY: the program is mapped for EL0, apart from this image.
/// let kind = unsafe { exception::enter(frame)? };
/// # Ok(()) }
/// ```
pub unsafe fn enter(frame: &mut Frame) -> Result<Kind, EnterError> {
    // SAFETY: the caller's; the closures do nothing.
    unsafe { enter_with(frame, || (), |_| ()) }
}

/// As [`enter`], with what is to be done on the CPU itself: `before` sets up the registers that belong to what runs there, and `after`, which is told
/// which exception it was, puts them away.
///
/// Both are called with everything masked, and nothing comes between them and what runs below. A thread that may be preempted has no other way to
/// do that where it enters: before and after this it may be moved to another CPU.
///
/// # Errors
///
/// An [`EnterError`]; neither has been called then.
///
/// # Safety
///
/// As of [`enter`]. Guards that mask, taken in one of the closures, end there.
///
/// # Examples
///
/// ```no_run
/// use reveille::exception;
///
/// # fn example(frame: &mut reveille::exception::Frame, load: fn(), save: fn()) -> Result<(), reveille::exception::EnterError> {
/// // SAFETY: as of `enter`; the closures only load and save registers of what runs below.
/// let kind = unsafe { exception::enter_with(frame, load, |_kind| save())? };
/// # Ok(()) }
/// ```
pub unsafe fn enter_with(
    frame: &mut Frame,
    before: impl FnOnce(),
    after: impl FnOnce(Kind),
) -> Result<Kind, EnterError> {
    unsafe extern "C" {
        fn reveille_enter_below_el1(frame: *mut Frame, area: *const ());
        #[cfg(feature = "el2")]
        fn reveille_enter_below_el2(frame: *mut Frame, area: *const ());
    }
    if !exist() {
        return Err(EnterError::NoHandlers);
    }
    if !is_lower(frame.spsr) {
        return Err(EnterError::NotLower { spsr: frame.spsr });
    }
    if masking::is_masked() {
        return Err(EnterError::Context);
    }
    let daif = regs::mask_everything();
    let own = area::current();
    if Holds::of(own).preemption().stays() {
        regs::let_in_again(daif);
        return Err(EnterError::Context);
    }
    before();
    let below = Below::of(own);
    below.set_entered(frame);
    // SAFETY: in a thread, everything masked; the frame is of a lower level, and this is its CPU's area. What runs there is the
    // caller's promise.
    unsafe {
        #[cfg(feature = "el2")]
        if regs::at_el2() {
            reveille_enter_below_el2(frame, core::ptr::from_ref(own).cast());
        } else {
            reveille_enter_below_el1(frame, core::ptr::from_ref(own).cast());
        }
        #[cfg(not(feature = "el2"))]
        reveille_enter_below_el1(frame, core::ptr::from_ref(own).cast());
    }
    own.set_below(0);
    let kind = below.left.take().unwrap_or(Kind::LowerIrq);
    after(kind);
    regs::let_in_again(daif);
    Ok(kind)
}

/// Whether `spsr` is a state of a lower level (Arm ARM C5.2.19, `SPSR_ELx.M`). AArch32 always is: what is not there is an illegal state, which
/// is an exception of this level.
fn is_lower(spsr: u64) -> bool {
    const AARCH32: u64 = 1 << 4;
    let own = if regs::at_el2() { 2 } else { 1 };
    spsr & AARCH32 != 0 || (spsr >> 2) & 0b11 < own
}
