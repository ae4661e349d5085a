//! A CPU that stops the others in the middle of something that it does together with one of them, and goes on alone.
//!
//! The bootarg `case=WORD` says of what. All but `panic-*` end well.

#![no_std]
#![no_main]

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use reveille::bringup::{self, Verdict};
use reveille::call::{self, CallError, POSTS_PER_CPU, PostError};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::fault::{LostSgi, lose_sgis};
use reveille::hotplug::{self, Hold, HotplugError};
use reveille::sync::SpinLock;
use reveille::time::{self, Deadline};
use reveille::{
    ExitCode, System, irq, nmi, panic, power, println, static_key, stop_machine, stop_machine_each,
};
use reveille_tests::{check, come_to_idle, eventually, launch, pause};

reveille::entry!(
    main,
    // SAFETY: the function keeps nothing on its stack that anything else refers to.
    leaving = unsafe { cpu::Leaving::new(secondary) }
);

/// So long that a wait for its end is seen.
const LONG: Duration = Duration::from_secs(3600);
/// For others to stop in that take interrupts. Those that do not in time, however busy the host is, have `nmi_ms` more.
const STOP: Duration = Duration::from_secs(1);

static_key! {
    /// Asked nowhere: there is nothing to patch but its value.
    KEY, false
}

static LOCK: SpinLock<u32> = SpinLock::new(0);
/// How far the other side has come.
static AT: AtomicU32 = AtomicU32::new(0);
/// What CPU 1 does next in `secondary`.
static IN_SECONDARY: AtomicU32 = AtomicU32::new(IDLE);
const IDLE: u32 = 0;
const STOP_WHEN_ASKED: u32 = 1;
const LEAVE: u32 = 2;

fn secondary(own: CpuId) -> ! {
    loop {
        if own.index() == 1 {
            match IN_SECONDARY.swap(IDLE, Ordering::Relaxed) {
                STOP_WHEN_ASKED => {
                    come_to(1);
                    wait_for(2);
                    // Main is on its way to the wait for this CPU, if not there.
                    spin(Duration::from_millis(20));
                    stop_others();
                    // An offline point.
                    cpu::idle();
                    ends(alone());
                }
                LEAVE => {
                    check(hotplug::cpu_down(own, LONG) == Err(HotplugError::LastCpu), "the last CPU stays");
                    ends(alone());
                }
                _ => {}
            }
        }
        cpu::idle();
    }
}

fn ends(code: ExitCode) -> ! {
    power::exit(code)
}

fn spin(time: Duration) {
    let until = Deadline::after(time);
    while !until.has_passed() {
        core::hint::spin_loop();
    }
}

fn wait_for(step: u32) {
    eventually("the other side has come there", || AT.load(Ordering::Relaxed) >= step);
}

fn come_to(step: u32) {
    AT.store(step, Ordering::Relaxed);
}

fn stop_others() {
    let report = panic::stop_others(STOP);
    check(report.is_complete(), "all others have parked");
}

/// What a CPU can do that is left alone. With interrupts open.
fn alone() -> ExitCode {
    let own = cpu::current();
    check(!irq::is_masked(), "interrupts are open");
    check(cpu::online() == [own].into_iter().collect(), "it is the only one");
    check(stop_machine(LONG, || 5) == Ok(5), "it gathers itself");
    check(stop_machine_each(LONG, |_| ()) == Ok(()), "and does what each does");
    check(KEY.enable().is_ok() && KEY.is_enabled(), "it patches its code");
    for cpu in cpu::possible().without(own) {
        check(bringup::cpu_up(cpu, LONG) == Verdict::Parked, "who was stopped does not come");
    }
    let ran = AtomicU32::new(0);
    for _ in 0..2 * POSTS_PER_CPU {
        check(call::on(own, || ran.fetch_add(1, Ordering::Relaxed)).is_ok(), "it calls itself");
        let before = AT.load(Ordering::Relaxed);
        check(
            call::post(own, || _ = AT.fetch_add(1, Ordering::Relaxed)).is_ok(),
            "it sends itself a closure",
        );
        eventually("that runs", || AT.load(Ordering::Relaxed) == before + 1);
    }
    cpu::idle();
    println!("left_alone: all good");
    ExitCode::SUCCESS
}

