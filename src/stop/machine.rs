//! Rounds as their users have them.

use super::each::EACH;
use super::error::StopError;
use super::gather::gather;
use crate::clock::Deadline;
use crate::lifecycle::Lifecycle;
use crate::percpu::{self, CpuId, CpuSet};
use reveille_protocol::Job;

/// Runs `f` while every other online CPU waits with interrupts masked, and brings its value back.
///
/// Calls are served until all have come. `f` runs on the calling CPU, with interrupts masked; it must be short, and may
/// take no lock but [`SpinLock`](crate::sync::SpinLock)s. NMI-class interrupts still come through everywhere.
/// Before it runs anything else every CPU synchronises its instruction stream.
///
/// A CPU that such rounds, one on the heels of the other, have kept from its thread for a millisecond is left alone for 0.2 ms, for which the
/// next round waits.
///
/// # Errors
///
/// [`StopError::TimedOut`]: some CPU did not come, or did not mask, before `deadline`: `f` did not run, and nobody waits
/// any more. [`StopError::Busy`], [`StopError::WouldDeadlock`].
///
/// # Examples
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::{stop_machine, time::Deadline};
///
/// # fn example() -> Result<(), reveille::StopError> {
/// // While it runs, all other CPUs stand, with interrupts masked.
/// let answer = stop_machine(Deadline::after(Duration::from_millis(50)), || 6 * 7)?;
/// # Ok(()) }
/// ```
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
    let mut f = Some(f);
    let mut result = None;
    let mut others = CpuSet::EMPTY;
    if let Err(missed) = gather(&mut others, Job::Initiator, deadline, &mut || result = f.take().map(|f| f()))
    {
        return Err(missed.error(&others));
    }
    // A round that was not called off has run its job.
    result.ok_or(StopError::Busy)
}

/// Runs `f` on every online CPU at the same time, all of them with interrupts masked, and returns when all are done.
/// Otherwise as [`stop_machine`].
///
/// # Errors
///
/// As for [`stop_machine`].
///
/// # Panics
///
/// If a CPU does not come to the end of `f`, for ten seconds (bootarg `stop_wait_ms`) after this one has.
///
/// # Examples
///
/// ```no_run
/// use core::sync::atomic::{AtomicUsize, Ordering};
/// use core::time::Duration;
/// use reveille::{stop_machine_each, time::Deadline};
///
/// # fn example() -> Result<(), reveille::StopError> {
/// let count = AtomicUsize::new(0);
/// // Every CPU runs it, at one time.
/// stop_machine_each(Deadline::after(Duration::from_millis(50)), |_cpu| {
///     count.fetch_add(1, Ordering::Relaxed);
/// })?;
/// # Ok(()) }
/// ```
pub fn stop_machine_each<F: Fn(CpuId) + Sync>(deadline: impl Into<Deadline>, f: F) -> Result<(), StopError> {
    let deadline = deadline.into();
    let _lock = Lifecycle::lock(deadline)?;
    let call = |cpu| f(cpu);
    // SAFETY: the lock is ours, so no round that runs a job for each is under way, and the job is taken back before `f` goes.
    let _job = unsafe { EACH.set(&call) };
    let mut others = CpuSet::EMPTY;
    match gather(&mut others, Job::Each, deadline, &mut || f(percpu::current())) {
        Ok(_) => Ok(()),
        Err(missed) => Err(missed.error(&others)),
    }
}
