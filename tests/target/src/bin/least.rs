//! The smallest stacks that can be chosen do for what the runtime does on them, and for a panic at the end.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, Stacks};
use reveille::{ExitCode, System, bringup, call, hotplug, println, stop_machine, time, watchdog};
use reveille_tests::{check, eventually, launch};

reveille::entry!(main, stacks = Stacks { thread: Stacks::LEAST, exception: Stacks::LEAST });

const LONG: Duration = Duration::from_secs(20);

static RAN: AtomicU64 = AtomicU64::new(0);

fn everything(system: &'static System) {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    println!("{:?}", cpu::status(cpu::current()));
    check(watchdog::start(LONG).is_ok(), "the watchdog starts");
    for cpu in cpu::online().without(cpu::current()) {
        check(hotplug::cpu_down(cpu, LONG).is_ok(), "a CPU leaves");
        check(matches!(bringup::cpu_up(cpu, LONG), bringup::Verdict::Online), "and comes back");
        launch(cpu, || {
            let later = || {
                println!("a timer of cpu {}: {:?}", cpu::current(), cpu::status(cpu::current()));
                RAN.fetch_add(1, Ordering::Relaxed);
            };
            check(time::after(Duration::ZERO, later).is_ok(), "a timer is set");
        });
        check(call::on(cpu, || println!("{:?}", time::Instant::now())).is_ok(), "a call is taken");
        check(stop_machine(LONG, || log::info!("in a job")).is_ok(), "all come to a round");
    }
    eventually("all timers ring", || RAN.load(Ordering::Relaxed) as usize == cpu::online().len() - 1);
}

fn main(system: &'static System) -> ExitCode {
    everything(system);
    println!("least: all good");
    check(call::post(cpu::current(), || panic!("in a callback")).is_ok(), "a post is accepted");
    cpu::idle_loop(cpu::current())
}
