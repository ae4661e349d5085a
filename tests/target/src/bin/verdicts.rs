//! A roll call in which every start ends in another way, as text, or as JSON with the bootarg `json`.
//!
//! With the shim at EL2 as firmware, and 7 CPUs: the boot CPU; one that never starts; one that firmware denies; one that it says
//! is on already, for ever; one whose online callback fails; one that arrives and does not come online; and one that does.

#![no_std]
#![no_main]

use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::fault;
use reveille::time::Instant;
use reveille::{ExitCode, System, hotplug, println};
use reveille_tests::shim::{self, Plan};
use reveille_tests::{check, pause};

reveille::entry!(main);

/// The id of the CPU whose callback fails, and of the one that does not come online.
const FAILS: usize = 4;
const WEDGED: usize = 5;

fn main(system: &'static System) -> ExitCode {
    if !shim::is_present(system) || cpu::possible().len() != 7 {
        println!("verdicts: wants the shim as firmware, and 7 CPUs");
        return ExitCode::from(99);
    }
    for (cpu, code) in cpu::possible().into_iter().skip(1).zip([0, -3, -4]) {
        shim::plan(cpu, Plan::Answer { code, times: u64::MAX });
    }
    let registered = hotplug::register(|cpu| if cpu.index() == FAILS { Err(()) } else { Ok(()) }, |_| {});
    check(registered.is_ok(), "callbacks can be registered");
    fault::before_online(Some(|cpu: CpuId| {
        while cpu.index() == WEDGED {
            pause();
        }
    }));
    let begun = Instant::now();
    let roll_call = system.bring_up_all(system.deadline());
    let took = Instant::now() - begun;
    for entry in roll_call.iter() {
        check(entry.after <= took, "no verdict took longer than all of them");
        check(entry.boot == (entry.after == Duration::ZERO), "whoever was started has a time");
    }
    if system.arg("json").is_some() {
        println!("{}", roll_call.json());
    } else {
        println!("{roll_call}");
    }
    roll_call.is_complete().into()
}
