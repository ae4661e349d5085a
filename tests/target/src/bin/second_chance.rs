//! SGIs of every kind that get lost, one kind at a time, where nobody sends another message that would make up for it.
//!
//! The bootarg `case=WORD` says which. Times are guest times, to be had with counted instructions; `idle_ms` is what the runtime
//! reads too.

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::fault::{LostSgi, lose_sgis, lost_sgis};
use reveille::irq::Trigger;
use reveille::panic::Fate;
use reveille::time::{self, Deadline, Instant};
use reveille::{ExitCode, System, bringup, call, hotplug, irq, nmi, panic, println, watchdog};
use reveille_tests::{argument, check, come_to_idle, eventually, nothing_left, pause};

reveille::entry!(main);

/// CPUs that compute go on with that.
static GO_ON: AtomicBool = AtomicBool::new(true);
/// How many of them have begun.
static BUSY: AtomicU32 = AtomicU32::new(0);

reveille::percpu! {
    /// When a handler, or what was sent, ran there last, ticks; 0: never.
    static RAN_AT: AtomicU64 = AtomicU64::new(0);
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let others = cpu::online().without(cpu::current());
    let around = Duration::from_millis(argument(system, "idle_ms", 100));
    for cpu in others {
        come_to_idle(cpu);
    }
    match system.arg("case").unwrap_or("") {
        "timers" => with_timers(&others, around),
        "ppi" => ppi(&others, around),
        "watchdog" => watch(&others, Duration::from_millis(argument(system, "period_ms", 20))),
        "nmi" => functions(&others),
        "wake" => leave(&others),
        "stop" => stop(&others, LostSgi::Stop),
        "stop-masked" => stop(&others, LostSgi::Nmi),
        "panic" => fail(&others, LostSgi::Stop),
        "panic-masked" => fail(&others, LostSgi::Nmi),
        other => panic!("no case {other}"),
    }
    nothing_left();
    println!("second_chance: {} SGIs lost, all good", lost_sgis());
    ExitCode::SUCCESS
}

fn lose(kind: LostSgi, cpus: &CpuSet, count: u32) {
    cpus.iter().for_each(|cpu| lose_sgis(kind, cpu, count));
}

/// Has a CPU that is idle do something in its thread context.
fn start(cpu: CpuId, work: fn()) {
    let begun = BUSY.load(Ordering::Relaxed);
    eventually("an idle CPU takes a closure", || cpu::launch(cpu, work).is_ok());
    eventually("it begins", || BUSY.load(Ordering::Relaxed) > begun);
}

fn compute() {
    BUSY.fetch_add(1, Ordering::Relaxed);
    while GO_ON.load(Ordering::Relaxed) {
        // To yield each time takes long where instructions are counted.
        for _ in 0..1000 {
            // SAFETY: does nothing.
            unsafe { asm!("nop", options(nomem, nostack, preserves_flags)) };
        }
        pause();
    }
}

fn compute_masked() {
    let _masked = irq::mask();
    compute();
}

/// Sets timers and cancels them, long before any of them is due.
fn set_and_cancel() {
    BUSY.fetch_add(1, Ordering::Relaxed);
    while GO_ON.load(Ordering::Relaxed) {
        let timer = time::after(Duration::from_secs(3600), || ());
        pause();
        check(timer.is_ok_and(time::Timer::cancel), "a timer can be set and cancelled");
    }
}

fn note() {
    RAN_AT.store(Instant::now().ticks(), Ordering::Relaxed);
}

/// Waits, this CPU idle, until something has run on `cpu` after `start`, and checks how long that took.
fn await_note(cpu: CpuId, start: Instant, limit: Duration) {
    let ran = || RAN_AT.of(cpu).load(Ordering::Relaxed);
    let deadline = Deadline::after(Duration::from_secs(20));
    while ran() == 0 {
        check(!deadline.has_passed(), "it runs");
        pause();
    }
    let took = Instant::from_ticks(ran()) - start;
    println!("second_chance: cpu {cpu} after {} us", took.as_micros());
    check(took <= limit + Duration::from_millis(5), "it did not take long");
    RAN_AT.of(cpu).store(0, Ordering::Relaxed);
}

/// A CPU that sets and cancels timers all the time looks around as often as any other.
fn with_timers(others: &CpuSet, around: Duration) {
    let Some(target) = others.iter().next() else { return };
    start(target, set_and_cancel);
    for _ in 0..3 {
        lose(LostSgi::Call, &[target].into_iter().collect(), 1);
        let start = Instant::now();
        check(call::post(target, note).is_ok(), "the post is accepted");
        await_note(target, start, around);
    }
    GO_ON.store(false, Ordering::Relaxed);
}

