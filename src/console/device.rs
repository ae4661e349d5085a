//! The UART that is the console.

use super::early::early;
use super::uart::{self, Uart};
use crate::{dt, gate};
use core::sync::atomic::{AtomicU8, Ordering};
use reveille_machine::VirtioMemory;
use spin::Once;

pub(super) static UART: Once<Uart> = Once::new();
/// What it has of memory, if it takes any.
pub(super) static MEMORY: VirtioMemory = VirtioMemory::new();
/// What the CPU that has stopped the others knows of the UART, for itself alone: it may be the UART that makes it fail.
static TRIED: AtomicU8 = AtomicU8::new(FINE);
const FINE: u8 = 0;
const BUSY: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Does `f` with the UART, if there is one that is of use.
fn with_uart(f: impl FnOnce(&Uart)) {
    let Some(uart) = UART.get().or_else(early) else { return };
    if !gate::is_stopper() {
        return f(uart);
    }
    if TRIED.load(Ordering::Relaxed) != GIVEN_UP {
        TRIED.store(BUSY, Ordering::Relaxed);
        f(uart);
        TRIED.store(FINE, Ordering::Relaxed);
    }
}

/// This CPU, which has stopped the others, has failed: if that was in the middle of the console's work, the console is not
/// used any more.
pub(crate) fn give_up_if_busy() {
    if TRIED.load(Ordering::Relaxed) == BUSY {
        TRIED.store(GIVEN_UP, Ordering::Relaxed);
    }
}

/// Starts using `console`. By the boot CPU, until one can be used; later calls change nothing.
pub(crate) fn init(console: &dt::Console<'_>) -> Result<(), &'static str> {
    let begin = || {
        if console.kind.is_in_memory() {
            uart::map(console)?;
        }
        Uart::new(console, &MEMORY)
    };
    UART.try_call_once(begin).map(|_| ())
}

/// Where its registers are.
#[cfg(feature = "fault-injection")]
pub(crate) fn base() -> Option<u64> {
    UART.get().map(Uart::base)
}

/// From now on, or no longer, it is never ready, as far as anybody can read.
#[cfg(feature = "fault-injection")]
pub(crate) fn never_ready(never: bool) {
    uart::never_ready(never);
}

/// Sends one piece of text, whoever may be sending another.
pub(crate) fn write_raw(text: &str) {
    with_uart(|uart| uart.send_text(text));
}

/// Sends bytes as they are, whoever may be sending something else.
pub(super) fn write_bytes(bytes: &[u8]) {
    with_uart(|uart| uart.send_bytes(bytes));
}

/// Waits, a bounded time, until everything printed has left the machine. From any context; whoever prints meanwhile may be waited for too.
///
/// ```no_run
/// use reveille::{console, println};
///
/// # fn example() {
/// println!("the last word before the clock of the UART is changed");
/// console::flush();
/// # }
/// ```
pub fn flush() {
    with_uart(Uart::flush);
}
