//! `nmi::on_each`: functions on CPUs that hold interrupts back.
//!
//! Bootarg `reach=priority|daif`: whether the machine gets at a CPU that has masked `DAIF`. Without priorities it does not get at one in a
//! masked section either, and says so.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::time::{Deadline, Instant};
use reveille::{ExitCode, System, call, fault, irq, nmi, println};
use reveille_tests::{argument, check, eventually, has_gic, nothing_left, pause};

reveille::entry!(main);

static RAN: AtomicU64 = AtomicU64::new(0);
static TOTAL: AtomicU32 = AtomicU32::new(0);
static HOLD: AtomicBool = AtomicBool::new(true);
static HELD: AtomicU32 = AtomicU32::new(0);
static SLOW: AtomicBool = AtomicBool::new(true);

fn mark() {
    RAN.fetch_or(1 << cpu::current().index(), Ordering::Relaxed);
    TOTAL.fetch_add(1, Ordering::Relaxed);
}

fn slow() {
    while SLOW.load(Ordering::Relaxed) {
        core::hint::spin_loop();
    }
}

fn bits(set: &CpuSet) -> u64 {
    set.iter().fold(0, |bits, cpu| bits | 1 << cpu.index())
}

fn only(cpu: CpuId) -> CpuSet {
    [cpu].into_iter().collect()
}

fn launch(cpu: CpuId, f: impl FnOnce() + Send + Copy + 'static) {
    eventually("an idle CPU takes a closure", || cpu::launch(cpu, f).is_ok());
}

fn hold_in_a_masked_section() {
    let _masked = irq::mask();
    HELD.fetch_add(1, Ordering::Relaxed);
    while HOLD.load(Ordering::Relaxed) {
        core::hint::spin_loop();
    }
}

fn hold_with_daif() {
    // SAFETY: masks interrupts until the end of this function, behind the back of the runtime: that is the test.
    unsafe { core::arch::asm!("msr daifset, #2") };
    HELD.fetch_add(1, Ordering::Relaxed);
    while HOLD.load(Ordering::Relaxed) {
        core::hint::spin_loop();
    }
    // SAFETY: undoes the above.
    unsafe { core::arch::asm!("msr daifclr, #2") };
}

/// However many CPUs do not answer, they are waited for once.
fn silent(system: &System) -> ExitCode {
    fn deaf() {
        // SAFETY: masks interrupts for good, behind the back of the runtime: that is the test.
        unsafe { core::arch::asm!("msr daifset, #2") };
        HELD.fetch_add(1, Ordering::Relaxed);
        loop {
            pause();
        }
    }
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let others = cpu::online().without(cpu::current());
    for cpu in others {
        launch(cpu, deaf);
    }
    eventually("DAIF is masked everywhere", || HELD.load(Ordering::Relaxed) as usize == others.len());
    let limit = Duration::from_millis(argument(system, "nmi_ms", 100));
    let start = Instant::now();
    let answers = nmi::on_each(&others, mark);
    let took = Instant::now() - start;
    println!("nmi: {} CPUs silent after {} us", answers.silent.len(), took.as_micros());
    check(answers.silent == others && RAN.load(Ordering::Relaxed) == 0, "it has run nowhere");
    check(took < 2 * limit + limit / 5, "they are waited for once");
    ExitCode::SUCCESS
}

