//! The console in the terms of `embedded-io` and `embedded-io-async`.

use core::convert::Infallible;
use core::future::poll_fn;
use core::mem::replace;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Poll, RawWaker, RawWakerVTable, Waker};
use embassy_sync::waitqueue::GenericAtomicWaker;
use reveille::System;
use reveille::console::{InputError, flush, listen, read_byte, write};
use reveille::cpu::{self, CpuId};

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
/// What is typed comes by interrupt, to one CPU, and wakes who reads, wherever that is. What is written is sent by the CPU that writes, 16
/// bytes at most in one call, which says how many (`write_all` writes all), and goes out as it is: no `\r` is put before a `\n`.
///
/// ```no_run
/// use embedded_io_async::{Read, Write};
/// use reveille_embassy::Console;
///
/// async fn echo(mut console: Console) {
///     let mut byte = [0];
///     while console.read(&mut byte).await.is_ok() {
///         let _ = console.write_all(&byte).await;
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Console(());

/// Why the console is not to be had.
///
/// ```no_run
/// use reveille::println;
/// use reveille_embassy::{Console, ConsoleError};
///
/// # fn example(system: &reveille::System) {
/// match Console::take(system) {
///     Ok(console) => drop(console),
///     Err(ConsoleError::Taken) => println!("somebody reads it"),
///     Err(error) => println!("{error}"),
/// }
/// # }
/// ```
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
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use reveille_embassy::Console;
    ///
    /// # fn example(system: &reveille::System) -> Result<(), reveille_embassy::ConsoleError> {
    /// let console = Console::take(system)?;
    /// # Ok(()) }
    /// ```
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

/// The beginning of `bytes` that is sent at once.
fn piece(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(PIECE)]
}

impl embedded_io_async::Write for Console {
    /// Others have their turn first: if it is dropped before it is done, nothing was sent.
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let mut has_yielded = bytes.is_empty();
        poll_fn(|context| {
            if replace(&mut has_yielded, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let piece = piece(bytes);
        write(piece);
        Ok(piece.len())
    }

    /// Waits, a bounded time and with its CPU, until everything has left the machine.
    async fn flush(&mut self) -> Result<(), Infallible> {
        flush();
        Ok(())
    }
}

/// A waker that ends the `cpu::idle` of a CPU.
fn waker_of(cpu: CpuId) -> Waker {
    static VTABLE: RawWakerVTable =
        RawWakerVTable::new(|data| RawWaker::new(data, &VTABLE), wake, wake, |_| ());
    fn wake(data: *const ()) {
        if let Some(cpu) = cpu::get(data.addr()) {
            cpu::wake(cpu);
        }
    }
    let data = ptr::without_provenance(cpu.index());
    // SAFETY: the data is a number, which the functions take for one; there is nothing to drop.
    unsafe { Waker::from_raw(RawWaker::new(data, &VTABLE)) }
}

impl embedded_io::Read for Console {
    /// Waits with [`cpu::idle`] until something was typed.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // Before the look. A thread that is moved meanwhile looks again after the time of `idle_ms`.
            READER.register(&waker_of(cpu::current()));
            match take(buffer) {
                0 => cpu::idle(),
                count => return Ok(count),
            }
        }
    }
}

impl embedded_io::Write for Console {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let piece = piece(bytes);
        write(piece);
        Ok(piece.len())
    }

    /// Waits, a bounded time, until everything has left the machine.
    fn flush(&mut self) -> Result<(), Infallible> {
        flush();
        Ok(())
    }
}
