//! Tasks that sleep: a thousand on all CPUs, in thread mode, in interrupt mode, and movable ones. None wakes early. With `exact` (under --icount, where
//! time is what is executed) they wake in their order, and none later than a tick and what there is to do.
//!
//! Then alarms that are asked for in descending order, a thousand at once, wakers that were given away to another CPU and put to sleep there, sleepers of
//! a CPU that leaves, and one that sleeps for ever.

#![no_std]
#![no_main]

use core::future::poll_fn;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use embassy_time::{Duration, Instant, Timer};
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId};
use reveille::hotplug::cpu_down;
use reveille::sync::SpinLock;
use reveille::{ExitCode, System, call, power, println};
use reveille_embassy::spawner;
use reveille_tests::{Random, argument, check, pause};

reveille::entry!(main, leaving = reveille_embassy::EXECUTORS);

const SLEEPERS: usize = 1000;

/// How many have asked to be woken, and how many were.
static ASLEEP: AtomicUsize = AtomicUsize::new(0);
static AWAKE: AtomicUsize = AtomicUsize::new(0);
/// The latest of them, ticks of embassy's.
static LATEST: AtomicU64 = AtomicU64::new(0);
/// How many woke before one of their CPU that was to wake earlier.
static OVERTOOK: AtomicUsize = AtomicUsize::new(0);
/// How many woke on another CPU than the one they were spawned to.
static ELSEWHERE: AtomicUsize = AtomicUsize::new(0);

reveille::percpu! {
    /// When the last one that woke was to.
    static LAST: AtomicU64 = AtomicU64::new(0);
}

async fn sleep_until(at: Instant, cpu: CpuId) {
    ASLEEP.fetch_add(1, Ordering::Relaxed);
    Timer::at(at).await;
    let now = Instant::now();
    check(now >= at, "nobody is woken early");
    LATEST.fetch_max((now - at).as_ticks(), Ordering::Relaxed);
    if LAST.swap(at.as_ticks(), Ordering::Relaxed) > at.as_ticks() {
        OVERTOOK.fetch_add(1, Ordering::Relaxed);
    }
    if cpu::current() != cpu {
        ELSEWHERE.fetch_add(1, Ordering::Relaxed);
    }
    AWAKE.fetch_add(1, Ordering::Relaxed);
}

reveille_embassy::task! {
    #[pool_size = 1000]
    async fn sleeper(at: Instant, cpu: CpuId) {
        sleep_until(at, cpu).await;
        check(cpu::current() == cpu, "a task that does not move is woken where it was");
    }

    #[pool_size = 1000]
    movable async fn sleeper_that_moves(at: Instant, cpu: CpuId) {
        sleep_until(at, cpu).await;
    }

    #[pool_size = 64]
    movable async fn sleeper_for_ever() {
        Timer::at(Instant::MAX).await;
        panic!("the end of time has come");
    }
}

/// Spawns one to `cpu`, of one of three kinds.
fn put_to_sleep(kind: usize, at: Instant, cpu: CpuId) {
    let spawner = spawner(cpu);
    let taken = match kind % 3 {
        0 => spawner.spawn(sleeper(at, cpu).expect("there is room")).is_ok(),
        1 => spawner.spawn_interrupt(sleeper(at, cpu).expect("there is room")).is_ok(),
        _ => spawner.spawn_movable(sleeper_that_moves(at, cpu).expect("there is room")).is_ok(),
    };
    check(taken, "an online CPU takes tasks");
}

/// What is to be seen of the time at which tasks wake.
struct Eyes {
    exact: bool,
}

impl Eyes {
    /// Begins to look at `what`, anew.
    fn open(&self) {
        for of in [&ASLEEP, &AWAKE, &OVERTOOK, &ELSEWHERE] {
            of.store(0, Ordering::Relaxed);
        }
        LATEST.store(0, Ordering::Relaxed);
        cpu::possible().iter().for_each(|cpu| LAST.of(cpu).store(0, Ordering::Relaxed));
    }

