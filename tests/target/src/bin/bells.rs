//! Doorbells, alarms, and timers of other CPUs: from everywhere, while CPUs come and go, with SGIs that get lost; counted.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{self, Verdict};
use reveille::call::{DOORBELLS, Doorbell, DoorbellError, Rung};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::fault::{LostSgi, lose_sgis, lost_sgis};
use reveille::sync::SpinLock;
use reveille::time::{self, Alarm, Instant, Timer, TimerError};
use reveille::{ExitCode, System, call, hotplug, irq, nmi, panic, println};
use reveille_tests::{check, eventually, nothing_left, pause};

reveille::entry!(main);

const LONG: Duration = Duration::from_secs(60);
const LATER: Duration = Duration::from_secs(1000);

fn main(system: &'static System) -> ExitCode {
    register();
    check(FIRST.ring(CpuId::BOOT) == Rung::Heard, "the CPU that boots hears");
    for cpu in cpu::possible().without(CpuId::BOOT).iter() {
        check(FIRST.ring(cpu) == Rung::Offline, "a CPU that was never started does not");
    }
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    check(time::frequency() > 0, "the counter has a frequency");
    let start = Instant::now();
    let second = Instant::from_ticks(start.ticks() + time::frequency());
    check(second - start == Duration::from_secs(1), "which is ticks per second");
    contexts();
    coalesce();
    lost();
    alarms();
    timers();
    come_and_go();
    nothing_left();
    let others = cpu::online().without(cpu::current());
    check(panic::stop_others(LONG).is_complete(), "all others are stopped");
    for cpu in &others {
        check(FIRST.ring(cpu) == Rung::Offline, "a CPU that was stopped does not hear");
    }
    let runs = RUNS.here().load(Ordering::Relaxed);
    check(FIRST.ring(cpu::current()) == Rung::Heard, "the one that is left does");
    eventually("and answers", || RUNS.here().load(Ordering::Relaxed) > runs);
    println!("bells: all good");
    ExitCode::SUCCESS
}

// Doorbells.

static FIRST: Doorbell = Doorbell::new(first);
static SECOND: Doorbell = Doorbell::new(second);
static MORE: [Doorbell; DOORBELLS] = [const { Doorbell::new(second) }; DOORBELLS];

reveille::percpu! {
    /// Runs of each handler on this CPU.
    static RUNS: AtomicU64 = AtomicU64::new(0);
    static RUNS_OF_SECOND: AtomicU64 = AtomicU64::new(0);
    /// The number of the last ring that this CPU was rung by, and the last that a run has found.
    static RUNG: AtomicU64 = AtomicU64::new(0);
    static ANSWERED: AtomicU64 = AtomicU64::new(0);
}

fn first() {
    check(irq::in_interrupt() && !irq::in_nmi(), "a handler runs in interrupt context");
    ANSWERED.here().store(RUNG.here().load(Ordering::Relaxed), Ordering::Relaxed);
    RUNS.here().fetch_add(1, Ordering::Relaxed);
}

fn second() {
    RUNS_OF_SECOND.here().fetch_add(1, Ordering::Relaxed);
}

fn register() {
    check(FIRST.ring(CpuId::BOOT) == Rung::Unregistered, "it has to be registered");
    check(FIRST.register() == Ok(()), "which may be done");
    check(FIRST.register() == Err(DoorbellError::Registered), "once");
    check(SECOND.register() == Ok(()) && FOUND_BELL.register() == Ok(()), "for several");
    for (number, bell) in MORE.iter().enumerate() {
        let expected = if number < DOORBELLS - 3 { Ok(()) } else { Err(DoorbellError::Full) };
        check(bell.register() == expected, "as many as there can be");
    }
    check(MORE[DOORBELLS - 1].ring(CpuId::BOOT) == Rung::Unregistered, "one that was refused cannot be rung");
}

/// Rings the first bell of each CPU, with a number.
fn ring_all() {
    for cpu in &cpu::online() {
        RUNG.of(cpu).fetch_add(1, Ordering::Relaxed);
        check(FIRST.ring(cpu) == Rung::Heard, "a CPU that is online hears");
    }
}

/// Each has answered the last ring.
fn all_answered(from: &str) {
    eventually(from, || {
        cpu::online()
            .iter()
            .all(|cpu| ANSWERED.of(cpu).load(Ordering::Relaxed) == RUNG.of(cpu).load(Ordering::Relaxed))
    });
}

