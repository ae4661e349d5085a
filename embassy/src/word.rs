//! The backend of the protocols: the machine's own atomics.

use core::sync::atomic::{AtomicU64, Ordering, fence};
use reveille::time::Instant;
use reveille_protocol::{Arch, Word};

/// The CPUs of this machine.
pub(crate) enum Cpus {}

/// A word of their memory.
#[repr(transparent)]
pub(crate) struct CpuWord(AtomicU64);

impl CpuWord {
    pub(crate) const fn with(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }
}

impl Arch for Cpus {
    type Word = CpuWord;

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

impl Word for CpuWord {
    fn new(value: u64) -> Self {
        Self::with(value)
    }

    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    #[inline(always)]
    fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }

    #[inline(always)]
    fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.0.swap(value, order)
    }

    #[inline(always)]
    fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.0.compare_exchange(current, new, success, failure)
    }

    #[inline(always)]
    fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        self.0.fetch_add(value, order)
    }

    #[inline(always)]
    fn fetch_and(&self, mask: u64, order: Ordering) -> u64 {
        self.0.fetch_and(mask, order)
    }

    #[inline(always)]
    fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
        self.0.fetch_or(bits, order)
    }
}
