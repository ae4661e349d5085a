//! What is typed, by interrupt where the console has one.

use super::UART;
use crate::cpu;
use crate::dt::Console;
use crate::irq::{self, IrqError, Trigger};
use core::fmt;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering};

/// Characters that wait to be read.
const ROOM: u32 = 256;

static RING: [AtomicU8; ROOM as usize] = [const { AtomicU8::new(0) }; ROOM as usize];
/// Characters put in by the handler, and taken out by readers, since the start.
static HEAD: AtomicU32 = AtomicU32::new(0);
static TAIL: AtomicU32 = AtomicU32::new(0);
/// Called in the handler when there is something to read.
static LISTENER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Why the console cannot be listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputError {
    /// There is no console, or the device tree does not lead its interrupt to the controller.
    NoInterrupt,
    /// The interrupt was refused.
    Irq(IrqError),
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterrupt => f.write_str("the console has no interrupt"),
            Self::Irq(error) => error.fmt(f),
        }
    }
}

/// Collects what is typed, by interrupt, for [`read_byte`](super::read_byte); `listener` is called in interrupt context
/// whenever there is something new. `console` is [`Machine::console`](crate::dt::Machine::console).
///
/// # Errors
///
/// An [`InputError`]. `read_byte` then still asks the device.
pub fn listen(console: &Console<'_>, listener: fn()) -> Result<(), InputError> {
    let (Some(uart), Some(interrupt)) = (UART.get(), console.interrupt) else {
        return Err(InputError::NoInterrupt);
    };
    LISTENER.store(listener as *mut (), Ordering::Release);
    let trigger = if interrupt.trigger.is_edge() { Trigger::Edge } else { Trigger::Level };
    irq::register(interrupt.id, trigger, |_| collect()).map_err(InputError::Irq)?;
    irq::set_affinity(interrupt.id, cpu::current()).map_err(InputError::Irq)?;
    uart.interrupt_on_receive();
    Ok(())
}

/// The handler: empties the device, which quiets it.
fn collect() {
    let Some(uart) = UART.get() else { return };
    while let Some(byte) = uart.receive() {
        let head = HEAD.load(Ordering::Relaxed);
        // Acquire: pairs with `take`. A place is written over only after it was read. What does not fit is lost.
        if head.wrapping_sub(TAIL.load(Ordering::Acquire)) < ROOM {
            RING[(head % ROOM) as usize].store(byte, Ordering::Relaxed);
            // Release: pairs with `take`.
            HEAD.store(head.wrapping_add(1), Ordering::Release);
        }
    }
    let listener = LISTENER.load(Ordering::Acquire);
    if !listener.is_null() {
        // SAFETY: only `listen` stores here, and it stores a `fn()`.
        let listener: fn() = unsafe { core::mem::transmute(listener) };
        listener();
    }
}

/// The oldest character that was collected. One reader at a time.
pub(super) fn take() -> Option<u8> {
    let tail = TAIL.load(Ordering::Relaxed);
    // Acquire: pairs with `collect`.
    if HEAD.load(Ordering::Acquire) == tail {
        return None;
    }
    let byte = RING[(tail % ROOM) as usize].load(Ordering::Relaxed);
    // Release: pairs with `collect`.
    TAIL.store(tail.wrapping_add(1), Ordering::Release);
    Some(byte)
}