/// Keeps `cpu` masked, in a launched closure, for good; returns when it is.
fn hold_masked(cpu: CpuId) {
    static MASKED: AtomicU32 = AtomicU32::new(0);
    let before = MASKED.load(Ordering::Relaxed);
    let hold = || {
        let _masked = irq::mask();
        MASKED.fetch_add(1, Ordering::Relaxed);
        loop {
            core::hint::spin_loop();
        }
    };
    launch(cpu, hold);
    eventually("it is masked", || MASKED.load(Ordering::Relaxed) != before);
}

/// Has `cpu` begin a stop-machine, to which this CPU does not come, and gives it time for that.
fn have_begin_round(cpu: CpuId) {
    let round = || {
        come_to(1);
        let _ = stop_machine(LONG, || ());
    };
    launch(cpu, round);
    wait_for(1);
    spin(Duration::from_millis(20));
}

fn main(system: &'static System) -> ExitCode {
    let case = system.arg("case").unwrap_or("");
    let own = cpu::current();
    let [one, two] = [1, 2].map(|index| cpu::get(index).unwrap_or(own));
    let set = |cpu: CpuId| -> CpuSet { [cpu].into_iter().collect() };
    if case == "absent" {
        return absent(one, two);
    }
    if case == "wedged" {
        return wedged(one, two);
    }
    if case == "booter" {
        return booter(one, two);
    }
    if case == "panic-arrival" || case == "panic-arrival-masked" {
        arrival(case, one);
    }
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    for cpu in cpu::possible().without(own) {
        if case != "leave-asked" && case != "leave-self" {
            come_to_idle(cpu);
        }
    }
    match case {
        // A round of another's that comes as soon as this CPU opens its interrupts.
        "round" => {
            let masked = irq::mask();
            have_begin_round(one);
            stop_others();
            drop(masked);
        }
        // In the job of another's round for each.
        "round-each" => {
            let round = move || {
                let _ = stop_machine_each(LONG, move |cpu| {
                    if cpu == own {
                        stop_others();
                        come_to(1);
                    }
                });
            };
            launch(one, round);
            wait_for(1);
        }
        // In the same, and one of those that it has stopped neither parks nor comes to the end of the job: a panic.
        "round-hung" => {
            let round = move || {
                let _ = stop_machine_each(LONG, move |cpu| {
                    if cpu == two {
                        // SAFETY: masks interrupts for good, behind the back of the runtime: that is the test.
                        unsafe { core::arch::asm!("msr daifset, #2", options(nostack)) };
                        come_to(1);
                        loop {
                            core::hint::spin_loop();
                        }
                    }
                    if cpu == own {
                        wait_for(1);
                        let report = panic::stop_others(Duration::from_millis(20));
                        check(!report.is_complete(), "one does not park");
                    }
                });
            };
            launch(one, round);
            wait_for(2);
        }
        // One of the others parks only when nobody waits for it any more. It is as gone as they are, once it was looked for again.
        "parks-late" => {
            launch(two, || {
                // SAFETY: masks interrupts until it is let go, behind the back of the runtime: that is the test.
                unsafe { core::arch::asm!("msr daifset, #2", options(nostack)) };
                come_to(1);
                wait_for(2);
                // SAFETY: undoes the above.
                unsafe { core::arch::asm!("msr daifclr, #2", options(nostack)) };
            });
            wait_for(1);
            let report = panic::stop_others(Duration::from_millis(20));
            check(report.left() == set(two), "one does not park");
            come_to(2);
            eventually("it parks", || report.fate(two).is_parked());
            stop_others();
            check(call::post(two, || ()).is_err_and(|error| !error.is_busy()), "it takes no closure");
            check(cpu::launch(two, || ()).is_err(), "nor any for its thread");
        }
        // While this CPU is gathered and others are awaited, in an interrupt.
        "round-open" => {
            hold_masked(two);
            let stop = || {
                stop_others();
                come_to(2);
            };
            // Neither comes before the other CPU is at it, however long that takes.
            let masked = irq::mask();
            have_begin_round(one);
            check(time::after(Duration::from_millis(20), stop).is_ok(), "a timer can be set");
            drop(masked);
            // It is gathered here, and the timer comes in the handler of that.
            wait_for(2);
        }
        // In the job of its own.
        "round-own" => {
            check(
                stop_machine(LONG, || {
                    stop_others();
                    3
                }) == Ok(3),
                "the round is seen through",
            );
        }
        "round-own-each" => {
            let stop = |cpu| {
                if cpu == own {
                    stop_others()
                }
            };
            check(stop_machine_each(LONG, stop) == Ok(()), "the round is seen through");
        }
        // While it waits for the others to come to its own.
        "round-own-open" => {
            hold_masked(two);
            check(time::after(Duration::from_millis(20), stop_others).is_ok(), "a timer can be set");
            check(stop_machine(LONG, || 7) == Ok(7), "nobody is waited for any more");
        }
        // Main asks CPU 1 to leave, which stops main before it comes to that.
        "leave-asked" => {
            IN_SECONDARY.store(STOP_WHEN_ASKED, Ordering::Relaxed);
            cpu::wake(one);
            wait_for(1);
            come_to(2);
            println!("{:?}", hotplug::cpu_down(one, LONG));
        }
        // CPU 1 leaves by itself, and stops the others in a callback.
        "leave-self" => {
            check(hotplug::register(nothing, |_| stop_others()).is_ok(), "a callback can be registered");
            IN_SECONDARY.store(LEAVE, Ordering::Relaxed);
            cpu::wake(one);
            loop {
                pause();
            }
        }
        // CPU 1 leaves, and stops the others in something that it had accepted before.
        "leave-kept" => {
            let offline = |_| {
                come_to(1);
                wait_for(2);
            };
            check(hotplug::register(nothing, offline).is_ok(), "a callback can be registered");
            IN_SECONDARY.store(LEAVE, Ordering::Relaxed);
            cpu::wake(one);
            wait_for(1);
            lose_sgis(LostSgi::Call, one, 1);
            check(call::post(one, stop_others).is_ok(), "who leaves still takes closures");
            come_to(2);
            loop {
                pause();
            }
        }
        // Locks for which others only waited, in a queue behind this CPU.
        "locks" => return locks(one, two),
        // All its nodes are with a CPU that never runs them.
        "nodes" => {
            hold_masked(one);
            while call::post(one, || ()).is_ok() {}
            stop_others();
            for _ in 0..3 {
                check(
                    matches!(call::post(one, || ()), Err(PostError::Offline(_))),
                    "who was stopped takes nothing",
                );
                check(call::on_deadline(one, LONG, || ()) == Err(CallError::Offline), "nor this");
            }
        }
        // The same on the last CPU, which is the one that is left.
        "nodes-last" => {
            let last = cpu::possible().iter().last().unwrap_or(own);
            hold_masked(one);
            launch(last, move || {
                while call::post(one, || ()).is_ok() {}
                stop_others();
                for _ in 0..2 * POSTS_PER_CPU {
                    check(
                        matches!(call::post(one, || ()), Err(PostError::Offline(_))),
                        "who was stopped takes nothing, and gives all back",
                    );
                }
                println!("left_alone: all good");
                ends(ExitCode::SUCCESS);
            });
            loop {
                pause();
            }
        }
        // A line that was waited for, masked, when it was stopped at NMI level.
        "print" => {
            launch(one, || println!("{}", Endless));
            wait_for(1);
            let stop = move || {
                wait_for(2);
                spin(Duration::from_millis(20));
                let _ = nmi::on_each(&set(own), stop_others);
            };
            launch(two, stop);
            let masked = irq::mask();
            come_to(2);
            println!("printed all the same");
            drop(masked);
        }
        // Nothing turns this machine off: all park.
        "power" => {
            let count = || {
                loop {
                    AT.fetch_add(1, Ordering::Relaxed);
                }
            };
            launch(one, count);
            wait_for(1);
            println!("left_alone: going");
            power::off()
        }
        // A callback that lasts longer than who asked for it waits.
        "callback" => {
            let offline = |cpu: CpuId| {
                if cpu.index() == 1 && AT.fetch_add(1, Ordering::Relaxed) == 0 {
                    spin(Duration::from_millis(600))
                }
            };
            check(hotplug::register(nothing, offline).is_ok(), "a callback can be registered");
            let held = HotplugError::Held(Hold::Callback);
            check(
                hotplug::cpu_down(one, Duration::from_millis(50)) == Err(held),
                "it has not come to the end of that",
            );
            check(hotplug::cpu_down(one, Duration::from_millis(50)) == Err(held), "nor soon after");
            check(hotplug::cpu_down(one, LONG) == Ok(()), "then it leaves");
            println!("left_alone: all good");
            return ExitCode::SUCCESS;
        }
        // A callback that leaves interrupts masked, on a CPU that then stays: it must not wait behind that.
        "panic-idle" => {
            let offline = |_| {
                core::mem::forget(irq::mask());
                core::mem::forget(hotplug::pin());
            };
            check(hotplug::register(nothing, offline).is_ok(), "a callback can be registered");
            println!("{:?}", hotplug::cpu_down(one, Duration::from_millis(100)));
            loop {
                pause();
            }
        }
        other => panic!("no case {other}"),
    }
    alone()
}

