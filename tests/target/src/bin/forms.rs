//! The forms of the runtime's locks, for one CPU and for several, with LSE and without: chosen as CPUs come and go, with
//! locks held across the change and contended on both sides of it. At the end the CPU that booted leaves and comes back.
//!
//! The bootarg `rounds=N` says how often the form changes (default 20).

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId};
use reveille::hotplug;
use reveille::sync::{Mutex, SpinLock};
use reveille::{ExitCode, System, patch, power, println};
use reveille_tests::{argument, check, eventually, nothing_left, pause};

reveille::entry!(
    main,
    // SAFETY: `secondary` is at an offline point only between its rounds, when all that it has on the stack is numbers.
    leaving = unsafe { reveille::cpu::Leaving::new(secondary) }
);

const LONG: Duration = Duration::from_secs(20);

static SPIN: SpinLock<u64> = SpinLock::new(0);
static MUTEX: Mutex<u64> = Mutex::new(0);
/// Somebody has the mutex.
static HAVE: AtomicBool = AtomicBool::new(false);
/// Which CPU goes on with the test, 0 while it is `main`.
static BATON: AtomicU64 = AtomicU64::new(0);

reveille::percpu! {
    /// How often this CPU has taken each lock.
    static TAKEN: AtomicU64 = AtomicU64::new(0);
}

fn taken() -> u64 {
    cpu::possible().iter().map(|cpu| TAKEN.of(cpu).load(Ordering::Relaxed)).sum()
}

/// Whether all sites of the key are in their form for "on", from what stands in the code.
fn is_on(key: &str) -> bool {
    let (mut on, mut off) = (0, 0);
    for site in patch::sites().filter(|site| site.key == key) {
        if site.instruction == 0xd503_201f { off += 1 } else { on += 1 }
    }
    check(on == 0 || off == 0, "all sites are in the same form");
    check(on + off > 0, "there are locks");
    on > 0
}

/// Whether the locks are in their form for one CPU.
fn is_alone() -> bool {
    is_on("ALONE")
}

fn take_both() {
    *SPIN.lock() += 1;
    let mut mutex = MUTEX.lock();
    check(!HAVE.swap(true, Ordering::Relaxed), "a mutex excludes");
    *mutex += 1;
    HAVE.store(false, Ordering::Relaxed);
    drop(mutex);
    TAKEN.fetch_add(1, Ordering::Relaxed);
}

/// Every secondary hammers at both locks, all the time.
fn secondary(own: CpuId) -> ! {
    loop {
        if BATON.load(Ordering::Acquire) == own.index() as u64 && own != CpuId::BOOT {
            second_half();
        }
        if CALM.load(Ordering::Acquire) == WANTED {
            CALM.store(SEEN, Ordering::Release);
        }
        if CALM.load(Ordering::Relaxed) == OFF {
            take_both();
        }
        cpu::offline_point();
        pause();
    }
}

/// Whether the secondary that is left keeps off the locks: asked to, does.
static CALM: AtomicU32 = AtomicU32::new(OFF);
const OFF: u32 = 0;
const WANTED: u32 = 1;
const SEEN: u32 = 2;

