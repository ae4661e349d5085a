//! A program with tests beside its code.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[cfg(not(test))]
reveille::entry!(main);
#[cfg(test)]
reveille::tests!(setup = prepare);

/// What is printed of two numbers.
fn printed(system: &'static reveille::System) -> u64 {
    reveille_harness::larger(system.entry_el().into(), reveille::cpu::possible().len() as u64)
}

#[cfg(not(test))]
fn main(system: &'static reveille::System) -> reveille::ExitCode {
    reveille::println!("{}", printed(system));
    reveille::ExitCode::SUCCESS
}

#[cfg(test)]
fn prepare(_system: &'static reveille::System) {
    reveille::println!("prepared");
}

#[cfg(test)]
#[reveille::test]
fn a_number_is_printed(system: &'static reveille::System) {
    assert!(printed(system) > 0);
}
