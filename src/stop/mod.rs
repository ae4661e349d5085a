//! Stop-machine: every CPU at one point, masked, while something is changed that none of them may see half done.
//!
//! The protocol is `reveille_protocol::Rendezvous`. Calls are served until all CPUs have come, the initiator masks
//! last, and up to the moment before the job a round can be called off: whoever is late then goes on as if nothing
//! had been. The field report is a kernel mail of 2014, about a CPU that masked first while others still sent to it.

mod gather;

pub(crate) use gather::{Part, Round, init, part, participate, patience};

use crate::cpu::lifecycle::{Denied, Lifecycle};
use crate::cpu::{self, CpuId, CpuSet};
use crate::time::Deadline;
use core::cell::UnsafeCell;
use core::fmt;
use reveille_protocol::Job;

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopError {
    /// The caller has interrupts masked, or is an interrupt handler or a callback, an
    /// [`offline`](crate::hotplug::register) one included.
    WouldDeadlock,
    /// Another CPU was starting, stopping or gathering CPUs until the deadline.
    Busy,
    /// These CPUs did not come before the deadline.
    TimedOut(CpuSet),
}

impl From<Denied> for StopError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Context => Self::WouldDeadlock,
            Denied::Busy => Self::Busy,
        }
    }
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldDeadlock => f.write_str("stop-machine with interrupts masked or in interrupt context"),
            Self::Busy => f.write_str("another CPU was starting or stopping CPUs for too long"),
            Self::TimedOut(missing) => write!(f, "cpus {missing} did not come in time"),
        }
    }
}

/// Runs `f` while every other online CPU waits with interrupts masked, and brings its value back.
///
/// Calls are served until all have come. `f` runs on the calling CPU, with interrupts masked; it must be short, and may
/// take no lock but [`SpinLock`](crate::sync::SpinLock)s. NMI-class interrupts still come through everywhere.
/// Afterwards every CPU has synchronised its instruction stream.
///
/// # Errors
///
/// [`StopError::TimedOut`]: some CPU did not come, or did not mask, before `deadline`: `f` did not run, and nobody waits
/// any more. [`StopError::Busy`], [`StopError::WouldDeadlock`].
///
/// # Panics
///
/// If a CPU does not go on after `f` has run, for ten seconds (bootarg `stop_wait_ms`).
pub fn stop_machine<R, F: FnOnce() -> R>(deadline: impl Into<Deadline>, f: F) -> Result<R, StopError> {
    let deadline = deadline.into();
    // Goes after the lock: what it has captured may do anything as it is dropped, and wait for that lock.
    let mut f = Some(f);
    let lock = Lifecycle::lock(deadline)?;
    let mut result = None;
    stop_machine_locked(&lock, deadline, || result = f.take().map(|f| f()))?;
    drop(lock);
    // A round that was not called off has run its job.
    result.ok_or(StopError::Busy)
}

/// [`stop_machine`] for who has the lock already.
pub(crate) fn stop_machine_locked<R, F: FnOnce() -> R>(
    _lock: &Lifecycle,
    deadline: Deadline,
    f: F,
) -> Result<R, StopError> {
    let others = cpu::online().without(cpu::current());
    let mut f = Some(f);
    let mut result = None;
    let round = Round::begin(&others, Job::Initiator, deadline)?;
    round.run(|| result = f.take().map(|f| f()))?;
    // A round that was not called off has run its job.
    result.ok_or(StopError::Busy)
}

/// Runs `f` on every online CPU at the same time, all of them with interrupts masked, and returns when all are done.
/// Otherwise as [`stop_machine`].
///
/// # Errors
///
/// As for [`stop_machine`].
pub fn stop_machine_each<F: Fn(CpuId) + Sync>(deadline: impl Into<Deadline>, f: F) -> Result<(), StopError> {
    let deadline = deadline.into();
    let _lock = Lifecycle::lock(deadline)?;
    let others = cpu::online().without(cpu::current());
    let call = |cpu| f(cpu);
    // SAFETY: the lock is ours, so no round that runs a job for each is under way, and the job is taken back before `f` goes.
    let _job = unsafe { EACH.set(&call) };
    Round::begin(&others, Job::Each, deadline)?.run(|| f(cpu::current()))
}

/// What every CPU is to do in a round for each.
type EachJob = *const (dyn Fn(CpuId) + Sync);

struct EachCell(UnsafeCell<Option<EachJob>>);
// SAFETY: written by the holder of the lifecycle lock between rounds, read by participants that were told to run the job,
// which comes after `begin` and before the round can end.
unsafe impl Sync for EachCell {}
static EACH: EachCell = EachCell(UnsafeCell::new(None));

/// Takes the job back when dropped.
struct EachGuard;

impl EachCell {
    /// # Safety
    ///
    /// No round is under way, none is begun but by the caller, and `f` outlives the guard.
    unsafe fn set(&self, f: &(dyn Fn(CpuId) + Sync)) -> EachGuard {
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
    unsafe fn run(&self, cpu: CpuId) {
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
