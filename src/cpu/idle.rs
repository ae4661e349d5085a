//! Waiting for work without missing it.

use super::area::Area;
use super::{CpuId, area};
use crate::arch::{self, regs};
use crate::irq::Sgi;
use crate::time::Instant;
use crate::{call, gic, hotplug, irq, panic, system, time};
use core::sync::atomic::Ordering;

/// Runs what was launched on this CPU, or waits until an interrupt has been handled.
///
/// Does not wait if one has been handled, or a call has run, since this last returned. So a wake-up cannot be missed in
/// `while !condition() { cpu::idle() }`, if what makes the condition true is an interrupt handler or a call on this CPU,
/// or is followed by [`wake`]: it comes before the last return, and is seen by `condition`, or after it, and then
/// `idle` returns at once. May return without any visible reason, and does so every 100 ms (bootarg `idle_ms`).
///
/// A CPU that was asked to leave, and holds nothing, leaves from here, and then this does not return; what it runs has agreed to
/// that, or it is a hold ([`entry!`](crate::entry)).
///
/// # Panics
///
/// If interrupts are masked, or in interrupt context: nothing could ever wake it.
pub fn idle() {
    assert!(!irq::is_masked(), "cpu::idle() with interrupts masked");
    let area = area::current();
    panic::poll_gate();
    hotplug::check(area);
    call::run_pending(area);
    if area.launch.run_one() {
        return;
    }
    let close = || {
        // By `DAIF.I` alone: an interrupt that comes stays pending, and a WFI does not wait while one is, masked so or not (Arm
        // ARM D1.6.2).
        let daif = regs::daif_mask();
        // A callback or a handler has run since, and nothing could end a WFI behind a guard that it has forgotten.
        assert!(!area.masking.is_held(), "cpu::idle() with interrupts masked");
        daif
    };
    let has_work = || {
        area.launch.is_waiting()
            || call::is_pending(area)
            || hotplug::is_due(area)
            || panic::is_stopped_by_other()
    };
    let wait = || {
        // What is told after this look comes with an interrupt, which is pending then; or that is lost, and the timer comes.
        irq::look(area);
        time::look_around();
        wait(area);
    };
    area.wakes.idle(|| call::taken(area), close, has_work, wait, regs::daif_restore);
}

/// Waits for an interrupt, and counts the time.
fn wait(area: &Area) {
    let since = Instant::now().ticks();
    area.idle_since.store(since, Ordering::Relaxed);
    arch::wfi();
    let waited = Instant::now().ticks().saturating_sub(since);
    area.idle_since.store(0, Ordering::Relaxed);
    area.idle_ticks.store(area.idle_ticks.load(Ordering::Relaxed).saturating_add(waited), Ordering::Relaxed);
}

/// A point at which this CPU may leave the system, if it was asked to and holds nothing: for long work in thread
/// context. [`idle()`] is one too, and says more.
///
/// # Panics
///
/// If interrupts are masked, or in interrupt context.
pub fn offline_point() {
    assert!(!irq::is_masked(), "cpu::offline_point() with interrupts masked");
    hotplug::check(area::current());
}

/// Ends `main`: the CPU that booted the image becomes one like any other, and runs the secondary function. From then on
/// it may leave, if that may be abandoned (see [`entry!`](crate::entry)).
///
/// What `main` has on its stack stays where it is, for ever: no destructor runs, but neither is its memory used again. The
/// lives of this CPU take place below it, on what is left of the stack: a `main` that keeps large values there had better
/// call this from a function that does not. Whoever does not get by with it meets the guard page, as ever.
///
/// # Panics
///
/// Outside of `main`: on any other CPU, a second time, in a launched closure, in a callback of any kind, with interrupts
/// masked, or in interrupt context.
pub fn become_secondary() -> ! {
    let area = area::current();
    // A closure that `main` runs as it idles has frames of its own, on top of a `main` that has not ended.
    let is_main = area.holds.is_main() && !area.launch.is_running() && !irq::is_masked();
    assert!(is_main, "cpu::become_secondary() outside of main");
    area.begin_below(arch::stack_pointer());
    area.holds.set_main(false);
    system::run_secondary(area)
}

/// What a secondary does that was given nothing else: [`idle`], for ever.
///
/// A function of the application's that ends in this one is not the same: its frames are still there.
pub fn idle_loop(_: CpuId) -> ! {
    loop {
        idle();
    }
}

/// Makes `cpu` leave its current or next WFI. Does nothing if `cpu` is not online.
pub fn wake(cpu: CpuId) {
    if area::of(cpu).is_online() {
        gic::send_sgi(Sgi::Wake, cpu);
    }
}
