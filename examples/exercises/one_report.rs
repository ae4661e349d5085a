//! Every CPU fails at the same moment, and one report comes of it. The exercise of docs/panic-and-stop.md.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use reveille::panic::{Action, CrashReport, Fate, set_action};
use reveille::time::Deadline;
use reveille::{ExitCode, System, cpu, irq, power, println};

reveille::entry!(main);

static READY: AtomicUsize = AtomicUsize::new(0);
static GO: AtomicBool = AtomicBool::new(false);

// ANCHOR: hook
/// What follows the report, on the CPU that wrote it. All others are stopped.
fn count(report: &CrashReport) -> ! {
    let panicked = report.stop().fates().filter(|(_, fate)| *fate == Fate::Panicked).count();
    println!("one report: {panicked} others had failed too, stopped: {}", report.stop().is_complete());
    power::exit(if report.stop().is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
// ANCHOR_END: hook

// ANCHOR: fail
fn fail() {
    // No interrupt that is not of NMI class comes through from here on.
    let _masked = irq::mask();
    READY.fetch_add(1, Ordering::Release);
    while !GO.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    panic!("cpu {} fails", cpu::current());
}
// ANCHOR_END: fail

fn main(system: &'static System) -> ExitCode {
    if !system.bring_up_all(system.deadline()).is_complete() {
        return ExitCode::FAILURE;
    }
    set_action(Action::Hook(count));
    let others = cpu::online().without(cpu::current());
    for cpu in others {
        if cpu::launch(cpu, fail).is_err() {
            println!("cpu {cpu} takes no closure");
        }
    }
    let until = Deadline::after(Duration::from_secs(10));
    while READY.load(Ordering::Acquire) != others.len() && !until.has_passed() {
        core::hint::spin_loop();
    }
    GO.store(true, Ordering::Release);
    fail();
    ExitCode::FAILURE
}
