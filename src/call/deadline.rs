//! Calls that are taken back when their time is up.

use super::CallError;
use super::part::Part;
use super::post::{PostError, push};
use super::wait::{self, UnderWay, mask_to_wait, patience};
use crate::clock::Deadline;
use crate::percpu::CpuId;
use crate::percpu::area::Part as _;
use crate::{arch, gate, masking};
use core::cell::UnsafeCell;
use reveille_protocol::DeadlineState;

/// As [`on`](super::on), but gives up at `deadline`, unless the callee has begun by then.
///
/// [`CallError::TimedOut`] means that `f` never ran and never will: taking it back races the callee's beginning for
/// one word. Once it runs it is awaited to its end. `f` is owned, because it may lie in the callee's queue for longer
/// than this call lasts, and is then dropped there, in interrupt context; it may capture at most [`POST_BYTES`](super::POST_BYTES) less three words.
///
/// # Errors
///
/// [`CallError::Offline`], [`CallError::WouldDeadlock`] with interrupts masked or in interrupt context,
/// [`CallError::TimedOut`], which is also what becomes of a call for which no node is free until `deadline`. In each
/// case `f` did not run.
///
/// # Examples
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::call::{self, CallError};
/// use reveille::{cpu, println, time::Deadline};
///
/// # fn example(cpu: reveille::cpu::CpuId) {
/// match call::on_deadline(cpu, Deadline::after(Duration::from_millis(10)), cpu::current) {
///     Ok(there) => assert_eq!(there, cpu),
///     // It never ran, and never will.
///     Err(CallError::TimedOut) => println!("cpu {cpu} is busy"),
///     Err(error) => println!("cpu {cpu}: {error}"),
/// }
/// # }
/// ```
pub fn on_deadline<R, F>(cpu: CpuId, deadline: impl Into<Deadline>, f: F) -> Result<R, CallError>
where
    R: Send + 'static,
    F: FnOnce() -> R + Send + 'static,
{
    let deadline = deadline.into();
    let (masked, own) = mask_to_wait()?;
    if cpu == own.id {
        return Ok(f());
    }
    let _under_way = UnderWay::new(own);
    drop(masked);
    /// Where the callee leaves the value: the caller's stack.
    struct Place<R>(*const UnsafeCell<Option<R>>);
    // SAFETY: the callee writes there only between `start` and the drop of what that returned, and the caller reads only
    // after it has seen that; an `R` may be moved between CPUs.
    unsafe impl<R: Send> Send for Place<R> {}

    let result = UnsafeCell::new(None);
    let place = Place(&raw const result);
    let line = Part::of(own).queue_of(cpu);
    let Some(pending) = Part::of(own).deadline.begin() else { return Err(CallError::WouldDeadlock) };
    let ticket = pending.ticket();
    let mut closure = move || {
        // The whole of it, not its field: that is what is `Send`.
        let place = place;
        if let Some(started) = Part::of(own).deadline.start(ticket) {
            // SAFETY: started, so the caller waits until `started` is dropped, and looks only then.
            unsafe { *(*place.0).get() = Some(f()) };
            drop(started);
        }
    };
    loop {
        let masked = masking::mask();
        match push(Part::of(own), line, cpu, closure) {
            Ok(pushed) => {
                if pushed.first {
                    line.bell.ring();
                }
                break;
            }
            Err(PostError::Offline(back)) => {
                // Nobody else has the ticket.
                let _ = pending.cancel();
                drop(masked);
                drop(back);
                return Err(CallError::Offline);
            }
            Err(PostError::Busy(back)) => closure = back,
        }
        drop(masked);
        if deadline.has_passed() {
            let _ = pending.cancel();
            return Err(CallError::TimedOut);
        }
        gate::poll_for_another();
        arch::yield_now();
    }
    let mut patience = patience();
    let mut pending = pending;
    loop {
        let state = pending.state();
        match state {
            DeadlineState::Done => break,
            DeadlineState::Queued if deadline.has_passed() => match pending.cancel() {
                Ok(()) => return Err(CallError::TimedOut),
                Err(running) => pending = running,
            },
            _ => {}
        }
        gate::poll_for_another();
        let report = patience.is_over(wait::now());
        if let Some(age) = report {
            wait::tell(own.id, cpu, core::any::type_name::<F>(), state == DeadlineState::Running, age);
        }
        if report.is_some() || wait::is_stalled(line, cpu) {
            line.bell.ring();
        }
        arch::yield_now();
    }
    pending.wait(|_| {});
    // Done: the callee has left a value.
    result.into_inner().ok_or(CallError::Offline)
}
