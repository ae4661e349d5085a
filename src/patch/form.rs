//! Which form of the runtime's locks suits the machine as it is.

use super::Batch;
use crate::cpu::area;
use crate::cpu::lifecycle::Lifecycle;
use crate::sync::word::{ALONE, LSE};
use crate::time::Deadline;
use aarch64_cpu::registers::{ID_AA64ISAR0_EL1, Readable};
use core::time::Duration;
use reveille_protocol::Survey;

/// Time to gather whoever is there.
const GATHER: Duration = Duration::from_secs(10);

fn is_alone() -> bool {
    use super::KeyState;
    ALONE.key().is_enabled()
}

/// Turns the LSE atomics on if the boot CPU has them: the others are checked as they come up, and one that lacks them
/// never runs a lock. By the boot CPU, alone, before `main`.
pub(crate) fn use_lse() {
    // ID_AA64ISAR0_EL1.Atomic, bits 23:20 (Arm ARM D24.2.76): 2 and more is FEAT_LSE.
    if (ID_AA64ISAR0_EL1.get() >> 20) & 0xf >= 2
        && let Err(error) = Batch::new().enable(&LSE).apply()
    {
        log::warn!("LSE atomics stay off: {error}");
    }
}

/// Sees to it that the locks are fit for several CPUs. Before a second one may claim its slot: `false` if they could not
/// be made so, and then none may.
pub(crate) fn ensure_smp(lock: &Lifecycle) -> bool {
    if !is_alone() {
        return true;
    }
    match Batch::new().disable(&ALONE).apply_locked(lock, Deadline::after(GATHER)) {
        Ok(_) => true,
        Err(error) => {
            log::error!("the locks stay in their form for one CPU: {error}");
            false
        }
    }
}

/// Chooses the form for one CPU if there is one and no other can come to run without being started. Failing to is no
/// error: the form for several is always right.
pub(crate) fn settle(lock: &Lifecycle) {
    let alone = Survey::of(area::areas().iter().map(|area| area.slot.0.read())) == Survey::Alone;
    if alone
        && !is_alone()
        && let Err(error) = Batch::new().enable(&ALONE).apply_locked(lock, Deadline::after(GATHER))
    {
        log::warn!("the locks stay in their form for several CPUs: {error}");
    }
}
