//! A context that is preempted at every instruction of what it does, and goes on on another CPU: whatever that is, it comes to the same,
//! and no CPU is left with what is another's.
//!
//! For each operation the alarm that preempts comes ever later: before it, at its first instruction, and so on, until it comes behind it; in
//! long ones every so many instructions. To be run with `-icount`, where a number of instructions is a time; anywhere else the places are random.
//! Bootarg `places=N`: at most so many of each operation.

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::call::{self, CallError, Doorbell, Rung};
use reveille::context::{self, Ended, Ready, Scheduler};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::hotplug::{self, Hold, HotplugError};
use reveille::irq::{self, Trigger};
use reveille::memory::{self, Access, Memory, Pages, Stack};
use reveille::sync::{Mutex, SpinLock};
use reveille::time::{self, Alarm, Instant};
use reveille::{
    ExitCode, System, bringup, fault, nmi, print, println, static_key, stop_machine, stop_machine_each,
};
use reveille_tests::{argument, check, pause};

reveille::entry!(
    main,
    // SAFETY: at its offline points it has nothing on the stack that anybody uses.
    leaving = unsafe { cpu::Leaving::new(rest) },
    scheduler = Mover
);
static_key!(KEY, false);

reveille::percpu! {
    static ALARM: Alarm = Alarm::new(fire);
    /// What runs here is to be preempted.
    static FIRED: AtomicBool = AtomicBool::new(false);
    static HOME: SpinLock<Option<Ready>> = SpinLock::new(None);
    /// The context, for this CPU.
    static NEXT: SpinLock<Option<Ready>> = SpinLock::new(None);
    static SPARE: Mutex<u64> = Mutex::new(0);
}

/// How often the context was preempted, and moved.
static MOVES: AtomicU64 = AtomicU64::new(0);
/// The context is in the operation.
static INSIDE: AtomicBool = AtomicBool::new(false);
/// It was, when it was moved.
static HIT: AtomicBool = AtomicBool::new(false);
/// How often a CPU went that the context had been on.
static DOWN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);
static LOCK: SpinLock<u64> = SpinLock::new(0);
static BELL: Doorbell = Doorbell::new(rung);

/// Time for whatever another CPU has to do.
const LONG: Duration = Duration::from_secs(20);

fn rung() {
    COUNT.fetch_add(1, Ordering::Relaxed);
}

fn fire() {
    FIRED.store(true, Ordering::Relaxed);
}

/// The one that the context goes to from here.
fn other(own: CpuId) -> CpuId {
    cpu::get(1 - own.index()).expect("two CPUs")
}

struct Mover;

impl Scheduler for Mover {
    fn preempt() -> Option<Ready> {
        if !FIRED.load(Ordering::Relaxed) {
            return None;
        }
        FIRED.store(false, Ordering::Relaxed);
        HOME.lock().take()
    }

    fn preempted(context: Ready) {
        check(!context.is_home() && context.bound_to().is_none(), "it may go anywhere");
        HIT.store(INSIDE.load(Ordering::Relaxed), Ordering::Relaxed);
        let to = other(cpu::current());
        *NEXT.of(to).lock() = Some(context);
        MOVES.fetch_add(1, Ordering::Release);
        cpu::wake(to);
    }

    fn end() -> Ready {
        HOME.lock().take().expect("home waits")
    }

    fn ended(context: Ended) {
        drop(context);
        ENDED.store(true, Ordering::Relaxed);
    }
}

/// What every CPU does by itself: it runs the context when that comes.
fn turn() {
    let next = || NEXT.lock().take();
    match context::switch_with(next, |home| *HOME.lock() = Some(home)) {
        Ok(true) => {}
        Ok(false) => cpu::idle(),
        Err(failed) => panic!("{}", failed.error),
    }
}

fn rest(_: CpuId) -> ! {
    loop {
        turn();
    }
}

/// So many instructions, in twos, and one more for an odd number.
#[inline(always)]
fn instructions(count: u64) {
    // SAFETY: counts a register down.
    unsafe {
        asm!(
            "tbz {count}, #0, 2f",
            "nop",
            "2: lsr {count}, {count}, #1",
            "add {count}, {count}, #1",
            "1: subs {count}, {count}, #1",
            "b.ne 1b",
            count = inout(reg) count => _,
            options(nomem, nostack)
        );
    }
}

/// Instructions in a tick, under `-icount`; anywhere else some number.
fn instructions_per_tick() -> u64 {
    const MANY: u64 = 1 << 16;
    let start = Instant::now().ticks();
    instructions(MANY);
    (MANY / (Instant::now().ticks() - start).max(1)).max(1)
}

