//! A function at NMI level that tries everything, on CPUs that are at it themselves: what it is refused leaves nothing behind.
//!
//! Bootarg: `rounds=N`.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup;
use reveille::call::{self, CallError, POSTS_PER_CPU};
use reveille::cpu::{self, CpuSet};
use reveille::hotplug::{self, HotplugError, RegisterError};
use reveille::irq::{self, IrqError, Trigger};
use reveille::sync::{Mutex, SpinLock};
use reveille::time::{self, Deadline, TIMERS_PER_CPU, TimerError};
use reveille::watchdog::{self, WatchdogError};
use reveille::{ExitCode, StopError, System, nmi, println, stop_machine};
use reveille_tests::{Random, argument, check, eventually, nothing_left, on_all_others, pause};

reveille::entry!(main);

reveille::percpu! {
    /// Posts of this CPU that were accepted, and that have run.
    static SENT: AtomicU64 = AtomicU64::new(0);
    static RAN: AtomicU64 = AtomicU64::new(0);
    /// Timers of this CPU.
    static SET: AtomicU64 = AtomicU64::new(0);
    static FIRED: AtomicU64 = AtomicU64::new(0);
    /// How often it was at NMI level.
    static LEVELS: AtomicU64 = AtomicU64::new(0);
    /// Doorbells that were rung for it there.
    static RUNG: AtomicU64 = AtomicU64::new(0);
    static ANSWERED: AtomicU64 = AtomicU64::new(0);
}

static LOCK: SpinLock<u64> = SpinLock::new(0);
static MUTEX: Mutex<u64> = Mutex::new(0);
static LOCKED: AtomicU64 = AtomicU64::new(0);
static OVER: AtomicBool = AtomicBool::new(false);

/// What a thread does all the while.
fn toil() {
    let own = cpu::current();
    let mut random = Random::new(own.index() as u64 + 1);
    while !OVER.load(Ordering::Relaxed) {
        let target = cpu::get(random.below(cpu::possible().len() as u64) as usize).unwrap_or(own);
        let run = move || _ = RAN.of(own).fetch_add(1, Ordering::Relaxed);
        if call::post(target, run).is_ok() {
            SENT.fetch_add(1, Ordering::Relaxed);
        }
        let fire = || _ = FIRED.fetch_add(1, Ordering::Relaxed);
        if time::after(Duration::from_nanos(random.below(5000)), fire).is_ok() {
            SET.fetch_add(1, Ordering::Relaxed);
        }
        *LOCK.lock() += 1;
        *MUTEX.lock() += 1;
        LOCKED.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "critical-section")]
        critical_section::with(|_| ());
        check(call::on(target, irq::in_nmi) == Ok(false), "a call is not at NMI level");
    }
}

/// At NMI level: everything that relies on masked sections says no.
fn try_everything() {
    let own = cpu::current();
    check(irq::in_nmi() && irq::is_masked() && irq::in_interrupt(), "this is NMI level");
    for target in cpu::possible() {
        check(call::post(target, || ()).is_err_and(|error| error.is_busy()), "no post");
        check(call::on(target, || ()) == Err(CallError::WouldDeadlock), "no call");
        let limit = Deadline::after(Duration::from_secs(1));
        check(
            call::on_deadline(target, limit, || ()) == Err(CallError::WouldDeadlock),
            "nor one with a deadline",
        );
    }
    let all = cpu::possible();
    check(call::post_each(&all, |_| ()).busy == all, "nor a post to many");
    check(call::on_each(&all, |_| ()).is_err(), "nor a call of many");
    check(time::after(Duration::ZERO, || ()).is_err_and(|error| error == TimerError::Nmi), "no timer");
    check(LOCK.try_lock().is_none() && MUTEX.try_lock().is_none(), "no lock");
    check(irq::register(16, Trigger::Edge, |_| ()) == Err(IrqError::Nmi), "no handler");
    check(irq::set_affinity(32, own) == Err(IrqError::Nmi), "no affinity");
    check(hotplug::register(|_| Ok(()), |_| ()) == Err(RegisterError::Nmi), "no callbacks");
    check(watchdog::start(Duration::from_secs(9)) == Err(WatchdogError::Nmi), "no watchdog");
    check(stop_machine(Duration::from_secs(1), || ()) == Err(StopError::WouldDeadlock), "no gathering");
    let down = hotplug::cpu_down(own, Duration::from_secs(1));
    check(down == Err(HotplugError::WouldDeadlock), "nobody leaves");
    check(reveille::console::read_byte().is_none(), "nothing is read");
    check(nmi::on_each(&all, || ()).silent == all, "nobody else is asked");
    println!("nmi_level: this is not to be seen");
    // Sections nest here as anywhere, and end with the level.
    let one = irq::mask();
    let two = irq::mask();
    drop(one);
    drop(two);
    core::mem::forget(irq::mask());
    // What works: a doorbell, and its owner answers in thread context.
    cpu::wake(own);
    if cpu::launch(own, || _ = ANSWERED.fetch_add(1, Ordering::Relaxed)).is_ok() {
        RUNG.fetch_add(1, Ordering::Relaxed);
    }
    drop(hotplug::pin());
    LEVELS.fetch_add(1, Ordering::Relaxed);
}

