//! What is printed: a line at a time, each in one piece.

use super::device::{write_bytes, write_raw};
use crate::clock::Deadline;
use crate::sync::SpinLock;
use crate::{gate, masking};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};

/// Held for a whole line, so that lines of different CPUs never mix.
static LINE: SpinLock<()> = SpinLock::new(());

struct Writer;

impl Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // In the middle of a line too, if need be: somebody who has the gate waits for this CPU.
        gate::poll();
        write_raw(text);
        Ok(())
    }
}

/// What [`print!`](crate::print) calls.
///
/// ```no_run
/// use reveille::console;
///
/// # fn example() {
/// console::print(format_args!("{} of {}\n", 1, 2));
/// # }
/// ```
#[doc(hidden)]
pub fn print(arguments: fmt::Arguments<'_>) {
    print_with(None, &|| write_out(arguments));
}

/// Sends `bytes` to the console as they are, in one piece, and nothing else in between.
///
/// From any context, at the price of [`print!`](crate::print); at NMI level they are dropped.
///
/// ```no_run
/// use reveille::console;
///
/// # fn example() {
/// console::write(b"bytes as they are\r\n");
/// # }
/// ```
pub fn write(bytes: &[u8]) {
    print_with(None, &|| write_bytes(bytes));
}

/// Prints in one piece if the console's lock can be had before `limit`, else past it: whoever holds it may be the one
/// that this is about.
pub(crate) fn print_before(limit: Deadline, arguments: fmt::Arguments<'_>) {
    print_with(Some(limit), &|| write_out(arguments));
}

fn write_out(arguments: fmt::Arguments<'_>) {
    // The writer never fails; a `Display` that does has said so in its own output.
    let _ = Writer.write_fmt(arguments);
}

fn print_with(limit: Option<Deadline>, send: &dyn Fn()) {
    // Who has stopped the others prints past the lock: one of them may hold it.
    if gate::is_stopper() {
        return send();
    }
    if masking::in_nmi() {
        // The line may be this CPU's own.
        DROPPED.fetch_add(1, Ordering::Relaxed);
        return;
    }
    gate::poll();
    if LINE.is_mine() {
        // What this CPU is printing prints something itself: in the middle of its line. Interrupts have been masked since.
        return send();
    }
    // None: nobody else prints any more, or the time is up. A function at NMI level, or a handler of this CPU, may have stopped the others
    // meanwhile, whoever has the line among them.
    let line = LINE.lock_openly(limit);
    if line.is_some() {
        tell_dropped();
    } else if limit.is_some() {
        // Most likely in the middle of a line.
        write_raw("\n");
    }
    send();
    if let Some(line) = line {
        line.end();
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

/// Prints past the lock. Only for the CPU that holds the panic gate, when all others are stopped or are about to
/// be.
pub(crate) fn print_raw(arguments: fmt::Arguments<'_>) {
    let _ = Writer.write_fmt(arguments);
}

/// Prints to the console, in one piece.
///
/// May be used anywhere; at NMI level ([`nmi::on_each`](crate::nmi::on_each)) the text is dropped, and the next line that is printed says how
/// many were. What is printed by a `Display` that is being printed comes out in the middle of its line. How long it takes, with interrupts
/// masked: see [`console`](mod@crate::console).
///
/// ```no_run
/// use reveille::{print, println};
///
/// # fn example() {
/// print!("a line ");
/// println!("in two parts");
/// # }
/// ```
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => { $crate::console::print(::core::format_args!($($arguments)*)) };
}

/// Prints a line to the console, in one piece. As [`print!`].
///
/// ```no_run
/// use reveille::{cpu, println};
///
/// # fn example() {
/// println!("{} CPUs are online", cpu::online().len());
/// # }
/// ```
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($format:literal $($arguments:tt)*) => {
        $crate::console::print(::core::format_args!("{}\n", ::core::format_args!($format $($arguments)*)))
    };
}
