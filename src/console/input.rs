//! What is typed, by interrupt where the console has one.

use super::device::UART;
use super::early::early;
use super::uart::Uart;
use crate::irq::{self, IrqError, Trigger};
use crate::masking;
use crate::sync::SpinLock;
use core::fmt;
use core::sync::atomic::{AtomicPtr, Ordering};
use reveille_machine::Console;

/// Characters that wait to be read. What does not fit waits in the device, and then with whoever sends it.
const ROOM: usize = 256;

/// The characters that were collected, oldest first from `first` on, around the end.
struct Ring {
    bytes: [u8; ROOM],
    first: usize,
    count: usize,
    /// It was full: the device does not interrupt until there is room.
    held_back: bool,
}

/// Whoever has this may take characters from the device: they stay in order, and nobody finds taken what he just saw.
static RING: SpinLock<Ring> = SpinLock::new(Ring { bytes: [0; ROOM], first: 0, count: 0, held_back: false });

impl Ring {
    /// Takes what the device has, as far as there is room.
    fn fill(&mut self, uart: &Uart) {
        while self.count < ROOM {
            let Some(byte) = uart.receive() else { return };
            self.bytes[(self.first + self.count) % ROOM] = byte;
            self.count += 1;
        }
        self.held_back = true;
        uart.interrupt_on_receive(false);
    }

    fn take(&mut self, uart: &Uart) -> Option<u8> {
        if self.count == 0 {
            return uart.receive();
        }
        let byte = self.bytes[self.first];
        self.first = (self.first + 1) % ROOM;
        self.count -= 1;
        if self.held_back && self.count <= ROOM / 2 {
            self.held_back = false;
            self.fill(uart);
            if !self.held_back {
                uart.interrupt_on_receive(true);
            }
        }
        Some(byte)
    }
}

/// Called in the handler when there is something to read.
static LISTENER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Why the console cannot be listened to.
///
/// ```no_run
/// use reveille::console::{self, InputError};
/// use reveille::println;
///
/// # fn example(system: &reveille::System) {
/// if let Ok(uart) = system.machine().console {
///     match console::listen(&uart, || {}) {
///         Ok(()) => {}
///         Err(InputError::NoInterrupt) => println!("it has to be polled"),
///         Err(error) => println!("no input: {error}"),
///     }
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputError {
    /// There is no console, or nothing leads its interrupt to the controller.
    NoInterrupt,
    /// The interrupt was refused.
    Irq(IrqError),
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterrupt => f.write_str("the console has no interrupt"),
            Self::Irq(error) => error.fmt(f),
        }
    }
}

/// Collects what is typed, by interrupt, for [`read_byte`]; `listener` is called in interrupt context
/// whenever there is something new. `console` is [`Machine::console`](crate::dt::Machine::console).
///
/// # Errors
///
/// An [`InputError`]; nothing has changed then. `read_byte` still asks the device if nobody listens.
///
/// # Examples
///
/// ```no_run
/// use reveille::console;
/// use reveille::cpu;
///
/// # fn example(system: &reveille::System) -> Result<(), console::InputError> {
/// if let Ok(uart) = system.machine().console {
///     // The listener is told, in interrupt context, that there are bytes; this thread reads them.
///     console::listen(&uart, || {})?;
///     loop {
///         while let Some(byte) = console::read_byte() {
///             console::write(&[byte]);
///         }
///         cpu::idle();
///     }
/// }
/// # Ok(()) }
/// ```
pub fn listen(console: &Console<'_>, listener: fn()) -> Result<(), InputError> {
    let (Some(uart), Some(interrupt)) = (UART.get(), console.interrupt) else {
        return Err(InputError::NoInterrupt);
    };
    let trigger = if interrupt.trigger.is_edge() { Trigger::Edge } else { Trigger::Level };
    // The interrupt comes to this CPU, and not before there is a listener.
    let _masked = masking::mask();
    irq::keep(interrupt.id, trigger, |_| collect()).map_err(InputError::Irq)?;
    LISTENER.store(listener as *mut (), Ordering::Release);
    // Under the lock: what ends an interrupt, as whoever reads does, may write the same register.
    let ring = RING.lock();
    uart.interrupt_on_receive(!ring.held_back);
    Ok(())
}

/// The handler: empties the device, or has it hold back, which quiets it.
fn collect() {
    let Some(uart) = UART.get() else { return };
    RING.lock().fill(uart);
    let listener = LISTENER.load(Ordering::Acquire);
    if !listener.is_null() {
        // SAFETY: only `listen` stores here, and it stores a `fn()`.
        let listener: fn() = unsafe { core::mem::transmute(listener) };
        listener();
    }
}

/// Takes a character that was typed, if there is one. At NMI level there is none.
///
/// ```no_run
/// use reveille::console;
///
/// # fn example() {
/// while let Some(byte) = console::read_byte() {
///     console::write(&[byte.to_ascii_uppercase()]);
/// }
/// # }
/// ```
pub fn read_byte() -> Option<u8> {
    if masking::in_nmi() {
        return None;
    }
    let uart = UART.get().or_else(early)?;
    RING.lock().take(uart)
}
