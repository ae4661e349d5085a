//! Contexts of the application's: switched, preempted, moved between CPUs, while everything else goes on.

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{self, Verdict};
use reveille::context::{self, Ended, Ready, Scheduler, SwitchError};
use reveille::cpu::{self, CpuId, Stacks};
use reveille::exception::{Frame, Handlers, Kind, Outcome};
use reveille::hotplug::{self, Callbacks, HotplugError};
use reveille::memory::Stack;
use reveille::sync::SpinLock;
use reveille::time::{self, Alarm, Instant};
use reveille::{ExitCode, System, call, irq, println};
use reveille_tests::{Random, argument, check};

reveille::entry!(
    main,
    exceptions = Traps,
    scheduler = RoundRobin,
    stacks = Stacks { thread: 64 << 10, ..Stacks::DEFAULT }
);

const MOST: usize = 64;

struct Queue {
    list: [Option<Ready>; MOST],
    first: usize,
    len: usize,
}

impl Queue {
    const fn new() -> Self {
        Self { list: [const { None }; MOST], first: 0, len: 0 }
    }
    fn put(&mut self, ready: Ready) {
        assert!(self.len < MOST);
        self.list[(self.first + self.len) % MOST] = Some(ready);
        self.len += 1;
    }
    fn take(&mut self) -> Option<Ready> {
        let ready = self.list[self.first].take()?;
        self.first = (self.first + 1) % MOST;
        self.len -= 1;
        Some(ready)
    }
}

static ANYWHERE: SpinLock<Queue> = SpinLock::new(Queue::new());
reveille::percpu! {
    static HERE: SpinLock<Queue> = SpinLock::new(Queue::new());
    static DRAINS: AtomicU64 = AtomicU64::new(0);
    static TICK: Alarm = Alarm::new(tick);
    static HOME: SpinLock<Option<Ready>> = SpinLock::new(None);
    /// Nothing is preempted here any more.
    static QUIET: AtomicBool = AtomicBool::new(false);
}
static SWITCHES: AtomicU64 = AtomicU64::new(0);
static PREEMPTIONS: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);
static TARGET: AtomicU64 = AtomicU64::new(0);
/// What was preempted stays where it was.
static STAY: AtomicBool = AtomicBool::new(false);
static TRAPS: AtomicU64 = AtomicU64::new(0);

fn put(ready: Ready) {
    // `main` takes turns with the threads; other CPUs go home when there is nothing else.
    if ready.is_home() && ready.bound_to() != Some(CpuId::BOOT) {
        *HOME.lock() = Some(ready);
    } else if ready.bound_to().is_some() || STAY.load(Ordering::Relaxed) {
        HERE.lock().put(ready);
    } else {
        ANYWHERE.lock().put(ready);
    }
}

/// Whether this CPU was asked to leave not long ago: it begins nothing new.
fn drains() -> bool {
    Instant::now().ticks() < DRAINS.load(Ordering::Relaxed)
}

fn next() -> Option<Ready> {
    let here = HERE.lock().take();
    here.or_else(|| if drains() { HOME.lock().take() } else { ANYWHERE.lock().take() })
}

fn asked(_: CpuId) -> Result<(), &'static str> {
    let until = Instant::now() + Duration::from_millis(50);
    DRAINS.store(until.ticks(), Ordering::Relaxed);
    Ok(())
}

fn online(_: CpuId) -> Result<(), ()> {
    DRAINS.store(0, Ordering::Relaxed);
    tick();
    Ok(())
}

fn offline(_: CpuId) {}

fn tick() {
    check(TICK.after(Duration::from_micros(500)).is_ok(), "an alarm of this CPU");
}

struct RoundRobin;

impl Scheduler for RoundRobin {
    fn preempt() -> Option<Ready> {
        if QUIET.load(Ordering::Relaxed) { None } else { next() }
    }
    fn preempted(context: Ready) {
        PREEMPTIONS.fetch_add(1, Ordering::Relaxed);
        put(context);
    }
    fn end() -> Ready {
        next().or_else(|| HOME.lock().take()).expect("home is there")
    }
    fn ended(context: Ended) {
        let stack = context.into_stack();
        if stack.name() == "kept" {
            KEPT.lock().replace(stack);
        }
        ENDED.fetch_add(1, Ordering::Release);
    }
}

