//! What a lock moves that all CPUs want at once. `scripts/bench --locks` runs it, with the plugin of `benches/lines/`: one acquisition after the
//! other stands between the marks of `lock`, as many for each of [`LOCKS`], in their order.
//!
//! Each CPU takes the lock again and again, and lets every other have its turn once while it holds it and once when it has given it back. So all
//! others look at each lock that is held. One that is given back has gone to the first that looks before the next one does: two never try at once, but for the rush.

#![no_std]
#![no_main]

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use reveille::sync::{Mutex, SpinLock};
use reveille::{ExitCode, System, cpu, irq};

#[path = "../marks.rs"]
mod marks;

reveille::entry!(main);

const LOCK: u32 = marks::number("lock");

/// Each on a line of its own, which it shares with nothing but what it guards: how often it was taken.
#[repr(align(64))]
struct Apart<T>(T);

/// Whoever finds it free has it. With `RUSH` the others have a turn between its look and its try, so that all see the same free lock, and try.
struct TestAndSet<const RUSH: bool> {
    is_held: AtomicBool,
    count: UnsafeCell<u64>,
}

// SAFETY: one CPU at a time is at the count, by the flag.
unsafe impl<const RUSH: bool> Sync for TestAndSet<RUSH> {}

impl<const RUSH: bool> TestAndSet<RUSH> {
    const fn new() -> Self {
        Self { is_held: AtomicBool::new(false), count: UnsafeCell::new(0) }
    }

    fn with<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        let _masked = irq::mask();
        // Acquire: pairs with the Release below.
        while self.is_held.swap(true, Ordering::Acquire) {
            while self.is_held.load(Ordering::Relaxed) {
                give_way();
            }
            if RUSH {
                give_way();
            }
        }
        // SAFETY: this CPU has the flag.
        let result = f(unsafe { &mut *self.count.get() });
        self.is_held.store(false, Ordering::Release);
        result
    }
}

/// One after the other, as they came.
struct Ticket {
    next: AtomicU32,
    served: AtomicU32,
    count: UnsafeCell<u64>,
}

// SAFETY: one CPU at a time is at the count, the one whose ticket is served.
unsafe impl Sync for Ticket {}

impl Ticket {
    fn with<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        let _masked = irq::mask();
        // Relaxed: `served` orders.
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        // Acquire: pairs with the Release below.
        while self.served.load(Ordering::Acquire) != ticket {
            give_way();
        }
        // SAFETY: this CPU's ticket is served.
        let result = f(unsafe { &mut *self.count.get() });
        self.served.store(ticket.wrapping_add(1), Ordering::Release);
        result
    }
}

static TEST_AND_SET: Apart<TestAndSet<false>> = Apart(TestAndSet::new());
static RUSH: Apart<TestAndSet<true>> = Apart(TestAndSet::new());
static TICKET: Apart<Ticket> =
    Apart(Ticket { next: AtomicU32::new(0), served: AtomicU32::new(0), count: UnsafeCell::new(0) });
static SPIN: Apart<SpinLock<u64>> = Apart(SpinLock::new(0));
static MUTEX: Apart<Mutex<u64>> = Apart(Mutex::new(0));

/// In the order in which `scripts/lib/bench_lines.py` names them. Each takes its lock once, and says how often that was done.
const LOCKS: [fn(Window) -> u64; 5] = [
    |window| TEST_AND_SET.0.with(|count| window.hold(count)),
    |window| RUSH.0.with(|count| window.hold(count)),
    |window| TICKET.0.with(|count| window.hold(count)),
    |window| window.hold(&mut SPIN.0.lock()),
    |window| window.hold(&mut MUTEX.0.lock()),
];

/// Which acquisitions are counted: the first is the one behind `begin`.
#[derive(Clone, Copy)]
struct Window {
    begin: u64,
    end: u64,
}

impl Window {
    /// What the holder does.
    #[inline(always)]
    fn hold(self, count: &mut u64) -> u64 {
        *count += 1;
        let now = *count;
        if now > self.begin && now <= self.end {
            marks::end::<LOCK>();
        }
        if now >= self.begin && now < self.end {
            marks::begin::<LOCK>();
        }
        give_way();
        now
    }
}

/// The others have a turn each.
#[inline(always)]
fn give_way() {
    // SAFETY: YIELD only hints.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
}

/// CPUs that have come to the next lock, of all locks together; and that are done with the last.
static READY: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicU64 = AtomicU64::new(0);

/// One CPU's part.
fn run(cpus: u64) {
    // Until the order of the CPUs is that of the lock, and whoever waits too long has made a claim.
    let begin = 8 * cpus + 32;
    let window = Window { begin, end: begin + 16 * cpus };
    for (number, take) in (1..).zip(LOCKS) {
        READY.fetch_add(1, Ordering::Relaxed);
        while READY.load(Ordering::Relaxed) < number * cpus {
            give_way();
        }
        // Each goes on until the last acquisition was counted: up to there all want the lock.
        while take(window) <= window.end {
            give_way();
        }
    }
    DONE.fetch_add(1, Ordering::Relaxed);
}

fn main(system: &'static System) -> ExitCode {
    if !system.bring_up_all(system.deadline()).is_complete() {
        return ExitCode::FAILURE;
    }
    let cpus = cpu::online().len() as u64;
    for other in &cpu::online().without(cpu::current()) {
        if cpu::launch(other, move || run(cpus)).is_err() {
            return ExitCode::FAILURE;
        }
    }
    run(cpus);
    while DONE.load(Ordering::Relaxed) < cpus {
        give_way();
    }
    ExitCode::SUCCESS
}
