//! The UART as such, for a CPU that is alone and may use nothing that is shared.

use super::device::MEMORY;
use super::uart::Uart;
use crate::dt;
use core::fmt;

/// A UART that nobody else uses.
pub(crate) struct Bare(Uart);

impl Bare {
    /// `console`'s registers are mapped, if they are in memory.
    pub(crate) fn new(console: &dt::Console<'_>) -> Result<Self, &'static str> {
        Uart::new(console, &MEMORY).map(Self)
    }

    /// Waits, a bounded time, until everything has left the machine.
    pub(crate) fn flush(&self) {
        self.0.flush();
    }
}

impl fmt::Write for Bare {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.send_text(text);
        Ok(())
    }
}
