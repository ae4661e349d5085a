//! Which CPU took the longest to come, of those that came? The exercise of docs/get-started.md.

#![no_std]
#![no_main]

use reveille::bringup::Verdict;
use reveille::{ExitCode, System, println};

reveille::entry!(main);

fn main(system: &'static System) -> ExitCode {
    let roll_call = system.bring_up_all(system.deadline());
    // ANCHOR: slowest
    let came = roll_call.iter().filter(|entry| entry.verdict == Verdict::Online && !entry.boot);
    match came.max_by_key(|entry| entry.after) {
        Some(slowest) => println!("slowest: cpu {} after {} us", slowest.cpu, slowest.after.as_micros()),
        None => println!("slowest: no other CPU has come"),
    }
    // ANCHOR_END: slowest
    roll_call.is_complete().into()
}
