//! Counts instructions. Run by `scripts/bench` under QEMU's instruction counter with one counter tick per
//! instruction, where each figure is the number of instructions that all CPUs together execute until the caller has
//! its answer, the same on every run.
//!
//! Prints one line per operation: `bench NAME INSTRUCTIONS`. With the bootarg `only=bringup_per_cpu` that, `wake`,
//! `doorbell` and the floor alone. Each run of an operation stands between marks, which `scripts/bench --lines` looks at.

#![no_std]
#![no_main]

use core::arch::asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{self, Verdict};
use reveille::cpu::{self, CpuId};
use reveille::sync::SpinLock;
use reveille::time::Instant;
use reveille::{ExitCode, System, bench, call, hotplug, irq, panic, println, static_key, stop_machine};

#[path = "marks.rs"]
mod marks;

reveille::entry!(main);

/// A deadline that is never reached.
const LONG: Duration = Duration::from_secs(100);

/// Repetitions, of which the smallest counts: the first ones translate code and fill the caches of the emulator,
/// neither of which costs instructions, but the turn of the vCPUs at the start of a measurement differs.
const ROUNDS: usize = 64;

/// The least of an operation, by its name.
macro_rules! least {
    ($name:literal, $operation:expr) => {
        least::<{ marks::number($name) }>($operation)
    };
}

fn main(system: &'static System) -> ExitCode {
    let start = Instant::now();
    marks::begin::<{ marks::number("bringup_per_cpu") }>();
    let roll_call = system.bring_up_all(system.deadline());
    marks::end::<{ marks::number("bringup_per_cpu") }>();
    let ticks = Instant::now().ticks() - start.ticks();
    if !roll_call.is_complete() {
        println!("{roll_call}");
        return ExitCode::FAILURE;
    }
    let count = cpu::possible().len() as u64;
    if count > 1 {
        report("bringup_per_cpu", ticks / (count - 1));
        wake();
        if system.arg("only") == Some("bringup_per_cpu") {
            busy_callees();
            floor();
            return ExitCode::SUCCESS;
        }
        hotplug();
        busy_callees();
    }
    floor();
    calls();
    report("stop_machine", least!("stop_machine", || _ = stop_machine(LONG, || ())));
    keys();
    masks();
    if count > 1 {
        stop_all();
    }
    ExitCode::SUCCESS
}

fn report(name: &str, instructions: u64) {
    println!("bench {name} {instructions}");
}

/// What it takes from [`cpu::wake`] until the CPU that was woken in its [`cpu::idle`] goes on: half a round trip; and from a ring until it
/// was answered by a CPU that waits. Every other CPU waits.
fn wake() {
    /// Odd: it is the other one's turn.
    static TURN: AtomicU64 = AtomicU64::new(0);
    /// Of the other one's, which is the last.
    const END: u64 = u64::MAX;
    let (own, other) = (cpu::current(), other());
    if BELL.register().is_err() {
        println!("no doorbell");
        return;
    }
    let launched = cpu::launch(other, move || {
        loop {
            match TURN.load(Ordering::Acquire) {
                END => return,
                turn if turn & 1 == 0 => cpu::idle(),
                turn => {
                    TURN.store(turn + 1, Ordering::Release);
                    cpu::wake(own);
                }
            }
        }
    });
    if launched.is_err() {
        println!("cpu {other} takes no closure");
        return;
    }
    let round_trip = least!("wake", || {
        let turn = TURN.fetch_add(1, Ordering::Release);
        cpu::wake(other);
        while TURN.load(Ordering::Acquire) != turn + 2 {
            cpu::idle();
        }
    });
    report("wake", round_trip / 2);
    let rings = least!("doorbell", || {
        let before = RUNG.load(Ordering::Acquire);
        let _ = BELL.ring(other);
        while RUNG.load(Ordering::Acquire) == before {
            give_way();
        }
    });
    report("doorbell", rings);
    TURN.store(END, Ordering::Release);
    cpu::wake(other);
}

/// How often the bell was answered.
static RUNG: AtomicU64 = AtomicU64::new(0);
static BELL: call::Doorbell = call::Doorbell::new(|| _ = RUNG.fetch_add(1, Ordering::Release));

/// Every other CPU computes: it leaves its turn to the next but never waits for an interrupt.
fn busy_callees() {
    static BUSY: AtomicU64 = AtomicU64::new(0);
    let others = cpu::online().without(cpu::current());
    for cpu in &others {
        let busy = || {
            BUSY.fetch_add(1, Ordering::Relaxed);
            loop {
                give_way();
            }
        };
        // The last closure that it was given may not have returned yet.
        while cpu::launch(cpu, busy).is_err() {
            give_way();
        }
    }
    while BUSY.load(Ordering::Relaxed) != others.len() as u64 {
        give_way();
    }
}

/// Passes the turn to the next vCPU.
fn give_way() {
    // SAFETY: YIELD is a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) }
}

/// One CPU goes and comes back.
fn hotplug() {
    let other = other();
    let (mut down, mut up) = (u64::MAX, u64::MAX);
    for _ in 0..8 {
        let start = Instant::now();
        marks::begin::<{ marks::number("cpu_down") }>();
        let left = hotplug::cpu_down(other, LONG);
        marks::end::<{ marks::number("cpu_down") }>();
        let middle = Instant::now();
        marks::begin::<{ marks::number("cpu_up") }>();
        let came = bringup::cpu_up(other, LONG);
        marks::end::<{ marks::number("cpu_up") }>();
        let end = Instant::now();
        if left.is_err() || came != Verdict::Online {
            println!("hotplug: {left:?}, {came:?}");
        }
        down = down.min(middle.ticks() - start.ticks());
        up = up.min(end.ticks() - middle.ticks());
    }
    report("cpu_down", down);
    report("cpu_up", up);
}

