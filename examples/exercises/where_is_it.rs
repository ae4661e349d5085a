//! A CPU computes with interrupts masked, for ever as it seems; another one asks where it is. The exercise of docs/debugging.md.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuSet};
use reveille::time::Deadline;
use reveille::{ExitCode, System, irq, nmi, println};

reveille::entry!(main);

static COUNTS: AtomicBool = AtomicBool::new(false);
static DONE: AtomicBool = AtomicBool::new(false);

// ANCHOR: count
#[inline(never)]
fn count_sheep() {
    let _masked = irq::mask();
    COUNTS.store(true, Ordering::Release);
    while !DONE.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
}
// ANCHOR_END: count

fn main(system: &'static System) -> ExitCode {
    if !system.bring_up_all(system.deadline()).is_complete() {
        return ExitCode::FAILURE;
    }
    let Some(cpu) = cpu::get(1) else { return ExitCode::FAILURE };
    if cpu::launch(cpu, count_sheep).is_err() {
        return ExitCode::FAILURE;
    }
    let until = Deadline::after(Duration::from_secs(10));
    while !COUNTS.load(Ordering::Acquire) && !until.has_passed() {
        core::hint::spin_loop();
    }
    // ANCHOR: ask
    let it = CpuSet::from_iter([cpu]);
    nmi::backtrace(&it);
    let answered = nmi::on_each(&it, || ()).is_complete();
    // ANCHOR_END: ask
    DONE.store(true, Ordering::Release);
    println!("where is it: cpu {cpu} answered: {answered}");
    answered.into()
}
