//! Tests that want machines.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use reveille::bringup::Verdict;
use reveille::call::CallError;
use reveille::dt::Gic;
use reveille::{System, bringup, call, cpu};

reveille::tests!();

#[reveille::test]
fn all_answer() -> Result<(), CallError> {
    assert_eq!(cpu::online(), cpu::possible());
    cpu::online().iter().try_for_each(|cpu| call::on(cpu, || ()))
}

#[reveille::test(cpus = 16)]
fn sixteen() {
    assert!(cpu::online().len() >= 16);
}

#[reveille::test(gic = 2)]
fn of_version_2(system: &'static System) {
    assert!(matches!(system.machine().gic, Ok(Gic::V2 { .. })));
}

#[reveille::test(gic = 3)]
fn of_version_3(system: &'static System) {
    assert!(matches!(system.machine().gic, Ok(Gic::V3 { .. })));
}

#[reveille::test(el = 2)]
fn entered_at_2(system: &'static System) {
    assert_eq!(system.entry_el(), 2);
}

#[reveille::test(up = false)]
fn alone() {
    assert_eq!(cpu::online().len(), 1);
}

/// The exercise of docs/testing.md.
#[reveille::test(cpus = 2, up = false)]
fn nobody_is_called_who_is_off(system: &'static System) {
    let second = cpu::get(1).expect("there are two");
    assert!(matches!(call::on(second, || ()), Err(CallError::Offline)));
    assert_eq!(bringup::cpu_up(second, system.deadline()), Verdict::Online);
    assert_eq!(call::on(second, cpu::current), Ok(second));
}

#[reveille::test(cpus = 2, up = false)]
fn one_comes(system: &'static System) {
    let second = cpu::get(1).expect("there are two");
    assert_eq!(bringup::cpu_up(second, system.deadline()), Verdict::Online);
    assert_eq!(cpu::online().len(), 2);
}
