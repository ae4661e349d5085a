//! A CPU, and how to start it.

use crate::error::Error;
use crate::path::Path;

/// The affinity fields of MPIDR_EL1: Aff3 in bits 39:32, Aff2 to Aff0 in bits 23:0.
pub const MPIDR_AFFINITY: u64 = 0xff_00ff_ffff;

/// One CPU.
#[derive(Clone, Copy, Debug)]
pub struct Cpu<'a> {
    /// The affinity fields as they stand in MPIDR_EL1, with every other bit 0.
    pub mpidr: u64,
    /// How to start it.
    pub method: EnableMethod<'a>,
    /// Whether it may be started.
    pub status: CpuStatus,
    /// Where it is described.
    pub path: Path<'a>,
    /// What is odd about the description, and can be lived with.
    pub note: Option<Error<'a>>,
}

/// How a CPU is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnableMethod<'a> {
    /// Through PSCI; see [`Machine::psci`](crate::Machine::psci).
    Psci,
    /// By a 64-bit store to a physical address that the CPU polls.
    SpinTable {
        /// The address; some descriptions forget it.
        release_addr: Option<u64>,
    },
    /// A method that the reader does not know.
    Unknown(&'a str),
    /// No method at all. Usual for descriptions of a single CPU.
    Missing,
}

/// Whether a CPU may be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuStatus {
    /// Present and usable.
    Okay,
    /// Disabled, reserved or unknown: quiescent, and left alone.
    Disabled,
    /// Broken.
    Fail,
}
