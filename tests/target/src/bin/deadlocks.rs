//! Locks that are waited for for long, or for ever, and what is said of that.
//!
//! The bootarg `case=WORD` says of what. `waits` and `waits-once` want the runtime's bootarg `lock_report_ms`, and 4 CPUs and 2; `lists` wants
//! `lock_report=panic` too, and 3. `twice-*` and `lists` end in a panic, for whoever reads the console.

#![no_std]
#![no_main]

use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::sync::{Mutex, SpinLock};
use reveille::time::Deadline;
use reveille::{ExitCode, System, irq, println};
use reveille_tests::{check, eventually};

reveille::entry!(main);

/// How long a lock is held where it is given back.
const HELD: Duration = Duration::from_millis(350);

static FIRST: SpinLock<u32> = SpinLock::new(1);
static SECOND: SpinLock<u32> = SpinLock::new(2);
static MUTEX: Mutex<u32> = Mutex::new(3);
/// How far another CPU has come.
static AT: AtomicU32 = AtomicU32::new(0);

fn main(system: &'static System) -> ExitCode {
    let case = system.arg("case").unwrap_or("");
    match case {
        "twice-early" => twice(),
        "twice-mutex-early" => twice_mutex(),
        _ => {}
    }
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    match case {
        "twice" => twice(),
        "twice-print" => println!("{}", Takes),
        "twice-mutex" => twice_mutex(),
        "twice-stopped" => {
            let _ = reveille::panic::stop_others(Duration::from_secs(1));
            twice();
        }
        "waits" => waits(),
        "waits-once" => {
            held_for(Duration::from_millis(30));
        }
        "lists" => lists(),
        _ => println!("deadlocks: case={case}: there is no such case"),
    }
    println!("deadlocks: all good");
    ExitCode::SUCCESS
}

#[inline(never)]
fn twice() {
    let held = FIRST.lock();
    println!("deadlocks: takes it again, of {}", *held);
    takes_again();
}

#[inline(never)]
fn takes_again() {
    let again = FIRST.lock();
    println!("deadlocks: has it twice, of {}", *again);
}

fn twice_mutex() {
    let held = MUTEX.lock();
    println!("deadlocks: takes it again, of {}", *held);
    println!("deadlocks: has it twice, of {}", *MUTEX.lock());
}

/// Something that takes a lock to be printed, which it then finds taken.
struct Takes;

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        println!("deadlocks: printed in the middle of a line");
        let held = FIRST.lock();
        write!(f, "{}", *held)?;
        takes_again();
        Ok(())
    }
}

fn wait_for(step: u32) {
    eventually("the other side comes", || AT.load(Ordering::Relaxed) >= step);
}

/// Computes for a while.
#[inline(never)]
fn compute(span: Duration) {
    let until = Deadline::after(span);
    while !until.has_passed() {
        // SAFETY: YIELD is a hint.
        unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
    }
}

fn cpu(index: usize) -> CpuId {
    cpu::get(index).unwrap_or_else(|| {
        println!("deadlocks: wants more CPUs");
        panic!("no cpu {index}");
    })
}

fn launched(target: CpuId, f: fn()) {
    AT.store(0, Ordering::Relaxed);
    eventually("the other CPU takes a closure", || cpu::launch(target, f).is_ok());
    wait_for(1);
}

/// `FIRST` is held by CPU 1 for so long.
fn held_for(span: Duration) {
    static SPAN: AtomicU32 = AtomicU32::new(0);
    println!("deadlocks: scene masked");
    SPAN.store(span.as_millis() as u32, Ordering::Relaxed);
    launched(cpu(1), || {
        let _held = FIRST.lock();
        AT.store(1, Ordering::Relaxed);
        compute(Duration::from_millis(SPAN.load(Ordering::Relaxed).into()));
    });
    drop(FIRST.lock());
}

/// Each lock is held by CPU 1 for a while, while this CPU waits for it.
fn waits() {
    held_for(HELD);
    println!("deadlocks: scene mutex");
    launched(cpu(1), || {
        let _held = MUTEX.lock();
        AT.store(1, Ordering::Relaxed);
        compute(HELD);
    });
    drop(MUTEX.lock());
    // Whoever holds the console's own lock does something else meanwhile: the reports come out past it.
    println!("deadlocks: scene console");
    struct Slow;
    impl fmt::Display for Slow {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            AT.store(1, Ordering::Relaxed);
            compute(2 * HELD);
            Ok(())
        }
    }
    launched(cpu(1), || println!("deadlocks: slow{Slow}"));
    println!("deadlocks: the console came");
    // Each waits for its turn to say so, too.
    println!("deadlocks: scene many");
    launched(cpu(1), || {
        let _held = FIRST.lock();
        AT.store(1, Ordering::Relaxed);
        wait_for(3);
        compute(HELD);
    });
    let others: cpu::CpuSet = cpu::online().iter().filter(|cpu| cpu.index() > 1).collect();
    for cpu in others.iter() {
        eventually("the other CPU takes a closure", || {
            cpu::launch(cpu, || {
                AT.fetch_add(1, Ordering::Relaxed);
                drop(FIRST.lock());
                AT.fetch_add(1, Ordering::Relaxed);
            })
            .is_ok()
        });
    }
    AT.fetch_add(1, Ordering::Relaxed);
    drop(FIRST.lock());
    let all = 2 + 2 * others.len() as u32;
    eventually("all have had the lock", || AT.load(Ordering::Relaxed) >= all);
}

/// Two CPUs that wait for each other, and a third for one of the two.
fn lists() {
    let [one, two] = [cpu(1), cpu(2)];
    launched(one, || {
        let _held = FIRST.lock();
        AT.store(1, Ordering::Relaxed);
        wait_for(2);
        *SECOND.lock() += 1;
    });
    eventually("the other CPU takes a closure", || {
        cpu::launch(two, || {
            let _held = SECOND.lock();
            AT.store(2, Ordering::Relaxed);
            *FIRST.lock() += 1;
        })
        .is_ok()
    });
    wait_for(2);
    // Until they have looked, and long before they would say so.
    let _masked = irq::mask();
    compute(Duration::from_millis(20));
    *FIRST.lock() += 1;
}
