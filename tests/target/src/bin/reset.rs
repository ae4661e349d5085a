//! Reset and power off, by whatever the machine has for it, and what survives a reset.
//!
//! The bootarg `how` says what: `reset` (default), `off`, or `panic`, which wants `reveille.panic=reset` besides.

#![no_std]
#![no_main]

use reveille::{ExitCode, System, cpu, panic, power, println};
use reveille_tests::{check, on_all_others};

reveille::entry!(main);

/// In RAM, it says to the second boot that there was a first. Not in the image: a reset loads that anew.
const MARK: u64 = 0x5ec0_7d60_a70f_f1ce;

fn main(system: &'static System) -> ExitCode {
    let boots = mark(system);
    println!("boot {boots} entered at EL{}", system.entry_el());
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    // They are busy when it happens.
    on_all_others(|| {
        loop {
            core::hint::spin_loop();
        }
    });
    match (system.arg("how").unwrap_or("reset"), boots) {
        ("off", _) => {
            println!("turning off");
            power::off()
        }
        ("panic", 1) => panic!("before the reset"),
        ("panic", 2) => {
            let Some(words) = panic::last_words() else { panic!("no last words") };
            let told = words.text().lines().filter(|line| line.contains("before the reset")).count();
            check(told == 1, "the last words are those of the panic");
            check(!words.is_cut() && !words.is_nested(), "and whole");
        }
        ("reset", 1) => {
            println!("resetting");
            power::reset()
        }
        ("reset", 2) => check(panic::last_words().is_none(), "nobody panicked"),
        (how, boots) => panic!("how={how}, boot {boots}"),
    }
    println!("reset: all good, {} CPUs", cpu::online().len());
    ExitCode::SUCCESS
}

/// Which boot this is since power came on: counted in the last word of free memory.
fn mark(system: &System) -> u64 {
    let Some(region) = system.free_memory().last() else { panic!("no free memory") };
    let word = (region.base + region.size - 8) as *mut u64;
    // SAFETY: free memory, mapped, and nobody else's; the end of a region is a multiple of 8.
    unsafe {
        let boots = word.read_volatile().wrapping_sub(MARK).min(8) % 8 + 1;
        word.write_volatile(MARK + boots);
        boots
    }
}
