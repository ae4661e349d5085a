//! CPUs go and come back in random order while every CPU sends everything to every CPU, from threads, callbacks and timers;
//! and each call is accounted for: it was accepted and ran once, in its order, or it was refused and never ran.
//!
//! Each CPU runs the same loop. One at a time has the baton: it takes CPUs down and up, any of them, itself and the one
//! that booted included, and passes the baton on. The bootargs `cycles=N` (default 100), how often CPUs leave, and `seed=N`
//! (default 1).

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::call::{self, CallError, PostError};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::hotplug::{self, HotplugError};
use reveille::sync::{Mutex, SpinLock};
use reveille::time::{self, Deadline, Instant};
use reveille::{ExitCode, StopError, System, irq, power, println, static_key, stop_machine};
use reveille_tests::{Random, argument, check, come_to_idle, eventually, nothing_left, pause};

reveille::entry!(
    main,
    // SAFETY: what `life`, and what it calls, has on the stack at an offline point is numbers, and guards that are holds
    // themselves; nothing there is lent to anyone.
    leaving = unsafe { reveille::cpu::Leaving::new(life) }
);

/// The most CPUs that this test has room for.
const MOST: usize = 16;
const LONG: Duration = Duration::from_secs(20);

/// What one CPU sends to another.
struct Lane {
    /// Posts that were accepted. Written by the sender, with interrupts masked from before the post to after it.
    sent: AtomicU64,
    /// Posts that ran. Written by the target.
    ran: AtomicU64,
    /// Synchronous calls that ran. Written by the target, looked at by the sender when a call returns.
    called: AtomicU64,
    /// Calls with a deadline: those that were served, and those that ran.
    served: AtomicU64,
    begun: AtomicU64,
}

impl Lane {
    const fn new() -> Self {
        const fn zero() -> AtomicU64 {
            AtomicU64::new(0)
        }
        Self { sent: zero(), ran: zero(), called: zero(), served: zero(), begun: zero() }
    }
}

static LANES: [[Lane; MOST]; MOST] = [const { [const { Lane::new() }; MOST] }; MOST];

fn lane(from: CpuId, to: CpuId) -> &'static Lane {
    &LANES[from.index()][to.index()]
}

reveille::percpu! {
    /// Closures launched here, and those that ran; timers set here, and those that fired.
    static LAUNCHED: AtomicU64 = AtomicU64::new(0);
    static LAUNCHES_RUN: AtomicU64 = AtomicU64::new(0);
    static TIMERS_SET: AtomicU64 = AtomicU64::new(0);
    static TIMERS_FIRED: AtomicU64 = AtomicU64::new(0);
    /// It is about to leave by itself, and has given the baton away.
    static LEAVING: AtomicBool = AtomicBool::new(false);
    static CAME: AtomicU64 = AtomicU64::new(0);
    static WENT: AtomicU64 = AtomicU64::new(0);
}

static CYCLES: AtomicU64 = AtomicU64::new(0);
static SEED: AtomicU64 = AtomicU64::new(0);
/// The CPU that takes others down and up.
static BATON: AtomicU64 = AtomicU64::new(0);
/// No more traffic.
static DONE: AtomicBool = AtomicBool::new(false);

/// How often a CPU came back; in the end as often as one has left.
static UPS: AtomicU64 = AtomicU64::new(0);
static BY_THEMSELVES: AtomicU64 = AtomicU64::new(0);
static BOOT_CPU: AtomicU64 = AtomicU64::new(0);
static ALL_BUT_ONE: AtomicU64 = AtomicU64::new(0);
static STOPS: AtomicU64 = AtomicU64::new(0);
static STOPS_REFUSED: AtomicU64 = AtomicU64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);
static OFFLINE: AtomicU64 = AtomicU64::new(0);
static BUSY: AtomicU64 = AtomicU64::new(0);
static TIMED_OUT: AtomicU64 = AtomicU64::new(0);
static LOCKED: AtomicU64 = AtomicU64::new(0);
static SPIN: SpinLock<u64> = SpinLock::new(0);
static MUTEX: Mutex<u64> = Mutex::new(0);
static_key!(TOGGLED, false);

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn main(system: &'static System) -> ExitCode {
    CYCLES.store(argument(system, "cycles", 100), Ordering::Relaxed);
    SEED.store(argument(system, "seed", 1), Ordering::Relaxed);
    if cpu::possible().len() > MOST || cpu::possible().len() < 2 {
        println!("churn: wants 2 to {MOST} CPUs");
        return ExitCode::FAILURE;
    }
    let registered = hotplug::register(
        |cpu| {
            bump(CAME.of(cpu));
            Ok(())
        },
        |cpu| bump(WENT.of(cpu)),
    );
    check(registered.is_ok(), "callbacks can be registered");
    check(system.bring_up_all(LONG).is_complete(), "all CPUs come online");
    cpu::become_secondary()
}

