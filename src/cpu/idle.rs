//! Waiting for work without missing it.

use super::area::Area;
use super::{CpuId, area};
use crate::arch::{self, regs};
use crate::irq::Sgi;
use crate::{call, gic, hotplug, irq, panic, system, time};
use crate::time::Instant;
use core::sync::atomic::Ordering;
use core::time::Duration;

/// An idle CPU looks around at least this often, so that a lost SGI costs time and never a CPU.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// Runs what was launched on this CPU, or waits until an interrupt has been handled.
///
/// Wake-ups cannot be missed: the last look for work and the WFI lie in one section in which interrupts are
/// masked by `DAIF.I` alone, and a WFI does not wait while an interrupt is pending, masked so or not
/// (Arm ARM D1.6.2). May return without any visible reason; callers loop.
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
    let daif = regs::daif_mask();
    if !area.launch.is_waiting()
        && !call::is_pending(area)
        && !hotplug::is_due(area)
        && !panic::is_stopping()
    {
        time::arm_within(LOOK_AROUND);
        wait(area);
    }
    // The pending interrupt is taken here.
    regs::daif_restore(daif);
}

/// Waits for an interrupt, and counts the time.
fn wait(area: &Area) {
    let since = Instant::now().ticks();
    area.idle_since.store(since, Ordering::Relaxed);
    arch::wfi();
    let waited = Instant::now().ticks() - since;
    area.idle_since.store(0, Ordering::Relaxed);
    area.idle_ticks.store(area.idle_ticks.load(Ordering::Relaxed) + waited, Ordering::Relaxed);
}

/// A point at which this CPU may leave the system, if it was asked to and holds nothing: for long work in thread
/// context. [`idle()`] is one too.
///
/// # Panics
///
/// If interrupts are masked, or in interrupt context.
pub fn offline_point() {
    assert!(!irq::is_masked(), "cpu::offline_point() with interrupts masked");
    hotplug::check(area::current());
}

/// Ends `main`: the CPU that booted the image becomes one like any other, and runs the secondary function. From then on
/// it may leave.
///
/// # Panics
///
/// On any other CPU, with interrupts masked, or in interrupt context.
pub fn become_secondary() -> ! {
    let area = area::current();
    assert!(area.id == CpuId::BOOT && !irq::is_masked(), "cpu::become_secondary() outside of main");
    area.holds.set_main(false);
    system::run_secondary(area.id)
}

/// What a secondary does that was given nothing else: [`idle`], for ever.
pub fn idle_loop(_: CpuId) -> ! {
    loop {
        idle();
    }
}

/// Makes `cpu` leave its current or next WFI. Does nothing if `cpu` is not online.
pub fn wake(cpu: CpuId) {
    if super::online().contains(cpu) {
        gic::send_sgi(Sgi::Wake, cpu);
    }
}