fn contexts() {
    static LOCK: SpinLock<()> = SpinLock::new(());
    let last = cpu::online().iter().last().unwrap_or(CpuId::BOOT);
    for _ in 0..15 {
        ring_all();
        all_answered("rung by a thread");
        let masked = irq::mask();
        ring_all();
        drop(masked);
        all_answered("rung with interrupts masked");
        let held = LOCK.lock();
        ring_all();
        drop(held);
        all_answered("rung with a lock held");
        check(call::on(last, ring_all).is_ok(), "called");
        all_answered("rung by a call");
        check(call::post(last, ring_all).is_ok(), "posted");
        eventually("the post has run", || call::on(last, || ()).is_ok());
        all_answered("rung by a post");
        let before = RUNG.here().load(Ordering::Relaxed);
        check(time::after(Duration::from_micros(20), ring_all).is_ok(), "set");
        eventually("the timer has run", || RUNG.here().load(Ordering::Relaxed) > before);
        all_answered("rung by a timer");
        // At NMI level everywhere, in whatever is under way there; and here in a masked section.
        check(nmi::on_each(&cpu::online(), ring_all).is_complete(), "summoned");
        all_answered("rung at NMI level");
        let masked = irq::mask();
        ring_all();
        check(nmi::on_each(&CpuSet::from_iter([cpu::current()]), ring_all).is_complete(), "summoned here");
        drop(masked);
        all_answered("rung at NMI level, interrupts masked");
    }
}

/// What the launched closure does: 0: nothing yet, 1: it has interrupts masked, 2: it is to open them.
static TASK: AtomicU32 = AtomicU32::new(0);

fn coalesce() {
    let other = other();
    for _ in 0..10 {
        TASK.store(0, Ordering::Relaxed);
        let busy = || {
            let _masked = irq::mask();
            TASK.store(1, Ordering::Release);
            while TASK.load(Ordering::Acquire) != 2 {
                pause();
            }
        };
        eventually("it takes a closure", || cpu::launch(other, busy).is_ok());
        eventually("it masks interrupts", || TASK.load(Ordering::Acquire) == 1);
        let counts =
            || (RUNS.of(other).load(Ordering::Relaxed), RUNS_OF_SECOND.of(other).load(Ordering::Relaxed));
        let before = counts();
        for _ in 0..1000 {
            check(FIRST.ring(other) == Rung::Heard && SECOND.ring(other) == Rung::Heard, "masked, it hears");
        }
        check(counts() == before, "and does not answer");
        TASK.store(2, Ordering::Release);
        eventually("until it opens", || counts() == (before.0 + 1, before.1 + 1));
        check(call::on(other, || ()).is_ok(), "called");
        check(counts() == (before.0 + 1, before.1 + 1), "each handler has run once");
    }
}

/// The SGI is lost: to a CPU in idle, and to one that is busy.
fn lost() {
    let other = other();
    for busy in [false, true] {
        TASK.store(0, Ordering::Relaxed);
        let work = || {
            while TASK.load(Ordering::Acquire) != 2 {
                pause();
            }
        };
        if busy {
            eventually("it takes a closure", || cpu::launch(other, work).is_ok());
        }
        let before = lost_sgis();
        lose_sgis(LostSgi::Bell, other, 1);
        RUNG.of(other).fetch_add(1, Ordering::Relaxed);
        check(FIRST.ring(other) == Rung::Heard, "it hears");
        check(lost_sgis() == before + 1, "the SGI was lost");
        all_answered("what was rung is found");
        TASK.store(2, Ordering::Release);
    }
}

// Alarms.

reveille::percpu! {
    static TICK: Alarm = Alarm::new(tick);
    static TICKS: AtomicU64 = AtomicU64::new(0);
    static TICKS_WANTED: AtomicU64 = AtomicU64::new(0);
    /// One that is moved again and again, and what it was last set for, 0: it is not set.
    static MOVED: Alarm = Alarm::new(moved);
    static MOVED_TO: AtomicU64 = AtomicU64::new(0);
    static MOVED_RUNS: AtomicU64 = AtomicU64::new(0);
    static ONE: Alarm = Alarm::new(|| note(1));
    static TWO: Alarm = Alarm::new(|| note(2));
    static THREE: Alarm = Alarm::new(|| note(3));
    static ORDER: AtomicU64 = AtomicU64::new(0);
}

fn note(digit: u64) {
    ORDER.store(ORDER.load(Ordering::Relaxed) * 10 + digit, Ordering::Relaxed);
}

fn tick() {
    check(irq::in_interrupt() && !irq::in_nmi(), "an alarm's handler runs in interrupt context");
    if TICKS.fetch_add(1, Ordering::Relaxed) + 1 < TICKS_WANTED.load(Ordering::Relaxed) {
        check(TICK.after(Duration::from_micros(50)).is_ok(), "a handler sets its alarm anew");
    }
}