fn sum(counter: &'static cpu::PerCpu<AtomicU64>) -> u64 {
    cpu::possible().iter().map(|cpu| counter.of(cpu).load(Ordering::Relaxed)).sum()
}

/// Every node, timer and lock is there.
fn intact() {
    let own = cpu::current();
    check(!irq::is_masked() && !irq::in_nmi(), "interrupts are open");
    let masked = irq::mask();
    for node in 0..=POSTS_PER_CPU {
        let posted = call::post(own, || ()).is_ok();
        check(posted == (node < POSTS_PER_CPU), "as many posts as there are nodes");
    }
    for timer in 0..=TIMERS_PER_CPU {
        let set = time::after(Duration::ZERO, || ()).is_ok();
        check(set == (timer < TIMERS_PER_CPU), "as many timers as there can be");
    }
    drop(masked);
    *LOCK.lock() += 0;
    *MUTEX.lock() += 0;
}

fn main(system: &'static System) -> ExitCode {
    let rounds = argument(system, "rounds", 300);
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let others = cpu::online().without(cpu::current());
    static DONE: AtomicU64 = AtomicU64::new(0);
    on_all_others(|| {
        toil();
        DONE.fetch_add(1, Ordering::Relaxed);
    });
    let mut random = Random::new(rounds);
    for _ in 0..rounds {
        // Itself too, now and then.
        let bits = random.number();
        let set: CpuSet = cpu::possible().iter().filter(|cpu| bits >> cpu.index() & 1 != 0).collect();
        check(nmi::on_each(&set, try_everything).is_complete(), "everyone answers");
        let until = Deadline::after(Duration::from_nanos(random.below(50_000)));
        while !until.has_passed() {
            pause();
        }
        if sum(&RUNG) != sum(&ANSWERED) {
            // It is this CPU's, and answered where it would wait.
            cpu::idle();
        }
    }
    OVER.store(true, Ordering::Relaxed);
    eventually("everyone comes to an end", || DONE.load(Ordering::Relaxed) == others.len() as u64);
    // The doorbells of this CPU are answered in its idle loop.
    eventually("what was launched has run", || {
        cpu::idle();
        sum(&RUNG) == sum(&ANSWERED)
    });
    eventually("what was posted has run", || sum(&SENT) == sum(&RAN));
    eventually("timers have fired", || sum(&SET) == sum(&FIRED));
    for cpu in &others {
        static INTACT: AtomicU64 = AtomicU64::new(0);
        let before = INTACT.load(Ordering::Relaxed);
        let look = || {
            intact();
            INTACT.fetch_add(1, Ordering::Relaxed);
        };
        eventually("a closure is taken", || cpu::launch(cpu, look).is_ok());
        eventually("it has run", || INTACT.load(Ordering::Relaxed) == before + 1);
        check(bringup::is_online(cpu), "nobody was lost");
    }
    intact();
    let locked = LOCKED.load(Ordering::Relaxed);
    check(*LOCK.lock() == locked && *MUTEX.lock() == locked, "no turn with a lock was lost");
    nothing_left();
    println!(
        "nmi_level: {} times at NMI level, {} doorbells, {} posts, {} timers, all accounted for",
        sum(&LEVELS),
        sum(&RUNG),
        sum(&SENT),
        sum(&SET)
    );
    ExitCode::SUCCESS
}
