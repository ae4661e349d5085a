//! Whether the runtime is as it was, after each call.

use crate::LONG;
use crate::cell;
use crate::functions::{KEY, LOCK, MUTEX, SECOND_KEY, SPARE};
use crate::places::{self, Context, Kind};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::call::{self, POSTS_PER_CPU, PostError};
use reveille::cpu::{self, CpuId};
use reveille::time::{self, Deadline, TIMERS_PER_CPU, TimerError};
use reveille::{hotplug, irq, nmi, stop_machine, watchdog};
use reveille_tests::pause;

/// Waits a while until `done`, in idle.
fn soon(mut done: impl FnMut() -> bool) -> bool {
    let deadline = Deadline::after(LONG);
    while !done() {
        if deadline.has_passed() {
            return false;
        }
        cpu::idle();
    }
    true
}

/// After a call, on the CPU that booted, in its thread. Everything is as it was before, or what is not is said.
pub fn check(context: &Context) -> Result<(), &'static str> {
    if irq::is_masked() {
        return Err("interrupts stay masked");
    }
    places::tidy();
    if !soon(|| cell::ledger().0 <= cell::ledger().1) {
        return Err("what was accepted does not run");
    }
    if cell::ledger().0 < cell::ledger().1 {
        return Err("what was refused has run, or it ran twice");
    }
    watchdog::stop();
    if context.kind == Kind::Stopped {
        return own();
    }
    // All of them, also those that are to be online: nothing holds them.
    for cpu in cpu::possible().without(CpuId::BOOT) {
        let wanted = context.kind != Kind::Alone && cpu.index() != SPARE;
        if cpu::online().contains(cpu) && hotplug::cpu_down(cpu, LONG).is_err() {
            return Err("a CPU does not leave");
        }
        if wanted && cpu_up(cpu, LONG) != Verdict::Online {
            return Err("a CPU does not come back");
        }
    }
    if KEY.disable().is_err() || SECOND_KEY.disable().is_err() {
        return Err("keys cannot be changed");
    }
    if stop_machine(LONG, || ()).is_err() {
        return Err("the CPUs cannot be gathered");
    }
    for cpu in cpu::online().without(CpuId::BOOT) {
        elsewhere(cpu)?;
    }
    own()?;
    if !nmi::on_each(&cpu::online(), || ()).is_complete() {
        return Err("a CPU does not take NMI-class interrupts");
    }
    Ok(())
}

/// What another CPU has found: 0 nothing yet, 1 that all is well, otherwise 2 more than an index.
static FOUND: AtomicUsize = AtomicUsize::new(0);
static WRONG: [&str; 6] = [
    "the thread of a CPU is masked",
    "a CPU has fewer or more posts",
    "a CPU has fewer or more timers",
    "a lock is held",
    "posts do not run",
    "a CPU does not answer",
];

fn elsewhere(cpu: CpuId) -> Result<(), &'static str> {
    if call::on_deadline(cpu, LONG, cpu::current) != Ok(cpu) {
        return Err(WRONG[5]);
    }
    FOUND.store(0, Ordering::Relaxed);
    // Of a launched closure that has not ended yet.
    if !soon(|| {
        cpu::launch(cpu, || FOUND.store(well().map_or_else(|wrong| 2 + wrong, |()| 1), Ordering::Release))
            .is_ok()
    }) {
        return Err("a CPU takes no closure");
    }
    let deadline = Deadline::after(LONG);
    while FOUND.load(Ordering::Acquire) == 0 && !deadline.has_passed() {
        pause();
    }
    match FOUND.load(Ordering::Acquire) {
        0 => Err("a launched closure does not run"),
        1 => Ok(()),
        wrong => Err(WRONG[wrong - 2]),
    }
}

fn own() -> Result<(), &'static str> {
    well().map_err(|wrong| WRONG[wrong])
}

/// Looks at the CPU that it runs on, from its thread. The error is an index of [`WRONG`].
fn well() -> Result<(), usize> {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    if irq::is_masked() || irq::in_interrupt() {
        return Err(0);
    }
    // All of its nodes are there, and no more.
    RAN.store(0, Ordering::Relaxed);
    {
        let own = cpu::current();
        let _masked = irq::mask();
        let count = || _ = RAN.fetch_add(1, Ordering::Relaxed);
        let accepted = (0..POSTS_PER_CPU).filter(|_| call::post(own, count).is_ok()).count();
        if accepted != POSTS_PER_CPU || !matches!(call::post(own, count), Err(PostError::Busy(_))) {
            return Err(1);
        }
    }
    let timers = [(); TIMERS_PER_CPU].map(|()| time::after(Duration::from_secs(1000), || ()));
    let one_more = time::after(Duration::from_secs(1000), || ());
    if timers.iter().any(Result::is_err) || !matches!(one_more, Err(TimerError::Full)) {
        return Err(2);
    }
    if !timers.into_iter().flatten().all(time::Timer::cancel) {
        return Err(2);
    }
    if LOCK.try_lock().is_none() || MUTEX.try_lock().is_none() {
        return Err(3);
    }
    if RAN.load(Ordering::Relaxed) != POSTS_PER_CPU {
        return Err(4);
    }
    Ok(())
}
