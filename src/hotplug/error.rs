//! Why a CPU did not leave.

use crate::clock::Deadline;
use crate::holds::Hold;
use crate::percpu::CpuSet;
use crate::sync::SpinLock;
use core::fmt;

/// Why a CPU did not leave.
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::hotplug::{self, HotplugError};
/// use reveille::{println, time::Deadline};
///
/// # fn example(cpu: reveille::cpu::CpuId) {
/// match hotplug::cpu_down(cpu, Deadline::after(Duration::from_millis(100))) {
///     Ok(()) | Err(HotplugError::NotOnline) => {}
///     Err(HotplugError::Held(hold)) => println!("not now: {hold}"),
///     Err(error) => println!("{error}"),
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HotplugError {
    /// It is the last one online.
    LastCpu,
    /// It is not online.
    NotOnline,
    /// It holds something, or does something, that it did not let go of before the deadline. Nothing has changed.
    Held(Hold),
    /// These CPUs did not come to the gathering in which it would have left. Nothing has changed.
    TimedOut(CpuSet),
    /// Another CPU was starting, stopping or gathering CPUs until the deadline.
    Busy,
    /// The caller has interrupts masked, or is an interrupt handler or a callback, an [`offline`](crate::hotplug::register) one included.
    WouldDeadlock,
    /// It has left the system and takes no more calls, but is not off yet: it still runs calls that it had accepted.
    StillDying,
}

impl fmt::Display for HotplugError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LastCpu => f.write_str("the last online CPU cannot leave"),
            Self::NotOnline => f.write_str("the CPU is not online"),
            Self::Held(hold) => write!(f, "the CPU cannot leave: {hold}"),
            Self::TimedOut(missing) => write!(f, "cpus {missing} did not come in time"),
            Self::Busy => f.write_str("another CPU was starting or stopping CPUs for too long"),
            Self::WouldDeadlock => f.write_str("hotplug with interrupts masked or in interrupt context"),
            Self::StillDying => f.write_str("the CPU has left, but still runs calls that it had accepted"),
        }
    }
}

/// Reason of a refusal: the gathering was called off.
const TIMED_OUT: u16 = 0x100;
/// Reason of a refusal: the rendezvous was taken.
const BUSY: u16 = 0x101;
/// Reason of a refusal: there is no other CPU.
const LAST: u16 = 0x102;

/// Who did not come to the last gathering that was called off so. Written before that answer, and read by who gets it: one CPU
/// at a time is asked to leave.
static MISSING: SpinLock<CpuSet> = SpinLock::new(CpuSet::EMPTY);

/// What the number of a refusal means to the requester.
pub(super) fn error(why: u16, deadline: Deadline) -> HotplugError {
    match why {
        TIMED_OUT => HotplugError::TimedOut(*MISSING.lock()),
        BUSY if deadline.has_passed() => HotplugError::TimedOut(CpuSet::EMPTY),
        BUSY => HotplugError::Busy,
        LAST => HotplugError::LastCpu,
        why => HotplugError::Held(Hold::from_code(why)),
    }
}

/// What a CPU answers to whoever asked it to leave, and was told `refused`.
pub(crate) fn answer(refused: HotplugError) -> u16 {
    match refused {
        HotplugError::TimedOut(missing) => {
            *MISSING.lock() = missing;
            TIMED_OUT
        }
        HotplugError::Held(hold) => hold.code(),
        HotplugError::LastCpu => LAST,
        _ => BUSY,
    }
}
