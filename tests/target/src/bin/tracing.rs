//! Traces. With the feature `trace`.
//!
//! Bootargs: `case=torture` (default): every CPU notes as fast as it can, in threads, handlers and at NMI level, while CPU 0 reads: what it reads
//! is whole, in order, and accounted for. `case=kinds`: everything happens once that the runtime notes, a panic at last; `case=stay`: the same without that, and it does not end. `ms=N`: how long the
//! torture goes on at least (default 300).

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup;
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::time::{self, Instant};
use reveille::trace::{self, Count, Mode, RECORDS};
use reveille::{ExitCode, System, call, hotplug, irq, nmi, println, stop_machine, stop_machine_each};
use reveille_tests::{argument, check, eventually};

reveille::entry!(main);
reveille::static_key!(SWITCH, false);

const LONG: Duration = Duration::from_secs(20);

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    match system.arg("case") {
        None | Some("torture") => torture(Duration::from_millis(argument(system, "ms", 300))),
        Some("kinds") => {
            kinds();
            panic!("the last kind");
        }
        Some("stay") => {
            kinds();
            println!("trace: here it stays");
            loop {
                cpu::idle();
            }
        }
        Some(other) => panic!("no case {other}"),
    }
    ExitCode::SUCCESS
}

/// One half of a value tells the other.
fn other_half(number: u64) -> u64 {
    (number.wrapping_mul(0x9e37_79b9) ^ 0x5bd1_e995) & 0xffff_ffff
}

/// The value of record `number`.
fn value(number: u64) -> u64 {
    number << 32 | other_half(number)
}

static OVER: AtomicBool = AtomicBool::new(false);
static AT_NMI: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];
static POSTED: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

/// Notes in a function at NMI level.
fn at_nmi_level() {
    let number = AT_NMI[cpu::current().index()].fetch_add(1, Ordering::Relaxed);
    reveille::trace!("nmi", value(number));
}

/// Notes in a handler.
fn in_a_handler() {
    let number = POSTED[cpu::current().index()].fetch_add(1, Ordering::Relaxed);
    reveille::trace!("handler", value(number));
}

/// What is read of a CPU while all goes on: whole, in the order of its kind, and from this time.
fn look(cpu: CpuId, since: Instant) -> Count {
    let mut last = [None; 3];
    let mut read = 0;
    let count = trace::read(cpu, |record| {
        read += 1;
        check(record.time >= since.ticks() && record.time <= Instant::now().ticks(), "a record of this time");
        let name = trace::name(record.site).expect("a record of a site");
        let Some(kind) = ["thread", "handler", "nmi"].iter().position(|kind| *kind == name) else { return };
        let number = record.value >> 32;
        check(record.value == value(number), "a record that is not torn");
        check(last[kind].is_none_or(|last| last < number), "in order");
        last[kind] = Some(number);
    });
    check(count.read == read, "as many as were read");
    check(
        count.noted == count.read + count.dropped + count.overwritten + count.unfinished,
        "all are accounted for",
    );
    count
}

