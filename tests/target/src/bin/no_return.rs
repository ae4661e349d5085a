//! Firmware that turns a CPU off and does not bring it back: the CPU is called off, and the rest goes on without it.
//!
//! For TF-A on QEMU's raspi4b, whose CPU_OFF ends with a warm reset of the core that QEMU does not model.
//!
//! With the bootarg `goes=pen` or `goes=off` it is about boards that are known for such firmware: where a CPU goes that leaves, and that it
//! comes back from there.

#![no_std]
#![no_main]

use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::call::{self, CallError};
use reveille::cpu::{self, CpuId};
use reveille::{ExitCode, System, fault, hotplug, println, stop_machine};
use reveille_tests::{check, eventually};

reveille::entry!(main);

const PATIENCE: Duration = Duration::from_secs(20);
/// What PSCI answers to the start of a CPU that is being started.
const ON_PENDING: i32 = -5;
const SHORT: Duration = Duration::from_secs(1);

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let lost = cpu::possible().into_iter().last().unwrap_or(CpuId::BOOT);
    check(hotplug::cpu_down(lost, PATIENCE) == Ok(()), "it leaves");
    if let Some(where_to) = system.arg("goes") {
        let pen = where_to == "pen";
        eventually("it is where it goes", || {
            fault::is_off(lost) == Some(!pen) && cpu::status(lost).in_pen == pen
        });
        check(cpu_up(lost, PATIENCE) == Verdict::Online, "it comes back");
        println!("no return: to {where_to} and back");
        return ExitCode::SUCCESS;
    }
    for round in 0..3 {
        let verdict = cpu_up(lost, SHORT);
        println!("cpu {lost}: {verdict:?}");
        // Firmware believes that the first start is still under way, and refuses the others for that.
        let expected = if round == 0 { Verdict::Revoked } else { Verdict::Refused(ON_PENDING) };
        check(verdict == expected, "it does not come, and is called off");
        check(call::on(lost, || ()) == Err(CallError::Offline), "a call to it is refused");
        for cpu in cpu::online() {
            check(call::on(cpu, cpu::current) == Ok(cpu), "the others answer");
        }
        check(stop_machine(PATIENCE, || 7) == Ok(7), "and can be stopped");
    }
    println!("no return: all good");
    ExitCode::SUCCESS
}
