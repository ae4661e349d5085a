//! Two branches of which exactly one is taken, changed together while every CPU runs through both. The exercise of docs/patching.md.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::patch::Batch;
use reveille::time::Deadline;
use reveille::{ExitCode, System, cpu, irq, println, static_key};

reveille::entry!(main);

static_key!(LEFT, false);
static_key!(RIGHT, true);

static DONE: AtomicBool = AtomicBool::new(false);
static LOOKS: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicU64 = AtomicU64::new(0);

// ANCHOR: look
/// No patch falls between the two questions: a CPU that is masked cannot be gathered.
fn look() {
    let _masked = irq::mask();
    if LEFT.is_enabled() == RIGHT.is_enabled() {
        WRONG.fetch_add(1, Ordering::Relaxed);
    }
    LOOKS.fetch_add(1, Ordering::Relaxed);
}
// ANCHOR_END: look

fn look_until_done() {
    while !DONE.load(Ordering::Relaxed) {
        look();
    }
}

/// Waits until the others have looked a few times.
fn let_them_look() {
    let (seen, until) = (LOOKS.load(Ordering::Relaxed), Deadline::after(Duration::from_secs(10)));
    while LOOKS.load(Ordering::Relaxed) < seen + 100 && !until.has_passed() {
        look();
    }
}

fn main(system: &'static System) -> ExitCode {
    if !system.bring_up_all(system.deadline()).is_complete() {
        return ExitCode::FAILURE;
    }
    for cpu in cpu::online().without(cpu::current()) {
        if cpu::launch(cpu, look_until_done).is_err() {
            println!("cpu {cpu} takes no closure");
        }
    }
    let mut changes = 0;
    for round in 0..20 {
        // ANCHOR: change
        let batch = Batch::new();
        let batch = if round % 2 == 0 {
            batch.enable(&LEFT).disable(&RIGHT)
        } else {
            batch.enable(&RIGHT).disable(&LEFT)
        };
        match batch.apply() {
            Ok(_) => changes += 1,
            Err(error) => println!("either: {error}"),
        }
        // ANCHOR_END: change
        let_them_look();
    }
    DONE.store(true, Ordering::Relaxed);
    let wrong = WRONG.load(Ordering::Relaxed);
    println!("either: {changes} changes, {wrong} looks saw both or none");
    (changes == 20 && wrong == 0).into()
}
