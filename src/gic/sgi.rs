//! Software-generated interrupts: one, many at once, and bells.

#[cfg(feature = "fault-injection")]
use super::fault;
use super::number::{Sgi, WAKE};
use super::part::{CpuPart, TARGET_BCM2836, TARGET_V2, with_sgi};
use super::{bcm2836, v2, v3_cpu};
use crate::arch::rarely;
use crate::note::note;
use crate::percpu::area::{self, Area, Part};
use crate::percpu::{CpuId, CpuSet};
use core::sync::atomic::{AtomicU64, Ordering};

/// One CPU and the SGI for it, ready for the register.
pub(crate) struct Doorbell(AtomicU64);

impl Doorbell {
    /// One that interrupts nobody yet, and is not to be rung.
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// From now on it interrupts the CPU of `area`, which has set up its part, by `sgi`.
    pub(crate) fn connect(&self, sgi: Sgi, area: &Area) {
        // Relaxed: whoever may ring it hears of that in another way.
        self.0.store(with_sgi(CpuPart::of(area).target.load(Ordering::Relaxed), sgi), Ordering::Relaxed);
    }

    /// Interrupts the CPU. Everything this CPU has stored before is visible to the handler.
    #[inline(always)]
    pub(crate) fn ring(&self) {
        let what = self.0.load(Ordering::Relaxed);
        debug_assert!(what != 0, "a CPU that never came online is interrupted");
        send(what);
    }
}

/// Interrupts `cpu`. Everything this CPU has stored before is visible to the handler.
#[inline(always)]
pub(crate) fn send_sgi(sgi: Sgi, cpu: CpuId) {
    interrupt(sgi, area::of(cpu));
}

/// Interrupts the CPU of `area`. Everything this CPU has stored before is visible to the handler.
#[inline(always)]
pub(crate) fn interrupt(sgi: Sgi, area: &Area) {
    send(with_sgi(CpuPart::of(area).target.load(Ordering::Relaxed), sgi));
}

/// Interrupts the CPU of `area`, which has not come yet: firmware keeps it, with [`WAKE`] enabled, and its CPU interface is number `id`.
pub(crate) fn wake_parked(area: &Area, id: u32) {
    let mut target = CpuPart::of(area).target.load(Ordering::Relaxed);
    if target & TARGET_V2 != 0 {
        // It has not found out yet; the number of a CPU interface is that of its bit (ACPI 5.2.12.14).
        target = TARGET_V2 | 1_u64.checked_shl(id).unwrap_or(0) & 0xff;
    }
    send_for_sure(with_sgi(target, WAKE));
}

/// Sends what no test may lose.
pub(super) fn send_for_sure(what: u64) {
    note!(SGI, what);
    if what & TARGET_V2 == 0 {
        v3_cpu::send(what);
    } else {
        send_otherwise(what);
    }
}

/// Sends to a target that is marked.
#[inline(always)]
fn send_otherwise(what: u64) {
    if what & TARGET_BCM2836 == 0 {
        v2::send(what);
    } else {
        bcm2836::send(what);
    }
}

#[inline(always)]
fn send(what: u64) {
    #[cfg(feature = "fault-injection")]
    let Some(what) = fault::without_lost(what) else { return };
    note!(SGI, what);
    if what & TARGET_V2 == 0 {
        v3_cpu::send(what);
    } else {
        rarely();
        send_otherwise(what);
    }
}

/// Collects CPUs to interrupt: one register write for each run of CPUs, in the order in which they are added, that one
/// target list reaches (GICv3: up to 16 of a cluster), or one in all (GICv2), or one for each (BCM2836). What is collected is sent when the next CPU is
/// not of that cluster, and at the drop. Sets are gone through by id, and ids follow the tree: so it is one write for each
/// cluster where the tree lists the CPUs of a cluster together, and up to one for each CPU where it does not.
pub(crate) struct SgiBatch {
    sgi: Sgi,
    /// What the register takes; 0: nobody yet.
    what: u64,
}

impl SgiBatch {
    /// Nobody yet.
    #[inline(always)]
    pub(crate) fn new(sgi: Sgi) -> Self {
        Self { sgi, what: 0 }
    }

    /// Interrupts the CPU of `area` too.
    #[inline(always)]
    pub(crate) fn add(&mut self, area: &Area) {
        self.add_raw(with_sgi(CpuPart::of(area).target.load(Ordering::Relaxed), self.sgi));
    }

    /// Rings this bell too, which is connected by the same SGI.
    #[inline(always)]
    pub(crate) fn add_bell(&mut self, bell: &Doorbell) {
        self.add_raw(bell.0.load(Ordering::Relaxed));
    }

    #[inline(always)]
    fn add_raw(&mut self, what: u64) {
        if !v3_cpu::same_cluster(what, self.what) {
            self.send();
        }
        self.what |= what;
    }

    #[inline(always)]
    fn send(&mut self) {
        if self.what != 0 {
            send(self.what);
            self.what = 0;
        }
    }
}

impl Drop for SgiBatch {
    #[inline(always)]
    fn drop(&mut self) {
        self.send();
    }
}

/// Interrupts every CPU of `set`.
pub(crate) fn send_sgi_set(sgi: Sgi, set: &CpuSet) {
    let mut batch = SgiBatch::new(sgi);
    for cpu in set {
        batch.add(area::of(cpu));
    }
}
