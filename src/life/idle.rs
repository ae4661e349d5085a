//! Waiting for work without missing it.

use super::news::apply_news;
use super::{count, leaving};
use crate::arch::regs;
use crate::call::Look;
use crate::gic::{self, WAKE};
use crate::holds::Holds;
use crate::launch::Mailbox;
use crate::lifecycle::{self, Stays};
use crate::masking::Masking;
use crate::note::note;
use crate::percpu::CpuId;
use crate::percpu::area::{self, Part as _};
use crate::{call, gate, irq, masking, time};

/// Runs what was launched on this CPU, or waits until an interrupt has been handled.
///
/// Does not wait if one has been handled, or a call has run, since this last returned. So a wake-up cannot be missed in
/// `while !condition() { cpu::idle() }`, if what makes the condition true is an interrupt handler or a call on this CPU,
/// or is followed by [`wake`]: it comes before the last return, and is seen by `condition`, or after it, and then
/// `idle` returns at once. May return without any visible reason, and does so every 100 ms (bootarg `idle_ms`).
///
/// A [context](crate::context) that may be preempted may be on another CPU by the time it waits, and that was not woken: there the wait may last
/// those 100 ms.
///
/// A CPU that was asked to leave, and holds nothing, leaves from here, and then this does not return; what it runs has agreed to
/// that, or it is a hold ([`entry!`](crate::entry)).
///
/// # Panics
///
/// If interrupts are masked, or in interrupt context: nothing could ever wake it.
///
/// # Examples
///
/// ```no_run
/// use core::sync::atomic::{AtomicBool, Ordering};
/// use reveille::cpu;
///
/// # fn example() {
/// static DONE: AtomicBool = AtomicBool::new(false);
///
/// // Whoever sets it tells this CPU by `cpu::wake`, a call or an interrupt.
/// while !DONE.load(Ordering::Acquire) {
///     cpu::idle();
/// }
/// # }
/// ```
pub fn idle() {
    idle_unless(|| false);
}

/// As [`idle()`], but for the wait: that is left out if `is_busy` says so.
///
/// `is_busy` is asked last, behind the closing of interrupts: what an interrupt handler or a call on this CPU, or another CPU that then
/// [wakes](wake) this one, makes true after it was asked ends the wait. It is not asked where there is something else to do. It is to be short: what
/// could stop this CPU may have to wait for it. It may raise no exceptions, and what it panics with is a panic like any other.
///
/// So a loop that has work, and should not wait, still runs what was launched on its CPU, and leaves if that was asked to, by
/// `idle_unless(|| true)`.
///
/// # Panics
///
/// As [`idle()`].
///
/// # Examples
///
/// ```no_run
/// use reveille::cpu;
///
/// # fn example(queue_is_empty: fn() -> bool, run_next: fn()) {
/// loop {
///     while !queue_is_empty() {
///         run_next();
///     }
///     // Looked at once more with interrupts masked: what a handler has queued meanwhile is not slept over.
///     cpu::idle_unless(|| !queue_is_empty());
/// }
/// # }
/// ```
#[inline]
pub fn idle_unless(is_busy: impl FnOnce() -> bool) {
    let Some((area, _stays)) = Stays::unless_home() else { panic!("cpu::idle() with interrupts masked") };
    gate::poll();
    leaving::check(area);
    // Where no timer fires nothing else looks at what came with an SGI that was lost.
    let look = if time::has_timer() { Look::Near } else { Look::All };
    call::run_pending(area, look);
    // Closures are for the thread that the CPU has by itself.
    let is_home = !Holds::of(area).is_away();
    if is_home && Mailbox::of(area).run_one() {
        return;
    }
    // By `DAIF.I` alone: an interrupt that comes stays pending, and a WFI does not wait while one is, masked so or not (Arm
    // ARM D1.6.2).
    let close = regs::daif_mask;
    let has_work = || {
        is_home && Mailbox::of(area).is_waiting()
            || call::is_pending(area, look)
            || lifecycle::is_due(area)
            || gate::is_taken_by_other()
            || is_busy()
    };
    let wait = || {
        // Callbacks and handlers have run since, and `is_busy`, and nothing could end a WFI behind a guard that one of them has forgotten.
        assert!(!Masking::of(area).is_held(), "cpu::idle() with interrupts masked");
        // What is told after this look comes with an interrupt, which is pending then; or that is lost, and the timer comes: no later
        // for this wait, as this was no look at everything.
        irq::look(area, apply_news);
        note!(IDLE, 0);
        count::wait(area);
        note!(IDLE_END, 0);
    };
    count::wakes(area).idle(|| call::ran(area), close, has_work, wait, regs::daif_restore);
}

/// A point at which this CPU may leave the system, if it was asked to and holds nothing: for long work in thread
/// context. [`idle()`] is one too, and says more.
///
/// # Panics
///
/// If interrupts are masked, or in interrupt context.
///
/// # Examples
///
/// ```no_run
/// use reveille::cpu::{self, CpuId};
///
/// fn secondary(_cpu: CpuId) -> ! {
///     loop {
///         // Holds nothing here: `hotplug::cpu_down` may take the CPU.
///         cpu::offline_point();
///         // ..
///     }
/// }
/// ```
pub fn offline_point() {
    let Some((area, _stays)) = Stays::unless_home() else {
        panic!("cpu::offline_point() with interrupts masked")
    };
    leaving::check(area);
}

/// What a secondary does that was given nothing else: [`idle`], for ever.
///
/// A function of the application's that ends in this one is not the same: its frames are still there.
///
/// ```no_run
/// use reveille::cpu::{self, CpuId};
/// use reveille::{ExitCode, System, println};
///
/// reveille::entry!(main, secondary = secondary);
///
/// fn secondary(cpu: CpuId) -> ! {
///     println!("cpu {cpu} is there");
///     cpu::idle_loop(cpu)
/// }
///
/// fn main(system: &'static System) -> ExitCode {
///     system.bring_up_all(system.deadline()).is_complete().into()
/// }
/// ```
pub fn idle_loop(_: CpuId) -> ! {
    loop {
        idle();
    }
}

/// Whether this is what the CPU runs by itself - `main`, the secondary function, a launched closure - in thread context with interrupts
/// open: a thread that is never moved to another CPU. `false` in a [context](crate::context) of the application's, in handlers and callbacks, and with
/// interrupts masked.
///
/// ```no_run
/// use reveille::cpu;
///
/// # fn example() {
/// assert!(cpu::is_home(), "not from a thread of the application's");
/// # }
/// ```
pub fn is_home() -> bool {
    masking::open_here(|own| !Holds::of(own).is_away()).unwrap_or(false)
}

/// Makes `cpu` leave its current or next WFI. Does nothing if `cpu` is not online.
///
/// ```no_run
/// use core::sync::atomic::Ordering;
/// use reveille::cpu;
///
/// # fn example(cpu: reveille::cpu::CpuId, done: &core::sync::atomic::AtomicBool) {
/// done.store(true, Ordering::Release);
/// cpu::wake(cpu);
/// # }
/// ```
pub fn wake(cpu: CpuId) {
    let area = area::of(cpu);
    if area::is_online(area) {
        gic::interrupt(WAKE, area);
    }
}
