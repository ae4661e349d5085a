//! The states of one CPU through two lives. The exercise of docs/life-of-a-cpu.md.

#![no_std]
#![no_main]

use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId};
use reveille::{ExitCode, System, hotplug, println};

reveille::entry!(main);

// ANCHOR: tell
fn tell(cpu: CpuId) {
    let status = cpu::status(cpu);
    println!("two lives: cpu {cpu} is {}, generation {}", status.state, status.generation);
}
// ANCHOR_END: tell

fn main(_: &'static System) -> ExitCode {
    let limit = Duration::from_secs(10);
    let Some(cpu) = cpu::get(1) else {
        println!("two lives: there is no cpu 1");
        return ExitCode::FAILURE;
    };
    // ANCHOR: lives
    tell(cpu);
    let first = cpu_up(cpu, limit);
    tell(cpu);
    let left = hotplug::cpu_down(cpu, limit);
    tell(cpu);
    let second = cpu_up(cpu, limit);
    tell(cpu);
    // ANCHOR_END: lives
    (first == Verdict::Online && left.is_ok() && second == Verdict::Online).into()
}
