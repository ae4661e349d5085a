//! The loom backend, and what the models are written with.
//!
//! Loom's threads are coroutines of one OS thread: models share things by [`Rc`](std::rc::Rc), whose count,
//! unlike that of loom's own `Arc`, orders nothing between the threads.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64 as HostU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use loom::cell::UnsafeCell;
use loom::sync::Condvar;
use loom::sync::atomic::{AtomicU64, fence};
use reveille_protocol::{Arch, LockWord, Word};

loom::thread_local! {
    static TICKS: Cell<u64> = Cell::new(0);
}

thread_local! {
    /// The CPUs of the current execution. All its threads are coroutines of this one.
    static CPUS: Cell<usize> = const { Cell::new(0) };
}

/// Loom's threads, counted: each is a CPU of the model.
pub mod thread {
    pub use loom::thread::{JoinHandle, yield_now};

    /// Another CPU.
    pub fn spawn<T: 'static>(cpu: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
        super::CPUS.set(super::CPUS.get() + 1);
        loom::thread::spawn(cpu)
    }
}

/// The backend of the models.
pub enum LoomArch {}

impl Arch for LoomArch {
    type Word = LoomWord;

    /// Each CPU's clock is one tick later each time that it looks at it. A common clock would be an order
    /// between the CPUs that loom knows nothing of, and would hide interleavings from it.
    fn now() -> u64 {
        TICKS.with(|ticks| ticks.replace(ticks.get() + 1))
    }

    /// Lets another thread go on, and does not come back before one has: right for a wait that ends only by
    /// another's doing, but it makes a wait with a deadline never time out. Models of those do without.
    fn relax() {
        loom::thread::yield_now();
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}

/// A word that loom watches.
///
/// Loom 0.7 remembers only the last access to an atomic when it decides which orders to explore: a load by one
/// thread is forgotten once another thread loads, and a store of the latter is then never tried before that
/// first load (tokio-rs/loom#166, #392). So a poll against another's `load` and `compare_exchange` would be
/// explored in one order alone. Here each load first touches a condition variable that nobody waits on: such
/// touches order no memory, but loom takes them for dependent, and so tries the loads in every order.
pub struct LoomWord {
    word: AtomicU64,
    loads: Condvar,
}

impl Word for LoomWord {
    fn new(value: u64) -> Self {
        Self { word: AtomicU64::new(value), loads: Condvar::new() }
    }

    fn load(&self, order: Ordering) -> u64 {
        self.loads.notify_one();
        self.word.load(order)
    }

    /// A swap, because loom 0.7 lets a plain store slip in between the two halves of a read-modify-write
    /// (tokio-rs/loom#254). Stronger than a store in one point: it does not end a release sequence.
    fn store(&self, value: u64, order: Ordering) {
        self.word.swap(value, order);
    }

    fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.word.swap(value, order)
    }

    fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.word.compare_exchange(current, new, success, failure)
    }

    fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        self.word.fetch_add(value, order)
    }

    fn fetch_and(&self, mask: u64, order: Ordering) -> u64 {
        self.word.fetch_and(mask, order)
    }

    fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
        self.word.fetch_or(bits, order)
    }
}

/// The word of a lock that loom watches, as [`LoomWord`] has it. One form does for all.
pub struct LoomLockWord {
    word: AtomicU64,
    loads: Condvar,
}

impl LockWord for LoomLockWord {
    fn new(value: u64) -> Self {
        Self { word: AtomicU64::new(value), loads: Condvar::new() }
    }

    fn load(&self) -> u64 {
        self.loads.notify_one();
        self.word.load(Ordering::Relaxed)
    }

    fn store(&self, value: u64, order: Ordering) {
        self.word.swap(value, order);
    }

    /// As a whole, as loom knows no half-words: nobody reads it alone.
    fn clear_low_half(&self, order: Ordering) {
        self.word.fetch_and(!0xffff, order);
    }

