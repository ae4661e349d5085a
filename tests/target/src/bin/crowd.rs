//! Locks where more CPUs run than the host has: each CPU takes each lock so many times, and the time until all have is
//! held against that of a plain test-and-set lock, in the same run.
//!
//! `scripts/crowd` runs it. Built with the feature `critical-section`. Bootargs: `rounds=N` for each CPU (default 2000); `repeat=N`: each lock so many
//! times, in turns, the best of which counts (default 1).

#![no_std]
#![no_main]

use core::cell::{RefCell, UnsafeCell};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use reveille::sync::{Mutex, SpinLock};
use reveille::time::Instant;
use reveille::{ExitCode, System, cpu, irq, println};
use reveille_tests::{argument, check, on_all_others};

reveille::entry!(main);

/// What a lock guards here: a few words that are written in turn, as a queue of messages has them.
struct Messages {
    sent: u64,
    words: [u64; 8],
}

impl Messages {
    const fn new() -> Self {
        Self { sent: 0, words: [0; 8] }
    }

    fn send(&mut self) {
        let at = self.sent as usize % self.words.len();
        self.sent += 1;
        self.words[at] = self.sent;
    }
}

/// What the locks are held against: whoever finds it free has it, and nobody is told.
struct Plain {
    is_held: AtomicBool,
    messages: UnsafeCell<Messages>,
}

// SAFETY: one CPU at a time is at the messages, by the flag.
unsafe impl Sync for Plain {}

impl Plain {
    fn with(&self, f: impl FnOnce(&mut Messages)) {
        // Acquire: pairs with the Release below.
        while self.is_held.swap(true, Ordering::Acquire) {
            while self.is_held.load(Ordering::Relaxed) {
                core::hint::spin_loop();
            }
        }
        // SAFETY: this CPU has the flag.
        f(unsafe { &mut *self.messages.get() });
        self.is_held.store(false, Ordering::Release);
    }
}

static PLAIN: Plain = Plain { is_held: AtomicBool::new(false), messages: UnsafeCell::new(Messages::new()) };
static SPIN: SpinLock<Messages> = SpinLock::new(Messages::new());
static MUTEX: Mutex<Messages> = Mutex::new(Messages::new());
static TRIED: Mutex<Messages> = Mutex::new(Messages::new());
static SECTION: critical_section::Mutex<RefCell<Messages>> =
    critical_section::Mutex::new(RefCell::new(Messages::new()));

/// The locks, by name, each with the place of what it is held against: a test-and-set lock that masks interrupts as it does, or has the
/// same to do for its guard.
const LOCKS: [(&str, usize, fn()); 5] = [
    ("test-and-set", 0, || {
        let _masked = irq::mask();
        PLAIN.with(Messages::send);
    }),
    ("SpinLock", 0, || SPIN.lock().send()),
    ("critical-section", 0, || critical_section::with(|section| SECTION.borrow_ref_mut(section).send())),
    ("Mutex tried until it is free", 3, || {
        loop {
            if let Some(mut messages) = TRIED.try_lock() {
                return messages.send();
            }
            core::hint::spin_loop();
        }
    }),
    ("Mutex", 3, || MUTEX.lock().send()),
];

/// What a CPU does between two messages: a little of its own.
fn make(round: u64) {
    let mut message = [round; 16];
    for at in 1..message.len() {
        message[at] ^= core::hint::black_box(message[at - 1]) >> 1;
    }
    core::hint::black_box(message);
}

/// CPUs that are ready to begin, and that are done, since the beginning.
static READY: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicU64 = AtomicU64::new(0);

fn main(system: &'static System) -> ExitCode {
    let (rounds, repeat) = (argument(system, "rounds", 2000), argument(system, "repeat", 1));
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let count = cpu::online().len() as u64;
    let mut best = [u64::MAX; LOCKS.len()];
    for storm in 0..repeat {
        for (number, (_, _, take)) in LOCKS.iter().enumerate() {
            let all = (storm * LOCKS.len() as u64 + number as u64 + 1) * count;
            let run = move || {
                READY.fetch_add(1, Ordering::Relaxed);
                while READY.load(Ordering::Relaxed) < all {
                    core::hint::spin_loop();
                }
                for round in 0..rounds {
                    make(round);
                    take();
                }
                DONE.fetch_add(1, Ordering::Release);
            };
            on_all_others(run);
            let start = Instant::now();
            run();
            while DONE.load(Ordering::Acquire) < all {
                cpu::idle();
            }
            best[number] = best[number].min((Instant::now() - start).as_micros() as u64);
        }
    }
    let all = rounds * repeat * count;
    PLAIN.with(|messages| check(messages.sent == all, "no update is lost"));
    check(SPIN.lock().sent == all, "no update is lost by a spin lock");
    for mutex in [&MUTEX, &TRIED] {
        check(mutex.lock().sent == all, "no update is lost by a mutex");
    }
    critical_section::with(|section| {
        check(SECTION.borrow_ref(section).sent == all, "no update is lost by critical sections");
    });
    for ((name, against, _), time) in LOCKS.iter().zip(best) {
        let hundredths = time * 100 / best[*against].max(1);
        println!(
            "crowd: {name}: {} messages of {count} CPUs in {time} us, {}.{:02} times test-and-set",
            rounds * count,
            hundredths / 100,
            hundredths % 100
        );
    }
    println!("crowd: all good");
    ExitCode::SUCCESS
}
