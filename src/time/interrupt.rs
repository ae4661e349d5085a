//! The interrupt of the timer that each CPU has.

use crate::arch::regs;
use crate::dt;
use crate::irq::{self, Trigger};
use core::sync::atomic::{AtomicU32, Ordering};

/// Interrupt number of the timer; 0 until it is known.
static INTERRUPT: AtomicU32 = AtomicU32::new(0);

/// Learns the timer's interrupt. By the boot CPU, once.
pub(crate) fn init(timer: Option<&dt::Timer>) {
    let interrupt =
        timer.and_then(|timer| if regs::at_el2() { timer.hyp_physical } else { timer.virtual_timer });
    INTERRUPT.store(interrupt.map_or(0, |interrupt| interrupt.id), Ordering::Relaxed);
}

/// Has `handler` called for the timer's interrupt on every CPU. By the boot CPU, once, when there is an interrupt controller. Without,
/// no timer fires.
pub(crate) fn init_interrupt(handler: fn(u32)) {
    let interrupt = INTERRUPT.load(Ordering::Relaxed);
    if interrupt == 0 {
        return;
    }
    if let Err(error) = irq::register(interrupt, Trigger::Level, handler) {
        log::error!("timer: {error}");
        INTERRUPT.store(0, Ordering::Relaxed);
    }
}

/// Whether timers can fire.
pub(crate) fn has_timer() -> bool {
    INTERRUPT.load(Ordering::Relaxed) != 0
}