/// What every CPU does, each time it comes online.
fn life(own: CpuId) -> ! {
    LEAVING.store(false, Ordering::Release);
    let start = Instant::now().ticks();
    // Another sequence in each of its lives; the same in each run, if the machine counts instructions.
    let mut random = Random::new(get(&SEED) << 40 ^ start << 8 ^ own.index() as u64);
    loop {
        if get(&BATON) == own.index() as u64 {
            conduct(own, &mut random);
        }
        if DONE.load(Ordering::Relaxed) {
            cpu::idle();
            continue;
        }
        traffic(own, &mut random);
        if random.below(32) == 0 {
            cpu::idle();
        } else {
            cpu::offline_point();
        }
        pause();
    }
}

// --- traffic ----------------------------------------------------------------------------------------------------------

fn any(random: &mut Random) -> CpuId {
    let index = random.below(cpu::possible().len() as u64);
    cpu::get(index as usize).expect("below the count")
}

/// On the target of a post, in interrupt context: the `number`th of its sender.
fn received(from: CpuId, to: CpuId, number: u8) {
    check(cpu::current() == to && irq::in_interrupt(), "a post runs where it was sent");
    let lane = lane(from, to);
    let ran = get(&lane.ran);
    check(ran as u8 == number, "posts run once each, in the order of sending");
    if ran % 8 == 3 {
        // And sometimes one leads to another.
        post(cpu::get((to.index() + 1) % cpu::possible().len()).expect("below the count"));
    }
    // Last: what it has begun is counted by then. Release: pairs with the fence of `is_quiet`.
    lane.ran.store(ran + 1, Ordering::Release);
}

fn post(to: CpuId) {
    // The count is right whenever this CPU can be gathered.
    let _masked = irq::mask();
    let from = cpu::current();
    let lane = lane(from, to);
    let number = get(&lane.sent);
    match call::post(to, move || received(from, to, number as u8)) {
        Ok(()) => lane.sent.store(number + 1, Ordering::Relaxed),
        Err(PostError::Offline(_)) => bump(&OFFLINE),
        Err(PostError::Busy(_)) => bump(&BUSY),
    }
}

fn post_to_all() {
    let _masked = irq::mask();
    let from = cpu::current();
    let mut numbers = [0; MOST];
    for to in cpu::possible() {
        numbers[to.index()] = get(&lane(from, to).sent) as u8;
    }
    let posted = call::post_each(&cpu::possible(), move |to| received(from, to, numbers[to.index()]));
    for to in &posted.accepted {
        bump(&lane(from, to).sent);
    }
    OFFLINE.fetch_add(posted.offline.len() as u64, Ordering::Relaxed);
    BUSY.fetch_add(posted.busy.len() as u64, Ordering::Relaxed);
}

/// A call that returns `Ok` has run once, any other not at all.
fn call_one(own: CpuId, to: CpuId) {
    let lane = lane(own, to);
    let before = get(&lane.called);
    match call::on(to, || lane.called.fetch_add(1, Ordering::Relaxed)) {
        Ok(ran) => {
            check(ran == before && get(&lane.called) == before + 1, "a call that returns has run once")
        }
        Err(CallError::Offline) => {
            check(get(&lane.called) == before, "a call that was refused has not run");
            bump(&OFFLINE);
        }
        Err(error) => panic!("{error}"),
    }
    bump(&CALLS);
}

fn call_all(own: CpuId) {
    let mut before = [0; MOST];
    for to in cpu::possible() {
        before[to.index()] = get(&lane(own, to).called);
    }
    let offline = call::on_each(&cpu::possible(), |to| bump(&lane(own, to).called)).expect("thread context");
    for to in cpu::possible() {
        let ran = get(&lane(own, to).called) - before[to.index()];
        check(ran == u64::from(!offline.contains(to)), "a broadcast runs once on each CPU that it reached");
    }
    bump(&CALLS);
}

fn call_in_time(own: CpuId, to: CpuId, random: &mut Random) {
    let lane = lane(own, to);
    let limit = Duration::from_nanos(random.below(20_000));
    match call::on_deadline(to, limit, move || bump(&lane.begun)) {
        Ok(()) => bump(&lane.served),
        Err(CallError::Offline) => bump(&OFFLINE),
        Err(CallError::TimedOut) => bump(&TIMED_OUT),
        Err(error) => panic!("{error}"),
    }
    bump(&CALLS);
}

fn launch(to: CpuId) {
    let _masked = irq::mask();
    let run = move || {
        check(cpu::current() == to && !irq::in_interrupt(), "a launched closure runs where it was sent");
        bump(LAUNCHES_RUN.of(to));
    };
    if cpu::launch(to, run).is_ok() {
        bump(LAUNCHED.of(to));
    }
}