/// The stack of a context that has ended.
static KEPT: SpinLock<Option<Stack>> = SpinLock::new(None);

fn yield_now() {
    let switched = context::switch_with(next, put);
    check(switched.is_ok(), "a switch");
    SWITCHES.fetch_add(u64::from(matches!(switched, Ok(true))), Ordering::Relaxed);
}

struct Traps;

// SAFETY: it goes on behind an SVC with x0 changed, which who executes one expects.
unsafe impl Handlers for Traps {
    fn synchronous(frame: &mut Frame, _: Kind) -> Outcome {
        if frame.esr >> 26 != 0x15 {
            return Outcome::NotMine;
        }
        TRAPS.fetch_add(1, Ordering::Relaxed);
        match frame.esr & 0xffff {
            1 => frame.x[0] = frame.x[0].wrapping_mul(3),
            2 => {}
            _ => return Outcome::NotMine,
        }
        Outcome::Resume
    }
}

fn triple(mut value: u64) -> u64 {
    // SAFETY: the handler above changes x0 alone.
    unsafe { asm!("svc #1", inout("x0") value) };
    value
}

/// Numbers in all registers that a thread may use, which are what they were after a while of being preempted. Everything that is not is
/// in the value.
#[cfg(not(target_feature = "neon"))]
fn registers(seed: u64, turns: u64) -> u64 {
    let wrong: u64;
    // SAFETY: computes with registers, all of which are named.
    unsafe {
        asm!(
            "add x2, x0, #2",
            "add x3, x0, #3",
            "add x4, x0, #4",
            "add x5, x0, #5",
            "add x6, x0, #6",
            "add x7, x0, #7",
            "add x8, x0, #8",
            "add x9, x0, #9",
            "add x10, x0, #10",
            "add x11, x0, #11",
            "add x12, x0, #12",
            "add x13, x0, #13",
            "add x14, x0, #14",
            "add x15, x0, #15",
            "add x16, x0, #16",
            "add x17, x0, #17",
            "add x20, x0, #20",
            "add x21, x0, #21",
            "add x22, x0, #22",
            "add x23, x0, #23",
            "add x24, x0, #24",
            "add x25, x0, #25",
            "add x26, x0, #26",
            "add x27, x0, #27",
            "add x28, x0, #28",
            "1: subs x1, x1, #1",
            "b.ne 1b",
            "mov x1, #0",
            "sub x2, x2, x0", "sub x2, x2, #2", "orr x1, x1, x2",
            "sub x3, x3, x0", "sub x3, x3, #3", "orr x1, x1, x3",
            "sub x4, x4, x0", "sub x4, x4, #4", "orr x1, x1, x4",
            "sub x5, x5, x0", "sub x5, x5, #5", "orr x1, x1, x5",
            "sub x6, x6, x0", "sub x6, x6, #6", "orr x1, x1, x6",
            "sub x7, x7, x0", "sub x7, x7, #7", "orr x1, x1, x7",
            "sub x8, x8, x0", "sub x8, x8, #8", "orr x1, x1, x8",
            "sub x9, x9, x0", "sub x9, x9, #9", "orr x1, x1, x9",
            "sub x10, x10, x0", "sub x10, x10, #10", "orr x1, x1, x10",
            "sub x11, x11, x0", "sub x11, x11, #11", "orr x1, x1, x11",
            "sub x12, x12, x0", "sub x12, x12, #12", "orr x1, x1, x12",
            "sub x13, x13, x0", "sub x13, x13, #13", "orr x1, x1, x13",
            "sub x14, x14, x0", "sub x14, x14, #14", "orr x1, x1, x14",
            "sub x15, x15, x0", "sub x15, x15, #15", "orr x1, x1, x15",
            "sub x16, x16, x0", "sub x16, x16, #16", "orr x1, x1, x16",
            "sub x17, x17, x0", "sub x17, x17, #17", "orr x1, x1, x17",
            "sub x20, x20, x0", "sub x20, x20, #20", "orr x1, x1, x20",
            "sub x21, x21, x0", "sub x21, x21, #21", "orr x1, x1, x21",
            "sub x22, x22, x0", "sub x22, x22, #22", "orr x1, x1, x22",
            "sub x23, x23, x0", "sub x23, x23, #23", "orr x1, x1, x23",
            "sub x24, x24, x0", "sub x24, x24, #24", "orr x1, x1, x24",
            "sub x25, x25, x0", "sub x25, x25, #25", "orr x1, x1, x25",
            "sub x26, x26, x0", "sub x26, x26, #26", "orr x1, x1, x26",
            "sub x27, x27, x0", "sub x27, x27, #27", "orr x1, x1, x27",
            "sub x28, x28, x0", "sub x28, x28, #28", "orr x1, x1, x28",
            inout("x0") seed => _, inout("x1") turns => wrong,
            out("x2") _, out("x3") _, out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _, out("x20") _, out("x21") _, out("x22") _, out("x23") _, out("x24") _, out("x25") _, out("x26") _, out("x27") _, out("x28") _,
            options(nomem, nostack)
        );
    }
    wrong
}

