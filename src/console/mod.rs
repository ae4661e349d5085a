//! The console: one UART, found in the description of the machine, and what is printed on it.
//!
//! A line is printed in one piece: whoever prints holds the line's lock, and masks interrupts, for as long as the UART takes. At 115 200 baud
//! that is 87 µs for each character, 7 ms for a line of 80; what does not fit the UART's FIFO, which mostly holds 16 characters, is waited for. A CPU that
//! waits for its turn does so with interrupts open if it has them open, and turns are then no queue; with interrupts masked, or in a
//! handler, it waits masked, for all who came before it. Nothing that has a deadline should print.

mod bare;
mod device;
mod early;
mod input;
mod line;
mod logger;
mod uart;

pub(crate) use bare::Bare;
pub use device::flush;
#[cfg(feature = "fault-injection")]
pub(crate) use device::{base, never_ready};
pub(crate) use device::{give_up_if_busy, init, write_raw};
pub(crate) use early::{BUILT_IN, answers, init_early};
pub use input::{InputError, listen, read_byte};
#[doc(hidden)]
pub use line::print;
pub use line::write;
pub(crate) use line::{print_before, print_raw};
pub(crate) use logger::init as init_log;
