//! What the interrupt controller knows of one CPU.

use super::common::{Complaint, GicError};
use super::number::Sgi;
use super::v3_cpu;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// One CPU's part.
pub(crate) struct CpuPart {
    /// GICv3: address of its redistributor; 0 unknown.
    pub(super) redistributor: AtomicU64,
    /// What an SGI to it takes. GICv3: the target fields of ICC_SGI1R_EL1. GICv2: [`TARGET_V2`], from before any other CPU
    /// starts, and its bit in target lists once it has come up and found out: until then an SGI to it reaches nobody. BCM2836: both marks, and its
    /// bit.
    pub(super) target: AtomicU64,
    /// Which CPU interface its interrupt entry uses: `V2`, `V3`, `V3_NMI`, `BCM2836`.
    pub(super) entry: AtomicU8,
    /// Why it could not be set up; 0: it could. Relaxed: what `give_up` does to the slot orders it before its reader.
    complaint: AtomicU8,
}

/// Marks the targets of GICv2, and of what is no GIC; reserved in ICC_SGI1R_EL1.
pub(super) const TARGET_V2: u64 = 1 << 63;
/// Marks those of what is no GIC, besides.
pub(super) const TARGET_BCM2836: u64 = 1 << 62;

/// The target list in what is sent.
#[cfg(feature = "fault-injection")]
pub(super) const TARGETS: u64 = 0xffff;

impl CpuPart {
    /// Of the CPU with this affinity.
    pub(crate) const fn new(mpidr: u64) -> Self {
        Self {
            redistributor: AtomicU64::new(0),
            target: AtomicU64::new(v3_cpu::target(mpidr)),
            entry: AtomicU8::new(0),
            complaint: AtomicU8::new(0),
        }
    }

    /// This CPU, whose part it is, cannot set it up, and cannot print yet why.
    pub(crate) fn complain(&self, error: &GicError) {
        self.complaint.store(error.code(), Ordering::Relaxed);
    }

    /// Why the CPU could not set it up, the last time that it could not.
    pub(crate) fn complaint(&self) -> Complaint {
        Complaint(self.complaint.load(Ordering::Relaxed))
    }

    /// Which CPU interface its interrupt entry uses: `V2`, `V3`, `V3_NMI` or `BCM2836`.
    #[inline(always)]
    pub(crate) fn entry(&self) -> u8 {
        // Relaxed: written by its own CPU before it takes interrupts.
        self.entry.load(Ordering::Relaxed)
    }
}

/// What interrupts `target` by `sgi`: the number goes where ICC_SGI1R_EL1 has it, on GICv2 too.
#[inline(always)]
pub(super) const fn with_sgi(target: u64, sgi: Sgi) -> u64 {
    target | (sgi.intid() as u64) << 24
}
