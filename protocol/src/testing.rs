//! The backend of this crate's unit tests: the atomics of the host.

use core::sync::atomic::{AtomicU64, Ordering, fence};

use crate::{Arch, LockWord};

static TICKS: AtomicU64 = AtomicU64::new(0);

pub(crate) enum Host {}

impl Arch for Host {
    type Word = AtomicU64;

    fn now() -> u64 {
        TICKS.fetch_add(1, Ordering::Relaxed)
    }

    fn relax() {
        core::hint::spin_loop();
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}

impl LockWord for AtomicU64 {
    fn new(value: u64) -> Self {
        Self::new(value)
    }

    fn load(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }

    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }

    fn clear_low_half(&self, order: Ordering) {
        self.fetch_and(!0xffff, order);
    }

    fn replace(&self, current: u64, new: u64) -> bool {
        self.compare_exchange(current, new, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn fence(order: Ordering) {
        fence(order);
    }

    fn wake() {}
}
