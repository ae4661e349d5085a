//! Every other CPU waits, in a posted closure, for something that the poster does after the post. The exercise of docs/cross-calls.md.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use reveille::time::Deadline;
use reveille::{ExitCode, System, call, cpu, println};

reveille::entry!(main);

static ARRIVED: AtomicUsize = AtomicUsize::new(0);
static OPEN: AtomicBool = AtomicBool::new(false);
static PASSED: AtomicUsize = AtomicUsize::new(0);

/// Whether `count` comes to `wanted` in time.
fn reaches(count: &AtomicUsize, wanted: usize) -> bool {
    let until = Deadline::after(Duration::from_secs(10));
    while count.load(Ordering::Acquire) != wanted {
        if until.has_passed() {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

fn main(system: &'static System) -> ExitCode {
    if !system.bring_up_all(system.deadline()).is_complete() {
        return ExitCode::FAILURE;
    }
    // ANCHOR: gate
    let others = cpu::online().without(cpu::current());
    let posted = call::post_each(&others, |_| {
        ARRIVED.fetch_add(1, Ordering::Release);
        while !OPEN.load(Ordering::Acquire) {
            core::hint::spin_loop();
        }
        PASSED.fetch_add(1, Ordering::Release);
    });
    // The post is over, and not one of them can be: each waits for this CPU.
    let waiting = reaches(&ARRIVED, posted.accepted.len()) && PASSED.load(Ordering::Acquire) == 0;
    OPEN.store(true, Ordering::Release);
    let passed = reaches(&PASSED, posted.accepted.len());
    // ANCHOR_END: gate
    println!("open gate: {} CPUs waited for the poster, which waited for none", posted.accepted.len());
    (waiting && passed && posted.accepted == others).into()
}
