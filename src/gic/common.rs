//! What the drivers of both controllers have in common.

use crate::arch::{self, regs};
use core::fmt;
use core::time::Duration;

/// Priority of what stops CPUs that have masked interrupts: it pre-empts what [`masking`](crate::masking) holds back. The same in
/// every view (Secure, Non-secure, EL1, EL2).
pub(super) const NMI_PRIORITY: u8 = 0x20;
/// Priority of everything else, but for what was given another [class](Priority).
pub(super) const NORMAL: u8 = Priority::Normal as u8;

/// Binary point: the two highest bits of a priority say what interrupts a handler, the others which of several is taken first. So all
/// [classes](Priority) are one to each other, as whatever runs in interrupt context relies on, and NMI-class interrupts get in:
/// Non-secure, where 0x20 is 0x90 and 0xc0 is 0xe0, as well as with a single security state (IHI 0069 4.8.4; IHI 0048B 3.3.3). GICv2
/// without the Security Extensions counts from one bit higher, the highest alone: that is as good.
pub(super) const BINARY_POINT: u32 = 6;

/// Which of several interrupts that are pending a CPU takes first. None of these comes through a masked section, or interrupts the
/// handler of another: that NMI-class interrupts do alone.
///
/// What the runtime sends and takes for itself is `Normal`.
///
/// ```no_run
/// use reveille::irq::{self, Priority};
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// // It is taken before whatever else waits.
/// irq::set_priority(40, Priority::High)?;
/// # Ok(()) }
/// ```
// Held back by `masking::MASK`, and not by `OPEN`; of the same group (see `BINARY_POINT`), and different in the four bits that every
// controller has in every view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Priority {
    /// Before everything else.
    High = 0xc0,
    /// What every interrupt has that was given no other.
    Normal = 0xd0,
    /// After everything else.
    Low = 0xe0,
}

/// SGIs 0 to 7 alone: 8 to 15 belong to the Secure world (Arm DEN 0098, 4.1.1).
pub(super) const SGIS: u32 = 0xff;

/// How long the controller is waited for. What it is asked for is done when it has passed a message between its own parts: at the slowest
/// some thousand cycles of its clock, which is never below 1 MHz, so a few milliseconds. The architecture
/// has no limit; Linux gives it a second.
pub(super) const SETTLES: Duration = Duration::from_millis(100);

/// Why the interrupt controller cannot be used.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum GicError {
    /// The CPU is not connected to the controller that the device tree names.
    NoSystemRegisters,
    /// The registers could not be mapped.
    Map(crate::arch::mmu::MapError),
    /// No redistributor has the affinity of this CPU.
    NoRedistributor {
        /// Its affinity.
        mpidr: u64,
    },
    /// The controller did not finish what it was told to do.
    Stuck {
        /// The register that did not change.
        register: &'static str,
    },
    /// An SGI that the CPU sent to itself did not arrive.
    Deaf {
        /// What the registers say about why.
        why: Deafness,
    },
    /// The interrupt of the CPU's timer cannot be enabled.
    NoTimer,
}

/// Why SGIs do not reach a CPU, as far as its registers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Deafness {
    /// Interrupts of Group 0 are the Secure world's, or come as FIQs.
    Group0 = 0,
    /// What is written to the priority mask is ignored, as the Secure world has it in its own half.
    Mask = 1,
    /// Nothing of the priority of one that is active, or of a lower one, gets through.
    Active = 2,
    /// The registers are as they should be.
    NoSign = 3,
}

impl fmt::Display for Deafness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Group0 => "firmware has left them in Group 0 (IGROUPR0)",
            Self::Mask => "firmware holds the priority mask closed (PMR)",
            Self::Active => "an interrupt from before was never ended (RPR)",
            Self::NoSign => "nothing that can be read says why",
        })
    }
}

/// What becomes of an error of a CPU that can print nothing yet: one number, for [`Complaint`].
impl GicError {
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::NoSystemRegisters | Self::Map(_) | Self::Stuck { .. } => 1,
            Self::NoRedistributor { .. } => 2,
            Self::Deaf { why } => 3 + *why as u8,
            Self::NoTimer => NO_TIMER,
        }
    }
}

const NO_TIMER: u8 = 7;

/// Why a CPU could not set up its part, as the one that has brought it up tells it.
pub(crate) struct Complaint(pub(super) u8);

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.0 {
            1 => return f.write_str("a register did not settle"),
            2 => return f.write_str("no redistributor has its affinity"),
            3 => Deafness::Group0,
            4 => Deafness::Mask,
            5 => Deafness::Active,
            NO_TIMER => return GicError::NoTimer.fmt(f),
            _ => Deafness::NoSign,
        };
        GicError::Deaf { why }.fmt(f)
    }
}

impl fmt::Display for GicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSystemRegisters => {
                write!(f, "a GICv3 is described, but this CPU has no system registers for one")
            }
            Self::Map(error) => write!(f, "registers: {error}"),
            Self::NoRedistributor { mpidr } => write!(f, "no redistributor for mpidr {mpidr:#012x}"),
            Self::Stuck { register } => write!(f, "{register} did not settle"),
            Self::Deaf { why } => write!(f, "SGIs do not reach this CPU: {why}"),
            Self::NoTimer => {
                f.write_str("its timer does not reach this CPU: firmware has left that in Group 0 (IGROUPR0)")
            }
        }
    }
}

/// How an interrupt line signals.
///
/// ```no_run
/// use reveille::irq::{self, Trigger};
///
/// # fn example() -> Result<(), reveille::irq::IrqError> {
/// irq::register(40, Trigger::Edge, |_| {})?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// While it is high.
    Level,
    /// When it rises.
    Edge,
}

/// What a BCM2836 has in place of a GIC.
pub(crate) const BCM2836: u8 = 4;
/// GICv2.
pub(crate) const V2: u8 = 2;
/// GICv3 and later.
pub(crate) const V3: u8 = 3;
/// GICv3 with FEAT_NMI in use.
pub(crate) const V3_NMI: u8 = 5;

/// The CPU interface of one kind of controller, as the interrupt entry needs it.
pub(crate) trait CpuInterface {
    /// Takes the most urgent pending interrupt: what the acknowledge register reads.
    fn acknowledge() -> u32;
    /// The number in it, without the sender that GICv2 adds to an SGI's.
    fn intid(acknowledged: u32) -> u32;
    /// The interrupt that was acknowledged, where the number may be a special one. `None`: there is none (any more).
    fn settle(acknowledged: u32) -> Option<u32>;
    /// Ends an interrupt: its priority no longer counts, and it may come again.
    fn end(acknowledged: u32);
    /// Opens this CPU, in the handler of the interrupt that was acknowledged, to what is more urgent.
    ///
    /// # Safety
    ///
    /// The interrupt is acknowledged and not ended, and what the vector saved is on the stack.
    #[inline(always)]
    unsafe fn open(_acknowledged: u32) {
        // SAFETY: the caller's.
        unsafe { regs::daif_clear() }
    }
    /// Undoes [`open`](Self::open): nothing comes between here and the `eret`.
    #[inline(always)]
    fn close(_acknowledged: u32) {
        regs::daif_set();
    }
}

/// A 32-bit store in the Secure address space, by the stub that we left at EL3.
pub(super) fn secure_write(address: u64, value: u32) {
    use smccc::Call;
    let mut args = [0; 17];
    args[0] = address;
    args[1] = u64::from(value);
    smccc::Smc::call64(arch::SECURE_WRITE, args);
}