/// Turns the physical timer's interrupt of this CPU on or off. It is EL1's, at EL2 too.
fn physical_timer(on: bool) {
    // SAFETY: the physical timer of EL1, which nobody else uses.
    unsafe {
        asm!("msr cntp_cval_el0, xzr", "msr cntp_ctl_el0, {}", "isb", in(reg) u64::from(on), options(nomem, nostack));
    }
}

/// A PPI that is registered: idle CPUs, one that sets timers, and one that is called again and again find that they have to
/// enable it.
fn ppi(others: &CpuSet, around: Duration) {
    fn handle(_: u32) {
        physical_timer(false);
        note();
    }
    for cpu in others {
        check(call::on(cpu, || physical_timer(true)).is_ok(), "the interrupt is pending everywhere");
    }
    let mut kinds = others.iter();
    let (with_timers, called) = (kinds.next(), kinds.next());
    if let Some(cpu) = with_timers {
        start(cpu, set_and_cancel);
    }
    lose(LostSgi::Private, others, 1);
    let start = Instant::now();
    check(irq::register(30, Trigger::Level, handle).is_ok(), "a handler is registered");
    let end = Deadline::after(around + Duration::from_millis(5));
    while !end.has_passed() {
        if let Some(cpu) = called {
            check(call::on(cpu, cpu::current) == Ok(cpu), "a call comes back");
        }
    }
    for cpu in others {
        await_note(cpu, start, around);
    }
    GO_ON.store(false, Ordering::Relaxed);
}

fn wait(span: Duration) {
    let until = Deadline::after(span);
    while !until.has_passed() {
        cpu::idle();
    }
}

/// Nobody is called stuck who has not heard that the watchdog was started, or that it has another period; and who is stuck is.
fn watch(others: &CpuSet, period: Duration) {
    for (period, lost) in [(period, 1), (8 * period, 1), (period, 1)] {
        lose(LostSgi::Private, others, lost);
        check(watchdog::start(period).is_ok(), "the watchdog is started");
        wait(6 * period);
    }
    println!("-- one gets stuck");
    // To compute for long takes long where instructions are counted.
    let period = Duration::from_millis(20);
    let last = others.iter().last().unwrap_or(CpuId::BOOT);
    watchdog::stop();
    start(last, compute_masked);
    lose(LostSgi::Private, &others.without(last), 1);
    check(watchdog::start(period).is_ok(), "the watchdog is started");
    // However often that is said.
    let until = Deadline::after(3 * period);
    while !until.has_passed() {
        check(watchdog::start(period).is_ok(), "the watchdog is started");
        cpu::idle();
    }
    GO_ON.store(false, Ordering::Relaxed);
    println!("-- it goes on");
    wait(3 * period);
}

/// Functions at NMI level, and notes of what a CPU does.
fn functions(others: &CpuSet) {
    static RAN: AtomicU32 = AtomicU32::new(0);
    fn count() {
        RAN.fetch_add(1, Ordering::Relaxed);
    }
    for lost in [1, 3] {
        lose(LostSgi::Nmi, others, lost);
        RAN.store(0, Ordering::Relaxed);
        let answers = nmi::on_each(others, count);
        check(answers.is_complete() && answers.done == *others, "it has run everywhere");
        check(RAN.load(Ordering::Relaxed) as usize == others.len(), "once on each");
    }
    lose(LostSgi::Nmi, others, 1);
    nmi::backtrace(others);
}

/// An idle CPU is asked to leave.
fn leave(others: &CpuSet) {
    for cpu in others {
        lose(LostSgi::Wake, &[cpu].into_iter().collect(), 1);
        check(hotplug::cpu_down(cpu, Duration::from_secs(1)).is_ok(), "it leaves");
        let verdict = bringup::cpu_up(cpu, Duration::from_secs(10));
        check(verdict == bringup::Verdict::Online, "and comes back");
        come_to_idle(cpu);
    }
}

/// Others that are busy, or masked, are about to be stopped, and hear nothing the first time.
fn prepare(others: &CpuSet, lost: LostSgi) {
    for cpu in others {
        start(cpu, if lost == LostSgi::Nmi { compute_masked } else { compute });
    }
    lose(lost, others, 1);
}

fn stop(others: &CpuSet, lost: LostSgi) {
    prepare(others, lost);
    let right = if lost == LostSgi::Nmi { Fate::NonMaskable } else { Fate::Interrupted };
    let report = panic::stop_others(Duration::from_millis(50));
    println!("stopped: {report}");
    for cpu in others {
        check(report.fate(cpu) == right, "every CPU is stopped, in the way that it should be");
    }
}

fn fail(others: &CpuSet, lost: LostSgi) {
    prepare(others, lost);
    panic!("nobody hears of it the first time");
}