/// The smallest number of ticks that `operation` takes, less what the measurement itself takes. Marked as the operation of this number.
fn least<const NUMBER: u32>(mut operation: impl FnMut()) -> u64 {
    let mut measure = |run: bool| {
        (0..ROUNDS)
            .map(|_| {
                // Begin with a fresh turn.
                give_way();
                let start = Instant::now().ticks();
                if run {
                    marks::begin::<NUMBER>();
                    operation();
                    marks::end::<NUMBER>();
                } else {
                    marks::begin::<{ marks::number("none") }>();
                    marks::end::<{ marks::number("none") }>();
                }
                Instant::now().ticks() - start
            })
            .min()
            .unwrap_or(0)
    };
    let empty = measure(false);
    measure(true) - empty
}

/// Who is interrupted, called and posted to: alone, a CPU itself.
fn other() -> CpuId {
    cpu::online().without(cpu::current()).iter().next().unwrap_or(CpuId::BOOT)
}

fn floor() {
    let other = other();
    report("sgi_floor", least!("sgi_floor", || bench::sgi_round_trip(other)));
}

fn calls() {
    let other = other();
    report("sync_call", least!("sync_call", || _ = call::on(other, || ())));
    let mut value = 0_u64;
    let with_value = least!("sync_call_value", || {
        let captured = value;
        value = call::on(other, move || captured + 1).unwrap_or(0);
    });
    report("sync_call_value", with_value);
    if value != ROUNDS as u64 {
        println!("a call returned something else");
    }
    static POSTED: AtomicU64 = AtomicU64::new(0);
    let mut posts = 0;
    let post = least!("post", || {
        if call::post(other, || _ = POSTED.fetch_add(1, Ordering::Relaxed)).is_ok() {
            posts += 1;
        }
    });
    report("post", post);
    let all = cpu::online().without(cpu::current());
    report("on_each", least!("on_each", || _ = call::on_each(&all, |_| ())));
    if posts != ROUNDS as u64 || call::on(other, || POSTED.load(Ordering::Relaxed)) != Ok(posts) {
        println!("posts were refused or lost");
    }
}

/// Every other CPU is stopped for good: so this is the last figure of a boot, and it is measured once.
fn stop_all() {
    // Begin with a fresh turn.
    give_way();
    let start = Instant::now().ticks();
    marks::begin::<{ marks::number("stop_all") }>();
    let stopped = panic::stop_others(LONG);
    marks::end::<{ marks::number("stop_all") }>();
    let ticks = Instant::now().ticks() - start;
    give_way();
    let start = Instant::now().ticks();
    marks::begin::<{ marks::number("none") }>();
    marks::end::<{ marks::number("none") }>();
    let empty = Instant::now().ticks() - start;
    if !stopped.is_complete() {
        println!("not every CPU was stopped");
    }
    report("stop_all", ticks - empty);
}

static_key!(KEY, false);

/// Turns of the loops below.
const TURNS: u64 = 1000;

/// What comes to one turn: what is there once for all of them does not count.
fn per_turn(instructions: u64) -> u64 {
    (instructions + TURNS / 2) / TURNS
}

#[inline(never)]
fn loop_with_key(mut x: u64) -> u64 {
    for _ in 0..black_box(TURNS) {
        if KEY.is_enabled() {
            x = rare(x);
        }
        x ^= x << 13;
        x ^= x >> 7;
    }
    x
}

#[cold]
#[inline(never)]
fn rare(x: u64) -> u64 {
    x + 1
}

#[inline(never)]
fn loop_without_key(mut x: u64) -> u64 {
    for _ in 0..black_box(TURNS) {
        // SAFETY: nothing. As opaque to the compiler as a key is.
        unsafe { asm!("", options(nomem, nostack, preserves_flags)) };
        x ^= x << 13;
        x ^= x >> 7;
    }
    x
}

/// One key with one site: what it costs to toggle it, and to ask it while it is off.
fn keys() {
    let mut sites = 0;
    let both = least!("key_toggle", || sites += KEY.enable().unwrap_or(0) + KEY.disable().unwrap_or(0));
    report("key_toggle", both / 2);
    if sites != 2 * ROUNDS {
        println!("{sites} sites were patched in {ROUNDS} rounds");
    }
    let with = least!("none", || _ = black_box(loop_with_key(black_box(7))));
    let without = least!("none", || _ = black_box(loop_without_key(black_box(7))));
    report("key_off", per_turn(with - without));
}

#[inline(never)]
fn loop_with_mask(mut x: u64, turns: u64) -> u64 {
    for _ in 0..black_box(turns) {
        let _masked = irq::mask();
        x ^= x << 13;
        x ^= x >> 7;
    }
    x
}

static LOCK: SpinLock<u64> = SpinLock::new(7);

#[inline(never)]
fn loop_with_lock(mut x: u64, turns: u64) -> u64 {
    for _ in 0..black_box(turns) {
        let _held = LOCK.lock();
        x ^= x << 13;
        x ^= x >> 7;
    }
    x
}

/// What it costs to mask interrupts and let them in again, and to take a free lock and give it back.
fn masks() {
    let without = least!("none", || _ = black_box(loop_without_key(black_box(7))));
    let masks = least!("none", || _ = black_box(loop_with_mask(black_box(7), TURNS)));
    report("irq_mask", per_turn(masks - without));
    let locks = least!("none", || _ = black_box(loop_with_lock(black_box(7), TURNS)));
    report("lock", per_turn(locks - without));
    // One at a time, for what is counted besides instructions.
    least!("irq_mask", || _ = black_box(loop_with_mask(black_box(7), 1)));
    least!("lock", || _ = black_box(loop_with_lock(black_box(7), 1)));
}
