//! A backend without concurrency: one CPU, whose every access to a word is a step, and what comes between two steps.
//!
//! For [`Model::check_choices`](crate::Model::check_choices), whose choices decide what does come: an interrupt, a step of
//! another CPU, the end.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use reveille_protocol::{Arch, LockWord, Word};

type Between = Option<Rc<dyn Fn()>>;

thread_local! {
    static BETWEEN: RefCell<Between> = const { RefCell::new(None) };
}

/// Puts back what came between two steps, also when what did come ends the CPU by a panic.
struct PutBack(Between);

impl Drop for PutBack {
    fn drop(&mut self) {
        BETWEEN.set(self.0.take());
    }
}

/// A point between two steps.
pub fn between() {
    // Taken out: what comes has steps of its own.
    let Some(come) = BETWEEN.take() else { return };
    let _put_back = PutBack(Some(Rc::clone(&come)));
    come();
}

/// Runs `f`, with `come` called between any two of its steps; not between those of `come` itself, unless that is armed too.
pub fn armed<R>(come: Rc<dyn Fn()>, f: impl FnOnce() -> R) -> R {
    let _put_back = PutBack(BETWEEN.replace(Some(come)));
    f()
}

/// The backend.
pub enum Steps {}

impl Arch for Steps {
    type Word = StepWord;

    fn now() -> u64 {
        0
    }

    fn relax() {
        between();
    }

    fn fence(_: Ordering) {}
}

/// A word whose every access is a step.
pub struct StepWord(AtomicU64);

impl Word for StepWord {
    fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    fn load(&self, order: Ordering) -> u64 {
        between();
        self.0.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        between();
        self.0.store(value, order);
    }

    fn swap(&self, value: u64, order: Ordering) -> u64 {
        between();
        self.0.swap(value, order)
    }

    fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        between();
        self.0.compare_exchange(current, new, success, failure)
    }

    fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        between();
        self.0.fetch_add(value, order)
    }

    fn fetch_and(&self, mask: u64, order: Ordering) -> u64 {
        between();
        self.0.fetch_and(mask, order)
    }

    fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
        between();
        self.0.fetch_or(bits, order)
    }
}

/// The word of a lock, likewise.
pub struct StepLockWord(AtomicU64);

impl LockWord for StepLockWord {
    fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    fn load(&self) -> u64 {
        between();
        self.0.load(Ordering::Relaxed)
    }

    fn store(&self, value: u64, order: Ordering) {
        between();
        self.0.store(value, order);
    }

    fn clear_low_half(&self, order: Ordering) {
        between();
        self.0.fetch_and(!0xffff, order);
    }

    fn replace(&self, current: u64, new: u64) -> bool {
        between();
        self.0.compare_exchange(current, new, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn fence(_: Ordering) {}

    fn wake() {}
}
