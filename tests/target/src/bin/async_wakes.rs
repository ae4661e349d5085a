//! Tasks that wake tasks, on all CPUs at once: no wake is lost, and none is late, whatever is done to those who wake and those
//! who are woken.
//!
//! Tokens wander from one mailbox to another, chosen at random: `wakes` times in all (bootarg). Each CPU has three tasks with a mailbox: in thread mode, in
//! interrupt mode, and a movable one. Meanwhile SGIs get lost, tasks mask interrupts and sleep, and a task of the boot CPU takes
//! CPUs down and brings them back, with about `pause_us` in between, but with `stay`. With `late_ms=N` none may be on its way for longer, but for those to a task that was not there.
//!
//! Then all wait, and nobody is woken: the CPUs take no interrupts but those that `idle_ms` wants. With `exact` (under --icount) that
//! is looked at, and the SGIs that wakes cost are counted.

#![no_std]
#![no_main]

use core::future::poll_fn;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::task::Poll;
use core::time::Duration;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::channel::Channel;
use embassy_sync::waitqueue::GenericAtomicWaker;
use embassy_time::Timer;
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId};
use reveille::fault::{LostSgi, lose_sgis, lost_sgis};
use reveille::hotplug::cpu_down;
use reveille::time::{Deadline, Instant};
use reveille::{ExitCode, System, call, irq, power, println};
use reveille_embassy::{SpinRawMutex, leaving, spawner};
use reveille_tests::{Random, argument, check, pause};

reveille::entry!(main, leaving = reveille_embassy::EXECUTORS);

/// As many CPUs as this test takes.
const MOST: usize = 64;
const KINDS: usize = 3;
const THREAD: usize = 0;
const INTERRUPT: usize = 1;
const MOVABLE: usize = 2;

/// Nothing takes that long.
const LONG: Duration = Duration::from_secs(60);

/// What wanders.
struct Token {
    /// When it was sent, ticks.
    sent: u64,
    /// How often the owner of the mailbox had come or gone then.
    changes: u64,
    /// How often it is to be sent on.
    left: u64,
}

/// The mailbox of one task.
struct Mailbox {
    tokens: Channel<SpinRawMutex, Token, { 2 * MOST }>,
    /// How often its owner has come or gone: even while it is there.
    changes: AtomicU64,
    /// On how many CPUs it was polled: changes from one to another.
    moves: AtomicU64,
}

static MAILBOXES: [Mailbox; KINDS * MOST] =
    [const { Mailbox { tokens: Channel::new(), changes: AtomicU64::new(1), moves: AtomicU64::new(0) } };
        KINDS * MOST];

/// How many tokens are at the end of their way.
static ARRIVED: AtomicU64 = AtomicU64::new(0);
/// SGIs get lost, and interrupts are masked, while this is set.
static ROUGH: AtomicBool = AtomicBool::new(true);
static PLANTED: AtomicU64 = AtomicU64::new(0);

reveille::percpu! {
    /// How often a token was received here, and the longest time that one was on its way, ticks.
    static RECEIVED: AtomicU64 = AtomicU64::new(0);
    static WORST: AtomicU64 = AtomicU64::new(0);
}

fn cpus() -> usize {
    cpu::possible().len()
}

fn sum(of: impl Fn(CpuId) -> u64) -> u64 {
    cpu::possible().iter().map(of).sum()
}

fn received() -> u64 {
    sum(|cpu| RECEIVED.of(cpu).load(Ordering::Relaxed))
}

/// Sends a token to somebody, who is to send it on so often.
fn send(random: &mut Random, own: usize, left: u64) {
    let boxes = KINDS * cpus();
    let mut to = random.below(boxes as u64) as usize;
    if to == own {
        to = (to + 1) % boxes;
    }
    if ROUGH.load(Ordering::Relaxed) {
        let target = cpu::get(to / KINDS).expect("below the count");
        match random.below(4096) {
            0 => plant(LostSgi::Wake, target),
            1 => plant(LostSgi::Bell, target),
            _ => {}
        }
    }
    let mailbox = &MAILBOXES[to];
    let token =
        Token { sent: Instant::now().ticks(), changes: mailbox.changes.load(Ordering::Relaxed), left };
    check(mailbox.tokens.try_send(token).is_ok(), "there is room for all tokens");
}