/// A `Display` that has no end.
struct Endless;

impl fmt::Display for Endless {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        come_to(1);
        loop {
            core::hint::spin_loop();
        }
    }
}

fn locks(one: CpuId, two: CpuId) -> ExitCode {
    static WAIT: AtomicU32 = AtomicU32::new(0);
    let held = LOCK.lock();
    for cpu in [one, two] {
        let wait = || {
            WAIT.fetch_add(1, Ordering::Relaxed);
            *LOCK.lock() += 1;
        };
        launch(cpu, wait);
    }
    eventually("they are on their way", || WAIT.load(Ordering::Relaxed) == 2);
    // To the queue it is a few instructions.
    spin(Duration::from_millis(20));
    stop_others();
    drop(held);
    for _ in 0..3 {
        check(LOCK.try_lock().is_some(), "nobody holds it");
        check(*LOCK.lock() == 0, "nobody ever did");
    }
    alone()
}

/// A call to a set with a CPU in it that was never there, for longer than it takes to be told.
fn absent(one: CpuId, two: CpuId) -> ExitCode {
    check(bringup::cpu_up(one, Duration::from_secs(20)) == Verdict::Online, "it comes online");
    let late = call::on_each(&[one, two].into_iter().collect(), |_| spin(Duration::from_millis(300)));
    check(late == Ok([two].into_iter().collect()), "who was not there is named");
    println!("left_alone: all good");
    ExitCode::SUCCESS
}

