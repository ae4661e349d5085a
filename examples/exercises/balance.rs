//! Money that moves between accounts all the time, counted while the machine stands still, and while it does not. The exercise of
//! docs/stop-machine.md.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::time::Deadline;
use reveille::{ExitCode, System, irq, println, stop_machine};

reveille::entry!(main);

/// What each account has at first.
const START: u64 = 1000;
const LOOKS: u64 = 20;

reveille::percpu! {
    static ACCOUNT: AtomicU64 = AtomicU64::new(START);
}
static DONE: AtomicBool = AtomicBool::new(false);
/// Coins that were paid.
static PAID: AtomicU64 = AtomicU64::new(0);

// ANCHOR: pay
/// One coin from this CPU's account to that of `to`. In between it is nowhere; but no gathered CPU is in between, since it is masked
/// from the first step to the last.
fn pay(to: CpuId) {
    let _masked = irq::mask();
    let own = ACCOUNT.of(cpu::current());
    if own.load(Ordering::Relaxed) > 0 {
        own.fetch_sub(1, Ordering::Relaxed);
        (0..32).for_each(|_| core::hint::spin_loop());
        ACCOUNT.of(to).fetch_add(1, Ordering::Relaxed);
        PAID.fetch_add(1, Ordering::Relaxed);
    }
}
// ANCHOR_END: pay

/// Lets the others pay for a while.
fn let_them_pay() {
    let (paid, until) = (PAID.load(Ordering::Relaxed), Deadline::after(Duration::from_secs(10)));
    while PAID.load(Ordering::Relaxed) < paid + 10 && !until.has_passed() {
        core::hint::spin_loop();
    }
}

fn sum() -> u64 {
    cpu::possible().iter().map(|cpu| ACCOUNT.of(cpu).load(Ordering::Relaxed)).sum()
}

/// All but the boot CPU, which looks.
fn payers() -> CpuSet {
    cpu::online().without(CpuId::BOOT)
}

fn pay_everybody() {
    let others = payers().without(cpu::current());
    while !DONE.load(Ordering::Relaxed) {
        others.iter().for_each(pay);
    }
}

fn main(system: &'static System) -> ExitCode {
    if !system.bring_up_all(system.deadline()).is_complete() {
        return ExitCode::FAILURE;
    }
    if payers().len() < 2 {
        println!("balance: it takes three CPUs");
        return ExitCode::FAILURE;
    }
    for cpu in payers() {
        if cpu::launch(cpu, pay_everybody).is_err() {
            println!("cpu {cpu} takes no closure");
        }
    }
    let all = START * cpu::possible().len() as u64;
    let (mut wrong, mut wrong_running) = (0, 0);
    for _ in 0..LOOKS {
        let_them_pay();
        wrong_running += u64::from(sum() != all);
        // ANCHOR: look
        match stop_machine(Duration::from_secs(10), sum) {
            Ok(stopped) => wrong += u64::from(stopped != all),
            Err(error) => println!("balance: {error}"),
        }
        // ANCHOR_END: look
    }
    DONE.store(true, Ordering::Relaxed);
    println!("balance: {LOOKS} looks at a stopped machine, {wrong} wrong");
    println!("balance: {LOOKS} looks at a running one, {wrong_running} wrong");
    (wrong == 0).into()
}
