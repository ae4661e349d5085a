//! A line that is typed and edited, on a console that is read and written asynchronously.

use core::convert::Infallible;
use core::fmt;
use core::mem;
use embedded_io_async::{Read, Write};
use reveille_embassy::Console;

/// Characters in a line.
const LONGEST: usize = 72;
/// Characters in a line of output: the rest is cut off.
const WIDEST: usize = 160;
const PROMPT: &[u8] = b"\r\x1b[K> ";

/// What was typed, up to now.
#[derive(Clone, Copy)]
pub struct Line {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Line {
    const EMPTY: Self = Self { bytes: [0; LONGEST], len: 0 };

    pub fn as_str(&self) -> &str {
        // Printable ASCII is all that comes in.
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
}

/// Within a sequence that a key sends which is no character.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Begun,
    Within,
}

/// The console, with somebody at it.
pub struct Terminal {
    console: Console,
    /// What came at once, and how much of it was looked at.
    input: [u8; 32],
    next: usize,
    end: usize,
    escape: Escape,
    line: Line,
}

/// A line of output, made before it is written.
struct Text {
    bytes: [u8; WIDEST],
    len: usize,
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.len..];
        let count = text.len().min(room.len());
        room[..count].copy_from_slice(&text.as_bytes()[..count]);
        self.len += count;
        Ok(())
    }
}

impl Terminal {
    pub fn new(console: Console) -> Self {
        Self { console, input: [0; 32], next: 0, end: 0, escape: Escape::None, line: Line::EMPTY }
    }

    /// Waits until something was typed. It may be dropped while it waits: nothing that was typed is lost.
    pub async fn wait(&mut self) {
        if self.next == self.end {
            let Ok(count) = self.console.read(&mut self.input).await;
            (self.next, self.end) = (0, count);
        }
    }

    /// Takes what was typed into the line, and shows it, up to the end of a line: that.
    pub async fn edit(&mut self) -> Option<Line> {
        while self.next < self.end {
            let byte = self.input[self.next];
            self.next += 1;
            if self.is_part_of_key(byte) {
                continue;
            }
            match byte {
                b'\r' | b'\n' => {
                    self.put(b"\r\n").await;
                    return Some(mem::replace(&mut self.line, Line::EMPTY));
                }
                // Backspace and Delete.
                0x08 | 0x7f if self.line.len > 0 => {
                    self.line.len -= 1;
                    self.put(b"\x08 \x08").await;
                }
                // Ctrl-C: another line. Ctrl-U: the same, anew.
                0x03 => {
                    self.line = Line::EMPTY;
                    self.put(b"^C\r\n").await;
                    self.prompt().await;
                }
                0x15 => {
                    self.line = Line::EMPTY;
                    self.prompt().await;
                }
                b' '..=b'~' if self.line.len < LONGEST => {
                    self.line.bytes[self.line.len] = byte;
                    self.line.len += 1;
                    self.put(&[byte]).await;
                }
                // Nothing of that, or no room: the bell.
                _ => self.put(b"\x07").await,
            }
        }
        None
    }

    /// Whether `byte` belongs to a key that is no character, such as an arrow.
    fn is_part_of_key(&mut self, byte: u8) -> bool {
        let before = self.escape;
        self.escape = match (before, byte) {
            (_, 0x1b) => Escape::Begun,
            (Escape::Begun, b'[') => Escape::Within,
            (Escape::Within, b' '..=b'?') => Escape::Within,
            _ => Escape::None,
        };
        before != Escape::None || self.escape != Escape::None
    }

    /// Shows the prompt, and what was typed behind it.
    pub async fn prompt(&mut self) {
        self.put(PROMPT).await;
        let line = self.line;
        self.put(line.as_str().as_bytes()).await;
    }

    /// Writes a line.
    pub async fn say(&mut self, words: fmt::Arguments<'_>) {
        let mut text = Text { bytes: [0; WIDEST], len: 0 };
        // It cuts off, and does not fail.
        let _ = fmt::write(&mut text, words);
        self.put(&text.bytes[..text.len]).await;
        self.put(b"\r\n").await;
    }

    /// Writes a line in between, while somebody may be typing.
    pub async fn interject(&mut self, words: fmt::Arguments<'_>) {
        self.put(b"\r\x1b[K").await;
        self.say(words).await;
        self.prompt().await;
    }

    async fn put(&mut self, bytes: &[u8]) {
        let written: Result<(), Infallible> = self.console.write_all(bytes).await;
        let Ok(()) = written;
    }
}
