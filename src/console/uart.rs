//! Drivers for the two families of UART there are: PL011 and 8250. Both as firmware has set them up.

use crate::arch::mmio;
use crate::clock::HardwareLimit;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use reveille_machine::{Console, ConsoleKind};

/// How long a byte is waited for before it is given up: a UART that is stuck must not hang the machine. At 9600 baud a byte takes a
/// millisecond, and what fills the FIFO of the largest, 64 bytes, takes 67 to leave; this is three times as long.
const PATIENCE: Duration = Duration::from_millis(200);

/// PL011 (Arm DDI 0183) and its SBSA subset: data and flag register.
const PL011_DR: usize = 0x00;
const PL011_FR: usize = 0x18;
const FR_BUSY: u32 = 1 << 3;
const FR_RXFE: u32 = 1 << 4;
const FR_TXFF: u32 = 1 << 5;
const PL011_CR: usize = 0x30;
/// Interrupt mask: receive, and receive time-out.
const PL011_IMSC: usize = 0x38;
const IMSC_RECEIVE: u32 = 1 << 4 | 1 << 6;
const CR_ENABLE: u32 = 1 | 1 << 8 | 1 << 9;

/// 8250 register numbers, before `reg-shift`.
const DATA: usize = 0;
/// Interrupt enable: received data, and with it line status, as Linux has both: of the BCM2711's mini-UART it is said that
/// without the second the first does nothing. Both end when LSR and the data are read.
const IER: usize = 1;
const IER_RECEIVE: u8 = 1 | 1 << 2;
const LSR: usize = 5;
const LSR_DATA_READY: u32 = 1 << 0;
const LSR_THR_EMPTY: u32 = 1 << 5;
const LSR_IDLE: u32 = 1 << 6;

/// Relaxed: planted by the CPU that prints.
#[cfg(feature = "fault-injection")]
static NEVER_READY: AtomicBool = AtomicBool::new(false);

/// From now on, or no longer, the UART is never ready, as far as anybody can read.
#[cfg(feature = "fault-injection")]
pub(super) fn never_ready(never: bool) {
    NEVER_READY.store(never, Ordering::Relaxed);
}

pub(super) struct Uart {
    base: usize,
    model: Model,
    /// It let the last wait run out: until it is ready again nothing waits for it.
    stuck: AtomicBool,
}

enum Model {
    Pl011,
    Uart8250 { shift: u32, width: u32 },
}

impl Uart {
    /// `console`'s registers are mapped.
    pub(super) fn new(console: &Console<'_>) -> Self {
        let mut base = console.registers.base as usize;
        let model = match console.kind {
            ConsoleKind::Pl011 => {
                // Firmware that never used it has left it off; SBSA UARTs have no such register.
                // SAFETY: a PL011's control register, mapped.
                unsafe {
                    let control: u32 = mmio::read(base + PL011_CR);
                    if control & CR_ENABLE != CR_ENABLE {
                        mmio::write(base + PL011_CR, control | CR_ENABLE);
                    }
                }
                Model::Pl011
            }
            ConsoleKind::SbsaUart => Model::Pl011,
            ConsoleKind::Uart8250 { reg_shift, reg_io_width, reg_offset } => {
                base += reg_offset as usize;
                Model::Uart8250 { shift: reg_shift, width: reg_io_width }
            }
        };
        Self { base, model, stuck: AtomicBool::new(false) }
    }

    #[cfg(feature = "fault-injection")]
    pub(super) fn base(&self) -> u64 {
        self.base as u64
    }

    fn read(&self, register: usize) -> u32 {
        // SAFETY: a register of the UART, mapped by the caller of `new`, in the width that it has there.
        unsafe {
            match self.model {
                Model::Pl011 => mmio::read(self.base + register),
                Model::Uart8250 { shift, width: 4 } => mmio::read(self.base + (register << shift)),
                Model::Uart8250 { shift, width: 2 } => {
                    u32::from(mmio::read::<u16>(self.base + (register << shift)))
                }
                Model::Uart8250 { shift, .. } => u32::from(mmio::read::<u8>(self.base + (register << shift))),
            }
        }
    }

    fn write(&self, register: usize, value: u8) {
        // SAFETY: as for `read`.
        unsafe {
            match self.model {
                Model::Pl011 => mmio::write(self.base + register, u32::from(value)),
                Model::Uart8250 { shift, width: 4 } => {
                    mmio::write(self.base + (register << shift), u32::from(value));
                }
                Model::Uart8250 { shift, width: 2 } => {
                    mmio::write(self.base + (register << shift), u16::from(value));
                }
                Model::Uart8250 { shift, .. } => mmio::write(self.base + (register << shift), value),
            }
        }
    }

    fn wait(&self, ready: impl Fn(&Self) -> bool) {
        #[cfg(feature = "fault-injection")]
        let ready = |uart: &Self| !NEVER_READY.load(Ordering::Relaxed) && ready(uart);
        // A report on a UART that is stuck must come to its end: only its first byte waits. Relaxed: a hint.
        let is_ready = if self.stuck.load(Ordering::Relaxed) {
            ready(self)
        } else {
            HardwareLimit::within(PATIENCE, || ready(self))
        };
        self.stuck.store(!is_ready, Ordering::Relaxed);
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

    fn send(&self, byte: u8) {
        match self.model {
            Model::Pl011 => {
                self.wait(|uart| uart.read(PL011_FR) & FR_TXFF == 0);
                self.write(PL011_DR, byte);
            }
            Model::Uart8250 { .. } => {
                self.wait(|uart| uart.read(LSR) & LSR_THR_EMPTY != 0);
                self.write(DATA, byte);
            }
        }
    }

    /// Whether it interrupts while there is something to read, from now on.
    pub(super) fn interrupt_on_receive(&self, on: bool) {
        match self.model {
            Model::Pl011 => {
                // SAFETY: the interrupt mask register, which SBSA UARTs have too, mapped.
                unsafe {
                    let mask: u32 = mmio::read(self.base + PL011_IMSC);
                    let mask = if on { mask | IMSC_RECEIVE } else { mask & !IMSC_RECEIVE };
                    mmio::write(self.base + PL011_IMSC, mask);
                }
            }
            Model::Uart8250 { .. } => self.write(IER, if on { IER_RECEIVE } else { 0 }),
        }
    }

    pub(super) fn receive(&self) -> Option<u8> {
        match self.model {
            Model::Pl011 => (self.read(PL011_FR) & FR_RXFE == 0).then(|| self.read(PL011_DR) as u8),
            Model::Uart8250 { .. } => (self.read(LSR) & LSR_DATA_READY != 0).then(|| self.read(DATA) as u8),
        }
    }

    pub(super) fn flush(&self) {
        match self.model {
            Model::Pl011 => self.wait(|uart| uart.read(PL011_FR) & FR_BUSY == 0),
            Model::Uart8250 { .. } => self.wait(|uart| uart.read(LSR) & LSR_IDLE != 0),
        }
    }
}