/// The same with those of SIMD.
#[cfg(target_feature = "neon")]
fn registers(seed: u64, turns: u64) -> u64 {
    let wrong: u64;
    // SAFETY: as above.
    unsafe {
        asm!(
            "add x2, x0, #0", "dup v0.2d, x2",
            "add x2, x0, #1", "dup v1.2d, x2",
            "add x2, x0, #2", "dup v2.2d, x2",
            "add x2, x0, #3", "dup v3.2d, x2",
            "add x2, x0, #4", "dup v4.2d, x2",
            "add x2, x0, #5", "dup v5.2d, x2",
            "add x2, x0, #6", "dup v6.2d, x2",
            "add x2, x0, #7", "dup v7.2d, x2",
            "add x2, x0, #8", "dup v8.2d, x2",
            "add x2, x0, #9", "dup v9.2d, x2",
            "add x2, x0, #10", "dup v10.2d, x2",
            "add x2, x0, #11", "dup v11.2d, x2",
            "add x2, x0, #12", "dup v12.2d, x2",
            "add x2, x0, #13", "dup v13.2d, x2",
            "add x2, x0, #14", "dup v14.2d, x2",
            "add x2, x0, #15", "dup v15.2d, x2",
            "add x2, x0, #16", "dup v16.2d, x2",
            "add x2, x0, #17", "dup v17.2d, x2",
            "add x2, x0, #18", "dup v18.2d, x2",
            "add x2, x0, #19", "dup v19.2d, x2",
            "add x2, x0, #20", "dup v20.2d, x2",
            "add x2, x0, #21", "dup v21.2d, x2",
            "add x2, x0, #22", "dup v22.2d, x2",
            "add x2, x0, #23", "dup v23.2d, x2",
            "add x2, x0, #24", "dup v24.2d, x2",
            "add x2, x0, #25", "dup v25.2d, x2",
            "add x2, x0, #26", "dup v26.2d, x2",
            "add x2, x0, #27", "dup v27.2d, x2",
            "add x2, x0, #28", "dup v28.2d, x2",
            "add x2, x0, #29", "dup v29.2d, x2",
            "add x2, x0, #30", "dup v30.2d, x2",
            "add x2, x0, #31", "dup v31.2d, x2",
            "1: subs x1, x1, #1",
            "b.ne 1b",
            "mov x1, #0",
            "umov x2, v0.d[1]", "sub x2, x2, x0", "sub x2, x2, #0", "orr x1, x1, x2",
            "umov x2, v1.d[1]", "sub x2, x2, x0", "sub x2, x2, #1", "orr x1, x1, x2",
            "umov x2, v2.d[1]", "sub x2, x2, x0", "sub x2, x2, #2", "orr x1, x1, x2",
            "umov x2, v3.d[1]", "sub x2, x2, x0", "sub x2, x2, #3", "orr x1, x1, x2",
            "umov x2, v4.d[1]", "sub x2, x2, x0", "sub x2, x2, #4", "orr x1, x1, x2",
            "umov x2, v5.d[1]", "sub x2, x2, x0", "sub x2, x2, #5", "orr x1, x1, x2",
            "umov x2, v6.d[1]", "sub x2, x2, x0", "sub x2, x2, #6", "orr x1, x1, x2",
            "umov x2, v7.d[1]", "sub x2, x2, x0", "sub x2, x2, #7", "orr x1, x1, x2",
            "umov x2, v8.d[1]", "sub x2, x2, x0", "sub x2, x2, #8", "orr x1, x1, x2",
            "umov x2, v9.d[1]", "sub x2, x2, x0", "sub x2, x2, #9", "orr x1, x1, x2",
            "umov x2, v10.d[1]", "sub x2, x2, x0", "sub x2, x2, #10", "orr x1, x1, x2",
            "umov x2, v11.d[1]", "sub x2, x2, x0", "sub x2, x2, #11", "orr x1, x1, x2",
            "umov x2, v12.d[1]", "sub x2, x2, x0", "sub x2, x2, #12", "orr x1, x1, x2",
            "umov x2, v13.d[1]", "sub x2, x2, x0", "sub x2, x2, #13", "orr x1, x1, x2",
            "umov x2, v14.d[1]", "sub x2, x2, x0", "sub x2, x2, #14", "orr x1, x1, x2",
            "umov x2, v15.d[1]", "sub x2, x2, x0", "sub x2, x2, #15", "orr x1, x1, x2",
            "umov x2, v16.d[1]", "sub x2, x2, x0", "sub x2, x2, #16", "orr x1, x1, x2",
            "umov x2, v17.d[1]", "sub x2, x2, x0", "sub x2, x2, #17", "orr x1, x1, x2",
            "umov x2, v18.d[1]", "sub x2, x2, x0", "sub x2, x2, #18", "orr x1, x1, x2",
            "umov x2, v19.d[1]", "sub x2, x2, x0", "sub x2, x2, #19", "orr x1, x1, x2",
            "umov x2, v20.d[1]", "sub x2, x2, x0", "sub x2, x2, #20", "orr x1, x1, x2",
            "umov x2, v21.d[1]", "sub x2, x2, x0", "sub x2, x2, #21", "orr x1, x1, x2",
            "umov x2, v22.d[1]", "sub x2, x2, x0", "sub x2, x2, #22", "orr x1, x1, x2",
            "umov x2, v23.d[1]", "sub x2, x2, x0", "sub x2, x2, #23", "orr x1, x1, x2",
            "umov x2, v24.d[1]", "sub x2, x2, x0", "sub x2, x2, #24", "orr x1, x1, x2",
            "umov x2, v25.d[1]", "sub x2, x2, x0", "sub x2, x2, #25", "orr x1, x1, x2",
            "umov x2, v26.d[1]", "sub x2, x2, x0", "sub x2, x2, #26", "orr x1, x1, x2",
            "umov x2, v27.d[1]", "sub x2, x2, x0", "sub x2, x2, #27", "orr x1, x1, x2",
            "umov x2, v28.d[1]", "sub x2, x2, x0", "sub x2, x2, #28", "orr x1, x1, x2",
            "umov x2, v29.d[1]", "sub x2, x2, x0", "sub x2, x2, #29", "orr x1, x1, x2",
            "umov x2, v30.d[1]", "sub x2, x2, x0", "sub x2, x2, #30", "orr x1, x1, x2",
            "umov x2, v31.d[1]", "sub x2, x2, x0", "sub x2, x2, #31", "orr x1, x1, x2",
            inout("x0") seed => _, inout("x1") turns => wrong, out("x2") _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _, out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nomem, nostack)
        );
    }
    wrong
}

