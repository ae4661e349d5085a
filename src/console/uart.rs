//! A UART of the table, or a virtio console, on the hardware.

use crate::arch::{cache, mmio, regs};
use crate::clock::HardwareLimit;
use crate::memory;
#[cfg(feature = "fault-injection")]
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use reveille_machine::{Console, ConsoleKind, Dma, Registers, Virtio, VirtioMemory};

/// How long a byte is waited for before it is given up: a UART that is stuck must not hang the machine. At 9600 baud a byte takes a
/// millisecond, and what fills the FIFO of the largest, 64 bytes, takes 67 to leave; this is three times as long.
const PATIENCE: Duration = Duration::from_millis(200);

/// Relaxed: planted by the CPU that prints.
#[cfg(feature = "fault-injection")]
static NEVER_READY: AtomicBool = AtomicBool::new(false);

/// From now on, or no longer, the UART is never ready, as far as anybody can read.
#[cfg(feature = "fault-injection")]
pub(super) fn never_ready(never: bool) {
    NEVER_READY.store(never, Ordering::Relaxed);
}

/// Maps the registers of `console`, which are in memory.
pub(super) fn map(console: &Console<'_>) -> Result<(), &'static str> {
    let mapped = memory::map_device(console.registers.base, console.registers.size.max(1));
    mapped.map_err(|_| "its registers cannot be mapped")
}

/// The registers of the console, mapped.
pub(super) struct Mapped {
    base: usize,
}

impl Registers for Mapped {
    fn read(&self, offset: u32, width: u8) -> u32 {
        let address = self.base + offset as usize;
        // SAFETY: a register of the UART, mapped by the caller of `Uart::new`, in the width that it has there by the table or the
        // description; and one that a console reads.
        unsafe {
            match width {
                0 => regs::debug_channel_read(offset),
                1 => u32::from(mmio::read::<u8>(address)),
                2 => u32::from(mmio::read::<u16>(address)),
                _ => mmio::read(address),
            }
        }
    }

    #[inline(never)]
    fn write(&self, offset: u32, width: u8, value: u32) {
        let address = self.base + offset as usize;
        // SAFETY: as for `read`.
        unsafe {
            match width {
                0 => regs::debug_channel_write(value),
                1 => mmio::write(address, value as u8),
                2 => mmio::write(address, value as u16),
                _ => mmio::write(address, value),
            }
        }
    }

    fn wait(&self, is_patient: bool, mut ready: impl FnMut() -> bool) -> bool {
        #[cfg(feature = "fault-injection")]
        let mut ready = || !NEVER_READY.load(Ordering::Relaxed) && ready();
        wait(is_patient, &mut ready)
    }
}

/// One for all that is waited for, as none of it is in a hurry.
#[inline(never)]
fn wait(is_patient: bool, ready: &mut dyn FnMut() -> bool) -> bool {
    if is_patient { HardwareLimit::within(PATIENCE, ready) } else { ready() }
}

impl Dma for Mapped {
    /// Also where the tree says that the device shares the caches: by hand nobody says so.
    #[inline(never)]
    fn exchange(&self, start: u64, len: usize) {
        cache::clean_invalidate(start as usize, len);
    }
}

pub(super) enum Uart {
    Row(reveille_machine::Uart<Mapped>),
    Virtio(Virtio<Mapped>),
}

impl Uart {
    /// `console`'s registers are mapped; `memory` is that of no other device.
    pub(super) fn new(console: &Console<'_>, memory: &'static VirtioMemory) -> Result<Self, &'static str> {
        let registers = Mapped { base: console.registers.base as usize };
        Ok(match console.kind {
            // The image lies where its addresses say.
            ConsoleKind::Virtio => Self::Virtio(Virtio::new(registers, memory)?),
            kind => Self::Row(reveille_machine::Uart::new(kind, registers)),
        })
    }

    #[cfg(feature = "fault-injection")]
    pub(super) fn base(&self) -> u64 {
        match self {
            Self::Row(uart) => uart.registers().base as u64,
            Self::Virtio(virtio) => virtio.registers().base as u64,
        }
    }

    /// Sends text, each end of a line as terminals want it.
    pub(super) fn send_text(&self, text: &str) {
        self.send(text.as_bytes(), true);
    }

    /// Sends bytes as they are.
    pub(super) fn send_bytes(&self, bytes: &[u8]) {
        self.send(bytes, false);
    }

    #[inline(never)]
    fn send(&self, bytes: &[u8], is_text: bool) {
        match self {
            Self::Row(uart) => {
                for byte in bytes {
                    if is_text && *byte == b'\n' {
                        send_byte(uart, b'\r');
                    }
                    send_byte(uart, *byte);
                }
            }
            Self::Virtio(virtio) => virtio.send(bytes, is_text),
        }
    }

    /// Whether it interrupts while there is something to read, from now on.
    pub(super) fn interrupt_on_receive(&self, on: bool) {
        if let Self::Row(uart) = self {
            uart.interrupt_on_receive(on);
        }
    }

    pub(super) fn receive(&self) -> Option<u8> {
        match self {
            Self::Row(uart) => uart.receive(),
            Self::Virtio(virtio) => virtio.receive(),
        }
    }

    pub(super) fn flush(&self) {
        match self {
            Self::Row(uart) => uart.flush(),
            Self::Virtio(virtio) => {
                virtio.flush();
            }
        }
    }
}

#[inline(never)]
fn send_byte(uart: &reveille_machine::Uart<Mapped>, byte: u8) {
    uart.send(byte);
}
