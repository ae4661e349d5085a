//! A CPU that is frozen from outside while it should arrive, and let go when it is too late.
//!
//! `frozen.py` freezes the last vCPU through QEMU's gdb stub, and lets it go when it reads on the console that the CPU
//! was called off. The bootarg `deadline_ms=N` says how long the image waits for it, and for it alone: the others come first, with
//! as much time as a busy host takes.

#![no_std]
#![no_main]

use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId};
use reveille::fault::{self, State};
use reveille::{ExitCode, System, println};
use reveille_tests::lives::{await_run, is_penned, last_run, secondary};
use reveille_tests::{check, eventually};

reveille::entry!(main, secondary = secondary);

/// Time for a start that is to succeed: machines that run tests are slow at times.
const PATIENCE: Duration = Duration::from_secs(40);
/// Bytes of stacks that nobody may touch.
const FILL: u64 = 0xf0f0_f0f0_f0f0_f0f0;

fn main(system: &'static System) -> ExitCode {
    let frozen = cpu::possible().into_iter().last().unwrap_or(CpuId::BOOT);
    fault::fill_stacks(frozen, FILL);
    for cpu in cpu::possible().without(CpuId::BOOT).without(frozen) {
        check(cpu_up(cpu, PATIENCE) == Verdict::Online, "a CPU that runs comes online");
    }
    let roll_call = system.bring_up_all(system.deadline());
    println!("{roll_call}");
    for entry in roll_call.iter() {
        let want = if entry.cpu == frozen { Verdict::Revoked } else { Verdict::Online };
        check(entry.verdict == want, "the frozen CPU is called off, the others are online");
    }
    println!("frozen: cpu {frozen} was called off");
    eventually("it goes on, loses and waits in the pen", || is_penned(frozen, 1));
    check(fault::slot(frozen).state == State::Revoked, "what was called off stays called off");
    check(last_run(frozen).is_none(), "and never ran");
    check(fault::stacks_hold(frozen, FILL), "and did not touch its stacks");
    check(cpu_up(frozen, PATIENCE) == Verdict::Online, "it is brought up from the pen");
    await_run(frozen);
    check(last_run(frozen) == Some(2), "with the second generation");
    println!("frozen: cpu {frozen} online with generation 2");
    ExitCode::SUCCESS
}
