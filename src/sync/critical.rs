//! The `critical-section` crate's global lock: interrupts masked, and one CPU at a time.

use super::SpinLock;
use crate::arch::regs;
use crate::masking;
use crate::percpu::area;
use core::sync::atomic::{AtomicU64, Ordering};
use critical_section::{Impl, RawRestoreState};

struct Global;
critical_section::set_impl!(Global);

/// Who holds the lock: affinity with bit 63 set; 0: nobody.
static HOLDER: AtomicU64 = AtomicU64::new(0);
/// Queues the CPUs that want it.
static LOCK: SpinLock<()> = SpinLock::new(());

fn me() -> u64 {
    1 << 63 | regs::affinity()
}

/// The CPU held the lock already.
const NESTED: u64 = 1;
const OUTERMOST: u64 = 0;

// SAFETY: between `acquire` and the matching `release` interrupts of normal priority are masked on this CPU, whatever other guards
// end meanwhile, and no other CPU is between its own, by `LOCK`. At NMI level there is no critical section.
unsafe impl Impl for Global {
    unsafe fn acquire() -> RawRestoreState {
        assert!(!masking::in_nmi(), "a critical section at NMI level");
        // Relaxed: only this CPU can have written its own name, and nothing else read here is believed.
        if area::here(|_| HOLDER.load(Ordering::Relaxed) == me()) {
            return NESTED;
        }
        core::mem::forget(LOCK.lock());
        HOLDER.store(me(), Ordering::Relaxed);
        OUTERMOST
    }

    unsafe fn release(restore: RawRestoreState) {
        if restore == NESTED {
            return;
        }
        HOLDER.store(0, Ordering::Relaxed);
        // SAFETY: the matching `acquire` has taken it, on this CPU, and forgotten the guard.
        unsafe { LOCK.force_unlock() };
    }
}
