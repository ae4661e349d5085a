//! What can be told of a CPU from outside.

use super::{CpuId, area};
use crate::bringup::Verdict;
use crate::time::{Instant, to_duration};
use core::sync::atomic::Ordering;
use core::time::Duration;
pub use reveille_protocol::State;

/// One CPU, as it looks from another. Each part is true at some moment of the look, not all at the same one.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The CPU.
    pub cpu: CpuId,
    /// Its affinity, as in the device tree.
    pub mpidr: u64,
    /// Its state.
    pub state: State,
    /// Whether it was parked: it never runs again, whatever its state says.
    pub parked: bool,
    /// Number of its last start; 0 if it booted the image, or was never started.
    pub generation: u32,
    /// What the last attempt to bring it up came to.
    pub verdict: Option<Verdict>,
    /// How far it came with its MMU off: 0 not at all, 1 entered, 2 about to turn it on.
    pub stage: u64,
    /// Whether it waits in the pen.
    pub in_pen: bool,
    /// Calls and posts that it has sent to CPUs that took them, itself included for posts, since the machine booted.
    pub calls_out: u64,
    /// Calls and posts that it has run for others, and posts to itself, since the machine booted.
    pub calls_in: u64,
    /// Time that it has spent waiting in [`idle`](super::idle()).
    pub idle: Duration,
}

/// How `cpu` looks.
pub fn status(cpu: CpuId) -> Status {
    let area = area::of(cpu);
    let slot = area.slot.0.read();
    let crumbs = area.crumbs.map(|crumbs| crumbs.read());
    let waited = area.idle_ticks.load(Ordering::Relaxed);
    // While it waits, the time since it began counts too.
    let since = area.idle_since.load(Ordering::Relaxed);
    let (calls_out, calls_in) = crate::call::counts(area);
    let now = if since == 0 { 0 } else { Instant::now().ticks().saturating_sub(since) };
    Status {
        cpu,
        mpidr: area.mpidr,
        state: slot.state,
        parked: area.parked.is_set(),
        generation: slot.generation,
        verdict: area.record.0.verdict(),
        stage: crumbs.map_or(0, |crumbs| crumbs.stage),
        in_pen: crumbs.is_some_and(|crumbs| crumbs.pen.is_some()),
        calls_out,
        calls_in,
        idle: to_duration(waited + now),
    }
}
