//! Counts the instructions of contexts, and of guests: as the other image of benches/, for images that have a scheduler and handlers. Built
//! with `el2` and entered there it measures guests too.

#![no_std]
#![no_main]

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille::context::{self, Ended, Ready, Scheduler};
use reveille::exception::{Frame, Handlers, Kind, Outcome};
use reveille::memory::Stack;
use reveille::time::Instant;
use reveille::{ExitCode, System, cpu, irq, println};

#[path = "../marks.rs"]
mod marks;

reveille::entry!(main, exceptions = Host, scheduler = Pair);

const ROUNDS: usize = 64;

/// The context that does not run, of two. Of the one CPU that this uses, and looked at with everything masked, or where nothing preempts: what
/// is measured is the runtime's part, without a lock.
struct Other(UnsafeCell<Option<Ready>>);
// SAFETY: see above.
unsafe impl Sync for Other {}
static OTHER: Other = Other(UnsafeCell::new(None));

impl Other {
    #[inline(always)]
    fn take(&self) -> Option<Ready> {
        // SAFETY: see above.
        unsafe { (*self.0.get()).take() }
    }
    #[inline(always)]
    fn put(&self, ready: Ready) {
        // SAFETY: see above. It is empty.
        unsafe { self.0.get().write(Some(ready)) }
    }
}
/// Whether the next interrupt preempts.
static PREEMPTS: AtomicU64 = AtomicU64::new(0);

struct Pair;

impl Scheduler for Pair {
    fn preempt() -> Option<Ready> {
        // No other CPU looks.
        if PREEMPTS.load(Ordering::Relaxed) == 0 {
            return None;
        }
        PREEMPTS.store(0, Ordering::Relaxed);
        OTHER.take()
    }
    fn preempted(context: Ready) {
        OTHER.put(context);
    }
    fn end() -> Ready {
        OTHER.take().expect("the other one")
    }
    fn ended(context: Ended) {
        drop(context.into_stack());
    }
}

struct Host;

// SAFETY: a guest goes on behind its HVC.
unsafe impl Handlers for Host {
    fn lower_synchronous(frame: &mut Frame, _: Kind) -> Outcome {
        if frame.esr & 0xffff == 1 { Outcome::Resume } else { Outcome::Leave }
    }
}

fn report(name: &str, instructions: u64) {
    println!("bench {name} {instructions}");
}

/// Runs the other context.
#[inline(always)]
fn switch() {
    let Some(other) = OTHER.take() else { return };
    let failed = context::switch(other, |old| OTHER.put(old)).is_err();
    assert!(!failed);
}

/// When the other context went on.
static AT: AtomicU64 = AtomicU64::new(0);

fn main(system: &'static System) -> ExitCode {
    if system.arg("only") == Some("guests") {
        guests();
        return ExitCode::SUCCESS;
    }
    report("context_switch", switches());
    report("preempt", preemptions());
    ExitCode::SUCCESS
}

/// The smallest number of ticks that `operation` says, less what it takes to read them, and to mark it.
fn least(mut operation: impl FnMut() -> u64) -> u64 {
    let empty = |_| {
        let start = Instant::now().ticks();
        nothing();
        Instant::now().ticks() - start
    };
    let empty = (0..ROUNDS).map(empty).min().unwrap_or(0);
    (0..ROUNDS).map(|_| operation()).min().unwrap_or(0) - empty
}

/// The marks alone.
#[inline(always)]
fn nothing() {
    marks::begin::<{ marks::number("none") }>();
    marks::end::<{ marks::number("none") }>();
}

/// Makes the other context.
fn other(f: impl FnOnce() + Send + 'static) {
    let stack = Stack::new("other", 16384).expect("a stack");
    OTHER.put(context::new(stack, f).expect("room"));
}

/// There and back between two contexts, neither of them the CPU's home, halved.
fn switches() -> u64 {
    static IS_OVER: AtomicU64 = AtomicU64::new(0);
    static BOTH: AtomicU64 = AtomicU64::new(0);
    other(|| {
        let home = OTHER.take().expect("home");
        other(|| {
            while IS_OVER.load(Ordering::Relaxed) == 0 {
                switch();
            }
        });
        let both = least(|| {
            let start = Instant::now().ticks();
            marks::begin::<{ marks::number("context_switch") }>();
            switch();
            marks::end::<{ marks::number("context_switch") }>();
            Instant::now().ticks() - start
        });
        BOTH.store(both, Ordering::Relaxed);
        IS_OVER.store(1, Ordering::Relaxed);
        // It ends, and comes back here.
        switch();
        OTHER.put(home);
    });
    switch();
    BOTH.load(Ordering::Relaxed) / 2
}

/// From the interrupt that the CPU sends itself, without the sending.
fn preemptions() -> u64 {
    other(|| {
        loop {
            marks::end::<{ marks::number("preempt") }>();
            AT.store(Instant::now().ticks(), Ordering::Relaxed);
            switch();
        }
    });
    let sending = least(|| {
        let masked = irq::mask();
        let start = Instant::now().ticks();
        nothing();
        cpu::wake(cpu::current());
        let end = Instant::now().ticks();
        drop(masked);
        end - start
    });
    let all = least(|| {
        PREEMPTS.store(1, Ordering::Relaxed);
        let start = Instant::now().ticks();
        marks::begin::<{ marks::number("preempt") }>();
        cpu::wake(cpu::current());
        AT.load(Ordering::Relaxed) - start
    });
    all - sending
}

#[cfg(not(feature = "el2"))]
fn guests() {}

#[cfg(feature = "el2")]
core::arch::global_asm!(
    ".global bench_guest",
    "bench_guest:",
    "isb",
    ".inst {begin}",
    "mrs x0, cntvct_el0",
    "hvc #1",
    "mrs x1, cntvct_el0",
    ".inst {end}",
    "hvc #2",
    "b bench_guest",
    begin = const marks::instruction(marks::number("hypercall")),
    end = const marks::instruction(marks::number("hypercall") | marks::END),
);

/// A guest whose hypercall comes back at once.
#[cfg(feature = "el2")]
fn guests() {
    unsafe extern "C" {
        fn bench_guest();
    }
    let mut frame = Frame::new();
    frame.elr = bench_guest as *const () as u64;
    frame.spsr = 0x3c5;
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        // SAFETY: HCR_EL2.RW, IMO, FMO, AMO. The guest touches registers alone.
        unsafe {
            core::arch::asm!("msr hcr_el2, {}", "isb", in(reg) (1_u64 << 31) | 0b111 << 3, options(nostack));
            reveille::exception::enter(&mut frame).expect("a guest");
        }
        least = least.min(frame.x[1] - frame.x[0]);
    }
    report("hypercall", least);
}