/// Runs `operation` with the alarm `ticks` from now and `delay` instructions before it. Whether the alarm came in the middle of it.
fn attempt(name: &str, operation: fn() -> bool, ticks: u64, delay: u64) -> bool {
    let moves = MOVES.load(Ordering::Relaxed);
    HIT.store(false, Ordering::Relaxed);
    let at = Instant::from_ticks(Instant::now().ticks() + ticks);
    check(ALARM.set(at).is_ok(), "an alarm of this CPU");
    instructions(delay);
    INSIDE.store(true, Ordering::Relaxed);
    let good = operation();
    INSIDE.store(false, Ordering::Relaxed);
    assert!(good, "{name}: alarm after {ticks} ticks, {delay} instructions before it: not what is expected");
    // Once each time, so that it begins on each CPU in turn.
    let limit = time::Deadline::after(LONG);
    while MOVES.load(Ordering::Relaxed) == moves {
        assert!(
            !limit.has_passed(),
            "{name}: alarm after {ticks} ticks, {delay} instructions before it: no preemption"
        );
        pause();
    }
    assert!(!irq::is_masked() && !irq::in_interrupt(), "{name}: interrupts are open");
    for cpu in cpu::online() {
        // What another CPU does at the end of an interrupt it may just be doing.
        let limit = time::Deadline::after(LONG);
        while let Some(what) = fault::left_behind(cpu) {
            assert!(
                !limit.has_passed(),
                "{name}: alarm after {ticks} ticks, {delay} instructions before it: cpu {cpu} is left with {what}"
            );
            pause();
        }
        check(call::on(cpu, || COUNT.load(Ordering::Relaxed)).is_ok(), "it is called");
    }
    HIT.load(Ordering::Relaxed)
}

/// All places of one operation. How many.
fn sweep(name: &str, operation: fn() -> bool, places: u64) -> u64 {
    let per_tick = instructions_per_tick();
    // Once for what it does but once, and once to see how long it takes.
    check(operation(), name);
    let start = Instant::now().ticks();
    check(operation(), name);
    let length = Instant::now().ticks() - start + 2;
    // Before that there is the setting of the alarm.
    let ticks = length + 400 / per_tick + 40;
    let step = (length * per_tick).div_ceil(places);
    let (mut hits, mut after) = (0, 0);
    let mut delay = ticks * per_tick;
    while delay > step && (hits == 0 || after < 4) {
        delay -= step;
        // On each of the two.
        for _ in 0..2 {
            if attempt(name, operation, ticks, delay) {
                (hits, after) = (hits + 1, 0);
            } else {
                after += 1;
            }
        }
    }
    println!("moves: {name}: {hits} places, one in {step} instructions");
    hits
}

fn both() -> CpuSet {
    cpu::online()
}

