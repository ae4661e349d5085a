//! What each CPU counts of its interrupts and of its waits.

use crate::arch::{self, Hw, HwWord};
use crate::clock::{Instant, to_duration};
use crate::percpu::area::{Area, Part as _};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille_protocol::Wakes;

/// One CPU's counters. Written by that CPU alone.
pub(crate) struct Part {
    /// Interrupts that it has handled, but for calls, which their queues count, and what [`idle`](crate::cpu::idle()) has seen of both.
    wakes: Wakes<Hw>,
    /// Time spent waiting, ticks.
    ticks: AtomicU64,
    /// Since when it waits; 0: it does not.
    since: AtomicU64,
}

impl Part {
    pub(super) const fn new() -> Self {
        Self {
            wakes: Wakes::from_parts(HwWord::with(Wakes::<Hw>::NONE), HwWord::with(Wakes::<Hw>::NONE)),
            ticks: AtomicU64::new(0),
            since: AtomicU64::new(0),
        }
    }
}

/// What has woken the CPU of `own`, which is the calling one.
#[inline(always)]
pub(super) fn wakes(own: &Area) -> &Wakes<Hw> {
    &Part::of(own).wakes
}

/// Interrupts that the CPU of `area` has handled, but for those that brought calls alone.
pub(crate) fn interrupts(area: &Area) -> u64 {
    Part::of(area).wakes.handled()
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
