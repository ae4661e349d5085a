//! Pages that go from CPU to CPU, each of which adds something, and back to the free memory. The exercise of docs/memory.md.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::memory::{self, Pages};
use reveille::time::Deadline;
use reveille::{ExitCode, System, call, println};

reveille::entry!(main);

/// What the last CPU found in the page: how often it was handed on.
static HANDS: AtomicU64 = AtomicU64::new(0);

// ANCHOR: hand_on
/// Counts this CPU in, and posts the page to the next one, which owns it from then on. The last one drops it.
fn hand_on(mut page: Pages) {
    page.bytes_mut()[cpu::current().index()].write(1);
    match cpu::get(cpu::current().index() + 1) {
        Some(next) => {
            if let Err(refused) = call::post(next, move || hand_on(page)) {
                // The closure comes back, and the page in it.
                drop(refused.into_inner());
            }
        }
        None => {
            let len = cpu::possible().len();
            // SAFETY: each CPU with a lower id has written its byte, and this one too.
            let hands =
                page.bytes_mut()[..len].iter().map(|byte| u64::from(unsafe { byte.assume_init() })).sum();
            drop(page);
            HANDS.store(hands, Ordering::Release);
        }
    }
}
// ANCHOR_END: hand_on

fn main(system: &'static System) -> ExitCode {
    if !system.bring_up_all(system.deadline()).is_complete() {
        return ExitCode::FAILURE;
    }
    let (Ok(before), Ok(page)) = (memory::free(), Pages::new(4096)) else { return ExitCode::FAILURE };
    let cpus = cpu::possible().len() as u64;
    if call::on(CpuId::BOOT, move || hand_on(page)).is_err() {
        return ExitCode::FAILURE;
    }
    let until = Deadline::after(Duration::from_secs(10));
    while HANDS.load(Ordering::Acquire) == 0 && !until.has_passed() {
        cpu::idle();
    }
    let hands = HANDS.load(Ordering::Acquire);
    let same = memory::free().is_ok_and(|after| after.bytes == before.bytes);
    println!("handed on: {hands} of {cpus} CPUs had the page; as much is free as before: {same}");
    (hands == cpus && same).into()
}
