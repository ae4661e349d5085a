//! The machine as the protocols see it.

use super::timer;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille_protocol::{Arch, Gate, Slot, Word};

/// The bring-up slot of a real CPU.
pub(crate) type HwSlot = Slot<Hw>;
/// The panic gate of the real machine.
pub(crate) type HwGate = Gate<Hw>;

/// The backend of the protocols on real CPUs.
pub(crate) struct Hw;

impl Arch for Hw {
    type Word = HwWord;

    #[inline(always)]
    fn now() -> u64 {
        timer::counter()
    }

    #[inline(always)]
    fn relax() {
        super::wfe();
    }

    #[inline(always)]
    fn fence(order: Ordering) {
        core::sync::atomic::fence(order);
    }
}

/// A shared word: an atomic of the machine.
#[repr(transparent)]
pub(crate) struct HwWord(pub(crate) AtomicU64);

impl HwWord {
    /// A word for a static.
    pub(crate) const fn with(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }
}

impl Word for HwWord {
    fn new(value: u64) -> Self {
        Self::with(value)
    }

    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    /// By an exclusive load, behind a hint that a store follows: the compare-exchange that does finds the line its own.
    #[inline(always)]
    fn load_to_change(&self) -> u64 {
        let value;
        // SAFETY: a load of an atomic. The exclusive monitor that it leaves behind is set anew, or cleared, before anybody relies on it.
        unsafe {
            asm!("prfm pstl1keep, [{at}]", "ldxr {value}, [{at}]", at = in(reg) self.0.as_ptr(), value = out(reg) value,
                options(nostack, preserves_flags, readonly));
        }
        value
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
