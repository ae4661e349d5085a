//! What the other end of the console can do.

use core::fmt;
use core::time::Duration;
use reveille::time::Instant;
use reveille::{console, cpu, print};

const ESCAPE: u8 = 27;

/// Time for a terminal to answer: a dozen characters at 9600 baud, and who is far away.
const ANSWER: Duration = Duration::from_millis(300);
/// Between two bytes of what one key sends.
const SEQUENCE: Duration = Duration::from_millis(50);

/// Whether a key was typed; it is forgotten, with all that it sends.
pub fn key_typed() -> bool {
    let Some(first) = console::read_byte() else { return false };
    if first == ESCAPE && matches!(byte_until(Instant::now() + SEQUENCE), Some(b'[' | b'O')) {
        while let Some(b' '..=b'?') = byte_until(Instant::now() + SEQUENCE) {}
    }
    true
}

/// A byte that comes before then.
fn byte_until(end: Instant) -> Option<u8> {
    loop {
        if let Some(byte) = console::read_byte() {
            return Some(byte);
        }
        if Instant::now() >= end {
            return None;
        }
        core::hint::spin_loop();
    }
}

/// What a terminal showed that it is one.
#[derive(Clone, Copy)]
pub struct Screen {
    pub rows: usize,
    pub columns: usize,
}

impl Screen {
    /// Asks for the position of the cursor behind the last column and row (ECMA-48, CPR): a terminal answers with its size, and
    /// has colours then; a file or a program that only reads does not answer.
    ///
    /// A key that was typed meanwhile is as good as no answer.
    pub fn ask() -> Option<Self> {
        print!("\x1b7\x1b[999;999H\x1b[6n\x1b8");
        let end = Instant::now() + ANSWER;
        if byte_until(end)? != ESCAPE || byte_until(end)? != b'[' {
            return None;
        }
        let rows = number_before(b';', end)?;
        let columns = number_before(b'R', end)?;
        // One that does not know says 0 or 1.
        let known = |size: usize, usual| if size > 1 { size } else { usual };
        Some(Self { rows: known(rows, 24), columns: known(columns, 80) })
    }
}

fn number_before(last: u8, end: Instant) -> Option<usize> {
    let mut number = 0_usize;
    loop {
        match byte_until(end)? {
            digit @ b'0'..=b'9' => {
                number = number.checked_mul(10)?.checked_add(usize::from(digit - b'0'))?;
            }
            byte => return (byte == last).then_some(number),
        }
    }
}

/// Colours (ECMA-48, SGR).
#[derive(Clone, Copy)]
pub enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

/// Something in a colour, where there are any.
pub struct Coloured<T> {
    pub what: T,
    pub colour: Option<Colour>,
}

impl<T: fmt::Display> fmt::Display for Coloured<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.colour {
            None => self.what.fmt(f),
            Some(colour) => write!(f, "\x1b[{}m{}\x1b[0m", colour as u8, self.what),
        }
    }
}

/// So many of `of` as a bar of `width` characters: more than nothing is one at least.
pub struct Bar {
    pub share: u64,
    pub of: u64,
    pub width: usize,
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = u128::from(self.share.min(self.of)) * self.width as u128;
        let full = share.div_ceil(u128::from(self.of.max(1))) as usize;
        for place in 0..self.width {
            f.write_str(if place < full { "#" } else { "." })?;
        }
        Ok(())
    }
}

/// Waits until then, or for a key. `true`: it was a key.
pub fn wait_for_key(until: Instant) -> bool {
    loop {
        if key_typed() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        cpu::idle();
    }
}
