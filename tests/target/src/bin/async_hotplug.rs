//! CPUs that leave and come, and what becomes of the tasks that were spawned to them, case by case; `async_wakes` does it at random.
//!
//! `main` does not run an executor, so that the last CPU that does can be asked to leave; at the end it does, and CPUs go and come `cycles` times (bootarg).

#![no_std]
#![no_main]

use core::future::poll_fn;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::task::Poll;
use core::time::Duration;
use embassy_executor::SpawnToken;
use embassy_sync::signal::Signal;
use embassy_time::Timer;
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::hotplug::{self, Hold, HotplugError, cpu_down};
use reveille::{ExitCode, System, irq, power, println, time};
use reveille_embassy::{MovableToken, Policy, Refused, SpinRawMutex, Why, leaving, set_policy, spawner};
use reveille_tests::{argument, check, eventually, longer, pause, set_short, short};

reveille::entry!(main, leaving = reveille_embassy::EXECUTORS);

const LONG: Duration = Duration::from_secs(20);

/// Tells tasks to end.
static END: AtomicBool = AtomicBool::new(false);
/// How many have ended, and how many have begun.
static ENDED: AtomicUsize = AtomicUsize::new(0);
static BEGUN: AtomicUsize = AtomicUsize::new(0);
/// Where a task that moves was polled last, its number and 1, and how often.
static WHERE: AtomicUsize = AtomicUsize::new(0);
static TIMES: AtomicU64 = AtomicU64::new(0);

async fn until_end() {
    BEGUN.fetch_add(1, Ordering::Relaxed);
    while !END.load(Ordering::Relaxed) {
        Timer::after_micros(100).await;
    }
    ENDED.fetch_add(1, Ordering::Relaxed);
}

async fn until_asked() {
    BEGUN.fetch_add(1, Ordering::Relaxed);
    let own = cpu::current();
    leaving().await;
    check(cpu::current() == own, "a task that does not move is told where it is");
    ENDED.fetch_add(1, Ordering::Relaxed);
}

