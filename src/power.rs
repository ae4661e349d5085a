//! Ending it: off, reset, exit with a code.

pub use crate::ending::ExitCode;

use crate::ending::{try_exit, try_off, try_reset};
use crate::{console, panic};

/// Turns the machine off: by firmware, or by a device that the tree names. If neither can, every CPU is stopped, and all park.
///
/// ```no_run
/// use reveille::{power, println};
///
/// # fn example() {
/// println!("that is all");
/// power::off();
/// # }
/// ```
pub fn off() -> ! {
    #[cfg(feature = "trace")]
    crate::unroll::at_end();
    console::flush();
    try_off();
    panic::park_all()
}

/// Resets the machine: by firmware, or by a device that the tree names. If neither can, every CPU is stopped, and all park.
///
/// ```no_run
/// use reveille::power;
///
/// # fn example() {
/// power::reset();
/// # }
/// ```
pub fn reset() -> ! {
    #[cfg(feature = "trace")]
    crate::unroll::at_end();
    console::flush();
    try_reset();
    panic::park_all()
}

/// Ends the run with `code`: through semihosting if there is a host, else as [`off`].
///
/// ```no_run
/// use reveille::{ExitCode, cpu, power};
///
/// # fn example() {
/// power::exit(if cpu::online().len() > 1 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
/// # }
/// ```
pub fn exit(code: ExitCode) -> ! {
    #[cfg(feature = "trace")]
    crate::unroll::at_end();
    console::flush();
    try_exit(code);
    panic::park_all()
}