/// One CPU never came, and cannot be stopped: nobody waits for it.
fn wedged(one: CpuId, two: CpuId) -> ExitCode {
    let online = |cpu: CpuId| {
        if cpu.index() == 2 {
            loop {
                core::hint::spin_loop();
            }
        }
        Ok(())
    };
    check(hotplug::register(online, |_| ()).is_ok(), "a callback can be registered");
    check(bringup::cpu_up(one, Duration::from_secs(20)) == Verdict::Online, "it comes online");
    check(bringup::cpu_up(two, Duration::from_millis(100)) == Verdict::Wedged, "it does not come online");
    let masked = irq::mask();
    have_begin_round(one);
    let report = panic::stop_others(STOP);
    check(report.left() == [two].into_iter().collect(), "it cannot be stopped");
    drop(masked);
    check(stop_machine(LONG, || 5) == Ok(5), "this CPU gathers itself");
    println!("left_alone: all good");
    ExitCode::SUCCESS
}

/// A CPU is stopped that starts another one.
fn booter(one: CpuId, two: CpuId) -> ExitCode {
    let online = |cpu: CpuId| {
        if cpu.index() == 2 {
            come_to(1);
            // Where it looks for a stop: it takes no interrupts yet, of any kind.
            *LOCK.lock() += 1;
        }
        Ok(())
    };
    check(hotplug::register(online, |_| ()).is_ok(), "a callback can be registered");
    check(bringup::cpu_up(one, Duration::from_secs(20)) == Verdict::Online, "it comes online");
    let held = LOCK.lock();
    launch(one, move || _ = bringup::cpu_up(two, LONG));
    wait_for(1);
    stop_others();
    drop(held);
    alone()
}

/// A callback with nothing to do.
#[expect(clippy::unnecessary_wraps, reason = "the signature of a callback")]
fn nothing(_: CpuId) -> Result<(), ()> {
    Ok(())
}

/// Online callbacks after which the CPU cannot go on as if nothing had been: that is told.
fn arrival(case: &str, one: CpuId) -> ! {
    let online: fn(CpuId) -> Result<(), ()> = if case == "panic-arrival" {
        |_| {
            stop_others();
            Err(())
        }
    } else {
        |_| {
            core::mem::forget(irq::mask());
            Ok(())
        }
    };
    check(hotplug::register(online, |_| ()).is_ok(), "a callback can be registered");
    println!("{:?}", bringup::cpu_up(one, LONG));
    loop {
        // Nothing that this sends is taken.
        let _ = call::post(one, || println!("it has taken an interrupt"));
        pause();
    }
}