fn plant(kind: LostSgi, target: CpuId) {
    lose_sgis(kind, target, 1);
    PLANTED.fetch_add(1, Ordering::Relaxed);
}

/// What the owner of a mailbox does with each token; one that does not move until its CPU leaves.
async fn pass_on(own: usize) {
    let mailbox = &MAILBOXES[own];
    mailbox.changes.fetch_add(1, Ordering::Relaxed);
    let mut leaves = pin!(leaving());
    let home = cpu::get(own / KINDS).expect("below the count");
    let kind = own % KINDS;
    let mut random = Random::new(own as u64 + 1);
    let mut last = cpu::current();
    loop {
        let token = {
            let mut token = pin!(mailbox.tokens.receive());
            poll_fn(|context| match kind != MOVABLE && leaves.as_mut().poll(context).is_ready() {
                true => Poll::Ready(None),
                false => token.as_mut().poll(context).map(Some),
            })
            .await
        };
        let Some(token) = token else { break };
        let now = Instant::now().ticks();
        let here = cpu::current();
        check(kind == MOVABLE || here == home, "a task that does not move is polled on its own CPU");
        check(
            irq::in_interrupt() == (kind == INTERRUPT),
            "a task is polled in the mode for which it was spawned",
        );
        if here != last {
            last = here;
            mailbox.moves.fetch_add(1, Ordering::Relaxed);
        }
        if token.changes == mailbox.changes.load(Ordering::Relaxed) {
            WORST.of(here).fetch_max(now - token.sent, Ordering::Relaxed);
        }
        RECEIVED.of(here).fetch_add(1, Ordering::Relaxed);
        if token.left == 0 {
            ARRIVED.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        if ROUGH.load(Ordering::Relaxed) {
            match random.below(1024) {
                0 => Timer::after_micros(random.below(200)).await,
                1 => {
                    let _masked = irq::mask();
                    let until = Deadline::after(Duration::from_micros(random.below(100)));
                    while !until.has_passed() {
                        pause();
                    }
                }
                _ => {}
            }
        }
        send(&mut random, own, token.left - 1);
    }
    mailbox.changes.fetch_add(1, Ordering::Relaxed);
}

reveille_embassy::task! {
    #[pool_size = 192]
    async fn bound(own: usize) {
        pass_on(own).await;
    }

    #[pool_size = 64]
    movable async fn moves(own: usize) {
        pass_on(own).await;
    }
}

fn own(cpu: CpuId, kind: usize) -> usize {
    KINDS * cpu.index() + kind
}

/// Spawns to `cpu`, which is online, what does not move.
fn people(cpu: CpuId) {
    let spawner = spawner(cpu);
    let token = |kind| bound(own(cpu, kind)).expect("there is room");
    check(spawner.spawn(token(THREAD)).is_ok(), "an online CPU takes tasks");
    check(spawner.spawn_interrupt(token(INTERRUPT)).is_ok(), "in interrupt mode too");
}

// --- the idle machine -------------------------------------------------------------------------------------------------

/// So many tasks of one CPU that only wait.
const SLEEPERS: usize = 16;
static BELLS: [GenericAtomicWaker<SpinRawMutex>; SLEEPERS] =
    [const { GenericAtomicWaker::new(SpinRawMutex::INIT) }; SLEEPERS];
static RUNG: [AtomicBool; SLEEPERS] = [const { AtomicBool::new(false) }; SLEEPERS];
static ANSWERED: AtomicUsize = AtomicUsize::new(0);
static END: AtomicBool = AtomicBool::new(false);

/// 1: the task works, 2: it is to end.
static WORKS: AtomicU64 = AtomicU64::new(0);

reveille_embassy::task! {
    async fn works() {
        WORKS.store(1, Ordering::Release);
        while WORKS.load(Ordering::Acquire) == 1 {
            pause();
        }
    }

    #[pool_size = 16]
    async fn waits(number: usize) {
        while !END.load(Ordering::Relaxed) {
            poll_fn(|context| {
                BELLS[number].register(context.waker());
                if RUNG[number].swap(false, Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            ANSWERED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn ring(number: usize) {
    RUNG[number].store(true, Ordering::Relaxed);
    BELLS[number].wake();
}

/// Until `done`, without a wait that would be an interrupt here or there.
async fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Deadline::after(LONG);
    while !done() {
        check(!deadline.has_passed(), what);
        Timer::after_micros(50).await;
    }
}

/// Tasks that only wait cost nothing, and many wakes of a CPU that sleeps one SGI.
async fn idle_costs_nothing(system: &System) {
    let idle_ms = argument(system, "idle_ms", 100);
    let stretch = 40 * idle_ms;
    // Everybody has had the last of what there was.
    Timer::after_millis(2 * idle_ms).await;
    // An SGI to anybody would get lost, and that is counted.
    let others = cpu::online().without(CpuId::BOOT);
    let lost = lost_sgis();
    for cpu in others {
        lose_sgis(LostSgi::Wake, cpu, 1);
        lose_sgis(LostSgi::Bell, cpu, 1);
    }
    let mut idle = [Duration::ZERO; MOST];
    for cpu in others {
        idle[cpu.index()] = cpu::status(cpu).idle;
    }
    let begun = Instant::now();
    Timer::after_millis(stretch).await;
    let (passed, sent) = (Instant::now() - begun, lost_sgis() - lost);
    assert!(sent == 0, "{sent} SGIs were sent while all waited");
    let awake =
        others.iter().map(|cpu| passed.saturating_sub(cpu::status(cpu).idle - idle[cpu.index()])).max();
    if let Some(awake) = awake {
        // A look around by its timer's interrupt takes a few microseconds.
        let each = awake / (stretch / idle_ms) as u32;
        println!("async_wakes: awake for {} ns of {idle_ms} ms", each.as_nanos());
        check(each < Duration::from_micros(20), "a CPU that waits looks around, and does nothing else");
    }
    for cpu in others {
        // The faults that are left.
        cpu::wake(cpu);
        check(call::on(cpu, || ()).is_ok(), "a CPU with tasks takes calls");
    }
    let Some(target) = cpu::online().without(CpuId::BOOT).iter().last() else { return };
    for number in 0..SLEEPERS {
        check(spawner(target).spawn(waits(number).expect("once")).is_ok(), "an online CPU takes tasks");
    }
    Timer::after_millis(2 * idle_ms).await;
    // What is lost is counted: so SGIs are.
    let lost = lost_sgis();
    lose_sgis(LostSgi::Wake, target, 4);
    (0..SLEEPERS).for_each(ring);
    let sent = lost_sgis() - lost;
    assert!(sent == 1, "{SLEEPERS} wakes of a CPU that sleeps cost {sent} SGIs");
    check(ANSWERED.load(Ordering::Relaxed) == 0, "the SGI was lost");
    until("it looks around", || ANSWERED.load(Ordering::Relaxed) == SLEEPERS).await;
    check(lost_sgis() - lost == 1, "nor do they later");
    // From there, and while it is awake: none.
    let woken = call::on(target, || {
        (0..SLEEPERS).for_each(ring);
    });
    check(woken.is_ok(), "a CPU with tasks takes calls");
    until("they are woken by a call", || ANSWERED.load(Ordering::Relaxed) == 2 * SLEEPERS).await;
    check(lost_sgis() - lost == 1, "who wakes on the CPU itself sends nothing");
    // Nor while it is awake: a task of its own goes on and on.
    check(spawner(target).spawn(works().expect("once")).is_ok(), "an online CPU takes tasks");
    // One SGI more, that it is there.
    until("it works", || WORKS.load(Ordering::Acquire) == 1).await;
    (0..SLEEPERS).for_each(ring);
    WORKS.store(2, Ordering::Release);
    until("they are woken while it works", || ANSWERED.load(Ordering::Relaxed) == 3 * SLEEPERS).await;
    check(lost_sgis() - lost == 2, "a CPU that is awake is sent nothing");
    // The faults that are left; and one of each kind, which finds its SGI.
    for _ in 0..2 {
        cpu::wake(target);
    }
    check(lost_sgis() - lost == 4, "nothing is planted any more");
    END.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    (0..SLEEPERS).for_each(ring);
    until("the last time", || ANSWERED.load(Ordering::Relaxed) == 4 * SLEEPERS).await;
    check(Instant::now() - begun < Duration::from_millis(1), "and an SGI that is not lost wakes at once");
}

// --- main -------------------------------------------------------------------------------------------------------------

#[embassy_executor::task]
async fn governs(system: &'static System) {
    let wakes = argument(system, "wakes", 100_000);
    let stays = system.arg("stay").is_some() || cpus() == 1;
    let mut random = Random::new(argument(system, "seed", 1));
    let pause_us = argument(system, "pause_us", 5000);
    let tokens = argument(system, "tokens", 4 * cpus() as u64).min(2 * MOST as u64);
    for cpu in cpu::online() {
        people(cpu);
        let token = moves(own(cpu, MOVABLE)).expect("one for each CPU");
        check(spawner(cpu).spawn_movable(token).is_ok(), "an online CPU takes tasks that move");
    }
    for _ in 0..tokens {
        send(&mut random, usize::MAX, wakes.div_ceil(tokens) - 1);
    }
    let mut times = 0_u64;
    let mut before = (0, Deadline::after(LONG));
    while ARRIVED.load(Ordering::Relaxed) < tokens {
        Timer::after_micros(1 + random.below(2 * pause_us)).await;
        let count = received();
        if count > before.0 {
            before = (count, Deadline::after(LONG));
        }
        if before.1.has_passed() {
            break;
        }
        if stays {
            continue;
        }
        let target = cpu::get(1 + random.below(cpus() as u64 - 1) as usize).expect("below the count");
        let down = cpu_down(target, LONG);
        assert!(down == Ok(()), "cpu {target} does not leave: {down:?}");
        Timer::after_micros(random.below(2000)).await;
        let up = cpu_up(target, system.deadline());
        check(up == Verdict::Online, "it comes back");
        people(target);
        times += 1;
    }
    ROUGH.store(false, Ordering::Relaxed);
    let lost = tokens - ARRIVED.load(Ordering::Relaxed);
    let worst = cpu::possible().iter().map(|cpu| WORST.of(cpu).load(Ordering::Relaxed)).max();
    let worst = Instant::from_ticks(worst.unwrap_or(0)) - Instant::from_ticks(0);
    let moves =
        (0..cpus()).map(|cpu| MAILBOXES[KINDS * cpu + MOVABLE].moves.load(Ordering::Relaxed)).sum::<u64>();
    println!(
        "async_wakes: {} wakes, {lost} lost, worst {} us, {times} times down and up, {moves} moves, {} of {} planted SGIs lost",
        received(),
        worst.as_micros(),
        lost_sgis(),
        PLANTED.load(Ordering::Relaxed)
    );
    check(lost == 0, "all tokens are there");
    // Where CPUs do not run all the time a token may not come while its mailbox is elsewhere.
    check(moves >= times.min(4) || system.arg("exact").is_none(), "tasks moved");
    if let Some(late) = system.arg("late_ms").and_then(|late| late.parse().ok()) {
        check(worst <= Duration::from_millis(late), "no wake is late");
    }
    if system.arg("exact").is_some() {
        idle_costs_nothing(system).await;
    }
    println!("async_wakes: all good");
    power::exit(ExitCode::SUCCESS)
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    check(cpus() <= MOST, "there are not too many CPUs");
    reveille_embassy::run(|spawner| spawner.spawn(governs(system).expect("once")))
}
