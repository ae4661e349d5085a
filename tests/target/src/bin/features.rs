//! CPUs of several kinds: one that lacks what the code may be compiled for is refused; the LSE atomics, which only the locks
//! use, nobody uses any more once a CPU has come that lacks them; caches are looked after as the CPU needs it that needs most.
//!
//! With the bootarg `compiled`, one that lacks what the code is compiled for.
//!
//! With `-cpu max`, or another that has FEAT_LSE, and 2 CPUs or more. With the bootarg `all` that CPU comes with all others, and with
//! `late`, and the shim as firmware, it takes so long each time that it cannot come twice in the time for one start.

#![no_std]
#![no_main]

use core::time::Duration;
use reveille::bringup::{Reason, Verdict, cpu_up};
use reveille::cpu;
use reveille::sync::SpinLock;
use reveille::time::{Deadline, Instant};
use reveille::{ExitCode, System, call, fault, hotplug, patch, println};
use reveille_tests::check;
use reveille_tests::shim::{self, Plan};

reveille::entry!(main);

/// ID_AA64ISAR0_EL1.CRC32 and .Atomic.
const CRC32: u64 = 0xf << 16;
const ATOMIC: u64 = 0xf << 20;

static LOCK: SpinLock<u64> = SpinLock::new(0);

fn uses_lse() -> bool {
    patch::sites().any(|site| site.key == "LSE" && site.enabled)
}

/// CTR_EL0.DminLine, and IDC and DIC, which `odd` has beside a larger or a smaller line.
fn caches(system: &'static System, odd: cpu::CpuId) {
    const DMIN_LINE: u64 = 0xf << 16;
    const IDC_DIC: u64 = 0b11 << 28;
    let before = fault::common_cache_type();
    let line = before & DMIN_LINE;
    check(line >= 2 << 16, "there is room for a line that is smaller");
    let step = 1 << 16;
    // Of the caches of one that was there and is gone nothing is forgotten: it may come back.
    for (ctr, expected) in [
        (IDC_DIC | (line + step), before),
        (IDC_DIC | (line - step), before & IDC_DIC | (line - step)),
        (line, (line - step)),
        (IDC_DIC | line, line - step),
    ] {
        check(hotplug::cpu_down(odd, system.deadline()).is_ok(), "the CPU goes");
        fault::has_cache_type(odd, ctr);
        let verdict = cpu_up(odd, Deadline::after(system.deadline()));
        check(verdict == Verdict::Online, "with other caches it comes online");
        check(fault::common_cache_type() == expected, "caches are looked after as all need it");
    }
}

/// One that could not run a single instruction of what the image is compiled for says so, from the pen, and may come later.
fn compiled(system: &'static System, odd: cpu::CpuId) -> ExitCode {
    fault::lacks_instructions(true);
    // Long enough to come to the pen, which is all that it does.
    let verdict = cpu_up(odd, Deadline::after(system.deadline()));
    check(verdict == Verdict::Failed(Reason::Feature as u16), "it is refused, and the reason is known");
    println!("{}", system.bring_up_all(Duration::ZERO));
    fault::lacks_instructions(false);
    check(system.bring_up_all(system.deadline()).is_complete(), "and comes when it lacks nothing");
    println!("features: all good, {} CPUs", cpu::possible().len());
    ExitCode::SUCCESS
}

fn main(system: &'static System) -> ExitCode {
    check(uses_lse(), "the boot CPU has LSE atomics, and the locks use them");
    let all = cpu::possible();
    let odd = all.iter().last().unwrap_or(cpu::CpuId::BOOT);
    if system.arg("compiled").is_some() {
        return compiled(system, odd);
    }
    if system.arg("all").is_none() {
        fault::lacks_features(Some(odd), CRC32);
        let roll_call = system.bring_up_all(system.deadline());
        for entry in roll_call.iter() {
            let expected =
                if entry.cpu == odd { Verdict::Failed(Reason::Feature as u16) } else { Verdict::Online };
            check(entry.verdict == expected, "only the CPU that lacks something is refused");
        }
        check(uses_lse(), "and the others go on as they were");
        fault::lacks_features(Some(odd), ATOMIC);
        check(
            cpu_up(odd, Deadline::after(system.deadline())) == Verdict::Online,
            "without LSE atomics it comes online",
        );
    } else {
        fault::lacks_features(Some(odd), ATOMIC);
        if system.arg("late").is_some() {
            // More than half of its time, and it is started twice.
            check(shim::is_present(system), "the shim is there as firmware");
            shim::plan(odd, Plan::Delay((Instant::from_ticks(0) + system.deadline() * 6 / 10).ticks()));
        }
        check(
            system.bring_up_all(system.deadline()).is_complete(),
            "all come online, also the one without LSE atomics",
        );
    }
    check(!uses_lse(), "which nobody uses any more");
    caches(system, odd);
    for _ in 0..100 {
        let offline = call::on_each(&all, |_| *LOCK.lock() += 1);
        check(offline.is_ok_and(|offline| offline.is_empty()), "all take calls");
    }
    check(*LOCK.lock() == 100 * all.len() as u64, "and locks exclude");
    println!("features: all good, {} CPUs", all.len());
    ExitCode::SUCCESS
}
