//! Every public function, called from every context: it runs, or is refused by value, or panics and says so; it does not hang,
//! and the runtime is as well afterwards as before.
//!
//! Bootargs: `context=NAME`, one of [`places::CONTEXTS`]; `from=N`, the number of the function to begin with (default 0). Each
//! call is announced before it is tried, as `cell N FUNCTION`, and what became of it follows in a line that begins with `->`. A
//! function that ends the run (it panics, hangs, turns the machine off) is the last of its boot; `tests/target/contexts.py`
//! begins again with the one after it, and compares all of it with `tests/target/contexts.table`.

#![no_std]
#![no_main]

mod cell;
mod functions;
mod health;
mod places;

use cell::End;
use core::sync::atomic::{AtomicPtr, Ordering};
use core::time::Duration;
use functions::FUNCTIONS;
use places::{CONTEXTS, Context};
use reveille::cpu::CpuId;
use reveille::{ExitCode, System, power, println};
use reveille_tests::argument;

reveille::entry!(
    main,
    // SAFETY: all that `secondary` has on the stack at an offline point is numbers.
    leaving = unsafe { reveille::cpu::Leaving::new(places::secondary) }
);

/// What a function gets that has a deadline.
const LIMIT: Duration = Duration::from_millis(10);
/// What the test itself does takes no longer.
const LONG: Duration = Duration::from_millis(100);

/// The run ends here by what was called, as it should.
const ENDED: u8 = 77;
/// So it does, and the function did what it promises.
const RAN_AND_ENDED: u8 = 78;
/// What follows would say nothing: something hangs, or is broken.
const BROKEN: u8 = 79;

static SYSTEM: AtomicPtr<System> = AtomicPtr::new(core::ptr::null_mut());

/// What `main` was given.
fn system() -> &'static System {
    // SAFETY: null, or what `main` has stored: a reference that lives for ever.
    unsafe { SYSTEM.load(Ordering::Relaxed).as_ref() }.expect("main has begun")
}

fn main(system: &'static System) -> ExitCode {
    SYSTEM.store(core::ptr::from_ref(system).cast_mut(), Ordering::Relaxed);
    let name = system.arg("context").unwrap_or("");
    let from = argument(system, "from", 0) as usize;
    let Some(context) = CONTEXTS.iter().find(|context| context.name == name) else {
        for context in CONTEXTS {
            println!("context {}", context.name);
        }
        for function in FUNCTIONS {
            println!("function {}", function.name);
        }
        return ExitCode::from(BROKEN);
    };
    println!("contexts: {name} from {from}");
    places::set_up(context);
    cells(context, from)
}

/// Calls one function after the other.
fn cells(context: &'static Context, from: usize) -> ! {
    for (number, function) in FUNCTIONS.iter().enumerate().skip(from) {
        println!("cell {number} {}", function.name);
        cell::arm(number);
        (context.enter)();
        match cell::wait(CpuId::BOOT, context.actor) {
            End::Over => println!("-> {}", cell::Report),
            End::Left => println!("-> ends"),
            End::Hangs => broken(format_args!("hangs")),
        }
        if let Err(why) = health::check(context) {
            broken(format_args!("corrupts: {why}"));
        }
    }
    println!("contexts: all of {} called", context.name);
    power::exit(ExitCode::SUCCESS)
}

fn broken(what: core::fmt::Arguments<'_>) -> ! {
    println!("-> {what}");
    power::exit(ExitCode::from(BROKEN))
}