reveille_embassy::task! {
    async fn stays() {
        until_end().await;
    }

    async fn stays_in_interrupts() {
        check(irq::in_interrupt(), "it is one");
        until_end().await;
    }

    /// Ends when its CPU is asked to leave.
    #[pool_size = 2]
    async fn lets_go() {
        until_asked().await;
    }

    movable async fn wanders() {
        BEGUN.fetch_add(1, Ordering::Relaxed);
        while !END.load(Ordering::Relaxed) {
            Timer::after_micros(100).await;
            WHERE.store(cpu::current().index() + 1, Ordering::Relaxed);
            TIMES.fetch_add(1, Ordering::Relaxed);
        }
        ENDED.fetch_add(1, Ordering::Relaxed);
    }

    /// The same, never asleep.
    movable async fn never_waits() {
        while !END.load(Ordering::Relaxed) {
            let mut has_yielded = false;
            poll_fn(|context| {
                if core::mem::replace(&mut has_yielded, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
            pause();
            WHERE.store(cpu::current().index() + 1, Ordering::Relaxed);
            TIMES.fetch_add(1, Ordering::Relaxed);
        }
        ENDED.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends when its CPU is asked to leave, and is about to be woken twice then.
    async fn leaves_wakers_behind(sleep: Duration) {
        BEGUN.fetch_add(1, Ordering::Relaxed);
        let mut timer = pin!(Timer::after_micros(sleep.as_micros() as u64));
        let mut signal = pin!(SIGNAL.wait());
        let mut leaves = pin!(leaving());
        poll_fn(|context| {
            let _: Poll<()> = timer.as_mut().poll(context);
            let _: Poll<()> = signal.as_mut().poll(context);
            leaves.as_mut().poll(context)
        })
        .await;
        ENDED.fetch_add(1, Ordering::Relaxed);
    }

    async fn answers() {
        ENDED.fetch_add(1, Ordering::Relaxed);
    }
}

static SIGNAL: Signal<SpinRawMutex, ()> = Signal::new();

#[embassy_executor::task]
async fn plain() {
    until_end().await;
}

// --- what the application's own callbacks do --------------------------------------------------------------------------

/// What the offline callback does, once.
static OFFLINE: AtomicU64 = AtomicU64::new(0);
/// Spawns to its own CPU, which takes no tasks any more.
const SPAWN: u64 = 1;
/// Has a timer that keeps the CPU after all.
const KEEP: u64 = 2;
static TOLD: AtomicBool = AtomicBool::new(false);

/// It was registered first, so it comes last: the executors are closed.
fn offline(cpu: CpuId) {
    match OFFLINE.swap(0, Ordering::Relaxed) {
        SPAWN => {
            let Err(refused) = spawner(cpu).spawn(answers().expect("once")) else {
                panic!("a CPU that leaves has taken a task")
            };
            check(refused.why() == Why::Leaving, "it says that it leaves");
            check(says(&refused, "is leaving"), "in words");
            let other = cpu::online().without(cpu).without(CpuId::BOOT).iter().next();
            let elsewhere = spawner(other.unwrap_or(CpuId::BOOT));
            check(elsewhere.spawn(refused.into_token()).is_ok(), "it is spawned elsewhere");
            TOLD.store(true, Ordering::Release);
        }
        KEEP => {
            let timer = time::after(LONG, || ());
            check(timer.is_ok_and(|timer| TIMER.lock().replace(timer).is_none()), "a timer can be set");
        }
        _ => {}
    }
}

static TIMER: reveille::sync::SpinLock<Option<time::Timer>> = reveille::sync::SpinLock::new(None);

fn says<T>(refused: &Refused<T>, what: &str) -> bool {
    struct Ends<'a>(&'a str, bool);
    impl core::fmt::Write for Ends<'_> {
        fn write_str(&mut self, part: &str) -> core::fmt::Result {
            self.1 |= part.ends_with(self.0);
            Ok(())
        }
    }
    let mut ends = Ends(what, false);
    core::fmt::write(&mut ends, format_args!("{refused}")).is_ok() && ends.1
}

// --- steps ------------------------------------------------------------------------------------------------------------

fn down(cpu: CpuId) {
    let left = cpu_down(cpu, LONG);
    assert!(left == Ok(()), "cpu {cpu} does not leave: {left:?}");
}

fn up(system: &System, cpu: CpuId) {
    check(cpu_up(cpu, system.deadline()) == Verdict::Online, "it comes back");
}

/// `cpu` does not leave, because of what has this name.
fn is_kept(cpu: CpuId, name: &'static str) {
    let mut time = short();
    loop {
        let kept = cpu_down(cpu, time);
        if kept == Err(HotplugError::Held(Hold::Application(name))) {
            return;
        }
        let slow = matches!(kept, Err(HotplugError::Held(_)));
        assert!(slow && longer(&mut time), "'{name}' does not keep cpu {cpu}: {kept:?}");
    }
}

/// Forgets what has begun and ended so far.
fn anew() {
    for count in [&ENDED, &BEGUN] {
        count.store(0, Ordering::Relaxed);
    }
    END.store(false, Ordering::Relaxed);
}

fn have(count: &AtomicUsize, how_many: usize) {
    eventually("tasks begin and end", || count.load(Ordering::Relaxed) == how_many);
}

fn end(how_many: usize) {
    END.store(true, Ordering::Relaxed);
    have(&ENDED, how_many);
}

fn spawn<S: Send>(cpu: CpuId, token: SpawnToken<S>) {
    check(spawner(cpu).spawn(token).is_ok(), "an online CPU takes tasks");
}

fn go_on() {
    let before = TIMES.load(Ordering::Relaxed);
    eventually("a task goes on", || TIMES.load(Ordering::Relaxed) > before + 2);
}

fn is_at(cpu: CpuId) -> bool {
    WHERE.load(Ordering::Relaxed) == cpu.index() + 1
}

/// What cannot move keeps its CPU, and is named.
fn held(system: &System, cpu: CpuId) {
    anew();
    spawn(cpu, stays().expect("once"));
    have(&BEGUN, 1);
    is_kept(cpu, "stays");
    end(1);
    down(cpu);
    up(system, cpu);
    anew();
    check(spawner(cpu).spawn_interrupt(stays_in_interrupts().expect("once")).is_ok(), "it takes tasks");
    have(&BEGUN, 1);
    is_kept(cpu, "stays_in_interrupts");
    end(1);
    down(cpu);
    up(system, cpu);
    anew();
    spawn(cpu, plain().expect("once"));
    have(&BEGUN, 1);
    is_kept(cpu, "a task of embassy's");
    // Two, of which one has a name.
    spawn(cpu, stays().expect("once"));
    have(&BEGUN, 2);
    is_kept(cpu, "stays");
    end(2);
    down(cpu);
    up(system, cpu);
}

/// What ends when it is told lets its CPU go, in either mode.
fn told(system: &System, cpu: CpuId) {
    for _ in 0..3 {
        anew();
        spawn(cpu, lets_go().expect("one of two"));
        let token = lets_go().expect("the other");
        check(spawner(cpu).spawn_interrupt(token).is_ok(), "an online CPU takes tasks");
        have(&BEGUN, 2);
        down(cpu);
        check(ENDED.load(Ordering::Relaxed) == 2, "they have ended");
        up(system, cpu);
    }
}

/// A CPU that leaves, or is not there, gives the task back.
fn refused(system: &System, cpu: CpuId, others: CpuSet) {
    anew();
    OFFLINE.store(SPAWN, Ordering::Relaxed);
    down(cpu);
    check(TOLD.load(Ordering::Acquire), "it was refused");
    if !others.is_empty() {
        have(&ENDED, 1);
        let Err(refused) = spawner(cpu).spawn(answers().expect("once")) else {
            panic!("a CPU that is not there has taken a task")
        };
        check(refused.why() == Why::Offline, "it says that it is not online");
        check(says(&refused, "is not online"), "in words");
        check(spawner(cpu).cpu() == cpu, "a spawner has its CPU");
        let other = others.iter().next().expect("not empty");
        check(spawner(other).spawn(refused.into_token()).is_ok(), "it is spawned elsewhere");
        have(&ENDED, 2);
    }
    up(system, cpu);
}

/// The last CPU that runs executors keeps what could move.
fn last(system: &System, cpu: CpuId, others: CpuSet) {
    others.iter().for_each(down);
    anew();
    check(spawner(cpu).spawn_movable(wanders().expect("once")).is_ok(), "an online CPU takes tasks");
    go_on();
    is_kept(cpu, "wanders");
    go_on();
    others.iter().for_each(|other| up(system, other));
    if others.is_empty() {
        end(1);
        down(cpu);
    } else {
        eventually("another runs its executors", || cpu_down(cpu, short()).is_ok());
        go_on();
        check(!is_at(cpu), "it goes on elsewhere");
        // Home, and a host that leaves before that.
        others.iter().filter(|other| !is_at(*other)).for_each(down);
        let host = others.iter().find(|other| is_at(*other));
        up(system, cpu);
        eventually("it comes home", || is_at(cpu));
        host.into_iter().for_each(down);
        go_on();
        check(is_at(cpu), "and stays there");
        others.iter().for_each(|other| up(system, other));
        end(1);
        return;
    }
    up(system, cpu);
}

/// It moves from one to the next.
fn moves<S>(system: &System, cpu: CpuId, others: CpuSet, token: MovableToken<S>, name: &'static str) {
    anew();
    check(spawner(cpu).spawn_movable(token).is_ok(), "an online CPU takes tasks");
    go_on();
    check(is_at(cpu), "it begins where it was spawned");
    down(cpu);
    go_on();
    let host = others.iter().find(|other| is_at(*other)).expect("it goes on elsewhere");
    down(host);
    go_on();
    check(!is_at(cpu) && !is_at(host), "its host has left too");
    up(system, host);
    go_on();
    check(!is_at(host), "it is not the host's own");
    up(system, cpu);
    eventually("it comes home", || is_at(cpu));
    // By what the CPU's policy says it stays, if it is at home.
    set_policy(cpu, Policy::Finish);
    is_kept(cpu, name);
    go_on();
    set_policy(cpu, Policy::Move);
    down(cpu);
    set_policy(cpu, Policy::Finish);
    up(system, cpu);
    eventually("it comes home", || is_at(cpu));
    end(1);
    down(cpu);
    set_policy(cpu, Policy::Move);
    up(system, cpu);
}

/// A CPU that has run its callbacks and stays after all goes on as it was.
fn undone(system: &System, cpu: CpuId) {
    anew();
    check(spawner(cpu).spawn_movable(wanders().expect("once")).is_ok(), "an online CPU takes tasks");
    go_on();
    for _ in 0..3 {
        OFFLINE.store(KEEP, Ordering::Relaxed);
        let mut time = short();
        loop {
            let kept = cpu_down(cpu, time);
            if OFFLINE.load(Ordering::Relaxed) == 0 {
                check(kept == Err(HotplugError::Held(Hold::Timer)), "a timer keeps it");
                break;
            }
            check(longer(&mut time), "it comes to its callbacks");
        }
        go_on();
        eventually("it is home again", || is_at(cpu));
        let timer = TIMER.lock().take().expect("it is there");
        check(timer.cancel(), "it runs");
        // Its door is open.
        have(&ENDED, 0);
        spawn(cpu, answers().expect("once"));
        have(&ENDED, 1);
        ENDED.store(0, Ordering::Relaxed);
    }
    down(cpu);
    up(system, cpu);
    eventually("it comes home", || is_at(cpu));
    end(1);
}

/// What would have woken a task that is over does not keep it from being spawned again, while its CPU is away.
fn wakers_left_behind(system: &System, cpu: CpuId, other: CpuId) {
    anew();
    let span = short() / 2;
    spawn(cpu, leaves_wakers_behind(span).expect("once"));
    have(&BEGUN, 1);
    down(cpu);
    check(ENDED.load(Ordering::Relaxed) == 1, "it has ended");
    let until = time::Deadline::after(2 * span);
    while !until.has_passed() {
        pause();
    }
    let Ok(token) = leaves_wakers_behind(LONG) else { panic!("a task that is over sleeps on") };
    spawn(other, token);
    have(&BEGUN, 2);
    down(other);
    up(system, cpu);
    up(system, other);
}

#[embassy_executor::task]
async fn cycles(system: &'static System) {
    let cycles = argument(system, "cycles", 100);
    let others = cpu::online().without(CpuId::BOOT);
    anew();
    for number in 0..cycles {
        let cpu = others.iter().nth(number as usize % others.len()).expect("below the count");
        if number == 0 {
            check(spawner(cpu).spawn_movable(wanders().expect("once")).is_ok(), "an online CPU takes tasks");
        }
        let before = TIMES.load(Ordering::Relaxed);
        down(cpu);
        up(system, cpu);
        while TIMES.load(Ordering::Relaxed) <= before {
            Timer::after_micros(100).await;
        }
    }
    println!("async_hotplug: {cycles} times down and up");
    // One that was spawned before may have ended meanwhile.
    let before = ENDED.load(Ordering::Relaxed);
    END.store(true, Ordering::Relaxed);
    while ENDED.load(Ordering::Relaxed) == before {
        Timer::after_micros(100).await;
    }
    println!("async_hotplug: all good");
    power::exit(ExitCode::SUCCESS)
}

fn main(system: &'static System) -> ExitCode {
    set_short(system, Duration::from_millis(5));
    check(hotplug::register(|_| Ok(()), offline).is_ok(), "callbacks can be registered");
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let all = cpu::online().without(CpuId::BOOT);
    let Some(cpu) = all.iter().next() else {
        println!("async_hotplug: wants CPUs");
        return ExitCode::FAILURE;
    };
    let others = all.without(cpu);
    held(system, cpu);
    told(system, cpu);
    refused(system, cpu, others);
    last(system, cpu, others);
    if others.len() > 1 {
        moves(system, cpu, others, wanders().expect("once"), "wanders");
        moves(system, cpu, others, never_waits().expect("once"), "never_waits");
    }
    if let Some(other) = others.iter().last() {
        undone(system, cpu);
        wakers_left_behind(system, cpu, other);
    }
    reveille_embassy::run(|spawner| spawner.spawn(cycles(system).expect("once")))
}
