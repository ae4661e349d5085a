//! The job of a round that every CPU runs.

use crate::percpu::CpuId;
use core::cell::UnsafeCell;

/// What every CPU is to do in a round for each.
type EachJob = *const (dyn Fn(CpuId) + Sync);

pub(super) struct EachCell(UnsafeCell<Option<EachJob>>);
// SAFETY: written by the holder of the lifecycle lock between rounds, read by participants that were told to run the job,
// which comes after `begin` and before the round can end.
unsafe impl Sync for EachCell {}
pub(super) static EACH: EachCell = EachCell(UnsafeCell::new(None));

/// Takes the job back when dropped.
pub(super) struct EachGuard;

impl EachCell {
    /// # Safety
    ///
    /// No round is under way, none is begun but by the caller, and `f` outlives the guard.
    pub(super) unsafe fn set(&self, f: &(dyn Fn(CpuId) + Sync)) -> EachGuard {
        let job: *const (dyn Fn(CpuId) + Sync + '_) = f;
        // SAFETY: only the lifetime changes, and the caller sees to it.
        let job: EachJob = unsafe { core::mem::transmute(job) };
        // SAFETY: no participant looks (the caller's).
        unsafe { *self.0.get() = Some(job) };
        EachGuard
    }

    /// # Safety
    ///
    /// The caller takes part in a round for each and was told to run the job.
    pub(super) unsafe fn run(&self, cpu: CpuId) {
        // SAFETY: set before the round began, and unchanged until this CPU has acknowledged.
        if let Some(job) = unsafe { *self.0.get() } {
            // SAFETY: as above.
            unsafe { (*job)(cpu) }
        }
    }
}

impl Drop for EachGuard {
    fn drop(&mut self) {
        // SAFETY: the round is over, or was never begun.
        unsafe { *EACH.0.get() = None };
    }
}
