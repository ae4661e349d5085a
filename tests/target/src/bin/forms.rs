//! The locks change their form as the machine goes from one CPU to several and back, with locks held and contended
//! across it; and the CPU that booted leaves and comes back.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId};
use reveille::hotplug::{self, Hold, HotplugError};
use reveille::sync::{Mutex, SpinLock};
use reveille::{ExitCode, System, patch, power, println};
use reveille_tests::{check, eventually};

reveille::entry!(main, secondary = secondary);

const LONG: Duration = Duration::from_secs(20);

static SPIN: SpinLock<u64> = SpinLock::new(0);
static MUTEX: Mutex<u64> = Mutex::new(0);
static TAKEN: AtomicU64 = AtomicU64::new(0);
/// Which CPU goes on with the test, 0 while it is `main`.
static BATON: AtomicU64 = AtomicU64::new(0);

/// Whether the locks are in their form for one CPU, from what stands in the code.
fn is_alone() -> bool {
    let sites = patch::sites().filter(|site| site.key == "ALONE");
    let (mut on, mut off) = (0, 0);
    for site in sites {
        if site.instruction == 0xd503_201f { off += 1 } else { on += 1 }
    }
    check(on == 0 || off == 0, "all sites are in the same form");
    check(on + off > 0, "there are locks");
    on > 0
}

fn take_both() {
    *SPIN.lock() += 1;
    *MUTEX.lock() += 1;
    TAKEN.fetch_add(1, Ordering::Relaxed);
}

fn secondary(own: CpuId) -> ! {
    loop {
        if BATON.load(Ordering::Acquire) == own.index() as u64 && own != CpuId::BOOT {
            second_half();
        }
        take_both();
        cpu::idle();
    }
}

fn main(system: &'static System) -> ExitCode {
    check(is_alone(), "a machine with one CPU running locks in the form for one");
    let others = cpu::possible().without(CpuId::BOOT);
    for _ in 0..20 {
        // Held across the change, both ways.
        let mutex = MUTEX.lock();
        check(system.bring_up_all(LONG).is_complete(), "all CPUs come online");
        check(!is_alone(), "with several CPUs running the locks are in the form for several");
        check(MUTEX.try_lock().is_none(), "a mutex that was held across the change is still held");
        drop(mutex);
        for _ in 0..100 {
            take_both();
        }
        // Now and then, a hold that keeps a CPU from leaving.
        for cpu in others {
            eventually("an idle CPU leaves", || match hotplug::cpu_down(cpu, LONG) {
                Ok(()) => true,
                Err(HotplugError::Held(Hold::Mutex)) => false,
                Err(error) => panic!("{error}"),
            });
        }
        check(is_alone(), "the last CPU has the locks in the form for one again");
        let mutex = MUTEX.lock();
        check(MUTEX.try_lock().is_none(), "a mutex excludes in the form for one");
        drop(mutex);
    }
    // One after the other: a mutex is not for sections with interrupts masked.
    let spin = *SPIN.lock();
    let mutex = *MUTEX.lock();
    check(spin == mutex && spin == TAKEN.load(Ordering::Relaxed), "no update was lost");
    println!("forms: {spin} times each lock, no update lost");
    check(system.bring_up_all(LONG).is_complete(), "all CPUs come online");
    // The rest is up to another CPU: this one becomes a secondary, and is taken down.
    BATON.store(1, Ordering::Release);
    cpu::wake(cpu::get(1).expect("there are at least two CPUs"));
    cpu::become_secondary()
}

fn second_half() -> ! {
    for _ in 0..5 {
        eventually("the boot CPU leaves", || hotplug::cpu_down(CpuId::BOOT, LONG) == Ok(()));
        check(!cpu::online().contains(CpuId::BOOT), "it is gone");
        check(cpu_up(CpuId::BOOT, LONG) == Verdict::Online, "the boot CPU comes back");
        let before = TAKEN.load(Ordering::Relaxed);
        cpu::wake(CpuId::BOOT);
        eventually("it runs the secondary function", || TAKEN.load(Ordering::Relaxed) > before);
    }
    println!("forms: all good");
    power::exit(ExitCode::SUCCESS)
}