fn moved() {
    let due = MOVED_TO.swap(0, Ordering::Relaxed);
    check(due != 0, "an alarm that is not set does not fire");
    check(Instant::now().ticks() >= due, "and not before its time");
    MOVED_RUNS.fetch_add(1, Ordering::Relaxed);
}

/// Moves the alarm of this CPU, at random; sometimes takes it away.
fn move_often() {
    let mut fired = 0;
    let mut cancelled = 0;
    for turn in 0..100_000_u64 {
        let masked = irq::mask();
        let was = MOVED_TO.load(Ordering::Relaxed);
        if turn % 7 == 3 {
            let cancel = MOVED.cancel();
            check(cancel == Ok(was != 0), "it says whether it was set");
            cancelled += u64::from(was != 0);
            MOVED_TO.store(0, Ordering::Relaxed);
        } else {
            fired += u64::from(was == 0);
            let due = Instant::now().ticks() + (turn % 5) * 300;
            MOVED_TO.store(due, Ordering::Relaxed);
            check(MOVED.set(Instant::from_ticks(due)).is_ok(), "an alarm is moved");
        }
        drop(masked);
    }
    eventually("the last fires", || MOVED_TO.load(Ordering::Relaxed) == 0);
    check(MOVED_RUNS.load(Ordering::Relaxed) + cancelled == fired, "each fires once, or was taken away");
    check(MOVED.due().is_none() && MOVED.cancel() == Ok(false), "and is not set any more");
}

fn alarms() {
    move_often();
    println!("bells: {} of 100000 fired", MOVED_RUNS.load(Ordering::Relaxed));
    // In the order in which they are due, and late if that has passed.
    let masked = irq::mask();
    let now = Instant::now();
    let later = |ticks| Instant::from_ticks(now.ticks() + ticks);
    check(
        ONE.set(later(3)).is_ok() && TWO.set(later(1)).is_ok() && THREE.set(later(2)).is_ok(),
        "several are set",
    );
    check(ONE.after(LATER).is_ok() && ONE.due().is_some_and(|due| due > now), "one is moved");
    check(ORDER.load(Ordering::Relaxed) == 0, "none fires where interrupts are masked");
    drop(masked);
    eventually("two fire", || ORDER.load(Ordering::Relaxed) > 9);
    check(ONE.cancel() == Ok(true) && ONE.cancel() == Ok(false), "the third was taken away");
    // On all CPUs at once.
    for cpu in &cpu::online() {
        TICKS_WANTED.of(cpu).store(500, Ordering::Relaxed);
        check(call::on(cpu, || TICK.after(Duration::ZERO).is_ok()) == Ok(true), "each CPU sets its own");
    }
    eventually("each ticks", || cpu::online().iter().all(|cpu| TICKS.of(cpu).load(Ordering::Relaxed) == 500));
    let other = other();
    if other != cpu::current() {
        check(TICK.of(other).after(LATER) == Err(TimerError::OtherCpu), "another's is refused");
        check(TICK.of(other).cancel() == Err(TimerError::OtherCpu), "as it is to take it away");
    }
    check(nmi::on_each(&CpuSet::from_iter([cpu::current()]), at_nmi_level).is_complete(), "summoned");
}

fn at_nmi_level() {
    check(
        ONE.after(LATER) == Err(TimerError::Nmi) && ONE.cancel() == Err(TimerError::Nmi),
        "refused at NMI level",
    );
}

// Timers of other CPUs.

static RAN: AtomicU32 = AtomicU32::new(0);
static DROPPED: AtomicU32 = AtomicU32::new(0);
static HANDLE: SpinLock<Option<Timer>> = SpinLock::new(None);

/// What a timer captures.
struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

fn set_one(delay: Duration) -> Result<Timer, TimerError> {
    let counted = Counted;
    time::after(delay, move || {
        let _counted = counted;
        RAN.fetch_add(1, Ordering::Relaxed);
    })
}

