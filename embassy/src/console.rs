//! The console in the terms of `embedded-io` and `embedded-io-async`.

use core::convert::Infallible;
use core::future::poll_fn;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Poll;
use embassy_sync::waitqueue::GenericAtomicWaker;
use reveille::System;
use reveille::console::{InputError, listen, read_byte, write};
use reveille::cpu;

/// So much is written at once, before other tasks have their turn: as much as most UARTs hold.
const PIECE: usize = 16;

/// Wakes who reads.
static READER: GenericAtomicWaker<crate::SpinRawMutex> =
    GenericAtomicWaker::new(<crate::SpinRawMutex as embassy_sync::blocking_mutex::raw::RawMutex>::INIT);
/// Somebody has the console.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Its interrupt wakes who reads, for good.
static LISTENS: AtomicBool = AtomicBool::new(false);

/// The console, to be read and written. One at a time has it; [`println!`](reveille::println) goes there as ever.
///
/// What is typed comes by interrupt, to the CPU that made this. What is written is sent by the CPU that writes, in pieces of 16 bytes, and goes out as it
/// is: no `\r` is put before a `\n`.
#[derive(Debug)]
pub struct Console(());

/// Why the console is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsoleError {
    /// The machine has none.
    None,
    /// Somebody has it.
    Taken,
    /// It does not say when something was typed.
    Input(InputError),
}

impl core::fmt::Display for ConsoleError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::None => f.write_str("the machine has no console"),
            Self::Taken => f.write_str("somebody has the console"),
            Self::Input(error) => error.fmt(f),
        }
    }
}

impl Console {
    /// Takes it.
    ///
    /// # Errors
    ///
    /// A [`ConsoleError`].
    pub fn take(system: &System) -> Result<Self, ConsoleError> {
        let console = system.machine().console.as_ref().map_err(|_| ConsoleError::None)?;
        // Acquire: pairs with `drop`.
        if TAKEN.swap(true, Ordering::Acquire) {
            return Err(ConsoleError::Taken);
        }
        let taken = Self(());
        // Relaxed: under `TAKEN`.
        if !LISTENS.load(Ordering::Relaxed) {
            listen(console, || READER.wake()).map_err(ConsoleError::Input)?;
            LISTENS.store(true, Ordering::Relaxed);
        }
        Ok(taken)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // Release: pairs with `take`.
        TAKEN.store(false, Ordering::Release);
    }
}

/// Takes what was typed, as far as there is room.
fn take(buffer: &mut [u8]) -> usize {
    buffer.iter_mut().map_while(|byte| read_byte().map(|typed| *byte = typed)).count()
}

impl embedded_io_async::ErrorType for Console {
    type Error = Infallible;
}

impl embedded_io_async::Read for Console {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        if buffer.is_empty() {
            return Ok(0);
        }
        poll_fn(|context| {
            // Before the look: what is typed behind it wakes.
            READER.register(context.waker());
            match take(buffer) {
                0 => Poll::Pending,
                count => Poll::Ready(Ok(count)),
            }
        })
        .await
    }
}

impl embedded_io_async::Write for Console {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let piece = &bytes[..bytes.len().min(PIECE)];
        write(piece);
        // Others have their turn.
        let mut has_yielded = piece.is_empty();
        poll_fn(|context| {
            if core::mem::replace(&mut has_yielded, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        Ok(piece.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl embedded_io::Read for Console {
    /// Waits with [`cpu::idle`] until something was typed.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match take(buffer) {
                0 => cpu::idle(),
                count => return Ok(count),
            }
        }
    }
}

impl embedded_io::Write for Console {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