fn set_timer(own: CpuId, random: &mut Random) {
    let _masked = irq::mask();
    let to = any(random);
    let fire = move || {
        check(cpu::current() == own, "a timer fires where it was set");
        post(to);
        // Last, as for a post. Release: pairs with the fence of `is_quiet`.
        TIMERS_FIRED.fetch_add(1, Ordering::Release);
    };
    if time::after(Duration::from_nanos(random.below(50_000)), fire).is_ok() {
        bump(TIMERS_SET.of(own));
    }
}

fn traffic(own: CpuId, random: &mut Random) {
    let to = any(random);
    match random.below(64) {
        0..16 => post(to),
        16..20 => post_to_all(),
        20..36 => call_one(own, to),
        36..40 => call_all(own),
        40..46 => call_in_time(own, to, random),
        46..50 => launch(to),
        50..53 => set_timer(own, random),
        53 => {
            // Short: while this CPU waits for its turn it comes to no offline point, and somebody may be waiting for it.
            match stop_machine(Duration::from_millis(2), || ()) {
                Ok(()) => bump(&STOPS),
                Err(StopError::Busy | StopError::TimedOut(_)) => bump(&STOPS_REFUSED),
                Err(error) => panic!("{error}"),
            }
        }
        _ => {
            *SPIN.lock() += 1;
            *MUTEX.lock() += 1;
            bump(&LOCKED);
        }
    }
}

// --- the baton --------------------------------------------------------------------------------------------------------

fn pass_on(to: CpuId) {
    BATON.store(to.index() as u64, Ordering::Release);
}

/// Another CPU that is online and means to stay; `own` if there is none.
fn another(own: CpuId, random: &mut Random) -> CpuId {
    // One look at who is online: one that leaves between two would be online in the first and not asked in the second.
    let online = cpu::online().without(own);
    let others: CpuSet = online.iter().filter(|cpu| !LEAVING.of(*cpu).load(Ordering::Acquire)).collect();
    if others.is_empty() {
        return own;
    }
    let nth = random.below(others.len() as u64) as usize;
    others.iter().nth(nth).unwrap_or(own)
}

/// What the CPU with the baton does.
fn conduct(own: CpuId, random: &mut Random) {
    if get(&UPS) >= get(&CYCLES) {
        finish(own);
    }
    match random.below(64) {
        0 => {
            for cpu in cpu::online().without(own) {
                take_down(cpu);
            }
            // The CPU before may still be on its way out.
            eventually("nobody else is left", || cpu::online().len() == 1);
            match hotplug::cpu_down(own, LONG) {
                // A closure may have been launched here that has not had its turn.
                Err(HotplugError::LastCpu | HotplugError::Held(_)) => {}
                other => panic!("the last CPU stays: {other:?}"),
            }
            bump(&ALL_BUT_ONE);
            bring_up_all();
        }
        1..4 => {
            let wanted = !TOGGLED.is_enabled();
            let done = if wanted { TOGGLED.enable() } else { TOGGLED.disable() };
            check(done.is_ok_and(|sites| sites >= 1), "a key can be toggled");
            check(TOGGLED.is_enabled() == wanted, "and has its new value");
        }
        _ => {
            let cpu = any(random);
            if cpu == own {
                // If that comes back, the baton is another's.
                return leave(own, random);
            } else if cpu::online().contains(cpu) {
                take_down(cpu);
            } else {
                bring_up(cpu);
            }
        }
    }
    if random.below(4) == 0 {
        pass_on(another(own, random));
    }
}

/// The CPU with the baton leaves by itself.
fn leave(own: CpuId, random: &mut Random) {
    let heir = another(own, random);
    if heir == own {
        return;
    }
    // Before the heir looks for one itself.
    LEAVING.store(true, Ordering::Release);
    pass_on(heir);
    bump(&BY_THEMSELVES);
    // The heir may ask for the same meanwhile. What is a hold at this moment need not be one at the next.
    let error = hotplug::cpu_down(own, LONG).expect_err("`Ok` does not come back");
    assert!(matches!(error, HotplugError::Held(_)), "cpu {own} does not leave: {error}");
    BY_THEMSELVES.fetch_sub(1, Ordering::Relaxed);
    LEAVING.store(false, Ordering::Release);
}

