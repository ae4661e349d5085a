//! Calls that take long are told of, and go on.
//!
//! Wants the bootarg `call_report_ms=50` (the runtime's) and at least 3 CPUs. Each scene is announced by a line
//! `call_report: scene NAME`, and has CPU 1 busy for 350 ms with something; the reports in between are for whoever reads
//! the console: at 50, 100 and 200 ms, not at 150. With `call_report=panic` the first report is a panic.

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::time::{Deadline, Instant};
use reveille::{ExitCode, System, call, irq, println};
use reveille_tests::{check, eventually};

reveille::entry!(main);

/// How long the target is busy with something else.
const BUSY: Duration = Duration::from_millis(350);

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let (Some(target), Some(third)) = (cpu::get(1), cpu::get(2)) else {
        println!("call_report: wants 3 CPUs");
        return ExitCode::FAILURE;
    };
    masked_target(target);
    long_call(target);
    behind_another(target, third);
    broadcast(target);
    with_deadline(target);
    println!("call_report: every call came back");
    ExitCode::SUCCESS
}

/// Computes for a while.
fn compute(span: Duration) {
    let until = Deadline::after(span);
    while !until.has_passed() {
        for _ in 0..200 {
            // SAFETY: does nothing.
            unsafe { asm!("nop", options(nomem, nostack, preserves_flags)) };
        }
        // SAFETY: YIELD is a hint.
        unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
    }
}

fn scene(name: &str) {
    println!("call_report: scene {name}");
}

/// The target takes no interrupts.
fn mask(target: CpuId) {
    static MASKED: AtomicU32 = AtomicU32::new(0);
    MASKED.store(0, Ordering::Relaxed);
    eventually("the target takes a closure", || {
        cpu::launch(target, || {
            let _masked = irq::mask();
            MASKED.store(1, Ordering::Relaxed);
            compute(BUSY);
        })
        .is_ok()
    });
    eventually("the target masks interrupts", || MASKED.load(Ordering::Relaxed) == 1);
}

fn masked_target(target: CpuId) {
    mask(target);
    scene("masked");
    let start = Instant::now();
    let mut lent = [1, 2, 3];
    let answer = call::on(target, || {
        lent[1] = 20;
        lent.iter().sum::<u64>()
    });
    check(answer == Ok(24) && lent == [1, 20, 3], "the call has run, and brought its value back");
    check(Instant::now() - start >= BUSY * 9 / 10, "it has waited for the target");
}

fn long_call(target: CpuId) {
    scene("running");
    let answer = call::on(target, || {
        compute(BUSY);
        7
    });
    check(answer == Ok(7), "the call has brought its value back");
}

fn behind_another(target: CpuId, third: CpuId) {
    static BEGUN: AtomicU32 = AtomicU32::new(0);
    scene("behind");
    let posted = call::on(third, move || {
        call::post(target, || {
            BEGUN.store(1, Ordering::Relaxed);
            compute(BUSY);
        })
        .is_ok()
    });
    check(posted == Ok(true), "the other call is on its way");
    eventually("the other call runs", || BEGUN.load(Ordering::Relaxed) == 1);
    check(call::on(target, || 8) == Ok(8), "the call has brought its value back");
}

fn broadcast(target: CpuId) {
    mask(target);
    scene("broadcast");
    let runs = AtomicU32::new(0);
    let offline = call::on_each(&cpu::online(), |_| _ = runs.fetch_add(1, Ordering::Relaxed));
    check(offline == Ok(CpuSet::EMPTY), "nobody is offline");
    check(runs.into_inner() as usize == cpu::online().len(), "it ran on every CPU");
}

/// One that has begun is awaited to its end, and told of like any other.
fn with_deadline(target: CpuId) {
    scene("deadline");
    let answer = call::on_deadline(target, Duration::from_millis(20), || {
        compute(BUSY);
        9
    });
    check(answer == Ok(9), "the call has brought its value back");
}
