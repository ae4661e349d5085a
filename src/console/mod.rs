//! The console: one UART, found in the device tree, and what is printed on it.
//!
//! A line is printed in one piece: whoever prints holds the line's lock, and masks interrupts, for as long as the UART takes. At 115 200 baud
//! that is 87 µs for each character, 7 ms for a line of 80; what does not fit the UART's FIFO, which mostly holds 16 characters, is waited for. A CPU that
//! waits for its turn does so with interrupts open if it has them open, and turns are then no queue; with interrupts masked, or in a
//! handler, it waits masked, for all who came before it. Nothing that has a deadline should print.

mod input;
mod logger;
mod uart;

pub use input::{InputError, listen};
pub(crate) use logger::init as init_log;
use uart::Uart;

use crate::arch::{self, regs};
use crate::irq;
use crate::panic;
use crate::sync::{SpinGuard, SpinLock};
use crate::system::memory;
use crate::time::Deadline;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use reveille_machine::Console;
use spin::Once;

static UART: Once<Uart> = Once::new();
/// Held for a whole line, so that lines of different CPUs never mix.
static LINE: SpinLock<()> = SpinLock::new(());
/// Who holds it: affinity with bit 63 set; 0: nobody.
static PRINTER: AtomicU64 = AtomicU64::new(0);

/// What the CPU that has stopped the others knows of the UART, for itself alone: it may be the UART that makes it fail.
static TRIED: AtomicU8 = AtomicU8::new(FINE);
const FINE: u8 = 0;
const BUSY: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Does `f` with the UART, if there is one that is of use.
fn with_uart(f: impl FnOnce(&Uart)) {
    let Some(uart) = UART.get() else { return };
    if !panic::is_stopper() {
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

/// Starts using `console`. By the boot CPU, once; later calls change nothing.
pub(crate) fn init(console: &Console<'_>) -> Result<(), crate::arch::mmu::MapError> {
    memory::map_device(console.registers.base, console.registers.size.max(1))?;
    UART.call_once(|| Uart::new(console));
    Ok(())
}

/// Where its registers are.
#[cfg(feature = "fault-injection")]
pub(crate) fn base() -> Option<u64> {
    UART.get().map(Uart::base)
}

struct Writer;

impl Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // In the middle of a line too, if need be: somebody who has the gate waits for this CPU.
        panic::poll_gate();
        write_raw(text);
        Ok(())
    }
}

/// What [`print!`](crate::print) calls.
#[doc(hidden)]
pub fn print(arguments: fmt::Arguments<'_>) {
    // Who has stopped the others prints past the lock: one of them may hold it.
    if panic::is_stopper() {
        return print_raw(arguments);
    }
    if irq::in_nmi() {
        // The line may be this CPU's own.
        DROPPED.fetch_add(1, Ordering::Relaxed);
        return;
    }
    panic::poll_gate();
    let me = 1 << 63 | regs::affinity();
    // Relaxed: only this CPU can have written its own name, and nothing else read here is believed.
    if PRINTER.load(Ordering::Relaxed) == me {
        // What this CPU is printing prints something itself: in the middle of its line. Interrupts have been masked since.
        let _ = Writer.write_fmt(arguments);
        return;
    }
    let Some(line) = turn() else { return print_raw(arguments) };
    PRINTER.store(me, Ordering::Relaxed);
    tell_dropped();
    // The writer never fails; a `Display` that does has said so in its own output.
    let _ = Writer.write_fmt(arguments);
    PRINTER.store(0, Ordering::Relaxed);
    drop(line);
}

/// The right to print a line, in its turn where this CPU has interrupts masked, else as it comes. `None`: nobody else prints any more.
fn turn() -> Option<SpinGuard<'static, ()>> {
    if irq::is_masked() {
        // A function at NMI level may have stopped the others meanwhile.
        return LINE.lock_unless_stopped();
    }
    loop {
        if let Some(line) = LINE.try_lock() {
            return Some(line);
        }
        panic::poll_gate();
        // A handler of this CPU may have stopped the others meanwhile, whoever has the line among them.
        if panic::is_stopper() {
            return None;
        }
        // Partner: the SEV of whoever gives the lock back.
        arch::wfe();
    }
}

/// How often something was to be printed at NMI level since that was told last. Relaxed: a number, and nothing behind it.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Says what was dropped. At the beginning of a line.
fn tell_dropped() {
    if DROPPED.load(Ordering::Relaxed) == 0 {
        return;
    }
    let count = DROPPED.swap(0, Ordering::Relaxed);
    let _ = Writer.write_fmt(format_args!("(dropped here: {count} printed at NMI level)\n"));
}

/// Prints in one piece if the console's lock can be had before `limit`, else past it: whoever holds it may be the one
/// that this is about.
pub(crate) fn print_before(limit: Deadline, arguments: fmt::Arguments<'_>) {
    let line = loop {
        match LINE.try_lock() {
            Some(line) => break Some(line),
            None if limit.has_passed() => break None,
            None => {
                panic::poll_gate();
                arch::yield_now();
            }
        }
    };
    let _ = Writer.write_fmt(arguments);
    drop(line);
}

/// Prints past the lock. Only for the CPU that holds the panic gate, when all others are stopped or are about to
/// be.
pub(crate) fn print_raw(arguments: fmt::Arguments<'_>) {
    let _ = Writer.write_fmt(arguments);
}

/// The same for one piece of text.
pub(crate) fn write_raw(text: &str) {
    with_uart(|uart| {
        for byte in text.bytes() {
            if byte == b'\n' {
                uart.send(b'\r');
            }
            uart.send(byte);
        }
    });
}

/// Takes a character that was typed, if there is one. At NMI level there is none.
pub fn read_byte() -> Option<u8> {
    if irq::in_nmi() {
        return None;
    }
    input::take(UART.get()?)
}

/// Waits, a bounded time, until everything printed has left the machine.
pub(crate) fn flush() {
    with_uart(Uart::flush);
}

/// Prints to the console, in one piece.
///
/// May be used anywhere; at NMI level ([`nmi::on_each`](crate::nmi::on_each)) the text is dropped, and the next line that is printed says how
/// many were. What is printed by a `Display` that is being printed comes out in the middle of its line. How long it takes, with interrupts
/// masked: see [`console`](mod@crate::console).
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => { $crate::console::print(::core::format_args!($($arguments)*)) };
}

/// Prints a line to the console, in one piece. As [`print!`].
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($format:literal $($arguments:tt)*) => {
        $crate::console::print(::core::format_args!("{}\n", ::core::format_args!($format $($arguments)*)))
    };
}
