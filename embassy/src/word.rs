//! The backend of the protocols: plain atomics.

use core::sync::atomic::{AtomicU64, Ordering, fence};
use reveille::time::Instant;
use reveille_protocol::Arch;

/// The CPUs of this machine.
pub(crate) enum Cpus {}

impl Arch for Cpus {
    type Word = AtomicU64;

    fn now() -> u64 {
        Instant::now().ticks()
    }

    fn relax() {
        core::hint::spin_loop();
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}
