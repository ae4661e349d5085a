//! A UART of the table, on the hardware.

use crate::arch::{mmio, regs};
use crate::clock::HardwareLimit;
#[cfg(feature = "fault-injection")]
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use reveille_machine::{Console, Registers};

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

/// The registers of the console, mapped.
struct Mapped {
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
        if is_patient { HardwareLimit::within(PATIENCE, ready) } else { ready() }
    }
}

pub(super) struct Uart(reveille_machine::Uart<Mapped>);

impl Uart {
    /// `console`'s registers are mapped.
    pub(super) fn new(console: &Console<'_>) -> Self {
        Self(reveille_machine::Uart::new(console.kind, Mapped { base: console.registers.base as usize }))
    }

    #[cfg(feature = "fault-injection")]
    pub(super) fn base(&self) -> u64 {
        self.0.registers().base as u64
    }

    /// Sends text, each end of a line as terminals want it.
    pub(super) fn send_text(&self, text: &str) {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.send(b'\r');
            }
            self.send(byte);
        }
    }

    /// Sends bytes as they are.
    pub(super) fn send_bytes(&self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.send(*byte));
    }

    #[inline(never)]
    fn send(&self, byte: u8) {
        self.0.send(byte);
    }

    /// Whether it interrupts while there is something to read, from now on.
    pub(super) fn interrupt_on_receive(&self, on: bool) {
        self.0.interrupt_on_receive(on);
    }

    pub(super) fn receive(&self) -> Option<u8> {
        self.0.receive()
    }

    pub(super) fn flush(&self) {
        self.0.flush();
    }
}
