//! What the tests look at: SGIs that mean nothing.

use crate::percpu::CpuId;
use core::sync::atomic::{AtomicU64, Ordering};

crate::percpu! {
    static STRAYS: AtomicU64 = AtomicU64::new(0);
}

/// How many SGIs without a meaning `cpu` has taken: the runtime sends none with the number 5, without
/// `bench-hooks`, and one that no handler is registered for is none of the application's.
pub fn strays(cpu: CpuId) -> u64 {
    STRAYS.of(cpu).load(Ordering::Relaxed)
}

pub(super) fn stray() {
    STRAYS.fetch_add(1, Ordering::Relaxed);
}
