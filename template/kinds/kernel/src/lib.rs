//! Threads on all CPUs: one queue, in turn, with a tick. No more than what a scheduler begins with.

#![no_std]

extern crate alloc;

use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use reveille::call::{Doorbell, DoorbellError, Rung};
use reveille::context::{self, Ended, Ready, Scheduler};
use reveille::cpu;
use reveille::memory::{Stack, StackError};
use reveille::sync::SpinLock;
use reveille::time::Alarm;

/// How long a thread runs before it is another's turn.
const SLICE: Duration = Duration::from_millis(1);
/// Bytes of a thread's stack.
const STACK: usize = 16 << 10;

/// Threads that wait for a CPU, in the order in which they get one.
static READY: SpinLock<VecDeque<Ready>> = SpinLock::new(VecDeque::new());
/// Rung at a CPU that has nothing to do, when there is something.
static WORK: Doorbell = Doorbell::new(end_turn);

reveille::percpu! {
    /// What the CPU runs by itself, while a thread runs in its place.
    static HOME: SpinLock<Option<Ready>> = SpinLock::new(None);
    static TICK: Alarm = Alarm::new(end_turn);
    static TURN_IS_OVER: AtomicBool = AtomicBool::new(false);
}

/// For `entry!`.
pub struct RoundRobin;

impl Scheduler for RoundRobin {
    fn preempt() -> Option<Ready> {
        if HOME.lock().is_none() {
            return next();
        }
        if !TURN_IS_OVER.swap(false, Ordering::Relaxed) {
            return None;
        }
        // The turn goes on if nobody else waits.
        TICK.after(SLICE).expect("an alarm of this CPU");
        next()
    }

    fn preempted(context: Ready) {
        put(context);
    }

    fn end() -> Ready {
        // In this order: who puts a thread into the queue after the look at it finds this CPU at home, and rings.
        let home = HOME.lock().take().expect("home waits while a thread runs");
        match next() {
            Some(next) => {
                *HOME.lock() = Some(home);
                next
            }
            None => {
                let _ = TICK.cancel();
                home
            }
        }
    }

    fn ended(context: Ended) {
        drop(context.into_stack());
    }
}

/// Before the first thread; once more does nothing.
pub fn start() {
    match WORK.register() {
        Ok(()) | Err(DoorbellError::Registered) => {}
        Err(error) => panic!("{error}"),
    }
}

/// A thread that runs `f` from now on, on any CPU.
///
/// # Errors
///
/// A [`StackError`] if there is no memory for its stack.
pub fn spawn<F: FnOnce() + Send + 'static>(name: &'static str, f: F) -> Result<(), StackError> {
    let context = context::new(Stack::new(name, STACK)?, f);
    put(context.expect("a stack with room for the closure"));
    Ok(())
}

/// Lets another thread run, if one waits. For threads.
pub fn yield_now() {
    let switched = context::switch_with(next, put);
    assert!(switched.is_ok(), "a thread yields in a thread");
}

/// For what a CPU runs by itself, such as `main`: threads run, or the CPU sleeps until an interrupt comes.
pub fn rest() {
    if !context::switch_with(next, put).is_ok_and(|has_run| has_run) {
        cpu::idle();
    }
}

/// The turn of what runs here is over as soon as the interrupt is handled that calls this.
fn end_turn() {
    TURN_IS_OVER.store(true, Ordering::Relaxed);
}

/// The thread that is next, and has its turn from now on. With interrupts masked, as all that chooses.
fn next() -> Option<Ready> {
    let mut ready = READY.lock();
    let next = ready.pop_front()?;
    let others_wait = !ready.is_empty();
    drop(ready);
    if others_wait {
        ring_idle();
    }
    TURN_IS_OVER.store(false, Ordering::Relaxed);
    TICK.after(SLICE).expect("an alarm of this CPU");
    Some(next)
}

/// Puts a context that does not run where it is found.
fn put(context: Ready) {
    if context.is_home() {
        *HOME.lock() = Some(context);
    } else {
        READY.lock().push_back(context);
        ring_idle();
    }
}

/// Has one CPU look into the queue that is at home.
fn ring_idle() {
    for cpu in &cpu::online().without(cpu::current()) {
        if HOME.of(cpu).lock().is_none() && WORK.ring(cpu) == Rung::Heard {
            return;
        }
    }
}
