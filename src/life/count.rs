//! What each CPU counts of its interrupts and of its waits.

use crate::arch;
use crate::call;
use crate::clock::{Instant, to_duration};
use crate::percpu::area::{Area, Part as _};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

/// One CPU's counters. Written by that CPU alone.
pub(crate) struct Part {
    /// Interrupts that it has handled, but for calls, which their queues count.
    interrupts: AtomicU64,
    /// What [`idle`](crate::cpu::idle()) had seen of them when it returned last.
    saw: AtomicU64,
    /// Time spent waiting, ticks.
    ticks: AtomicU64,
    /// Since when it waits; 0: it does not.
    since: AtomicU64,
}

impl Part {
    pub(super) const fn new() -> Self {
        Self {
            interrupts: AtomicU64::new(0),
            saw: AtomicU64::new(0),
            ticks: AtomicU64::new(0),
            since: AtomicU64::new(0),
        }
    }
}

/// An interrupt has come to the CPU of `own`, which is the calling one.
#[inline(always)]
pub(super) fn interrupt(own: &Area) {
    let interrupts = &Part::of(own).interrupts;
    // No read-modify-write, as only this CPU writes it; and it moves, whatever comes in between.
    interrupts.store(interrupts.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Time that the CPU of `area` has spent waiting, up to now.
pub(crate) fn waited(area: &Area) -> Duration {
    let part = Part::of(area);
    let waited = part.ticks.load(Ordering::Relaxed);
    // While it waits, the time since it began counts too.
    let since = part.since.load(Ordering::Relaxed);
    let now = if since == 0 { 0 } else { Instant::now().ticks().saturating_sub(since) };
    to_duration(waited + now)
}

/// [`idle`](crate::cpu::idle()) returns: it has seen all that there was.
pub(super) fn see(own: &Area) {
    Part::of(own).saw.store(interruptions(own), Ordering::Relaxed);
}

/// Counts interrupts and calls of this CPU.
fn interruptions(area: &Area) -> u64 {
    // Relaxed: written by this CPU alone.
    Part::of(area).interrupts.load(Ordering::Relaxed).wrapping_add(call::taken(area))
}

/// Whether there was any since [`idle`](crate::cpu::idle()) last returned.
pub(super) fn has_been_interrupted(area: &Area) -> bool {
    interruptions(area) != Part::of(area).saw.load(Ordering::Relaxed)
}

/// Waits for an interrupt, and counts the time.
pub(super) fn wait(area: &Area) {
    let since = Instant::now().ticks();
    Part::of(area).since.store(since, Ordering::Relaxed);
    arch::wfi();
    let waited = Instant::now().ticks().saturating_sub(since);
    Part::of(area).since.store(0, Ordering::Relaxed);
    Part::of(area)
        .ticks
        .store(Part::of(area).ticks.load(Ordering::Relaxed).saturating_add(waited), Ordering::Relaxed);
}
