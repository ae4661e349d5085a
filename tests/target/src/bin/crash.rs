//! Breaks the machine in the way that the bootarg `case=NAME` says. The panic report is the result.

#![no_std]
#![no_main]

use core::arch::asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::{ExitCode, System, irq, println, time};

reveille::entry!(main);

static IN_TIMER: AtomicBool = AtomicBool::new(false);

fn main(system: &'static System) -> ExitCode {
    let roll_call = system.bring_up_all(system.deadline());
    if !roll_call.is_complete() {
        println!("{roll_call}");
        return ExitCode::FAILURE;
    }
    let case = system.arg("case").unwrap_or("");
    match case {
        "panic" => panic!("on purpose"),
        "read" => {
            // SAFETY: not safe at all: nothing is mapped there, which is what the test is about.
            let value = unsafe { (black_box(0x00de_ad00_0000_u64) as *const u64).read_unaligned() };
            println!("read {value}");
        }
        "write-text" => {
            let text = main as *const () as *mut u32;
            // SAFETY: not safe at all: text is read-only, which is what the test is about.
            unsafe { black_box(text).write(0) };
        }
        "write-constant" => {
            static CONSTANT: [u64; 4] = [1, 2, 3, 4];
            // SAFETY: not safe at all: constants are read-only, which is what the test is about.
            unsafe { black_box(CONSTANT.as_ptr().cast_mut()).write(0) };
        }
        "execute-data" => {
            let code: [u32; 2] = black_box([0xd65f_03c0, 0]);
            // SAFETY: not safe at all: the stack is not executable, which is what the test is about.
            let call: extern "C" fn() = unsafe { core::mem::transmute(code.as_ptr()) };
            call();
        }
        // SAFETY: raises an exception, which is what the test is about.
        "undefined" => unsafe { asm!("udf #0") },
        "overflow" => println!("{}", overflow(0)),
        "secondary" => {
            let last = cpu::possible().iter().last().unwrap_or(CpuId::BOOT);
            if cpu::launch(last, || panic!("on a secondary")).is_err() {
                return ExitCode::FAILURE;
            }
            wait();
        }
        "secondary-overflow" => {
            let last = cpu::possible().iter().last().unwrap_or(CpuId::BOOT);
            if cpu::launch(last, || println!("{}", overflow(0))).is_err() {
                return ExitCode::FAILURE;
            }
            wait();
        }
        "masked" => {
            // The others hold interrupts back: only an NMI-class SGI gets at them.
            for cpu in cpu::online().without(cpu::current()) {
                let spin = || {
                    let _masked = irq::mask();
                    loop {
                        core::hint::spin_loop();
                    }
                };
                if cpu::launch(cpu, spin).is_err() {
                    return ExitCode::FAILURE;
                }
            }
            let set = time::after(Duration::from_millis(50), || panic!("while the others are masked"));
            if set.is_err() {
                return ExitCode::FAILURE;
            }
            wait();
        }
        "timer" => {
            let set = time::after(Duration::from_millis(1), || {
                IN_TIMER.store(true, Ordering::Relaxed);
                panic!("in an interrupt handler");
            });
            if set.is_err() {
                return ExitCode::FAILURE;
            }
            wait();
        }
        other => println!("case={other}: unknown"),
    }
    println!("survived case={case}");
    ExitCode::FAILURE
}

fn wait() {
    let until = time::Deadline::after(Duration::from_secs(20));
    while !until.has_passed() {
        cpu::idle();
    }
}

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    overflow(depth + 1) + frame[3]
}
