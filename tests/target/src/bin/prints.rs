//! Printing while printing: the text of a `Display` that prints or logs comes out in the middle of its line, nobody hangs, and the lines
//! of different CPUs never mix. And: a listener that was refused has not taken the place of the one that there is.

#![no_std]
#![no_main]

use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::console::{self, InputError};
use reveille::dt::ConsoleKind;
use reveille::irq::IrqError;
use reveille::sync::SpinLock;
use reveille::time::Deadline;
use reveille::{ExitCode, System, call, cpu, irq, print, println, time};
use reveille_tests::{check, eventually, on_all_others};

reveille::entry!(main);

/// Prints something when it is displayed, in one way or another, and so does that.
#[derive(Clone, Copy)]
struct Chatty(u32);

impl fmt::Display for Chatty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => return f.write_str("*"),
            depth if depth % 3 == 0 => println!("<{}>", Self(depth - 1)),
            depth if depth % 3 == 1 => print!("<{}>", Self(depth - 1)),
            depth => log::error!("<{}>", Self(depth - 1)),
        }
        f.write_str("*")
    }
}

/// Every way to begin.
fn talk() {
    for depth in 0..5 {
        println!("{}", Chatty(depth));
        log::error!("{}", Chatty(depth));
        print!("{}{}\n", Chatty(depth), Chatty(depth));
    }
}

/// Nothing, which takes a while: others have a chance to come in between.
struct Pause;

impl fmt::Display for Pause {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = Deadline::after(Duration::from_micros(200));
        while !until.has_passed() {
            core::hint::spin_loop();
        }
        Ok(())
    }
}

/// Lines of many CPUs at once, each in one piece.
fn recite() {
    for _ in 0..8 {
        println!(
            "{{cpu {}{Pause} {}}}",
            cpu::current(),
            "recites a line that is long enough to be mixed with others"
        );
    }
}

/// Whether the characters that the console sends come back to it: PL011 alone (CR.LBE, Arm DDI 0183 3.3.8).
fn loop_back(base: u64, on: bool) {
    const CR: u64 = 0x30;
    const LBE: u32 = 1 << 7;
    let at = base + CR;
    // SAFETY: the control register of the PL011 that the console is, mapped where it is.
    unsafe {
        let control: u32;
        asm!("ldr {control:w}, [{at}]", control = out(reg) control, at = in(reg) at, options(nostack, preserves_flags));
        let control = if on { control | LBE } else { control & !LBE };
        asm!("str {control:w}, [{at}]", control = in(reg) control, at = in(reg) at, options(nostack, preserves_flags));
    }
}

static FIRST: AtomicU64 = AtomicU64::new(0);
static SECOND: AtomicU64 = AtomicU64::new(0);

fn listeners(system: &'static System) {
    let Ok(console) = &system.machine().console else { return };
    check(console.kind == ConsoleKind::Pl011, "the console of this machine is a PL011");
    let first = || _ = FIRST.fetch_add(1, Ordering::Relaxed);
    let second = || _ = SECOND.fetch_add(1, Ordering::Relaxed);
    check(console::listen(console, first).is_ok(), "it can be listened to");
    let taken = console::listen(console, second);
    check(matches!(taken, Err(InputError::Irq(IrqError::Taken { .. }))), "once");
    loop_back(console.registers.base, true);
    print!("!");
    eventually("the listener is told", || FIRST.load(Ordering::Relaxed) != 0);
    loop_back(console.registers.base, false);
    check(SECOND.load(Ordering::Relaxed) == 0, "the one that was there");
    check(console::read_byte() == Some(b'!'), "of what was typed");
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    static DONE: AtomicU64 = AtomicU64::new(0);
    let others = cpu::online().without(cpu::current());
    talk();
    for cpu in &others {
        let before = DONE.load(Ordering::Relaxed);
        let there = || {
            talk();
            DONE.fetch_add(1, Ordering::Relaxed);
        };
        eventually("a closure is taken", || cpu::launch(cpu, there).is_ok());
        eventually("it has talked", || DONE.load(Ordering::Relaxed) == before + 1);
        check(call::on(cpu, talk).is_ok(), "in a callback too");
    }
    static FIRED: AtomicU64 = AtomicU64::new(0);
    let fire = || {
        talk();
        FIRED.fetch_add(1, Ordering::Relaxed);
    };
    check(time::after(Duration::ZERO, fire).is_ok(), "a timer is set");
    eventually("in a timer's handler too", || FIRED.load(Ordering::Relaxed) == 1);
    let masked = irq::mask();
    talk();
    drop(masked);
    static LOCK: SpinLock<u64> = SpinLock::new(0);
    let lock = LOCK.lock();
    println!("{}", Chatty(*lock as u32 + 2));
    drop(lock);
    check(!irq::is_masked(), "interrupts are open again");

    println!("now all at once");
    let before = DONE.load(Ordering::Relaxed);
    on_all_others(|| {
        recite();
        DONE.fetch_add(1, Ordering::Relaxed);
    });
    recite();
    eventually("everyone has recited", || DONE.load(Ordering::Relaxed) == before + others.len() as u64);
    listeners(system);
    println!();
    println!("prints: everyone went on");
    ExitCode::SUCCESS
}
