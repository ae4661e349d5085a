//! Why a CPU that arrived gave up.

use core::fmt;

/// Why a CPU that arrived did not come online.
///
/// ```no_run
/// use reveille::bringup::{self, Reason, Verdict};
/// use reveille::{cpu, println, time::Deadline};
/// use core::time::Duration;
///
/// # fn example() {
/// for cpu in cpu::possible() {
///     if let Verdict::Failed(code) = bringup::cpu_up(cpu, Deadline::after(Duration::from_secs(1))) {
///         match Reason::from_code(code) {
///             Some(Reason::Gic) => println!("cpu {cpu}: no interrupt would reach it"),
///             Some(reason) => println!("cpu {cpu}: {reason}"),
///             None => println!("cpu {cpu}: code {code} of the application's"),
///         }
///     }
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[non_exhaustive]
pub enum Reason {
    /// It lacks a feature that the boot CPU has and the system relies on.
    Feature = 1,
    /// Its part of the interrupt controller could not be set up.
    Gic = 2,
    /// An online callback of the application failed.
    Callback = 3,
    /// It lacks the LSE atomics, which the locks use, and the locks could not be made to do without.
    Atomics = 4,
    /// Its system counter does not count: it could keep no deadline.
    Counter = 5,
    /// It was started, or reset, a second time while it was running.
    Restarted = reveille_protocol::RESTARTED,
}

impl Reason {
    /// The reason with this number.
    ///
    /// ```no_run
    /// use reveille::bringup::Reason;
    ///
    /// # fn example() {
    /// assert_eq!(Reason::from_code(2), Some(Reason::Gic));
    /// assert_eq!(Reason::from_code(77), None);
    /// # }
    /// ```
    pub const fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            1 => Self::Feature,
            2 => Self::Gic,
            3 => Self::Callback,
            4 => Self::Atomics,
            5 => Self::Counter,
            reveille_protocol::RESTARTED => Self::Restarted,
            _ => return None,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Feature => "feature",
            Self::Gic => "gic",
            Self::Callback => "callback",
            Self::Atomics => "atomics",
            Self::Counter => "counter",
            Self::Restarted => "restarted",
        })
    }
}
