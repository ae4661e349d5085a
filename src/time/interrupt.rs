//! The interrupt of the timer that each CPU has.

use crate::arch::regs;
use crate::arch::timer::TimerView;
use crate::dt;
use crate::irq::{self, Trigger};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Interrupt number of the timer; 0 until it is known.
static INTERRUPT: AtomicU32 = AtomicU32::new(0);
/// The timer is the physical one of EL1, for want of the one that belongs to this level.
static IS_PHYSICAL: AtomicBool = AtomicBool::new(false);

/// Learns which timer there is, and its interrupt. By the boot CPU, once.
pub(crate) fn init(timer: Option<&dt::Timer>) {
    let Some(timer) = timer else { return };
    let own = if regs::at_el2() { timer.hyp_physical } else { timer.virtual_timer };
    IS_PHYSICAL.store(own.is_none(), Ordering::Relaxed);
    INTERRUPT.store(own.or(timer.physical).map_or(0, |interrupt| interrupt.id), Ordering::Relaxed);
}

/// The timer of every CPU.
#[inline(always)]
pub(super) fn view() -> TimerView {
    if IS_PHYSICAL.load(Ordering::Relaxed) {
        TimerView::Physical
    } else if regs::at_el2() {
        TimerView::Hyp
    } else {
        TimerView::Virtual
    }
}

/// Has `handler` called for the timer's interrupt on every CPU. By the boot CPU, once, when there is an interrupt controller. Without,
/// no timer fires.
pub(crate) fn init_interrupt(handler: fn(u32)) {
    let interrupt = INTERRUPT.load(Ordering::Relaxed);
    if interrupt == 0 {
        return;
    }
    if irq::keep(interrupt, Trigger::Level, handler).is_err() {
        log::error!("timer: interrupt {interrupt} is not to be had");
        INTERRUPT.store(0, Ordering::Relaxed);
    }
}

/// The interrupt of every CPU's timer; 0: there is none.
pub(crate) fn interrupt() -> u32 {
    INTERRUPT.load(Ordering::Relaxed)
}

/// Whether timers can fire.
pub(crate) fn has_timer() -> bool {
    interrupt() != 0
}
