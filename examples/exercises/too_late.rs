//! Starts each CPU with a deadline that is too short, then with one twice as long, until it comes; and looks after each start whether
//! the verdict is true. The exercise of docs/bring-up.md.

#![no_std]
#![no_main]

use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::call::{self, CallError};
use reveille::cpu::{self, CpuId};
use reveille::{ExitCode, System, println};

reveille::entry!(main);

// ANCHOR: start
/// Starts `cpu` until it comes. How many starts were called off, or `None` if a verdict was not true.
fn start(cpu: CpuId) -> Option<u32> {
    let mut called_off = 0;
    let mut deadline = Duration::from_micros(1);
    loop {
        let verdict = cpu_up(cpu, deadline);
        let answer = call::on(cpu, cpu::current);
        match verdict {
            Verdict::Online => return (answer == Ok(cpu)).then_some(called_off),
            // It may arrive at any moment from now on, and nobody will see it.
            Verdict::Revoked | Verdict::Refused(_) if answer == Err(CallError::Offline) => called_off += 1,
            // It arrived in time and did not come online in time: it stays where it is.
            Verdict::Wedged if answer == Err(CallError::Offline) => {
                println!("too late: cpu {cpu} is wedged with {} us", deadline.as_micros());
                return Some(called_off);
            }
            _ => return None,
        }
        deadline *= 2;
    }
}
// ANCHOR_END: start

fn main(_: &'static System) -> ExitCode {
    let mut called_off = 0;
    for cpu in cpu::possible().without(cpu::current()) {
        let Some(count) = start(cpu) else {
            println!("too late: cpu {cpu} is not what its verdict says");
            return ExitCode::FAILURE;
        };
        called_off += count;
    }
    println!("too late: {called_off} starts called off, every verdict was true");
    ExitCode::SUCCESS
}