fn timers() {
    let other = other();
    let mut stopped = 0;
    const ROUNDS: u32 = 2000;
    for round in 0..ROUNDS {
        let delay = Duration::from_micros(u64::from(round % 8) * 4);
        let set = call::on(other, || match set_one(delay) {
            Ok(timer) => HANDLE.lock().replace(timer).is_none(),
            Err(_) => false,
        });
        check(set == Ok(true), "another CPU sets one");
        let timer = HANDLE.lock().take();
        stopped += u32::from(timer.is_some_and(Timer::cancel));
    }
    let ends = || (RAN.load(Ordering::Relaxed) + stopped, DROPPED.load(Ordering::Relaxed));
    eventually("each has run, or was stopped", || ends() == (ROUNDS, ROUNDS));
    println!("bells: {stopped} of {ROUNDS} timers were stopped by another CPU");
    let Ok(timer) = set_one(LATER) else { panic!("a timer is refused") };
    if other != cpu::current() {
        check(call::on(other, || timer.set_again(LATER)) == Ok(Err(TimerError::OtherCpu)), "not from there");
    }
    let ran = RAN.load(Ordering::Relaxed);
    for _ in 0..1000 {
        check(timer.set_again(LATER) == Ok(true), "it is set again");
    }
    check(timer.set_again(Duration::ZERO) == Ok(true), "and for now");
    eventually("it runs", || RAN.load(Ordering::Relaxed) == ran + 1);
    check(timer.set_again(LATER) == Ok(false) && !timer.cancel(), "and is not set any more");
}

// CPUs that come and go.

static STOP: AtomicBool = AtomicBool::new(false);
static RINGERS: AtomicU32 = AtomicU32::new(0);
static HEARD: AtomicU64 = AtomicU64::new(0);
static NOT_HEARD: AtomicU64 = AtomicU64::new(0);

/// By ringer: the number of its last ring, and the last that a run has found.
static WRITTEN: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];
static FOUND: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

static FOUND_BELL: Doorbell = Doorbell::new(found);

fn found() {
    for (written, found) in WRITTEN.iter().zip(&FOUND) {
        found.fetch_max(written.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

fn ring_often(target: CpuId) {
    RINGERS.fetch_add(1, Ordering::Relaxed);
    let own = cpu::current().index() % WRITTEN.len();
    let mut number = 0;
    while !STOP.load(Ordering::Relaxed) {
        number += 1;
        WRITTEN[own].store(number, Ordering::Relaxed);
        match FOUND_BELL.ring(target) {
            Rung::Heard => {
                HEARD.fetch_add(1, Ordering::Relaxed);
                eventually("what was heard is answered", || FOUND[own].load(Ordering::Relaxed) >= number);
            }
            Rung::Offline => _ = NOT_HEARD.fetch_add(1, Ordering::Relaxed),
            Rung::Unregistered => panic!("it is registered"),
        }
        pause();
    }
    RINGERS.fetch_sub(1, Ordering::Relaxed);
}

fn come_and_go() {
    let target = cpu::online().iter().last().unwrap_or(CpuId::BOOT);
    if target == cpu::current() {
        return;
    }
    let ringers = cpu::online().without(cpu::current()).without(target);
    for ringer in &ringers {
        eventually("it takes a closure", || cpu::launch(ringer, move || ring_often(target)).is_ok());
    }
    for _ in 0..6 {
        // A tick that nobody ends does not keep it.
        TICKS_WANTED.of(target).store(u64::MAX, Ordering::Relaxed);
        check(call::on(target, || TICK.after(Duration::ZERO).is_ok()) == Ok(true), "it sets its alarm");
        check(hotplug::cpu_down(target, LONG) == Ok(()), "it leaves");
        check(
            FOUND_BELL.ring(target) == Rung::Offline && TICK.of(target).due().is_none(),
            "gone, it hears nothing",
        );
        let not_heard = NOT_HEARD.load(Ordering::Relaxed);
        eventually("nor do the others reach it", || {
            ringers.is_empty() || NOT_HEARD.load(Ordering::Relaxed) > not_heard
        });
        let ticks = TICKS.of(target).load(Ordering::Relaxed);
        check(bringup::cpu_up(target, LONG) == Verdict::Online, "it comes back");
        check(call::on(target, || TICK.due().is_none()) == Ok(true), "its alarm is not set");
        check(TICKS.of(target).load(Ordering::Relaxed) == ticks, "and has not fired");
    }
    let heard = HEARD.load(Ordering::Relaxed);
    eventually("it hears", || ringers.is_empty() || HEARD.load(Ordering::Relaxed) > heard);
    STOP.store(true, Ordering::Relaxed);
    eventually("the ringers end", || RINGERS.load(Ordering::Relaxed) == 0);
    println!(
        "bells: {} rings heard and answered, {} not heard",
        HEARD.load(Ordering::Relaxed),
        NOT_HEARD.load(Ordering::Relaxed)
    );
}

/// Another CPU, if there is one.
fn other() -> CpuId {
    cpu::online().without(cpu::current()).iter().next().unwrap_or(CpuId::BOOT)
}