fn main(system: &'static System) -> ExitCode {
    let rounds = argument(system, "rounds", 20);
    check(is_alone(), "a machine with one CPU running locks in the form for one");
    lse();
    let others = cpu::possible().without(CpuId::BOOT);
    for round in 0..rounds {
        // Held across the change to the form for several, and wanted by all that come.
        let mutex = MUTEX.lock();
        let count = *mutex;
        check(!HAVE.swap(true, Ordering::Relaxed), "a mutex excludes");
        check(system.bring_up_all(LONG).is_complete(), "all CPUs come online");
        check(!is_alone(), "with several CPUs running the locks are in the form for several");
        // Each takes the spin lock, and then waits.
        eventually("all come to the mutex", || *SPIN.lock() >= count + others.len() as u64);
        check(MUTEX.try_lock().is_none(), "a mutex that was held across the change is still held");
        check(*mutex == count, "and nobody else has it");
        HAVE.store(false, Ordering::Relaxed);
        drop(mutex);
        for cpu in others {
            let before = TAKEN.of(cpu).load(Ordering::Relaxed);
            eventually("everyone gets it", || {
                take_both();
                TAKEN.of(cpu).load(Ordering::Relaxed) > before
            });
        }
        // They go one by one, the others hammering on.
        for (gone, cpu) in others.iter().enumerate() {
            let left = hotplug::cpu_down(cpu, LONG);
            check(left == Ok(()), "a CPU that lets go leaves");
            check(is_alone() == (gone + 1 == others.len()), "the last one alone has the form for one");
            take_both();
        }
        check(is_alone(), "the last CPU has the locks in the form for one again");
        let mutex = MUTEX.lock();
        check(MUTEX.try_lock().is_none(), "a mutex excludes in the form for one");
        drop(mutex);
        let spin = SPIN.lock();
        check(SPIN.try_lock().is_none(), "and so does a spin lock");
        drop(spin);
        // One comes and goes: the shortest way there and back.
        if let Some(cpu) = others.iter().nth(round as usize % others.len()) {
            check(cpu_up(cpu, LONG) == Verdict::Online, "one comes");
            take_both();
            CALM.store(WANTED, Ordering::Release);
            eventually("it lets us have them", || CALM.load(Ordering::Acquire) == SEEN);
            // Held across the change back.
            let mutex = MUTEX.lock();
            check(hotplug::cpu_down(cpu, LONG) == Ok(()), "and goes");
            check(is_alone(), "with it the form for several");
            check(MUTEX.try_lock().is_none(), "a mutex that was held across the change back is still held");
            drop(mutex);
            take_both();
            CALM.store(OFF, Ordering::Release);
        }
        counts();
    }
    println!("forms: {} times each lock, no update lost", taken());
    check(system.bring_up_all(LONG).is_complete(), "all CPUs come online");
    // The rest is up to another CPU: this one becomes a secondary, and is taken down.
    BATON.store(1, Ordering::Release);
    cpu::become_secondary()
}

/// While this CPU is alone: no update was lost.
fn counts() {
    // One after the other: a mutex is not for sections with interrupts masked.
    let spin = *SPIN.lock();
    let mutex = *MUTEX.lock();
    let taken = taken();
    assert!(
        spin == mutex && spin == taken,
        "taken {taken} times: {spin} by the spin lock, {mutex} by the mutex"
    );
}

/// The LSE atomics are used just where the CPU has them.
fn lse() {
    let features: u64;
    // SAFETY: reads an identification register.
    unsafe { asm!("mrs {}, id_aa64isar0_el1", out(reg) features, options(nomem, nostack, preserves_flags)) };
    let has = features >> 20 & 0xf >= 2;
    check(is_on("LSE") == has, "the locks use LSE where the CPU has it");
    println!("forms: {}", if has { "with LSE" } else { "without LSE" });
}

fn second_half() -> ! {
    for _ in 0..5 {
        check(hotplug::cpu_down(CpuId::BOOT, LONG) == Ok(()), "the boot CPU leaves");
        check(!cpu::online().contains(CpuId::BOOT), "it is gone");
        let before = TAKEN.of(CpuId::BOOT).load(Ordering::Relaxed);
        check(cpu_up(CpuId::BOOT, LONG) == Verdict::Online, "the boot CPU comes back");
        eventually("it runs the secondary function", || {
            TAKEN.of(CpuId::BOOT).load(Ordering::Relaxed) > before
        });
    }
    for cpu in cpu::online().without(cpu::current()) {
        check(hotplug::cpu_down(cpu, LONG) == Ok(()), "all others leave");
    }
    check(is_alone(), "then this one has the form for one");
    counts();
    nothing_left();
    println!("forms: all good");
    power::exit(ExitCode::SUCCESS)
}
