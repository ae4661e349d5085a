//! Live patching: code changed while every CPU runs it, and never under one.
//!
//! The field report is a kernel mail of 2006: code was switched between two forms while CPUs came and went, and a CPU
//! crashed in a lock right after it had come up. Here all CPUs are gathered and masked first; one of them writes through
//! a mapping that exists only for that; everyone synchronises its instruction stream before it goes on; and whoever comes
//! up later fetches afresh on the way (`ic iallu`, with the MMU still off).
//!
//! A site is one instruction: a NOP, or a branch to the other variant. Everything about it is checked before the first
//! store, so that a patch that is refused has changed nothing.

#[cfg(feature = "fault-injection")]
pub(crate) mod fault;
mod form;
mod key;
mod text;

pub use crate::key::KeyState;
#[doc(hidden)]
pub use crate::key::{Key, SiteEntry};
pub(crate) use form::{ensure_smp, forgo_lse, has_lse, settle, use_lse, uses_lse};
#[doc(hidden)]
pub use key::set;
pub use key::{Batch, Site, sites};

use crate::percpu::CpuId;
use crate::stop::StopError;
use core::fmt;

/// Why nothing was patched.
///
/// ```no_run
/// use reveille::patch::{self, PatchError};
/// use reveille::println;
///
/// # fn example() {
/// reveille::static_key!(TRACING, false);
///
/// match patch::set(&TRACING, true) {
///     Ok(_sites) => {}
///     Err(PatchError::Stop(error)) => println!("not everybody came: {error}"),
///     Err(error) => println!("{error}"),
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatchError {
    /// The CPUs could not be gathered.
    Stop(StopError),
    /// This CPU may be running without being online (it comes up, leaves, or is wedged), and cannot be gathered.
    Busy(CpuId),
    /// A site cannot be patched.
    Site {
        /// Its address.
        at: u64,
        /// What is wrong with it.
        fault: SiteFault,
    },
}

/// What is wrong with a site.
///
/// ```no_run
/// use reveille::patch::{PatchError, SiteFault};
/// use reveille::println;
///
/// # fn example(error: reveille::patch::PatchError) {
/// if let PatchError::Site { at, fault: SiteFault::Unexpected { found, expected } } = error {
///     println!("at {at:#x}: {found:#010x}, not {expected:#010x}");
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SiteFault {
    /// It is not aligned to an instruction.
    Unaligned,
    /// It lies outside of the image's text.
    NotText,
    /// It lies in code that patching, stopping or taking exceptions relies on.
    NeverPatched,
    /// What stands there is not what should.
    Unexpected {
        /// The instruction found.
        found: u32,
        /// The instruction expected.
        expected: u32,
    },
    /// The branch would be too long.
    OutOfRange,
    /// The text could not be mapped for writing.
    Map,
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop(error) => error.fmt(f),
            Self::Busy(cpu) => write!(f, "cpu {cpu} may run without being online"),
            Self::Site { at, fault } => {
                write!(f, "patch site {at:#x}: ")?;
                match fault {
                    SiteFault::Unaligned => f.write_str("not aligned"),
                    SiteFault::NotText => f.write_str("not in the text of the image"),
                    SiteFault::NeverPatched => f.write_str("in code that is never patched"),
                    SiteFault::Unexpected { found, expected } => {
                        write!(f, "found {found:#010x} instead of {expected:#010x}")
                    }
                    SiteFault::OutOfRange => f.write_str("branch out of range"),
                    SiteFault::Map => f.write_str("cannot be mapped for writing"),
                }
            }
        }
    }
}

impl From<StopError> for PatchError {
    fn from(error: StopError) -> Self {
        Self::Stop(error)
    }
}
