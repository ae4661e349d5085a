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
use reveille::{ExitCode, System, call, irq, println, stop_machine};
use reveille_tests::{Random, argument, check, registers};

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
static STOPS: AtomicU64 = AtomicU64::new(0);
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
            5 => check(registers::are_kept(sum, 1 + random.below(3000), None), "registers are kept"),
            6 if random.below(64) == 0 => {
                check(stop_machine(Duration::from_secs(100), || sum) == Ok(sum), "a stop-machine");
                STOPS.fetch_add(1, Ordering::Relaxed);
            }
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
                    Err(HotplugError::Held(_) | HotplugError::TimedOut(_) | HotplugError::Busy) => {}
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
        "threads: {} switches, {} preemptions, {} stops, {} traps, {} ended",
        SWITCHES.load(Ordering::Relaxed),
        PREEMPTIONS.load(Ordering::Relaxed),
        STOPS.load(Ordering::Relaxed),
        TRAPS.load(Ordering::Relaxed),
        ENDED.load(Ordering::Relaxed)
    );
    ExitCode::SUCCESS
}
