//! SGIs that are sent again: the first may have been lost.

use super::number::Sgi;
use super::sgi::send_sgi_set;
use crate::clock::{Deadline, Instant, to_ticks};
use crate::percpu::CpuSet;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

/// At least this often who does not answer is sent another SGI: the first may have been lost.
pub(crate) const REMIND: Duration = Duration::from_millis(10);
/// The same in ticks, once these are known.
static REMIND_TICKS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Sends an SGI again, from time to time.
pub(crate) struct Reminder {
    sgi: Sgi,
    /// Ticks from the last time to the next: about doubled each time, up to `most`, which is so far from the end of a u64 that it can be.
    every: u64,
    most: u64,
    next: u64,
}

impl Reminder {
    /// For an SGI that is sent now, and is waited for until `limit`: it is sent again before a tenth of that time is over.
    pub(crate) fn new(sgi: Sgi, limit: Deadline) -> Self {
        Self::starting(sgi, 0, limit)
    }

    /// For an SGI that is not sent yet: it is at the first look, and then every [`REMIND`].
    pub(crate) fn at_once(sgi: Sgi) -> Self {
        let every = REMIND_TICKS.load(Ordering::Relaxed);
        Self { sgi, every, most: every, next: 0 }
    }

    /// The same, but first after a 32nd of that time, then after twice that, and so on.
    #[inline(always)]
    pub(crate) fn early(sgi: Sgi, limit: Deadline) -> Self {
        Self::starting(sgi, 5, limit)
    }

    #[inline(always)]
    fn starting(sgi: Sgi, halvings: u32, limit: Deadline) -> Self {
        let now = Instant::now().ticks();
        let left = limit.instant().ticks().saturating_sub(now);
        let most = REMIND_TICKS.load(Ordering::Relaxed).min(left / 10);
        let every = most >> halvings;
        Self { sgi, every, most, next: now.saturating_add(every) }
    }

    /// Interrupts those of `left` again, if it is time.
    pub(crate) fn look(&mut self, left: impl FnOnce() -> CpuSet) {
        self.look_at(Instant::now().ticks(), left);
    }

    /// The same at `now`, ticks.
    #[inline(always)]
    pub(crate) fn look_at(&mut self, now: u64, left: impl FnOnce() -> CpuSet) {
        if now >= self.next {
            self.every = (2 * self.every + 1).min(self.most);
            self.next = now.saturating_add(self.every);
            send_sgi_set(self.sgi, &left());
        }
    }
}

/// By the boot CPU, once the counter's frequency is known.
pub(crate) fn init() {
    REMIND_TICKS.store(to_ticks(REMIND), Ordering::Relaxed);
}
