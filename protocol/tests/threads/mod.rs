//! What the tests with threads share: the host as the machine that the protocols run on, and memory that only they guard.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::thread;

use reveille_protocol::Arch;

pub enum Host {}

pub type HostWord = AtomicU64;

impl Arch for Host {
    type Word = HostWord;

    fn now() -> u64 {
        0
    }

    fn relax() {
        thread::yield_now();
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}

/// Ordinary memory, which the protocols hand from thread to thread.
pub struct Plain<T>(UnsafeCell<T>);

// SAFETY: not so. Whether the protocols let one thread at a time at it is what Miri is here to find out.
unsafe impl<T> Sync for Plain<T> {}

impl<T: Copy> Plain<T> {
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    pub fn read(&self) -> T {
        // SAFETY: initialised, and a race would be a finding.
        unsafe { *self.0.get() }
    }

    pub fn write(&self, value: T) {
        // SAFETY: in place, and a race would be a finding.
        unsafe { *self.0.get() = value }
    }
}

/// A CPU that fails ends the test: the others would wait for it.
pub struct EndAll;

impl Drop for EndAll {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}
