//! `panic::stop_others`: one CPU stops the machine without having failed, goes on alone, and may still fail.
//!
//! Bootargs: `others=idle|busy|masked|mixed|asking` is what the other CPUs are doing, `asking` that the first has the right to
//! start and stop CPUs, and waits for another to leave; `then=exit|panic|lock|mutex` is what follows: the lock is held by one of
//! those that were stopped.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use reveille::bringup::{self, Verdict};
use reveille::call::{self, CallError, PostError};
use reveille::cpu::{self, CpuId, CpuSet, LaunchError, State};
use reveille::hotplug::{self, HotplugError};
use reveille::panic::{self, Fate};
use reveille::sync::{Mutex, SpinLock};
use reveille::time::Deadline;
use reveille::{ExitCode, System, fault, irq, nmi, println, stop_machine};
use reveille_tests::{argument, check, eventually};

reveille::entry!(main);

static BUSY: AtomicU32 = AtomicU32::new(0);
static COUNTED: AtomicU32 = AtomicU32::new(0);
static LOCK: SpinLock<u32> = SpinLock::new(0);
static MUTEX: Mutex<u32> = Mutex::new(0);
static HOLDS: AtomicBool = AtomicBool::new(false);

fn busy() {
    BUSY.fetch_add(1, Ordering::Relaxed);
    loop {
        COUNTED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits for the last CPU to leave, which does not.
fn asking() {
    BUSY.fetch_add(1, Ordering::Relaxed);
    let last = cpu::online().iter().last().unwrap_or(CpuId::BOOT);
    println!("it has left: {:?}", hotplug::cpu_down(last, Duration::from_secs(3600)));
}

fn masked() {
    let _masked = irq::mask();
    busy();
}

/// For ever.
fn hold(value: &mut u32) {
    HOLDS.store(true, Ordering::Relaxed);
    loop {
        *value = value.wrapping_add(1);
    }
}

fn got(value: u32) -> ExitCode {
    println!("got a lock that nobody gave back: {value}");
    ExitCode::FAILURE
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let others = cpu::online().without(cpu::current());
    let what = system.arg("others").unwrap_or("idle");
    let then = system.arg("then").unwrap_or("exit");
    let is_asking = |cpu| what == "asking" && Some(cpu) == others.iter().next();
    let is_masked = |cpu: CpuId| what == "masked" || what == "mixed" && cpu.index() % 2 == 1;
    let is_right = |cpu: CpuId, fate: Fate| match fate {
        Fate::NonMaskable => is_masked(cpu),
        Fate::Interrupted => !is_masked(cpu),
        // Between two waits an idle CPU looks for itself.
        Fate::Noticed => what == "idle" || is_asking(cpu),
        _ => false,
    };
    // Masked CPUs are waited for that long; the others have all the time that a busy host may take.
    let limit = Duration::from_millis(match (what, then) {
        (_, "lock") => 50,
        ("masked" | "mixed", _) => argument(system, "limit_ms", 2000),
        _ => 20_000,
    });
    let mut started = 0;
    for cpu in others {
        let f: fn() = match what {
            "idle" => continue,
            "asking" if is_asking(cpu) => continue,
            _ if is_masked(cpu) => masked,
            _ => busy,
        };
        check(cpu::launch(cpu, f).is_ok(), "an idle CPU takes a closure");
        started += 1;
    }
    eventually("all are busy", || BUSY.load(Ordering::Relaxed) == started);
    // Last of all: a CPU that is asked to leave while it is idle takes no closure.
    if let Some(cpu) = others.iter().find(|&cpu| is_asking(cpu)) {
        check(cpu::launch(cpu, asking).is_ok(), "an idle CPU takes a closure");
        eventually("one is asking", || BUSY.load(Ordering::Relaxed) == started + 1);
    }
    let hold: Option<fn()> = match then {
        "lock" => Some(|| hold(&mut LOCK.lock())),
        "mutex" => Some(|| hold(&mut MUTEX.lock())),
        _ => None,
    };
    let holder = hold.and(others.iter().last());
    if let (Some(holder), Some(hold)) = (holder, hold) {
        check(cpu::launch(holder, hold).is_ok(), "an idle CPU takes a closure");
        eventually("the lock is held", || HOLDS.load(Ordering::Relaxed));
    }
    // They have gone to sleep by now.
    let settled = Deadline::after(Duration::from_millis(5));
    while !settled.has_passed() {
        core::hint::spin_loop();
    }

    let report = panic::stop_others(limit);
    let counted = COUNTED.load(Ordering::Relaxed);
    println!("stopped: {report}");
    println!("stop: {} ns", report.elapsed().as_nanos());
    for (cpu, fate) in report.fates() {
        println!("cpu {cpu}: {fate}");
        let right = if cpu == cpu::current() { fate == Fate::Stopper } else { is_right(cpu, fate) };
        check(right || Some(cpu) == holder && fate.is_parked(), "every CPU has the fate that it should have");
    }
    check(report.is_complete() && report.left().is_empty(), "all are stopped");
    let parked = report.fates().filter(|(_, fate)| fate.is_parked()).count();
    check(fault::parked_at_gate() == parked as u64, "each is counted at the gate, once");
    let alone = Deadline::after(Duration::from_millis(20));
    while !alone.has_passed() {
        core::hint::spin_loop();
    }
    check(COUNTED.load(Ordering::Relaxed) == counted, "nothing moves any more");
    check(!irq::is_masked(), "interrupts are as they were");
    check(panic::stop_others(limit).is_complete(), "stopping again changes nothing");
    match then {
        "panic" => panic!("after the stop"),
        "lock" => got(*LOCK.lock()),
        "mutex" => got(*MUTEX.lock()),
        _ => {
            alone_from_now_on(system, &others);
            println!("panic_stop: all good");
            ExitCode::SUCCESS
        }
    }
}

/// CPUs that are parked are not online, nothing can be sent to them, and nobody waits for them.
fn alone_from_now_on(system: &System, others: &CpuSet) {
    const LONG: Duration = Duration::from_secs(3600);
    let own = cpu::current();
    check(cpu::online() == [own].into_iter().collect(), "who is parked is not online");
    for cpu in others {
        check(!bringup::is_online(cpu) && bringup::is_online(own), "nor said to be");
        let status = cpu::status(cpu);
        check(status.parked && status.state == State::Online, "its status says what it is");
        check(call::on(cpu, || ()) == Err(CallError::Offline), "it takes no call");
        check(call::on_deadline(cpu, LONG, || ()) == Err(CallError::Offline), "no call with a deadline");
        check(matches!(call::post(cpu, || ()), Err(PostError::Offline(_))), "no post");
        check(matches!(cpu::launch(cpu, || ()), Err(LaunchError::Offline(_))), "no closure");
        check(bringup::cpu_up(cpu, LONG) == Verdict::Parked, "it cannot be started");
        check(hotplug::cpu_down(cpu, LONG) == Err(HotplugError::NotOnline), "nor taken down");
        check(
            irq::set_affinity(77, cpu) == Err(irq::IrqError::Offline { cpu }),
            "no interrupt can be sent to it",
        );
    }
    check(call::on_each(&cpu::possible(), |_| ()) == Ok(*others), "calls of all reach this CPU");
    let posted = call::post_each(&cpu::possible(), |_| ());
    check(posted.offline == *others && posted.accepted.contains(own), "posts to all do");
    let answers = nmi::on_each(&cpu::possible(), || ());
    check(answers.offline == *others && answers.done.contains(own), "functions at NMI level do");
    let roll_call = system.bring_up_all(LONG);
    check(roll_call.online() == 1 && !roll_call.is_complete(), "one CPU is there");
    check(
        roll_call.iter().filter(|entry| entry.verdict == Verdict::Parked).count() == others.len(),
        "of all",
    );
    check(stop_machine(LONG, || 1) == Ok(1), "this CPU is gathered, and that is all");
    check(hotplug::cpu_down(own, LONG) == Err(HotplugError::LastCpu), "and the last");
    // It waits as it ever did: for the look around every 100 ms, if for nothing else.
    let until = Deadline::after(Duration::from_millis(500));
    let mut returns = 0;
    while !until.has_passed() {
        cpu::idle();
        returns += 1;
    }
    assert!(returns < 50, "it came back from idle {returns} times in half a second");
}