    /// Waits until `count` are awake, the last of which is to wake at `last`. None is to be later than `late`, ticks, where time is exact.
    async fn close(&self, what: &str, count: usize, last: Instant, late: u64) {
        let patience = last + Duration::from_secs(if self.exact { 1 } else { 60 });
        while AWAKE.load(Ordering::Relaxed) < count {
            let awake = AWAKE.load(Ordering::Relaxed);
            assert!(Instant::now() < patience, "{what}: {awake} of {count} are awake");
            Timer::after_millis(1).await;
        }
        let (latest, overtook) = (LATEST.load(Ordering::Relaxed), OVERTOOK.load(Ordering::Relaxed));
        println!(
            "async_sleepers: {what}: {count} woke, none early, the latest after {latest} us, {overtook} overtook another"
        );
        check(!self.exact || latest <= late, "none is late");
    }
}

/// The CPUs, one after the other.
fn cpu_of(number: usize) -> CpuId {
    cpu::get(number % cpu::possible().len()).expect("below the count")
}

/// All of them, asked for in random order.
async fn in_order(eyes: &Eyes, random: &mut Random) {
    let mut order = [0_u16; SLEEPERS];
    (0..SLEEPERS as u16).zip(&mut order).for_each(|(number, place)| *place = number);
    for last in (1..SLEEPERS).rev() {
        order.swap(last, random.below(last as u64 + 1) as usize);
    }
    eyes.open();
    let begin = Instant::now() + Duration::from_millis(if eyes.exact { 20 } else { 200 });
    let at = |number: usize| begin + Duration::from_micros(50 * number as u64);
    for number in order {
        let number = usize::from(number);
        // One after the other on each CPU, of one kind after the other.
        put_to_sleep(number / cpu::possible().len(), at(number), cpu_of(number));
    }
    eyes.close("in order", SLEEPERS, at(SLEEPERS), 15).await;
    check(!eyes.exact || OVERTOOK.load(Ordering::Relaxed) == 0, "they wake in their order");
}

/// All of them at the same time.
async fn at_once(eyes: &Eyes) {
    eyes.open();
    let at = Instant::now() + Duration::from_millis(if eyes.exact { 20 } else { 200 });
    (0..SLEEPERS).for_each(|number| put_to_sleep(number, at, cpu_of(number)));
    eyes.close("at once", SLEEPERS, at, 3000).await;
}

/// Each the first of all when it asks.
async fn descending(eyes: &Eyes, cpu: CpuId) {
    eyes.open();
    let begin = Instant::now() + Duration::from_millis(if eyes.exact { 10 } else { 500 });
    let at = |number: usize| begin + Duration::from_micros(50 * number as u64);
    for asked in 0..100 {
        let number = 99 - asked;
        put_to_sleep(number, at(number), cpu);
        while ASLEEP.load(Ordering::Relaxed) <= asked {
            Timer::after_micros(5).await;
        }
    }
    eyes.close("descending", 100, at(100), 15).await;
    check(!eyes.exact || OVERTOOK.load(Ordering::Relaxed) == 0, "they wake in their order");
}

// --- wakers that are given away ---------------------------------------------------------------------------------------

/// The waker of the task that gives it away.
static WAKER: SpinLock<Option<Waker>> = SpinLock::new(None);
static GIVEN: AtomicBool = AtomicBool::new(false);

