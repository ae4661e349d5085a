//! The `critical-section` crate's global lock: interrupts masked, and one CPU at a time.

use super::SpinLock;
use crate::arch::regs;
use crate::gic;
use core::sync::atomic::{AtomicU64, Ordering};
use critical_section::{Impl, RawRestoreState};

struct Global;
critical_section::set_impl!(Global);

/// Who holds the lock: affinity with bit 63 set; 0: nobody.
static HOLDER: AtomicU64 = AtomicU64::new(0);
/// Queues the CPUs that want it.
static LOCK: SpinLock<()> = SpinLock::new(());

/// Not a priority mask, nor a DAIF: the CPU held the lock already.
const NESTED: u64 = u64::MAX;

// SAFETY: between `acquire` and the matching `release` interrupts of normal priority are masked on this CPU and
// no other CPU is between its own, by `LOCK`. NMI-class handlers take no locks, and no critical section.
unsafe impl Impl for Global {
    unsafe fn acquire() -> RawRestoreState {
        let me = 1 << 63 | regs::affinity();
        // Relaxed: only this CPU can have written its own name, and nothing else read here is believed.
        if HOLDER.load(Ordering::Relaxed) == me {
            return NESTED;
        }
        let saved = gic::mask();
        core::mem::forget(LOCK.lock());
        HOLDER.store(me, Ordering::Relaxed);
        saved.to_bits()
    }

    unsafe fn release(saved: RawRestoreState) {
        if saved == NESTED {
            return;
        }
        HOLDER.store(0, Ordering::Relaxed);
        // SAFETY: the matching `acquire` has taken it, on this CPU, and forgotten the guard.
        unsafe { LOCK.force_unlock() };
        gic::restore(gic::Saved::from_bits(saved));
    }
}