fn main(system: &'static System) -> ExitCode {
    if system.arg("reach") == Some("none") {
        return silent(system);
    }
    let down = cpu::possible().iter().last().unwrap_or(CpuId::BOOT);
    for cpu in cpu::possible().without(cpu::current()).without(down) {
        check(cpu_up(cpu, system.deadline()) == Verdict::Online, "the CPU comes online");
    }
    let others = cpu::online().without(cpu::current());
    let all = cpu::online();

    // Idle CPUs, and oneself, and one that is not there.
    let answers = nmi::on_each(&cpu::possible(), mark);
    check(answers.done == all && RAN.load(Ordering::Relaxed) == bits(&all), "it runs on every online CPU");
    check(answers.offline == only(down), "it does not run where nobody is");
    check(answers.running.is_empty() && answers.silent.is_empty(), "all answer");
    check(!answers.is_complete(), "an offline CPU did not run it");

    // CPUs with interrupts masked: the function gets there, a call does not.
    for cpu in others {
        launch(cpu, hold_in_a_masked_section);
    }
    eventually("all hold interrupts back", || HELD.load(Ordering::Relaxed) as usize == others.len());
    RAN.store(0, Ordering::Relaxed);
    let answers = nmi::on_each(&others, mark);
    let reached = has_gic(system);
    if reached {
        check(answers.is_complete() && answers.done == others, "it gets into masked sections");
        check(RAN.load(Ordering::Relaxed) == bits(&others), "and has run there");
    } else {
        check(answers.silent == others, "it does not get into masked sections");
        check(RAN.load(Ordering::Relaxed) == 0, "and has run nowhere");
    }
    if let Some(cpu) = others.iter().next() {
        let called = call::on_deadline(cpu, Duration::from_millis(5), cpu::current);
        check(called == Err(call::CallError::TimedOut), "a call does not get there");
    }
    println!("-- backtraces");
    nmi::backtrace(&all);
    println!("-- end of backtraces");
    // One that does not come to the end of its note in time: half a note is none.
    if reached && let Some(cpu) = others.iter().next() {
        fault::while_noting(slow);
        nmi::backtrace(&only(cpu));
        SLOW.store(false, Ordering::Relaxed);
        eventually("the CPU is free again", || nmi::on_each(&only(cpu), mark).is_complete());
        SLOW.store(true, Ordering::Relaxed);
    }
    HOLD.store(false, Ordering::Relaxed);
    for cpu in others {
        check(call::on(cpu, cpu::current) == Ok(cpu), "the CPU is as it was");
    }

    // From a masked section of one's own.
    {
        let _masked = irq::mask();
        check(nmi::on_each(&others, mark).is_complete(), "from a masked section it works too");
    }

    // A function that takes too long is reported, and keeps others out until it ends.
    if let Some(cpu) = others.iter().next() {
        let one = only(cpu);
        let answers = nmi::on_each(&one, slow);
        check(answers.running == one, "a function that does not end in time is reported as running");
        let before = TOTAL.load(Ordering::Relaxed);
        check(nmi::on_each(&one, mark).silent == one, "and what cannot be asked in time is silent");
        SLOW.store(false, Ordering::Relaxed);
        eventually("the CPU is free again", || nmi::on_each(&one, mark).is_complete());
        check(TOTAL.load(Ordering::Relaxed) == before + 1, "what was silent has never run");
    }

    daif(system, &others);
    storm(&all);
    nothing_left();
    println!("nmi: all good");
    ExitCode::SUCCESS
}

/// CPUs that have masked `DAIF` behind the back of the runtime.
fn daif(system: &System, others: &CpuSet) {
    let Some(cpu) = others.iter().next() else { return };
    let one = only(cpu);
    HOLD.store(true, Ordering::Relaxed);
    HELD.store(0, Ordering::Relaxed);
    launch(cpu, hold_with_daif);
    eventually("DAIF is masked", || HELD.load(Ordering::Relaxed) == 1);
    let before = TOTAL.load(Ordering::Relaxed);
    let answers = nmi::on_each(&one, mark);
    println!("with DAIF masked: {answers}");
    let reached = system.arg("reach") == Some("daif");
    check(if reached { answers.done == one } else { answers.silent == one }, "the reach is as expected");
    HOLD.store(false, Ordering::Relaxed);
    check(call::on(cpu, cpu::current) == Ok(cpu), "the CPU takes calls again");
    let ran = TOTAL.load(Ordering::Relaxed) - before;
    check(ran == u32::from(reached), "what was silent has never run");
    eventually("the CPU answers again", || nmi::on_each(&one, mark).is_complete());
}

/// Everybody asks everybody, while calls and masked sections go on.
fn storm(all: &CpuSet) {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    static DONE: AtomicU32 = AtomicU32::new(0);
    static FINISHED: AtomicU32 = AtomicU32::new(0);
    fn count() {
        DONE.fetch_add(1, Ordering::Relaxed);
    }
    fn ask(rounds: u32) {
        let others = cpu::online().without(cpu::current());
        for round in 0..rounds {
            let answers = nmi::on_each(&others, count);
            ASKED.fetch_add(answers.done.len() as u32, Ordering::Relaxed);
            // What was still running has run by the end of the test.
            ASKED.fetch_add(answers.running.len() as u32, Ordering::Relaxed);
            if round % 4 == 0 {
                let _masked = irq::mask();
                core::hint::spin_loop();
            }
            for cpu in others {
                let _ = call::post(cpu, || {});
            }
        }
        FINISHED.fetch_add(1, Ordering::Relaxed);
    }
    let rounds = 50;
    for cpu in all.without(cpu::current()) {
        launch(cpu, move || ask(rounds));
    }
    ask(rounds);
    let deadline = Deadline::after(Duration::from_secs(60));
    while FINISHED.load(Ordering::Relaxed) as usize != all.len() {
        check(!deadline.has_passed(), "the storm is over in time");
        cpu::idle();
    }
    eventually("as many have run as answered", || {
        DONE.load(Ordering::Relaxed) == ASKED.load(Ordering::Relaxed)
    });
    println!("storm: {} asked and ran", DONE.load(Ordering::Relaxed));
}
