//! The backend of this crate's unit tests: the atomics of the host.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::{Arch, LockWord, Word};

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

impl Word for AtomicU64 {
    fn new(value: u64) -> Self {
        Self::new(value)
    }

    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }

    fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.swap(value, order)
    }

    fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.compare_exchange(current, new, success, failure)
    }

    fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        self.fetch_add(value, order)
    }

    fn fetch_and(&self, mask: u64, order: Ordering) -> u64 {
        self.fetch_and(mask, order)
    }

    fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
        self.fetch_or(bits, order)
    }
}

impl LockWord for AtomicU32 {
    fn new(value: u32) -> Self {
        Self::new(value)
    }

    fn load(&self) -> u32 {
        self.load(Ordering::Relaxed)
    }

    fn store(&self, value: u32, order: Ordering) {
        self.store(value, order);
    }

    fn clear_low_byte(&self, order: Ordering) {
        self.fetch_and(!0xff, order);
    }

    fn replace(&self, current: u32, new: u32) -> bool {
        self.compare_exchange(current, new, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn fence(order: Ordering) {
        fence(order);
    }

    fn wake() {}
}
