//! All CPUs fail at once, and again after every reset.
//!
//! Bootargs: `lives=N` boots to go through (default 10), `first=N` the number of the first of them, `seed=N` what they look like, `mode=all|mixed`: whether every CPU
//! fails, or some only stand by, in states that are hard to stop; `together=N`: in every Nth life all fail at one instant,
//! masked (default 3; 0: in none). Wants `reveille.panic=reset`, and ends with exit code 0.

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::sync::SpinLock;
use reveille::time::{self, Instant};
use reveille::{ExitCode, System, call, irq, panic, println};
use reveille_tests::reboots::Reboots;
use reveille_tests::{Random, argument, check, eventually};

reveille::entry!(main);

static READY: AtomicU32 = AtomicU32::new(0);
static START: AtomicBool = AtomicBool::new(false);
static LOCK: SpinLock<u64> = SpinLock::new(0);

fn main(system: &'static System) -> ExitCode {
    let lives = Reboots::begin(system);
    check(
        panic::last_words().is_some() == (lives.number() > 0),
        "the report of the life before has survived, if there was one",
    );
    let all = system.arg("mode") != Some("mixed");
    let life = argument(system, "first", 0) + lives.number();
    if lives.number() == argument(system, "lives", 10) {
        println!(
            "storm: {} lives, {}",
            lives.number(),
            if all { "every CPU fails" } else { "some CPUs stand by" }
        );
        return ExitCode::SUCCESS;
    }
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    println!("storm: life {life}");
    let mut random = Random::new(argument(system, "seed", 1) << 20 | life);
    let others = cpu::online().without(cpu::current());
    // In some lives all come to the same instant with interrupts masked, where no SGI stops anybody: each fails by itself.
    let together = argument(system, "together", 3);
    if all && together != 0 && life.is_multiple_of(together) {
        for cpu in others {
            check(cpu::launch(cpu, move || fail_together(life)).is_ok(), "an idle CPU takes a closure");
        }
        eventually("all are ready", || READY.load(Ordering::Relaxed) as usize == others.len());
        let _masked = irq::mask();
        START.store(true, Ordering::Release);
        panic!("life {life}, cpu {}, with all others", cpu::current());
    }
    for cpu in others {
        let (role, delay) = (random.below(if all { 8 } else { 16 }), random.below(3000));
        check(cpu::launch(cpu, move || play(role, delay, life)).is_ok(), "an idle CPU takes a closure");
    }
    eventually("all are ready", || READY.load(Ordering::Relaxed) as usize == others.len());
    START.store(true, Ordering::Release);
    play(random.below(8), random.below(3000), life);
    loop {
        cpu::idle();
    }
}

/// Slices of counted instructions end where a timer is due: this one, which interrupts nobody, is due at another place
/// with every seed.
fn slice(ticks: u64) {
    let at = Instant::now().ticks() + ticks;
    // SAFETY: the physical timer, which only this test uses, enabled and masked.
    unsafe {
        asm!("msr cntp_cval_el0, {}", "msr cntp_ctl_el0, {}", "isb", in(reg) at, in(reg) 3_u64, options(nostack));
    }
}

fn fail_together(life: u64) {
    let _masked = irq::mask();
    READY.fetch_add(1, Ordering::Relaxed);
    while !START.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    panic!("life {life}, cpu {}, with all others", cpu::current());
}

fn play(role: u64, delay: u64, life: u64) {
    let own = cpu::current();
    if own != CpuId::BOOT {
        READY.fetch_add(1, Ordering::Relaxed);
    }
    while !START.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    slice(delay * 7 % 2000);
    for _ in 0..delay {
        core::hint::black_box(());
    }
    match role {
        0..=2 => panic!("life {life}, cpu {own}"),
        3 => {
            let _masked = irq::mask();
            panic!("life {life}, cpu {own}, masked");
        }
        // SAFETY: raises an exception: that is the test.
        4 => unsafe { asm!("udf #0") },
        5 => {
            let soon = Duration::from_micros(delay % 50);
            check(
                time::after(soon, move || panic!("life {life}, cpu {own}, in a handler")).is_ok(),
                "a timer",
            );
            loop {
                cpu::idle();
            }
        }
        6 => {
            let mut held = LOCK.lock();
            *held += 1;
            panic!("life {life}, cpu {own}, with a lock");
        }
        7 => {
            // Whoever it is sent to fails in its stead.
            let others = cpu::online().without(own);
            let target = others.iter().nth(delay as usize % others.len().max(1)).unwrap_or(own);
            let _ = call::post(target, move || panic!("life {life}, cpu {target}, in a callback from {own}"));
            loop {
                cpu::idle();
            }
        }
        8 => loop {
            core::hint::spin_loop();
        },
        9 | 10 => {
            let _masked = irq::mask();
            loop {
                core::hint::spin_loop();
            }
        }
        11 | 12 => loop {
            *LOCK.lock() += 1;
        },
        13 => loop {
            println!("cpu {own} prints");
        },
        14 => loop {
            for cpu in cpu::online().without(own) {
                let _ = call::on(cpu, cpu::current);
            }
        },
        _ => loop {
            cpu::idle();
        },
    }
}
