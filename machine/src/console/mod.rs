//! The UART to talk to.
//!
//! What a UART is like is data: a row of [`table`] says which register takes a byte, which bits say that there is room, and so on
//! ([`model`] says what a row has), and [`uart`] does with any row what a console has to do. So another UART is another row.
//!
//! What is no UART is [`virtio`].

mod by_hand;
mod model;
mod polled;
#[cfg(test)]
mod simulated;
mod table;
mod uart;
mod virtio;
#[cfg(test)]
mod virtio_simulated;

pub use polled::{Polled, PolledAccess};
pub use uart::{Registers, Uart};
pub use virtio::{Dma, Virtio, VirtioMemory};

use crate::interrupt::Interrupt;
use crate::path::Path;
use crate::region::Region;
use core::fmt;

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

/// The programming model of a UART. All but the 8250 class are what their name says, wherever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
        /// Which one: some have to be told more, or less, before they interrupt.
        model: Model,
    },
    /// A virtio device over MMIO, which may be a console: only the device itself says so.
    Virtio,
    /// Any other one of the table in `machine/src/console/table.rs`.
    Model(Model),
}

/// A UART of the table; [`ConsoleKind::by_name`] finds it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Model(u8);

impl Model {
    /// The plain 8250.
    pub const UART_8250: Self = Self(table::BYTES);
}

impl ConsoleKind {
    /// The model of that name: a string of `compatible` in device trees, or a short one: what Linux's bootarg `earlycon=` has (such as
    /// `pl011`, `uart8250`, `cdns`, `qcom_geni`) or less (`imx`, `geni`). `8250` and `uart8250` may be followed by `,mmio16` or `,mmio32`.
    /// `None` if there is no driver.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::by_bytes(name.as_bytes())
    }

    pub(crate) const fn by_bytes(name: &[u8]) -> Option<Self> {
        let Some(row) = table::find(name) else { return None };
        let Some(model::Packed { layout, .. }) = table::row(row) else { return None };
        Some(match row {
            table::PL011 => Self::Pl011,
            table::SBSA => Self::SbsaUart,
            table::VIRTIO => Self::Virtio,
            table::BYTES..=table::LAST_8250 => Self::Uart8250 {
                reg_shift: layout.shift as u32,
                reg_io_width: layout.width as u32,
                reg_offset: 0,
                // Those that differ in their layout only are the same.
                model: if row <= table::WORDS { Model::UART_8250 } else { Model(row) },
            },
            _ => Self::Model(Model(row)),
        })
    }

    /// What it is called: the first of its short names.
    pub fn name(self) -> &'static str {
        table::name(self.row())
    }

    /// False if its registers are not in memory but system registers of the CPU: Arm's debug communications channel.
    pub const fn is_in_memory(self) -> bool {
        !matches!(table::row(self.row()), Some(row) if row.layout.width == 0)
    }

    const fn row(self) -> u8 {
        match self {
            Self::Pl011 => table::PL011,
            Self::SbsaUart => table::SBSA,
            Self::Virtio => table::VIRTIO,
            Self::Uart8250 { model, .. } | Self::Model(model) => model.0,
        }
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(table::name(self.0))
    }
}