fn work(seed: u64) {
    let mut random = Random::new(seed);
    while SWITCHES.load(Ordering::Relaxed) + PREEMPTIONS.load(Ordering::Relaxed)
        < TARGET.load(Ordering::Relaxed)
    {
        let sum: u64 =
            (0..random.below(200)).fold(seed, |sum, x| sum.rotate_left(5) ^ x.wrapping_mul(0x9e37_79b9));
        core::hint::black_box(sum);
        match random.below(8) {
            0 | 1 => yield_now(),
            2 => check(triple(sum) == sum.wrapping_mul(3), "an SVC"),
            3 => {
                let online = cpu::online();
                let cpu =
                    online.iter().nth(random.below(online.len() as u64) as usize).unwrap_or(cpu::CpuId::BOOT);
                match call::on(cpu, || sum + 1) {
                    Ok(value) => check(value == sum + 1, "a call's value"),
                    Err(error) => check(error == call::CallError::Offline, "a call"),
                }
            }
            4 => {
                let _ = call::post(cpu::current(), || {});
            }
            5 => check(registers(sum, 1 + random.below(3000)) == 0, "registers are kept"),
            _ => {}
        }
    }
}

/// As deep as it goes.
#[inline(never)]
#[allow(unconditional_recursion, reason = "until the stack ends")]
fn deeper(x: u64) -> u64 {
    let frame = core::hint::black_box([x; 16]);
    deeper(x + 1) + frame[3]
}

