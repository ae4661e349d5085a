//! Threads: a closure that runs on a stack of its own, and a value that it leaves.

use crate::scheduler::{end_turn, put};
use crate::sync::Shared;
use alloc::boxed::Box;
use core::arch::asm;
use reveille::context;
use reveille::exception::{Frame, Handlers, Kind, Outcome};
use reveille::memory::Stack;

/// A thread whose value has not been asked for yet.
pub struct Thread<T>(Shared<Option<T>>);

/// A thread that runs `f` from now on, on any CPU.
pub fn spawn<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(f: F) -> Thread<T> {
    let value = Shared::new(None);
    let own = value.clone();
    // In a box: what is on the stack is small, whatever the closure has.
    let f = Box::new(f);
    let stack = Stack::new("thread", 16 << 10).expect("memory for a stack");
    let context = context::new(stack, move || {
        let value = f();
        own.change_for_all(0, |place| *place = Some(value));
    });
    put(context.expect("a stack with room"));
    Thread(value)
}

impl<T: Send + 'static> Thread<T> {
    /// What it has left, if it has ended.
    pub fn value(&self) -> Option<T> {
        self.0.attempt(1, Option::take).ok()
    }

    /// Waits until it has ended. For threads.
    pub fn join(self) -> T {
        self.0.wait(0, 1, Option::take)
    }
}

/// Lets others run, by an exception: it can be anywhere, as all registers are kept.
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
        end_turn();
        Outcome::Resume
    }
}
