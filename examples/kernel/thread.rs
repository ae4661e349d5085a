//! Threads: a closure that runs on a stack of its own, and a value that it leaves.

use crate::scheduler::{self, park, put};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::arch::asm;
use reveille::context::{self, Ready};
use reveille::exception::{Frame, Handlers, Kind, Outcome};
use reveille::sync::SpinLock;

struct Shared<T> {
    value: Option<T>,
    waiter: Option<Ready>,
}

/// A thread whose value has not been asked for yet.
pub struct Thread<T>(Arc<SpinLock<Shared<T>>>);

/// A thread that runs `f` from now on, on any CPU.
pub fn spawn<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(f: F) -> Thread<T> {
    let shared = Arc::new(SpinLock::new(Shared { value: None, waiter: None }));
    let own = Arc::clone(&shared);
    // In a box: what is on the stack is small, whatever the closure has.
    let f = Box::new(f);
    let context = context::new(scheduler::stack(), move || {
        let value = f();
        let waiter = {
            let mut shared = own.lock();
            shared.value = Some(value);
            shared.waiter.take()
        };
        if let Some(waiter) = waiter {
            put(waiter);
        }
    });
    put(context.expect("a stack with room"));
    Thread(shared)
}

impl<T: Send + 'static> Thread<T> {
    /// What it has left, if it has ended.
    pub fn value(&self) -> Option<T> {
        self.0.lock().value.take()
    }

    /// Waits until it has ended. For threads.
    pub fn join(self) -> T {
        loop {
            if let Some(value) = self.value() {
                return value;
            }
            let shared = Arc::clone(&self.0);
            park(move |me| {
                let mut shared = shared.lock();
                if shared.value.is_none() {
                    shared.waiter = Some(me);
                } else {
                    drop(shared);
                    put(me);
                }
            });
        }
    }
}

/// Lets others run, by an exception: all registers are kept, so it can be anywhere, at the cost of a thread that is bound to its CPU
/// until it switches.
pub fn yield_by_svc() {
    // SAFETY: the handler below changes no register.
    unsafe { asm!("svc #0", options(nostack, preserves_flags)) };
}

/// For `entry!`.
pub struct Traps;

// SAFETY: the frame is left as it was, and an SVC goes on behind itself.
unsafe impl Handlers for Traps {
    fn synchronous(frame: &mut Frame, kind: Kind) -> Outcome {
        /// ESR_ELx.EC: SVC in AArch64 (Arm ARM, ESR_EL1).
        const SVC: u64 = 0x15;
        if kind != Kind::Thread || frame.esr >> 26 != SVC || frame.esr & 0xffff != 0 {
            return Outcome::NotMine;
        }
        scheduler::end_turn();
        Outcome::Resume
    }
}
