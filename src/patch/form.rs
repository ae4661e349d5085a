//! Which form of the runtime's locks suits the machine as it is.

use super::Batch;
use crate::clock::Deadline;
use crate::lifecycle::Lifecycle;
use crate::percpu::area;
use crate::sync::{ALONE, EXCLUSIVES, LSE};
use aarch64_cpu::registers::{ID_AA64ISAR0_EL1, Readable};
use core::time::Duration;
use reveille_protocol::Survey;

/// Time to gather whoever is there.
const GATHER: Duration = Duration::from_secs(10);

fn is_alone() -> bool {
    use super::KeyState;
    ALONE.key().is_enabled()
}

/// Whether a CPU with this ID_AA64ISAR0_EL1 has the LSE atomics: field Atomic, bits 23:20 (Arm ARM D24.2.76), 2 and more.
pub(crate) const fn has_lse(isar0: u64) -> bool {
    (isar0 >> 20) & 0xf >= 2
}

/// Whether the locks use the LSE atomics. Does not change while a CPU arrives: then nothing is patched.
pub(crate) fn uses_lse() -> bool {
    use super::KeyState;
    LSE.key().is_enabled()
}

/// Turns the LSE atomics on if the boot CPU has them: the others are checked as they come up, before they take a lock. By
/// the boot CPU, alone, before `main`.
pub(crate) fn use_lse() {
    if has_lse(ID_AA64ISAR0_EL1.get())
        && let Err(error) = Batch::new().enable(&LSE).disable(&EXCLUSIVES).apply()
    {
        log::warn!("LSE atomics stay off: {error}");
    }
}

/// Turns the LSE atomics off, for a CPU that lacks them. `false` if that could not be, or they are off already.
pub(crate) fn forgo_lse(lock: &Lifecycle) -> bool {
    if !uses_lse() {
        return false;
    }
    match Batch::new().disable(&LSE).enable(&EXCLUSIVES).apply_locked(lock, Deadline::after(GATHER)) {
        Ok(_) => true,
        Err(error) => {
            log::error!("the locks go on using LSE atomics, which not every CPU has: {error}");
            false
        }
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
    // Most often there are two, and then the others need no look.
    let several = area::areas().iter().filter(|area| area::slot(area).is_online()).nth(1).is_some();
    let survey = || Survey::of(area::areas().iter().map(|area| area::slot(area).read()));
    if !several
        && survey() == Survey::Alone
        && !is_alone()
        && let Err(error) = Batch::new().enable(&ALONE).apply_locked(lock, Deadline::after(GATHER))
    {
        log::warn!("the locks stay in their form for several CPUs: {error}");
    }
}
