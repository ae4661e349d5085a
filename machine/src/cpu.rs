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
    /// By the parking protocol of ACPI machines without PSCI ("Multi-processor Startup for ARM Platforms"): a mailbox that the CPU looks
    /// at whenever it is interrupted.
    Parking {
        /// Physical address of the mailbox, a page of 4 KiB.
        address: u64,
        /// What the CPU is called there: its CPU interface number.
        id: u32,
        /// Version of the protocol.
        version: u32,
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

/// Words of the filter in [`Earlier`]. With 512 CPUs in 8192 bits, some 16 CPUs are looked up for nothing.
const FILTER_WORDS: usize = 128;

/// How many CPUs are looked up at most. A description made to exhaust this may hide a duplicate; it cannot make
/// the reader quadratic.
const LOOKUPS: u32 = 64;

/// The MPIDRs of the CPUs so far, in a Bloom filter: only a CPU that hits it is compared with all before it.
pub(crate) struct Earlier {
    seen: [u64; FILTER_WORDS],
    lookups: u32,
}

impl Earlier {
    pub(crate) const NONE: Self = Self { seen: [0; FILTER_WORDS], lookups: LOOKUPS };

    /// Adds this one; true if the filter had it, which it may without any that has.
    pub(crate) fn add(&mut self, mpidr: u64) -> bool {
        // Fibonacci hashing: MPIDRs that differ in one field land far apart.
        let hash = mpidr.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51;
        let Some(word) = self.seen.get_mut(hash as usize / 64) else { return false };
        let bit = 1 << (hash % 64);
        let had = *word & bit != 0;
        *word |= bit;
        had
    }

    /// Adds this one; true if it is to be looked for among those before.
    pub(crate) fn may_have(&mut self, mpidr: u64) -> bool {
        if !self.add(mpidr) {
            return false;
        }
        let Some(lookups) = self.lookups.checked_sub(1) else { return false };
        self.lookups = lookups;
        true
    }
}
