//! SGIs that get lost, and registers that do not settle, on purpose.

use super::number::Sgi;
use super::part::{CpuPart, TARGETS, with_sgi};
use super::v3_cpu;
use crate::percpu::area::{self, Part};
use crate::percpu::{CpuId, MAX_CPUS};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// SGIs that there are.
const SGIS: usize = 8;

/// How many of each SGI are still to be lost on their way to each CPU. Relaxed, all of it: whoever plants a fault
/// and then sends is one CPU, or orders the two in another way.
static TO_LOSE: [[AtomicU32; MAX_CPUS]; SGIS] = [const { [const { AtomicU32::new(0) }; MAX_CPUS] }; SGIS];
/// Their sum: mostly 0, so that nothing is looked for.
static ALL_TO_LOSE: AtomicU32 = AtomicU32::new(0);
/// How many were lost.
static LOST: AtomicU32 = AtomicU32::new(0);

/// The next `count` SGIs with this number that are sent to `cpu`, by whomever, get lost.
pub(crate) fn lose(sgi: Sgi, cpu: CpuId, count: u32) {
    TO_LOSE[sgi.intid() as usize][cpu.index()].fetch_add(count, Ordering::Relaxed);
    ALL_TO_LOSE.fetch_add(count, Ordering::Relaxed);
}

/// How many SGIs were lost by now.
pub fn lost_sgis() -> u32 {
    LOST.load(Ordering::Relaxed)
}

/// What is left of an SGI, to one CPU or to several, when those that are to be lost are. `None`: nothing.
pub(super) fn without_lost(mut what: u64) -> Option<u64> {
    if ALL_TO_LOSE.load(Ordering::Relaxed) == 0 {
        return Some(what);
    }
    let mut lost = false;
    for (number, to_lose) in TO_LOSE.iter().enumerate() {
        for (area, to_lose) in area::areas().iter().zip(to_lose) {
            let one = with_sgi(CpuPart::of(area).target.load(Ordering::Relaxed), Sgi::new(number as u8));
            let target = one & TARGETS;
            let is_sent = v3_cpu::same_cluster(one, what) && what & target != 0;
            let lose = |left: u32| left.checked_sub(1);
            if is_sent && to_lose.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lose).is_ok() {
                ALL_TO_LOSE.fetch_sub(1, Ordering::Relaxed);
                LOST.fetch_add(1, Ordering::Relaxed);
                what &= !target;
                lost = true;
            }
        }
    }
    (!lost || what & TARGETS != 0).then_some(what)
}

/// Relaxed: planted and taken away by whoever starts the CPU that meets it, which `kick` and `arrive` order.
static STUCK: AtomicBool = AtomicBool::new(false);

/// From now on, or no longer, nothing that a GICv3 is waited for is done.
pub fn gic_is_stuck(stuck: bool) {
    STUCK.store(stuck, Ordering::Relaxed);
}

pub(super) fn is_stuck() -> bool {
    STUCK.load(Ordering::Relaxed)
}
