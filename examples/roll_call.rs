//! Brings every CPU up and says what became of each.

#![no_std]
#![no_main]

use reveille::{ExitCode, System, println};

reveille::entry!(main);

fn main(system: &'static System) -> ExitCode {
    let roll_call = system.bring_up_all(system.deadline());
    if system.arg("json").is_some() {
        println!("{}", roll_call.json());
    } else {
        println!("{roll_call}");
    }
    roll_call.is_complete().into()
}