fn take_down(cpu: CpuId) {
    match hotplug::cpu_down(cpu, LONG) {
        Ok(()) => {}
        // It has left by itself.
        Err(HotplugError::NotOnline) => return,
        Err(error) => panic!("cpu {cpu} does not leave: {error}"),
    }
    if cpu == CpuId::BOOT {
        bump(&BOOT_CPU);
    }
    // It is gone: whatever was accepted has run, and nothing else will come.
    check(!cpu::online().contains(cpu), "a CPU that left is not online");
    for from in cpu::possible() {
        let lane = lane(from, cpu);
        let (sent, ran) = (get(&lane.sent), get(&lane.ran));
        assert!(sent == ran, "cpu {cpu} has left: of {sent} posts of cpu {from}, {ran} ran");
    }
    check(get(LAUNCHED.of(cpu)) == get(LAUNCHES_RUN.of(cpu)), "a CPU that left has run what was launched");
    check(get(TIMERS_SET.of(cpu)) == get(TIMERS_FIRED.of(cpu)), "a CPU that left has no timers running");
    check(get(CAME.of(cpu)) + u64::from(cpu == CpuId::BOOT) == get(WENT.of(cpu)), "callbacks run in pairs");
}

fn bring_up(cpu: CpuId) {
    let verdict = cpu_up(cpu, LONG);
    assert!(verdict == Verdict::Online, "cpu {cpu} does not come back: {verdict:?}");
    bump(&UPS);
}

fn bring_up_all() {
    for cpu in cpu::possible() {
        if !cpu::online().contains(cpu) {
            bring_up(cpu);
        }
    }
}

/// Whether nothing is under way any more, and so never will be, as no thread begins anything.
///
/// Whatever has ended is read before whatever was begun; and each post and timer counts its end last, when all that it has
/// begun is counted. So of what is under way between the two something was counted as begun before, and is missed in what was
/// read first. Lane by lane: what has ended in one, and is not counted as begun yet, comes after all else in it.
fn is_quiet() -> bool {
    let all = cpu::possible();
    let lanes = || all.iter().flat_map(|from| all.iter().map(move |to| lane(from, to)));
    let mut ran = [0; MOST * MOST];
    lanes().zip(&mut ran).for_each(|(lane, ran)| *ran = get(&lane.ran));
    let fired: u64 = all.iter().map(|cpu| get(TIMERS_FIRED.of(cpu))).sum();
    // Pairs with the Release of those ends.
    fence(Ordering::Acquire);
    fired == all.iter().map(|cpu| get(TIMERS_SET.of(cpu))).sum()
        && lanes().zip(&ran).all(|(lane, ran)| get(&lane.sent) == *ran)
}

/// Everyone stops, and the accounts are closed.
fn finish(own: CpuId) -> ! {
    DONE.store(true, Ordering::Relaxed);
    // One that passed the baton on may still be on its way out.
    let until = Deadline::after(LONG);
    while cpu::online() != cpu::possible()
        || cpu::possible().iter().any(|cpu| LEAVING.of(cpu).load(Ordering::Acquire))
    {
        check(!until.has_passed(), "all come back");
        bring_up_all();
    }
    for cpu in cpu::possible().without(own) {
        // Idle, so it has left the loop of traffic.
        come_to_idle(cpu);
    }
    eventually("all timers fire, and every accepted post runs", is_quiet);
    let mut posts = 0;
    for from in cpu::possible() {
        for to in cpu::possible() {
            let lane = lane(from, to);
            posts += get(&lane.ran);
            check(get(&lane.served) == get(&lane.begun), "a call that was taken back has not run");
        }
    }
    let timers: u64 = cpu::possible().iter().map(|cpu| get(TIMERS_FIRED.of(cpu))).sum();
    while get(LAUNCHED.of(own)) != get(LAUNCHES_RUN.of(own)) {
        cpu::idle();
    }
    let mut launches = 0;
    for cpu in cpu::possible() {
        eventually("what was launched runs", || get(LAUNCHED.of(cpu)) == get(LAUNCHES_RUN.of(cpu)));
        launches += get(LAUNCHED.of(cpu));
    }
    // One after the other: a mutex is not for sections with interrupts masked.
    let spin = *SPIN.lock();
    let mutex = *MUTEX.lock();
    check(spin == get(&LOCKED) && mutex == spin, "no update under a lock was lost");
    println!(
        "churn: {} times down and up, {} by themselves, {} the boot CPU, {} times all but one",
        get(&UPS),
        get(&BY_THEMSELVES),
        get(&BOOT_CPU),
        get(&ALL_BUT_ONE)
    );
    println!(
        "churn: {posts} posts, {} calls, {launches} launches, {timers} timers; {} offline, {} busy, {} timed out",
        get(&CALLS),
        get(&OFFLINE),
        get(&BUSY),
        get(&TIMED_OUT)
    );
    nothing_left();
    println!(
        "churn: {} stops, {} refused; {spin} times each lock; nothing lost, nothing twice",
        get(&STOPS),
        get(&STOPS_REFUSED)
    );
    power::exit(ExitCode::SUCCESS)
}
