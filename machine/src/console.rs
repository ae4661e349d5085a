//! The UART to talk to.

use crate::interrupt::Interrupt;
use crate::path::Path;
use crate::region::Region;

/// A UART that there is a driver for.
#[derive(Clone, Copy, Debug)]
pub struct Console<'a> {
    /// Where it is described.
    pub path: Path<'a>,
    /// Its programming model.
    pub kind: ConsoleKind,
    /// Its registers, CPU physical.
    pub registers: Region,
    /// Its interrupt, where that goes straight to the GIC.
    pub interrupt: Option<Interrupt>,
    /// The frequency of its clock in Hz. Most descriptions name a clock instead.
    pub clock_frequency: Option<u32>,
    /// How it is meant to be set, such as `115200n8`; empty if that is not said.
    pub options: &'a str,
    /// True if it was chosen by name, false if it is just the first usable one.
    pub is_chosen: bool,
}

/// The programming model of a UART.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleKind {
    /// Arm PrimeCell PL011.
    Pl011,
    /// The subset of it that SBSA asks for: no line control, no baud rate.
    SbsaUart,
    /// Anything descended from the 8250.
    Uart8250 {
        /// Registers are `1 << reg_shift` bytes apart.
        reg_shift: u32,
        /// Bytes per access: 1, 2 or 4.
        reg_io_width: u32,
        /// Bytes from the start of the region to the first register.
        reg_offset: u32,
    },
}
