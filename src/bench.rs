//! The floor of every cross-call: one SGI there, and the answer back through one word.

use crate::arch;
use crate::gic::{self, Sgi};
use crate::percpu::CpuId;
use core::sync::atomic::{AtomicU64, Ordering};

/// Measures what an SGI costs by itself.
pub(crate) const PROBE: Sgi = Sgi::new(5);

static ANSWERS: AtomicU64 = AtomicU64::new(0);

/// Interrupts `cpu`, which is online, and waits for the answer: the same vectors and saved registers as a call, no
/// queue. One CPU at a time.
pub fn sgi_round_trip(cpu: CpuId) {
    let before = ANSWERS.load(Ordering::Relaxed);
    gic::send_sgi(PROBE, cpu);
    while ANSWERS.load(Ordering::Relaxed) == before {
        arch::yield_now();
    }
}

/// The handler.
#[inline(always)]
pub(crate) fn answer() {
    ANSWERS.store(ANSWERS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
