//! How much RAM is left when every CPU is online: `memory: N CPUs, F bytes free`. The differences between machines are what
//! a CPU takes.

#![no_std]
#![no_main]

use reveille::{ExitCode, System, cpu, println};
use reveille_tests::check;

reveille::entry!(main);

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let free: u64 = system.free_memory().map(|piece| piece.size).sum();
    println!("memory: {} CPUs, {free} bytes free", cpu::online().len());
    ExitCode::SUCCESS
}
