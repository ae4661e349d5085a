//! Doorbells: every ring that was heard is followed by a run of the handler that finds it.
//!
//! Who rings gives the ring a number at that CPU, and a run of the handler finds the last that was given. Rings add up, so there may be fewer
//! runs than rings, and never more; the highest number that was heard is to be found, before the CPU leaves if it does.

use crate::books::get;
use crate::kinds::{Kind, count, is_in_mix};
use crate::verdict::{Wrong, expect, violated};
use crate::{contexts, faults, ops};
use core::sync::atomic::{AtomicU64, Ordering};
use reveille::call::{Doorbell, Rung};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::irq;
use reveille_tests::books::scrambled;
use reveille_tests::{Random, eventually};

const COUNT: usize = 3;

static BELLS: [Doorbell; COUNT] =
    [Doorbell::new(|| answer(0)), Doorbell::new(|| answer(1)), Doorbell::new(|| answer(2))];

/// One number for each bell.
type Each = [AtomicU64; COUNT];

const fn zeros() -> Each {
    [const { AtomicU64::new(0) }; COUNT]
}

// Relaxed, all of it: the bells order it, as what they promise.
reveille::percpu! {
    /// The number that the last ring at this CPU got.
    static NUMBER: Each = zeros();
    /// Rings that were heard, and the highest number among them.
    static RINGS: Each = zeros();
    static HEARD: Each = zeros();
    /// Runs of the handler, and the highest number that one has found.
    static RUNS: Each = zeros();
    static FOUND: Each = zeros();
    /// The number of the next random choice of a handler, and of a function at NMI level.
    static CHOICES: AtomicU64 = AtomicU64::new(0);
}

/// Registers them.
pub fn begin() {
    for bell in &BELLS {
        expect(bell.register().is_ok(), Wrong::Unaccounted, "a doorbell can be registered");
    }
}

/// Rings one at `target`, in any context: the ring's number, if it was heard.
fn ring_at(bell: usize, target: CpuId) -> Option<u64> {
    let number = NUMBER.of(target)[bell].fetch_add(1, Ordering::Relaxed) + 1;
    match BELLS[bell].ring(target) {
        Rung::Heard => {
            RINGS.of(target)[bell].fetch_add(1, Ordering::Relaxed);
            HEARD.of(target)[bell].fetch_max(number, Ordering::Relaxed);
            Some(number)
        }
        Rung::Offline => None,
        Rung::Unregistered => violated(Wrong::Lost, format_args!("bell {bell} is not registered any more")),
    }
}

/// Rings the one that `choice` says, and counts that. Whether it was heard.
pub fn ring(target: CpuId, choice: u64) -> bool {
    let heard = ring_at((choice % COUNT as u64) as usize, target).is_some();
    count(Kind::Bell, !heard);
    heard
}

/// `target` looks for contexts that wait to run, if it hears that.
pub fn ring_for_contexts(target: CpuId) {
    ring_at(0, target);
}

/// A random number of this CPU, in any context.
fn choose() -> u64 {
    scrambled(CHOICES.fetch_add(1, Ordering::Relaxed) << 16 ^ cpu::current().index() as u64)
}

/// The handler of each.
fn answer(bell: usize) {
    let right = irq::is_masked() && irq::in_interrupt() && !irq::in_nmi();
    expect(right, Wrong::Unaccounted, "a bell is answered in interrupt context");
    RUNS[bell].fetch_add(1, Ordering::Relaxed);
    let found = get(&NUMBER[bell]);
    FOUND[bell].fetch_max(found, Ordering::Relaxed);
    let choice = choose();
    match bell {
        0 => contexts::look(),
        // Once the time is over it begins nothing: it is in no book.
        1 if choice & 7 == 0 && is_in_mix(Kind::Bell) && !faults::are_over() => {
            ring(ops::any(choice >> 8), choice >> 32);
        }
        2 if choice & 0x3ff == 0 && !faults::are_over() => faults::stand_still(choice),
        _ => {}
    }
    contexts::wake_one();
}

/// Rings at NMI level.
fn ring_in_nmi() {
    let choice = choose();
    expect(irq::in_nmi(), Wrong::Unaccounted, "a function at NMI level runs there");
    ring(ops::any(choice >> 8), choice >> 32);
    crate::books::NMIS_RAN.fetch_add(1, Ordering::Release);
}

/// Rings, in one of many ways. Counts the rings itself.
pub fn operate(target: CpuId, targets: &CpuSet, random: &mut Random) {
    let number = random.number();
    match number & 15 {
        0 => {
            let bell = (number >> 8) as usize % COUNT;
            let rung = ring_at(bell, target);
            count(Kind::Bell, rung.is_none());
            if let Some(number) = rung {
                // It runs there even if the CPU leaves.
                eventually("a ring that was heard is answered", || get(&FOUND.of(target)[bell]) >= number);
            }
        }
        1 | 2 => {
            ops::ask_for(targets, ring_in_nmi);
        }
        3..8 => {
            let _masked = irq::mask();
            for cpu in targets {
                ring(cpu, number >> 8);
            }
        }
        _ => {
            ring(target, number >> 8);
        }
    }
}

/// What `cpu`, which has left, has heard and not answered: the numbers.
pub fn left_unanswered(cpu: CpuId) -> Option<(u64, u64)> {
    HEARD
        .of(cpu)
        .iter()
        .zip(FOUND.of(cpu))
        .map(|(heard, found)| (get(heard), get(found)))
        .find(|(heard, found)| heard > found)
}

/// Whether every ring that was heard is answered.
pub fn are_quiet() -> bool {
    cpu::possible().iter().all(|cpu| left_unanswered(cpu).is_none())
}

/// All is over.
pub fn close() {
    for cpu in cpu::possible() {
        if let Some((heard, found)) = left_unanswered(cpu) {
            violated(
                Wrong::Lost,
                format_args!("cpu {cpu} has heard ring {heard}, and found {found} at most"),
            );
        }
        for (rings, runs) in RINGS.of(cpu).iter().zip(RUNS.of(cpu)) {
            if get(runs) > get(rings) {
                violated(
                    Wrong::Doubled,
                    format_args!("cpu {cpu} has answered {} times {} rings", get(runs), get(rings)),
                );
            }
        }
    }
}