    fn replace(&self, current: u64, new: u64) -> bool {
        self.word.compare_exchange(current, new, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn fence(order: Ordering) {
        fence(order);
    }

    fn wake() {}
}

/// Ordinary memory: a stack, parameters, per-CPU data. An access that is not ordered against another CPU's
/// fails the model.
pub struct Payload(UnsafeCell<u64>);

impl Payload {
    /// Memory that holds `value`.
    #[must_use]
    pub fn new(value: u64) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Reads it.
    #[must_use]
    pub fn read(&self) -> u64 {
        // SAFETY: loom has checked that no write is concurrent, and runs all threads on one OS thread.
        self.0.with(|at| unsafe { *at })
    }

    /// Writes it.
    pub fn write(&self, value: u64) {
        // SAFETY: loom has checked that no other access is concurrent, and runs all threads on one OS thread.
        self.0.with_mut(|at| unsafe { *at = value });
    }
}

/// A wire from one CPU to another that carries a number but orders no memory: the reset line that firmware
/// releases, the number that it passes on.
pub struct Signal(LoomWord);

impl Signal {
    /// A wire that is low.
    #[must_use]
    pub fn low() -> Self {
        Self(LoomWord::new(0))
    }

    /// Raises it, with a number other than 0.
    pub fn raise(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Waits until it is raised.
    pub fn wait(&self) -> u64 {
        loop {
            let value = self.0.load(Ordering::Relaxed);
            if value != 0 {
                return value;
            }
            loom::thread::yield_now();
        }
    }
}

/// Counts in how many executions each outcome of a model was seen.
#[derive(Clone, Default)]
pub struct Tally(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Tally {
    /// The current execution came to `outcome`.
    pub fn hit(&self, outcome: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(outcome).or_insert(0) += 1;
    }
}

/// What a scenario without concurrency has happen: one answer after the other, all of them in turn.
#[derive(Debug, Default)]
pub struct Choices {
    /// The answers of this execution, each with the number of those that there are.
    made: Vec<(usize, usize)>,
    asked: usize,
}

impl Choices {
    /// A number below `of`.
    pub fn pick(&mut self, of: usize) -> usize {
        if self.asked == self.made.len() {
            self.made.push((0, of));
        }
        let (answer, out_of) = self.made[self.asked];
        assert_eq!(of, out_of, "not the same twice");
        self.asked += 1;
        answer
    }

    /// The next execution. `false`: there is none.
    fn advance(&mut self) -> bool {
        while let Some((answer, of)) = self.made.pop() {
            if answer + 1 < of {
                self.made.push((answer + 1, of));
                return true;
            }
        }
        false
    }
}

/// One model: a scenario, and the outcomes that it must reach between all its executions.
pub struct Model {
    name: &'static str,
    outcomes: &'static [&'static str],
    preemptions: Option<usize>,
}

impl Model {
    /// A model that must come to each of `outcomes` in some execution, and to no other in any.
    #[must_use]
    pub fn new(name: &'static str, outcomes: &'static [&'static str]) -> Self {
        Self { name, outcomes, preemptions: None }
    }

    /// Explores only executions in which threads are preempted at most this many times.
    #[must_use]
    pub fn preemptions(self, bound: usize) -> Self {
        Self { preemptions: Some(bound), ..self }
    }

    /// Runs every execution of `scenario` and prints what was seen.
    ///
    /// # Panics
    ///
    /// If an execution fails, or the outcomes are not those promised.
    pub fn check(self, scenario: impl Fn(&Tally) + Send + Sync + 'static) {
        let mut explorer = loom::model::Builder::new();
        explorer.preemption_bound = self.preemptions;
        // Whatever the environment says: a model that was cut short has shown nothing.
        explorer.max_permutations = None;
        explorer.max_duration = None;
        let tally = Tally::default();
        let (executions, cpus) = (Arc::new(HostU64::new(0)), Arc::new(HostU64::new(0)));
        let start = Instant::now();
        explorer.check({
            let (tally, executions, cpus) = (tally.clone(), Arc::clone(&executions), Arc::clone(&cpus));
            move || {
                executions.fetch_add(1, Ordering::Relaxed);
                CPUS.set(1);
                scenario(&tally);
                cpus.fetch_max(CPUS.get() as u64, Ordering::Relaxed);
            }
        });
        self.sum_up(&tally, cpus.load(Ordering::Relaxed), executions.load(Ordering::Relaxed), start);
    }

    /// Runs `scenario`, in which nothing is concurrent, with every answer to what it asks of [`Choices`], and prints what was seen.
    ///
    /// For what one CPU does and what interrupts it. Loom has no part in it.
    ///
    /// # Panics
    ///
    /// As for [`check`](Self::check).
    pub fn check_choices(self, mut scenario: impl FnMut(&mut Choices, &Tally)) {
        let tally = Tally::default();
        let start = Instant::now();
        let mut choices = Choices::default();
        let mut executions = 0;
        loop {
            executions += 1;
            choices.asked = 0;
            scenario(&mut choices, &tally);
            assert_eq!(choices.asked, choices.made.len(), "model {}: not the same twice", self.name);
            if !choices.advance() {
                break;
            }
        }
        self.sum_up(&tally, 1, executions, start);
    }

    fn sum_up(&self, tally: &Tally, cpus: u64, executions: u64, start: Instant) {
        let seen = tally.0.lock().unwrap_or_else(PoisonError::into_inner);
        // `scripts/model` reads this line.
        let mut line = format!("model {}: {cpus} cpus, ", self.name);
        match self.preemptions {
            Some(bound) => _ = write!(line, "at most {bound} preemptions, "),
            None => line += "any preemptions, ",
        }
        let _ = write!(line, "{executions} executions, outcomes");
        for (outcome, times) in seen.iter() {
            let _ = write!(line, " {outcome}={times}");
        }
        println!("{line}, {:.2} s", start.elapsed().as_secs_f64());
        for outcome in self.outcomes {
            assert!(seen.contains_key(outcome), "model {}: never came to `{outcome}`", self.name);
        }
        for outcome in seen.keys() {
            assert!(self.outcomes.contains(outcome), "model {}: came to `{outcome}`", self.name);
        }
    }
}
