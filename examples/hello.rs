//! A program of one's own: it brings every CPU up, and has each add its number to a sum.

#![no_std]
#![no_main]

use reveille::{ExitCode, System, call, cpu, println};

reveille::entry!(main);

fn main(system: &'static System) -> ExitCode {
    let roll_call = system.bring_up_all(system.deadline());
    println!("{roll_call}");
    let mut sum = 0;
    for cpu in cpu::online() {
        // Runs there, borrows from this stack, and is over when `on` returns.
        if let Err(error) = call::on(cpu, || sum += cpu.index()) {
            println!("cpu {cpu}: {error}");
        }
    }
    println!("the ids of the CPUs online add up to {sum}");
    roll_call.is_complete().into()
}
