//! Two threads on one CPU that switch to each other by name, and to nobody else. The exercise of docs/kernel.md.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::context::{self, Ended, Ready, Scheduler};
use reveille::memory::Stack;
use reveille::sync::SpinLock;
use reveille::time::Deadline;
use reveille::{ExitCode, System, println};

reveille::entry!(main, scheduler = NeverPreempted);

/// Turns of each of the two.
const TURNS: u64 = 1000;

/// Who waits for its turn: the thread while `main` runs, and `main` while the thread does.
static WAITING: SpinLock<Option<Ready>> = SpinLock::new(None);
static COUNT: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicBool = AtomicBool::new(false);

// ANCHOR: scheduler
struct NeverPreempted;

impl Scheduler for NeverPreempted {
    fn preempt() -> Option<Ready> {
        None
    }
    fn preempted(_: Ready) {}
    /// The thread is over, and `main` waits.
    fn end() -> Ready {
        WAITING.lock().take().expect("main waits")
    }
    fn ended(thread: Ended) {
        drop(thread.into_stack());
        ENDED.store(true, Ordering::Release);
    }
}
// ANCHOR_END: scheduler

// ANCHOR: yield
/// The other one's turn, if there is one: it is taken out of the word before this one is put there.
fn yield_to_the_other() -> bool {
    context::switch_with(|| WAITING.lock().take(), |own| *WAITING.lock() = Some(own)).unwrap_or(false)
}
// ANCHOR_END: yield

fn thread() {
    for turn in 0..TURNS {
        // It is always this thread's turn when the count is odd.
        if COUNT.fetch_add(1, Ordering::Relaxed) != 2 * turn + 1 {
            return;
        }
        yield_to_the_other();
    }
}

fn main(_: &'static System) -> ExitCode {
    let Ok(stack) = Stack::new("pong", 16 << 10) else { return ExitCode::FAILURE };
    let Ok(ready) = context::new(stack, thread) else { return ExitCode::FAILURE };
    *WAITING.lock() = Some(ready);
    for turn in 0..TURNS {
        if COUNT.fetch_add(1, Ordering::Relaxed) != 2 * turn {
            break;
        }
        yield_to_the_other();
    }
    // The thread has one turn more, in which it ends.
    let until = Deadline::after(Duration::from_secs(10));
    while !ENDED.load(Ordering::Acquire) && !until.has_passed() {
        yield_to_the_other();
    }
    let count = COUNT.load(Ordering::Relaxed);
    println!("ping pong: {count} turns, each after the other's");
    (count == 2 * TURNS && ENDED.load(Ordering::Relaxed)).into()
}
