//! Critical sections of the `critical-section` crate, on several CPUs, in threads, handlers and callbacks, nested.
//!
//! Built with the feature `critical-section`. Bootarg `rounds=N` for each CPU (default 5000).

#![no_std]
#![no_main]

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use critical_section::{CriticalSection, Mutex};
use reveille::{ExitCode, System, call, cpu, irq, println, time};
use reveille_tests::{argument, check, on_all_others};

reveille::entry!(main);

/// What the sections protect: two numbers that are always equal, and who is inside.
static NUMBERS: Mutex<Cell<(u64, u64)>> = Mutex::new(Cell::new((0, 0)));
static INSIDE: AtomicU32 = AtomicU32::new(0);

/// Sections that there were, by where they were entered.
static THREAD: AtomicU64 = AtomicU64::new(0);
static HANDLER: AtomicU64 = AtomicU64::new(0);
static CALLBACK: AtomicU64 = AtomicU64::new(0);

static DONE: AtomicU32 = AtomicU32::new(0);

reveille::percpu! {
    /// No more timers are to be set.
    static OVER: AtomicBool = AtomicBool::new(false);
    /// A timer is set.
    static TIMER: AtomicBool = AtomicBool::new(false);
}

fn main(system: &'static System) -> ExitCode {
    let rounds = argument(system, "rounds", 5000);
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    restores();
    let count = cpu::online().len();
    let work = move || work(rounds);
    on_all_others(work);
    work();
    while DONE.load(Ordering::Acquire) as usize != count {
        cpu::idle();
    }
    let sum = [&THREAD, &HANDLER, &CALLBACK].map(|counter| counter.load(Ordering::Relaxed));
    let numbers = critical_section::with(|section| NUMBERS.borrow(section).get());
    println!("critical: {} in threads, {} in handlers, {} in callbacks", sum[0], sum[1], sum[2]);
    check(
        numbers == (sum.iter().sum(), sum.iter().sum()),
        "every section has counted, and none has lost a count",
    );
    check(
        sum[0] == rounds * count as u64 && sum[1] > 0 && (sum[2] > 0 || count == 1),
        "there were sections everywhere",
    );
    println!("critical: {} sections on {count} CPUs, all good", numbers.0);
    ExitCode::SUCCESS
}

/// A section leaves the masks as it found them, nested or not.
fn restores() {
    check(!irq::is_masked(), "a thread takes interrupts");
    critical_section::with(|_| {
        check(irq::is_masked(), "a section masks interrupts");
        critical_section::with(|_| check(irq::is_masked(), "so does a nested one"));
        check(irq::is_masked(), "the end of which does not unmask");
    });
    check(!irq::is_masked(), "the end of the outer one does");
    let masked = irq::mask();
    critical_section::with(|_| ());
    check(irq::is_masked(), "a section in a masked one leaves it masked");
    drop(masked);
    check(!irq::is_masked(), "and it ends when it ends");
}

/// Counts, in such a way that two at a time are noticed.
fn count(section: CriticalSection<'_>, counter: &AtomicU64) {
    check(INSIDE.swap(1, Ordering::Relaxed) == 0, "one CPU at a time");
    let cell = NUMBERS.borrow(section);
    let (one, other) = cell.get();
    check(one == other, "nobody is in the middle of it");
    cell.set((one + 1, other));
    // Nested, the section is the same one.
    critical_section::with(|nested| {
        check(
            NUMBERS.borrow(nested).get() == (one + 1, one),
            "a nested section sees what the outer one wrote",
        );
        NUMBERS.borrow(nested).set((one + 1, other + 1));
    });
    counter.fetch_add(1, Ordering::Relaxed);
    INSIDE.store(0, Ordering::Relaxed);
}

/// In a timer's interrupt, again and again.
fn tick() {
    critical_section::with(|section| count(section, &HANDLER));
    let goes_on = !OVER.load(Ordering::Relaxed) && time::after(Duration::from_micros(3), tick).is_ok();
    TIMER.store(goes_on, Ordering::Relaxed);
}

fn work(rounds: u64) {
    let own = cpu::current();
    TIMER.store(time::after(Duration::from_micros(3), tick).is_ok(), Ordering::Relaxed);
    check(TIMER.load(Ordering::Relaxed), "a timer can be set");
    let next = cpu::get((own.index() + 1) % cpu::online().len()).expect("below the number of CPUs");
    for round in 0..rounds {
        critical_section::with(|section| count(section, &THREAD));
        check(!irq::is_masked(), "interrupts are open again");
        if round % 8 == 0 && next != own {
            // Refused now and then, if the other has not come to it yet: then there is one less.
            let _ = call::post(next, || critical_section::with(|section| count(section, &CALLBACK)));
        }
    }
    OVER.store(true, Ordering::Relaxed);
    while TIMER.load(Ordering::Relaxed) {
        cpu::idle();
    }
    // What this CPU has posted has run.
    check(call::on(next, || ()).is_ok(), "the next CPU answers");
    DONE.fetch_add(1, Ordering::Release);
}