reveille_embassy::task! {
    async fn gives_away(own: Instant, cpu: CpuId) {
        *WAKER.lock() = Some(poll_fn(|context| Poll::Ready(context.waker().clone())).await);
        let mut sleep = pin!(sleep_until(own, cpu));
        poll_fn(|context| {
            // Not before somebody else has put this very task to sleep.
            if !GIVEN.load(Ordering::Acquire) {
                pause();
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            sleep.as_mut().poll(context)
        })
        .await;
    }
}

/// A task of `cpu` that is in the queue of `other`, and wants to be woken at another time itself.
async fn given_away(eyes: &Eyes, cpu: CpuId, other: CpuId) {
    let span = |millis| Duration::from_millis(if eyes.exact { millis } else { 20 * millis });
    for (own, others) in [(span(5), span(15)), (span(15), span(5)), (span(10), span(10))] {
        eyes.open();
        GIVEN.store(false, Ordering::Relaxed);
        let now = Instant::now();
        // The one before has said that it is awake, and may not be over.
        let token = loop {
            match gives_away(now + own, cpu) {
                Ok(token) => break token,
                Err(_) => Timer::after_micros(50).await,
            }
        };
        check(spawner(cpu).spawn(token).is_ok(), "an online CPU takes tasks");
        let waker = loop {
            if let Some(waker) = WAKER.lock().take() {
                break waker;
            }
            Timer::after_micros(50).await;
        };
        let asked = call::on(other, || {
            let timer = pin!(Timer::at(now + others));
            check(timer.poll(&mut Context::from_waker(&waker)).is_pending(), "it is early");
        });
        check(asked.is_ok(), "any CPU puts a task to sleep");
        GIVEN.store(true, Ordering::Release);
        eyes.close("given away", 1, now + own, 15).await;
        // It is there until that time, whatever became of its task.
        Timer::at(now + others).await;
    }
}

// --- sleepers of a CPU that leaves ------------------------------------------------------------------------------------

async fn leaves(eyes: &Eyes, system: &System, cpu: CpuId) {
    const COUNT: usize = 64;
    eyes.open();
    let begin = Instant::now() + Duration::from_millis(if eyes.exact { 2 } else { 200 });
    let at = |number: usize| begin + Duration::from_micros(200 * number as u64);
    for number in 0..COUNT {
        put_to_sleep(2, at(number), cpu);
    }
    Timer::at(at(4)).await;
    check(cpu_down(cpu, core::time::Duration::from_secs(60)).is_ok(), "a CPU whose tasks move leaves");
    // Nobody is polled here while it leaves.
    eyes.close("of a CPU that left", COUNT, at(COUNT), 1000).await;
    let elsewhere = ELSEWHERE.load(Ordering::Relaxed);
    check(!eyes.exact || (COUNT / 2..COUNT).contains(&elsewhere), "some woke there, and others elsewhere");
    check(!eyes.exact || OVERTOOK.load(Ordering::Relaxed) == 0, "they wake in their order");

    // Away, and back.
    let up = || check(cpu_up(cpu, system.deadline()) == Verdict::Online, "it comes back");
    up();
    eyes.open();
    let begin = Instant::now() + Duration::from_millis(if eyes.exact { 20 } else { 400 });
    let at = |number: usize| begin + Duration::from_micros(200 * number as u64);
    for number in 0..COUNT {
        put_to_sleep(2, at(number), cpu);
    }
    for _ in 0..4 {
        check(cpu_down(cpu, core::time::Duration::from_secs(60)).is_ok(), "it leaves");
        up();
    }
    eyes.close("of a CPU that came back", COUNT, at(COUNT), 1000).await;
    check(!eyes.exact || ELSEWHERE.load(Ordering::Relaxed) == 0, "they are back before they wake");
}

#[embassy_executor::task]
async fn directs(system: &'static System) {
    let eyes = Eyes { exact: system.arg("exact").is_some() };
    let mut random = Random::new(argument(system, "seed", 1));
    for cpu in cpu::online() {
        let token = sleeper_for_ever().expect("there is room");
        check(spawner(cpu).spawn_movable(token).is_ok(), "an online CPU takes tasks");
    }
    Timer::at(Instant::MIN).await;
    // All that follows goes by embassy's clock: it is the counter's.
    let counter = || {
        u64::try_from((reveille::time::Instant::now() - reveille::time::Instant::from_ticks(0)).as_micros())
    };
    let (before, now, after) = (counter(), Instant::now().as_micros(), counter());
    check(before.is_ok_and(|before| before <= now) && after.is_ok_and(|after| now <= after), "clocks agree");
    in_order(&eyes, &mut random).await;
    at_once(&eyes).await;
    let others = cpu::online().without(CpuId::BOOT);
    descending(&eyes, CpuId::BOOT).await;
    if let Some(cpu) = others.iter().next() {
        descending(&eyes, cpu).await;
        given_away(&eyes, cpu, CpuId::BOOT).await;
        given_away(&eyes, CpuId::BOOT, cpu).await;
        leaves(&eyes, system, cpu).await;
        if let Some(other) = others.without(cpu).iter().last() {
            given_away(&eyes, cpu, other).await;
            leaves(&eyes, system, other).await;
        }
    }
    println!("async_sleepers: all good");
    power::exit(ExitCode::SUCCESS)
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    check(cpu::possible().len() <= 64, "there are not too many CPUs");
    reveille_embassy::run(|spawner| spawner.spawn(directs(system).expect("once")))
}