/// Its name, and what it does: whether that came to what it should.
type Operation = (&'static str, fn() -> bool);

const OPERATIONS: &[Operation] = &[
    ("masked section", || {
        let _masked = irq::mask();
        let _another = irq::mask();
        irq::is_masked() && !irq::in_interrupt()
    }),
    ("context", || {
        !irq::is_masked() && !irq::in_interrupt() && !irq::in_nmi() && context::current_name() == "mover"
    }),
    ("spin lock", || {
        *LOCK.lock() += 1;
        LOCK.try_lock().is_some()
    }),
    ("mutex", || {
        let mut guard = SPARE.of(CpuId::BOOT).lock();
        *guard += 1;
        SPARE.of(CpuId::BOOT).try_lock().is_none()
    }),
    ("pin", || {
        let _pin = hotplug::pin();
        true
    }),
    ("call 0", || call::on(CpuId::BOOT, cpu::current) == Ok(CpuId::BOOT)),
    ("call 1", || {
        let one = other(CpuId::BOOT);
        call::on(one, cpu::current) == Ok(one)
    }),
    ("call with a deadline", || {
        let deadline = time::Deadline::after(LONG);
        call::on_deadline(CpuId::BOOT, deadline, cpu::current) == Ok(CpuId::BOOT)
    }),
    ("call each", || {
        let sum = AtomicU64::new(0);
        let offline =
            call::on_each(&both(), |cpu| _ = sum.fetch_add(1 + cpu.index() as u64, Ordering::Relaxed));
        offline.is_ok_and(|set| set.is_empty()) && sum.load(Ordering::Relaxed) == 3
    }),
    ("post", || {
        let before = COUNT.load(Ordering::Relaxed);
        let posted = call::post(CpuId::BOOT, || _ = COUNT.fetch_add(1, Ordering::Relaxed)).is_ok();
        while COUNT.load(Ordering::Relaxed) == before {
            pause();
        }
        posted
    }),
    ("post each", || {
        let before = COUNT.load(Ordering::Relaxed);
        let posted = call::post_each(&both(), |_| _ = COUNT.fetch_add(1, Ordering::Relaxed));
        while COUNT.load(Ordering::Relaxed) != before + 2 {
            pause();
        }
        posted.accepted == both()
    }),
    ("ring", || {
        let before = COUNT.load(Ordering::Relaxed);
        let rung = BELL.ring(CpuId::BOOT);
        while COUNT.load(Ordering::Relaxed) == before {
            pause();
        }
        rung == Rung::Heard
    }),
    ("timer", || {
        let timer = time::after(LONG, || ());
        timer.is_ok_and(time::Timer::cancel)
    }),
    ("nmi", || {
        let answers = nmi::on_each(&both(), || _ = COUNT.fetch_add(1, Ordering::Relaxed));
        answers.done == both()
    }),
    ("idle", || {
        // Whatever is pending on whichever CPU this is ends it.
        for cpu in &both() {
            cpu::wake(cpu);
        }
        cpu::idle();
        true
    }),
    ("offline point", || {
        cpu::offline_point();
        true
    }),
    ("own-end", || {
        // It is on one of them, and keeps that, until it is moved, perhaps; the other may go meanwhile where it was before.
        let own = cpu::current();
        let down = hotplug::cpu_down(own, Duration::from_micros(100));
        match down {
            Err(
                HotplugError::Held(Hold::Context | Hold::Main | Hold::NotIdle)
                | HotplugError::TimedOut(_)
                | HotplugError::Busy,
            ) => true,
            Ok(()) => {
                DOWN.fetch_add(1, Ordering::Relaxed);
                bringup::cpu_up(own, LONG) == bringup::Verdict::Online
            }
            down => {
                println!("moves: cpu {own}, then {}: {down:?}", cpu::current());
                false
            }
        }
    }),
    ("stop-machine", || stop_machine(LONG, || 7) == Ok(7)),
    ("stop-machine each", || {
        let sum = AtomicU64::new(0);
        stop_machine_each(LONG, |cpu| _ = sum.fetch_add(1 + cpu.index() as u64, Ordering::Relaxed)).is_ok()
            && sum.load(Ordering::Relaxed) == 3
    }),
    ("key", || KEY.enable().is_ok() && KEY.is_enabled() && KEY.disable().is_ok() && !KEY.is_enabled()),
    ("pages", || {
        let Ok(pages) = Pages::new(8192) else { return false };
        memory::map(pages, Memory::NonCacheable, Access::ReadWrite).is_ok()
    }),
    ("stack", || Stack::new("short", 8192).is_ok()),
    ("interrupt", || {
        let intid = 32 + 100;
        irq::register(intid, Trigger::Edge, |_| _ = COUNT.fetch_add(1, Ordering::Relaxed)).is_ok()
            && irq::set_pending(intid).is_ok()
            && irq::unregister(intid, LONG).is_ok()
    }),
    ("watchdog", || {
        let started = reveille::watchdog::start(Duration::from_secs(5)).is_ok();
        reveille::watchdog::stop();
        started && !reveille::watchdog::is_running()
    }),
    ("label", || {
        cpu::set_label(Some(&"moves"));
        cpu::set_label(None);
        true
    }),
    ("print", || {
        print!("{}", "");
        true
    }),
    ("refused", || {
        let _masked = irq::mask();
        call::on(CpuId::BOOT, || ()) == Err(CallError::WouldDeadlock)
            && context::switch_with(|| None, drop).is_err()
    }),
];

fn main(system: &'static System) -> ExitCode {
    let places = argument(system, "places", 300);
    check(cpu::possible().len() == 2, "two CPUs");
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    BELL.register().expect("a bell");
    let only = system.arg("only").unwrap_or("");
    let stack = Stack::new("mover", 32 << 10).expect("a stack");
    let context = context::new(stack, move || {
        let mut all = 0;
        for (name, operation) in OPERATIONS.iter().filter(|(name, _)| only.is_empty() || *name == only) {
            let hits = sweep(name, *operation, places);
            assert!(hits > 2, "{name}: the alarm has not come into it");
            all += hits;
        }
        COUNT.store(all, Ordering::Relaxed);
    });
    *NEXT.lock() = context.ok();
    while !ENDED.load(Ordering::Relaxed) {
        turn();
    }
    println!(
        "moves: {} operations, {} places, {} moves, {} times down",
        OPERATIONS.len(),
        COUNT.load(Ordering::Relaxed),
        MOVES.load(Ordering::Relaxed),
        DOWN.load(Ordering::Relaxed)
    );
    ExitCode::SUCCESS
}
