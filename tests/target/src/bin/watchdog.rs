//! The watchdog: CPUs that get stuck with interrupts masked are found by their neighbours.
//!
//! Bootargs: `period_ms=N` is the period (default 40, for counted instructions); `response=panic` makes it panic;
//! `stuck=console` has the stuck CPU hold the console; `mask=daif` masks by `DAIF`, behind the back of the runtime;
//! `phases=N` has a CPU masked for not quite a period that often, from as many places between two ticks.

#![no_std]
#![no_main]

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::time::{Deadline, Instant};
use reveille::watchdog::{self, Response, WatchdogError};
use reveille::{ExitCode, System, bringup, fault, hotplug, irq, println, stop_machine};
use reveille_tests::{argument, check, eventually};

reveille::entry!(main);

static PERIOD_MS: AtomicU32 = AtomicU32::new(40);

fn period() -> Duration {
    Duration::from_millis(PERIOD_MS.load(Ordering::Relaxed).into())
}

static HOLD: AtomicBool = AtomicBool::new(true);
static HELD: AtomicU32 = AtomicU32::new(0);

fn hold() {
    HELD.fetch_add(1, Ordering::Relaxed);
    while HOLD.load(Ordering::Relaxed) {
        core::hint::spin_loop();
    }
    HELD.fetch_sub(1, Ordering::Relaxed);
}

fn mask_for(time: Duration) {
    let _masked = irq::mask();
    let until = Deadline::after(time);
    while !until.has_passed() {
        // The clock is slow to read where instructions are counted.
        for _ in 0..2000 {
            core::hint::spin_loop();
        }
    }
}

/// Interrupts are masked in online callbacks.
fn come_slowly(_: CpuId) -> Result<(), ()> {
    mask_for(3 * period());
    Ok(())
}

fn hold_masked() {
    let _masked = irq::mask();
    hold();
}

fn hold_with_daif() {
    // SAFETY: masks interrupts until the end of this function, behind the back of the runtime: that is the test.
    unsafe { core::arch::asm!("msr daifset, #2") };
    hold();
    // SAFETY: undoes the above.
    unsafe { core::arch::asm!("msr daifclr, #2") };
}

/// Gets stuck in the middle of a line.
struct Stuck;

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hold();
        f.write_str("the end of the line")
    }
}

fn hold_console() {
    println!("a line that takes long: {Stuck}");
}

fn wait(time: Duration) {
    let until = Deadline::after(time);
    while !until.has_passed() {
        cpu::idle();
    }
}

fn get_stuck(cpu: CpuId, f: fn()) {
    HOLD.store(true, Ordering::Relaxed);
    eventually("an idle CPU takes a closure", || cpu::launch(cpu, f).is_ok());
}

/// Who is held up, and has an excuse, is not called stuck.
fn held_up(last: CpuId) {
    println!("-- held up");
    let limit = Duration::from_secs(10);
    wait(2 * period());
    eventually("the CPU leaves", || hotplug::cpu_down(last, limit).is_ok());
    // It has come slowly, and once it is online it is still masked for a while.
    fault::before_opening(Some(|_| mask_for(period() * 6 / 5)));
    check(bringup::cpu_up(last, limit) == bringup::Verdict::Online, "and comes back");
    fault::before_opening(None);
    wait(2 * period());
    // All were held up together.
    check(stop_machine(limit, || mask_for(3 * period())).is_ok(), "all can be gathered");
    wait(2 * period());
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let last = cpu::online().iter().last().unwrap_or(CpuId::BOOT);
    if let Some(ms) = system.arg("period_ms").and_then(|ms| ms.parse().ok()) {
        PERIOD_MS.store(ms, Ordering::Relaxed);
    }
    check(!watchdog::is_running(), "it is off by default");
    check(
        watchdog::start(Duration::from_micros(999)) == Err(WatchdogError::TooShort),
        "too short is refused",
    );
    check(!watchdog::is_running(), "and changes nothing");

    // Off: nothing is said about a CPU that is stuck.
    get_stuck(last, hold_masked);
    wait(3 * period());
    HOLD.store(false, Ordering::Relaxed);
    eventually("it goes on", || HELD.load(Ordering::Relaxed) == 0);

    if system.arg("response") == Some("panic") {
        watchdog::set_response(Response::Panic);
    }
    check(watchdog::start(period()).is_ok() && watchdog::is_running(), "it can be started");
    println!("-- all is well");
    wait(4 * period());
    // Busy is not stuck.
    let busy = Instant::now();
    while Instant::now() - busy < 3 * period() {}
    // Nor is one that is masked for less than a period, wherever between two ticks that begins.
    let phases = argument(system, "phases", 0) as u32;
    for phase in 0..phases {
        wait(period() * phase / phases);
        let busy = period() * 15 / 16;
        eventually("an idle CPU takes a closure", || cpu::launch(last, move || mask_for(busy)).is_ok());
        wait(period());
    }
    // Nor one that takes long to come.
    if phases != 0 && last != CpuId::BOOT {
        check(hotplug::register(come_slowly, |_| ()).is_ok(), "callbacks can be registered");
        let limit = Duration::from_secs(10);
        eventually("the CPU leaves", || hotplug::cpu_down(last, limit).is_ok());
        check(bringup::cpu_up(last, limit) == bringup::Verdict::Online, "and comes back");
    }
    println!("-- one gets stuck");
    let f = match (system.arg("stuck"), system.arg("mask")) {
        (Some("console"), _) => hold_console,
        (_, Some("daif")) => hold_with_daif,
        _ => hold_masked,
    };
    get_stuck(last, f);
    wait(5 * period());
    HOLD.store(false, Ordering::Relaxed);
    eventually("it goes on", || HELD.load(Ordering::Relaxed) == 0);
    println!("-- it goes on");
    wait(2 * period());

    // Two neighbours at once: both are found, each once.
    let second = cpu::online().without(last).iter().last().unwrap_or(CpuId::BOOT);
    if second != CpuId::BOOT {
        println!("-- two get stuck");
        get_stuck(last, hold_masked);
        get_stuck(second, hold_masked);
        wait(5 * period());
        HOLD.store(false, Ordering::Relaxed);
        eventually("they go on", || HELD.load(Ordering::Relaxed) == 0);
        // And one behind another that has been reported before.
        if phases != 0 {
            wait(2 * period());
            println!("-- two get stuck, one after the other");
            get_stuck(second, hold_masked);
            wait(3 * period());
            get_stuck(last, hold_masked);
            wait(4 * period());
            HOLD.store(false, Ordering::Relaxed);
            eventually("they go on", || HELD.load(Ordering::Relaxed) == 0);
        }
    }
    if phases != 0 && last != CpuId::BOOT {
        held_up(last);
    }
    watchdog::stop();
    println!("-- off again");
    get_stuck(last, hold_masked);
    wait(3 * period());
    HOLD.store(false, Ordering::Relaxed);
    println!("watchdog: all good");
    ExitCode::SUCCESS
}
