//! SGIs that get lost, on purpose: the faults behind [`crate::fault::lose_sgis`].

use crate::cpu::area;
use crate::cpu::{CpuId, MAX_CPUS};
use crate::irq::Sgi;
use core::sync::atomic::{AtomicU32, Ordering};

/// The SGIs of the runtime that may get lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostSgi {
    /// There is something in the call queue.
    Call,
    /// Ends a WFI.
    Wake,
    /// A round of stop-machine has begun.
    Gather,
    /// A PPI was registered, or the watchdog was turned on or off.
    Private,
    /// Stop for good.
    Stop,
    /// A function at NMI level, or to stop for good, interrupts masked or not.
    Nmi,
}

/// In the order of [`LostSgi`].
const KINDS: [Sgi; 6] = [Sgi::Call, Sgi::Wake, Sgi::Gather, Sgi::Private, Sgi::Stop, Sgi::Nmi];

/// How many of each kind are still to be lost on their way to each CPU. Relaxed, all of it: whoever plants a fault
/// and then sends is one CPU, or orders the two in another way.
static TO_LOSE: [[AtomicU32; MAX_CPUS]; KINDS.len()] =
    [const { [const { AtomicU32::new(0) }; MAX_CPUS] }; KINDS.len()];
/// Their sum: mostly 0, so that nothing is looked for.
static ALL_TO_LOSE: AtomicU32 = AtomicU32::new(0);
/// How many were lost.
static LOST: AtomicU32 = AtomicU32::new(0);

/// The next `count` SGIs of this kind that are sent to `cpu`, by whomever, get lost.
pub fn lose_sgis(kind: LostSgi, cpu: CpuId, count: u32) {
    TO_LOSE[kind as usize][cpu.index()].fetch_add(count, Ordering::Relaxed);
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
    for (kind, to_lose) in KINDS.into_iter().zip(&TO_LOSE) {
        for (area, to_lose) in area::areas().iter().zip(to_lose) {
            let one = super::with_sgi(area.gic.target.load(Ordering::Relaxed), kind);
            let target = one & super::TARGETS;
            let is_sent = super::v3::same_cluster(one, what) && what & target != 0;
            let lose = |left: u32| left.checked_sub(1);
            if is_sent && to_lose.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lose).is_ok() {
                ALL_TO_LOSE.fetch_sub(1, Ordering::Relaxed);
                LOST.fetch_add(1, Ordering::Relaxed);
                what &= !target;
                lost = true;
            }
        }
    }
    (!lost || what & super::TARGETS != 0).then_some(what)
}