/// What is refused, and comes back.
fn misuse() {
    /// Where no scheduler looks.
    static SPARE: SpinLock<Option<Ready>> = SpinLock::new(None);
    fn refused(what: SwitchError) {
        let ready = SPARE.lock().take().expect("the one below");
        let failed = context::switch(ready, put).expect_err("a switch that is refused");
        check(failed.error == what, "refused for that");
        *SPARE.lock() = Some(failed.next);
    }
    let small = Stack::new("small", 8192).expect("a stack");
    let error = context::new(small, {
        let large = [0_u8; 8000];
        move || _ = core::hint::black_box(large)
    });
    check(error.is_err_and(|error| error.needed > 8000 && error.stack.len() == 8192), "too small a stack");
    let stack = Stack::new("refused", 8192).expect("a stack");
    *SPARE.lock() = context::new(stack, || ()).ok();
    {
        let _masked = irq::mask();
        refused(SwitchError::Context);
    }
    for cpu in cpu::online() {
        check(call::on(cpu, || refused(SwitchError::Context)).is_ok(), "in a call");
    }
    static FIRED: AtomicU64 = AtomicU64::new(0);
    time::after(Duration::ZERO, || {
        refused(SwitchError::Context);
        FIRED.store(1, Ordering::Relaxed);
    })
    .expect("a timer");
    while FIRED.load(Ordering::Relaxed) == 0 {
        cpu::idle();
    }
    // It runs to its end, and `main` goes on: bound to this CPU, where no other can resume it.
    let ready = SPARE.lock().take().expect("the one above");
    let ended = ENDED.load(Ordering::Relaxed);
    let switched = context::switch(ready, |home| {
        check(home.is_home() && home.bound_to() == Some(cpu::current()), "`main` is at home");
        HERE.lock().put(home);
    });
    check(switched.is_ok() && ENDED.load(Ordering::Relaxed) == ended + 1, "there, and back");
    ENDED.store(0, Ordering::Relaxed);
    check(context::current_name() == "home", "its name");
}

static STARTED: AtomicU64 = AtomicU64::new(0);
static WAITING: SpinLock<Option<Ready>> = SpinLock::new(None);

fn made(name: &'static str, f: fn()) -> Ready {
    context::new(Stack::new(name, 16384).expect("a stack"), f).expect("room")
}

/// Runs a context on that CPU, whatever runs there.
fn start(cpu: usize, name: &'static str, f: fn()) {
    let cpu = cpu::get(cpu).expect("a CPU");
    let (ready, before) = (made(name, f), STARTED.load(Ordering::Relaxed));
    check(call::post(cpu, move || (HERE.lock().put(ready), tick()).1).is_ok(), "a post");
    while STARTED.load(Ordering::Acquire) == before {
        core::hint::spin_loop();
    }
}

/// Does not come back.
#[inline(never)]
fn preempted_inner() {
    STARTED.fetch_add(1, Ordering::Release);
    // SAFETY: changes nothing.
    unsafe {
        asm!("1: cbnz {}, 1b", in(reg) 1_u64, in("x21") 0x7e57_ed21_7e57_ed21_u64, options(nomem, nostack))
    };
}

#[inline(never)]
fn preempted_outer() {
    preempted_inner();
    core::hint::black_box(());
}

fn in_the_way() {
    QUIET.store(true, Ordering::Relaxed);
    preempted_inner();
}