fn torture(span: Duration) {
    let others = cpu::online().without(cpu::current());
    let mut sum = Count::default();
    let mut rounds = 0_u64;
    for mode in [Mode::Overwrite, Mode::Drop] {
        OVER.store(false, Ordering::Relaxed);
        let since = Instant::now();
        check(trace::start(mode).is_ok(), "tracing begins");
        check(trace::is_on(), "it is on");
        for cpu in &others {
            eventually("a CPU takes a closure", || cpu::launch(cpu, write).is_ok());
        }
        // On a host that has other things to do a CPU may not have come to it by then.
        let mut all_full = false;
        while !all_full || Instant::now() - since < span {
            all_full = true;
            for cpu in &others {
                // Refused where they are late.
                let _ = call::post(cpu, in_a_handler);
            }
            check(nmi::on_each(&others, at_nmi_level).silent.is_empty(), "they come in");
            for cpu in &cpu::online() {
                let count = look(cpu, since);
                all_full &= !others.contains(cpu) || count.noted > RECORDS as u64;
                rounds += 1;
            }
        }
        OVER.store(true, Ordering::Relaxed);
        check(trace::stop().is_ok(), "tracing ends");
        check(!trace::is_on(), "it is off");
        let _ = call::on_each(&others, |_| ());
        for cpu in &cpu::online() {
            let count = look(cpu, since);
            check(
                count.noted >= count.read && count.unfinished <= 2,
                "at most one for each level is written into",
            );
            match mode {
                Mode::Overwrite => check(count.dropped == 0, "nothing is dropped"),
                Mode::Drop => check(count.overwritten == 0, "nothing is overwritten"),
            }
            if others.contains(cpu) {
                check(count.noted > RECORDS as u64, "more than there is room for");
                check(count.read + count.unfinished == RECORDS as u64, "the ring is full");
            }
            sum.noted += count.noted;
            sum.dropped += count.dropped;
            sum.overwritten += count.overwritten;
        }
        exactly(mode);
    }
    println!(
        "trace: {} records, {} overwritten, {} dropped, read {rounds} times, none torn",
        sum.noted, sum.overwritten, sum.dropped
    );
}

/// What a thread notes until it is over.
fn write() {
    let mut number = 0;
    while !OVER.load(Ordering::Relaxed) {
        reveille::trace!("thread", value(number));
        number += 1;
    }
}

/// With interrupts masked nothing else is noted: as many as were noted are counted.
fn exactly(mode: Mode) {
    const NUMBER: u64 = 5000;
    check(trace::start(mode).is_ok(), "tracing begins");
    let masked = irq::mask();
    let own = cpu::current();
    let before = trace::read(own, |_| ());
    for number in 0..NUMBER {
        reveille::trace!("thread", value(number));
    }
    let after = trace::read(own, |_| ());
    drop(masked);
    check(trace::stop().is_ok(), "tracing ends");
    check(after.noted - before.noted == NUMBER, "each is counted once");
    check(after.unfinished == 0 && after.read == RECORDS as u64, "the ring is full, and whole");
    check(
        after.dropped + after.overwritten == after.noted - RECORDS as u64,
        "the others are lost, and counted",
    );
}

fn kinds() {
    let own = cpu::current();
    let others = cpu::online().without(own);
    let other = others.iter().last().expect("two CPUs");
    check(call::on(other, || 7).is_ok(), "a call");
    check(call::on_each(&cpu::online(), |_| ()).is_ok(), "a call of all");
    static RAN: AtomicBool = AtomicBool::new(false);
    check(call::post(other, || RAN.store(true, Ordering::Release)).is_ok(), "a post");
    eventually("it runs", || RAN.load(Ordering::Acquire));
    static FIRED: AtomicBool = AtomicBool::new(false);
    check(time::after(Duration::from_millis(1), || FIRED.store(true, Ordering::Relaxed)).is_ok(), "a timer");
    while !FIRED.load(Ordering::Relaxed) {
        cpu::idle();
    }
    check(stop_machine(LONG, || ()).is_ok(), "stop-machine");
    check(stop_machine_each(LONG, |_| ()).is_ok(), "stop-machine on each");
    check(SWITCH.enable().is_ok(), "a key");
    if SWITCH.is_enabled() {
        reveille::trace!("the switch is on");
    }
    reveille::trace!("largest", u64::MAX);
    reveille::trace!("signed", -2_i32);
    check(hotplug::cpu_down(other, LONG).is_ok(), "a CPU goes");
    check(bringup::cpu_up(other, LONG) == bringup::Verdict::Online, "it comes back");
    let only: CpuSet = [other].into_iter().collect();
    check(nmi::on_each(&only, at_nmi_level).is_complete(), "at NMI level");
}
