//! The `critical-section` crate's global lock: interrupts masked, and one CPU at a time.

use super::{Section, SpinLock};
use crate::masking;
use crate::percpu::area::{self, Part};
use critical_section::{Impl, RawRestoreState};

struct Global;
critical_section::set_impl!(Global);

/// One for all that want to be inside.
static LOCK: SpinLock<()> = SpinLock::new(());

/// The CPU held the lock already.
const NESTED: u64 = 1;
const OUTERMOST: u64 = 0;

// SAFETY: between `acquire` and the matching `release` interrupts of normal priority are masked on this CPU, whatever other guards
// end meanwhile, and no other CPU is between its own, by `LOCK`. At NMI level there is no critical section.
unsafe impl Impl for Global {
    unsafe fn acquire() -> RawRestoreState {
        assert!(!masking::in_nmi(), "a critical section at NMI level");
        // One that is inside is masked, and stays on its CPU.
        if area::here(|own| Section::of(own).is_inside()) {
            return NESTED;
        }
        core::mem::forget(LOCK.lock());
        Section::of(area::current()).set_inside(true);
        OUTERMOST
    }

    unsafe fn release(restore: RawRestoreState) {
        if restore == NESTED {
            return;
        }
        Section::of(area::current()).set_inside(false);
        // SAFETY: the matching `acquire` has taken it, on this CPU, and forgotten the guard.
        unsafe { LOCK.force_unlock() };
    }
}