#[inline(never)]
fn waiting_inner() {
    let home = HOME.lock().take().expect("what was preempted for this");
    let switched = context::switch(home, |this| {
        *WAITING.lock() = Some(this);
        STARTED.fetch_add(1, Ordering::Release);
    });
    check(switched.is_ok(), "a switch");
}

#[inline(never)]
fn waiting_outer() {
    waiting_inner();
    core::hint::black_box(());
}

#[inline(never)]
fn failing() {
    panic!("with contexts that do not run");
}

/// A panic, for which a context is there of every kind.
#[inline(never)]
fn report() {
    STAY.store(true, Ordering::Relaxed);
    let spare = Stack::new("no context's", 8192).expect("a stack");
    for _ in 0..20 {
        drop(made("one of many", || ()));
    }
    // As a CPU may leave it that is lost.
    for word in [u64::MAX, 0xdead_beef_dead_bec4, 0x0900_0000, 0] {
        let record = made("a broken one", || ()).id() as *mut u64;
        for at in 0..36 {
            // SAFETY: where its registers are kept. It never runs.
            unsafe { record.add(at).write_volatile(word) };
        }
    }
    start(1, "preempted on 1", preempted_outer);
    start(1, "in the way on 1", in_the_way);
    start(2, "preempted on 2", preempted_outer);
    start(2, "in the way on 2", in_the_way);
    start(3, "the waiting one", waiting_outer);
    start(3, "kept", || _ = STARTED.fetch_add(1, Ordering::Release));
    while ENDED.load(Ordering::Acquire) == 0 {
        core::hint::spin_loop();
    }
    QUIET.store(true, Ordering::Relaxed);
    let switched = context::switch(made("the failing one", failing), |home| HERE.lock().put(home));
    check(switched.is_err(), "it does not come back");
    drop(spare);
}

fn main(system: &'static System) -> ExitCode {
    TARGET.store(argument(system, "switches", 10000), Ordering::Relaxed);
    check(triple(14) == 42, "an SVC in main");
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    misuse();
    if system.arg("report").is_some() {
        report();
    }
    let threads = 3 * cpu::online().len() as u64;
    for index in 0..threads {
        let stack = Stack::new("worker", 16384).expect("a stack");
        put(context::new(stack, move || work(index)).expect("room"));
    }
    if system.arg("overflow").is_some() {
        let stack = Stack::new("the overflowing thread", 16384).expect("a stack");
        put(context::new(stack, || _ = core::hint::black_box(deeper(1))).expect("room"));
    }
    hotplug::register_callbacks(Callbacks { online, offline, asked }).expect("callbacks");
    call::on_each(&cpu::online(), |_| _ = online(cpu::current())).expect("ticks");
    let (mut down, mut up) = (0, 0);
    let mut random = Random::new(1);
    let comes_and_goes = system.arg("hotplug").is_some();
    while ENDED.load(Ordering::Relaxed) < threads {
        if comes_and_goes {
            let possible = cpu::possible();
            let cpu =
                possible.iter().nth(random.below(possible.len() as u64) as usize).unwrap_or(CpuId::BOOT);
            if cpu == cpu::current() {
                continue;
            }
            if bringup::is_online(cpu) {
                match hotplug::cpu_down(cpu, Duration::from_millis(200)) {
                    Ok(()) => down += 1,
                    // On a busy machine the others may not be gathered in that time.
                    Err(HotplugError::Held(_) | HotplugError::TimedOut(_)) => {}
                    Err(error) => panic!("cpu {cpu}: {error}"),
                }
            } else {
                check(bringup::cpu_up(cpu, Duration::from_secs(10)) == Verdict::Online, "it comes back");
                up += 1;
            }
        } else {
            cpu::idle();
        }
    }
    println!("threads: {down} times down, {up} times up");
    println!(
        "threads: {} switches, {} preemptions, {} traps, {} ended",
        SWITCHES.load(Ordering::Relaxed),
        PREEMPTIONS.load(Ordering::Relaxed),
        TRAPS.load(Ordering::Relaxed),
        ENDED.load(Ordering::Relaxed)
    );
    ExitCode::SUCCESS
}
