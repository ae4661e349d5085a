//! Waiting for callees: bounded in everything but the wait itself.

use super::CallError;
use super::part::{Part, QueueLine, Run, ran};
use crate::arch::{regs, timer};
use crate::clock::{Patience, Reports, Seconds, to_ticks};
use crate::gic::{self, WAKE};
use crate::holds::Holds;
use crate::percpu::area::{self, Area, Part as _};
use crate::percpu::{CpuId, CpuSet};
use crate::sync::Atomics;
use crate::{arch, gate, masking};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille_machine::BootArgs;
use reveille_protocol::{Calling, State};

/// A receiver that has taken nothing for this long, although there is something, is sent another SGI.
const STALL: Duration = Duration::from_millis(1);
/// Looks between two readings of the clock.
const LOOKS: u32 = 32;

/// [`STALL`] in ticks.
static STALL_TICKS: AtomicU64 = AtomicU64::new(u64::MAX);
/// When a call that is not done is reported.
static REPORTS: Reports = Reports::new();

/// Reads the bootargs. By the boot CPU, once the counter's frequency is known.
pub(crate) fn init(args: BootArgs<'_>) {
    STALL_TICKS.store(to_ticks(STALL), Ordering::Relaxed);
    REPORTS.init(args, "call_report_ms", "call_report");
}

/// Masks interrupts to send, if this CPU, whose area comes back, may wait for another afterwards: in thread context, interrupts open.
#[inline(always)]
pub(super) fn mask_to_wait() -> Result<(masking::Masked, &'static Area), CallError> {
    to_wait(masking::mask_if_open_here)
}

/// The same for as long as it takes to send one message.
#[inline(always)]
pub(super) fn close_to_wait() -> Result<(masking::Closed, &'static Area), CallError> {
    to_wait(masking::close_if_open_here)
}

#[inline(always)]
fn to_wait<T>(begin: impl FnOnce() -> Option<T>) -> Result<T, CallError> {
    // What a CPU runs from its thread context as if it were interrupted, it runs masked.
    if regs::on_exception_stack() {
        Err(CallError::WouldDeadlock)
    } else {
        begin().ok_or(CallError::WouldDeadlock)
    }
}

/// Ticks of the counter, for the stall check.
#[inline(always)]
pub(super) fn now() -> u64 {
    timer::counter()
}

/// Whether the SGI for what is in a queue of `cpu` seems to have been lost.
#[cold]
pub(super) fn is_stalled(line: &QueueLine, cpu: CpuId) -> bool {
    line.queue.is_stalled(now(), STALL_TICKS.load(Ordering::Relaxed), || ran(area::of(cpu)))
}

/// Whom a call waits for.
pub(super) enum Callees<'a> {
    One(CpuId),
    /// All of these but the caller.
    Set(&'a CpuSet),
}

/// Waits for a while until every callee is done with the call, and gives it back if one is not.
#[inline(always)]
pub(super) fn briefly(calling: Calling<'_, Atomics>) -> Result<(), Calling<'_, Atomics>> {
    arch::yield_now();
    let Err(mut calling) = calling.end() else { return Ok(()) };
    for _ in 1..LOOKS {
        arch::yield_now();
        match calling.end() {
            Ok(()) => return Ok(()),
            Err(not_yet) => calling = not_yet,
        }
    }
    Err(calling)
}

/// Waits until every callee of `own`'s call is done with it, and looks after those that are not.
#[cold]
pub(super) fn for_long(
    calling: Calling<'_, Atomics>,
    own: &'static Area,
    callees: Callees<'_>,
    run: Run,
    name: fn() -> &'static str,
) {
    let (one, set) = match callees {
        Callees::One(cpu) => (Some(cpu), &CpuSet::EMPTY),
        Callees::Set(set) => (None, set),
    };
    let mut patience = patience();
    // Down from `LOOKS`, and again: there is no number of looks that a call cannot outlast.
    let mut looks = LOOKS;
    calling.wait(|_| {
        arch::yield_now();
        looks -= 1;
        if looks != 0 {
            return;
        }
        looks = LOOKS;
        gate::poll_for_another();
        let report = patience.is_over(now());
        for cpu in set.iter().chain(one).filter(|cpu| *cpu != own.id) {
            let line = Part::of(own).queue_of(cpu);
            // One that has refused, in a set, may never have been there to be interrupted.
            let waits = line.queue.is_waiting(Part::of(own).caller);
            if let Some(age) = report {
                let runs = !waits && is_running(cpu, run);
                if waits || runs {
                    tell(own.id, cpu, name(), runs, age);
                }
            }
            if waits && report.is_some() || is_stalled(line, cpu) {
                line.bell.ring();
            }
        }
    });
}

/// A call of this CPU, whose area is `own`, is under way, until this is dropped: its thread is not preempted. What it lends, and where the answer
/// comes, there is once for each CPU.
pub(super) struct UnderWay(&'static Area);

impl UnderWay {
    /// From now on. With interrupts masked, so that `own` is the CPU that this is.
    #[inline(always)]
    pub(super) fn new(own: &'static Area) -> Self {
        if area::threads_move() {
            Holds::of(own).preemption().stay();
        }
        Self(own)
    }
}

impl Drop for UnderWay {
    #[inline(always)]
    fn drop(&mut self) {
        if area::threads_move() && Holds::of(self.0).preemption().let_go() {
            // A preemption was put off, and comes now; or has come, and the thread was moved.
            area::here(|own| gic::interrupt(WAKE, own));
        }
    }
}

fn is_running(cpu: CpuId, run: Run) -> bool {
    Part::of(area::of(cpu)).activity.load(Ordering::Relaxed) == run as usize as u64
}

/// How long a call is waited for from now on, until it is reported.
pub(super) fn patience() -> Patience {
    Patience::new(now(), REPORTS.after())
}

/// One line about a call that takes long. `runs`: the target has begun with it.
pub(super) fn tell(caller: CpuId, target: CpuId, name: &str, runs: bool, age: u64) {
    let area = area::of(target);
    let activity = Part::of(area).activity.load(Ordering::Relaxed);
    let doing = match area::slot(area).read().state {
        State::Online if runs => "running it",
        State::Online if activity != 0 => "running another call",
        State::Online => "not taking interrupts, or handling one",
        _ => "leaving",
    };
    crate::println!(
        "call from cpu {caller} to cpu {target} takes {}: {name}; the target is {doing} ({activity:#x})",
        Seconds(age)
    );
    assert!(!REPORTS.are_panics(), "a call from cpu {caller} to cpu {target} takes too long");
}
