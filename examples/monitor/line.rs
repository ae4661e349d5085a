//! A line that can be edited, and the ones before it.

use core::fmt;
use reveille::{console, cpu, print, println};

/// Characters of a line, columns of it that are shown, and lines that are remembered.
const ROOM: usize = 256;
const SHOWN: usize = 76;
const HISTORY: usize = 32;

const CONTROL_A: u8 = 1;
const CONTROL_C: u8 = 3;
const CONTROL_E: u8 = 5;
const BELL: u8 = 7;
const BACKSPACE: u8 = 8;
const CONTROL_K: u8 = 11;
const CONTROL_U: u8 = 21;
const ESCAPE: u8 = 27;
const DELETE: u8 = 127;

/// Why a line makes no sense before anybody has looked at its words.
pub enum BadLine {
    TooLong,
    NotAscii,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a line has {ROOM} characters at most"),
            Self::NotAscii => f.write_str("there are characters in it that are not ASCII"),
        }
    }
}

/// What was typed: a character, or a key that stands for something.
enum Key {
    Character(u8),
    Enter,
    Backspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    DropLine,
    DropRest,
    Other,
}

#[derive(Clone, Copy)]
struct Line {
    text: [u8; ROOM],
    len: usize,
}

impl Line {
    const EMPTY: Self = Self { text: [0; ROOM], len: 0 };

    fn bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

/// Reads lines, and remembers them.
pub struct Lines {
    history: [Line; HISTORY],
    /// Lines read so far.
    count: usize,
    line: Line,
    by_interrupt: bool,
    /// The last line ended with a carriage return: a line feed after it is no other end.
    after_return: bool,
}

impl Lines {
    pub const fn new() -> Self {
        Self {
            history: [Line::EMPTY; HISTORY],
            count: 0,
            line: Line::EMPTY,
            by_interrupt: false,
            after_return: false,
        }
    }

    fn byte(&self) -> u8 {
        loop {
            if let Some(byte) = console::read_byte() {
                return byte;
            }
            if self.by_interrupt {
                cpu::idle();
            }
        }
    }

    fn key(&mut self) -> Key {
        let byte = self.byte();
        let after_return = core::mem::replace(&mut self.after_return, byte == b'\r');
        match byte {
            b'\n' if after_return => Key::Other,
            b'\r' | b'\n' => Key::Enter,
            BACKSPACE | DELETE => Key::Backspace,
            CONTROL_A => Key::Home,
            CONTROL_E => Key::End,
            CONTROL_C | CONTROL_U => Key::DropLine,
            CONTROL_K => Key::DropRest,
            ESCAPE => self.sequence(),
            b' '..=b'~' | 0x80.. => Key::Character(byte),
            _ => Key::Other,
        }
    }

    /// The rest of an escape sequence (ECMA-48): `[` or `O`, parameters, and a letter or a tilde.
    fn sequence(&self) -> Key {
        if !matches!(self.byte(), b'[' | b'O') {
            return Key::Other;
        }
        let mut parameter = 0;
        loop {
            match self.byte() {
                b'A' => return Key::Up,
                b'B' => return Key::Down,
                b'C' => return Key::Right,
                b'D' => return Key::Left,
                b'H' => return Key::Home,
                b'F' => return Key::End,
                b'~' => {
                    return match parameter {
                        b'1' | b'7' => Key::Home,
                        b'3' => Key::Delete,
                        b'4' | b'8' => Key::End,
                        _ => Key::Other,
                    };
                }
                digit @ b'0'..=b'9' => parameter = digit,
                b' '..=b'?' => {}
                _ => return Key::Other,
            }
        }
    }

    /// A line, without its end. Waits for characters idle if each is an interrupt.
    pub fn read(&mut self, by_interrupt: bool) -> Result<&str, BadLine> {
        self.by_interrupt = by_interrupt;
        let mut at = 0;
        let mut back = 0;
        let mut too_long = false;
        self.line = Line::EMPTY;
        self.show(at);
        loop {
            match self.key() {
                Key::Enter => break,
                Key::Character(_) if self.line.len == ROOM => {
                    too_long = true;
                    print!("{}", char::from(BELL));
                    continue;
                }
                Key::Character(byte) => {
                    let Line { text, len } = &mut self.line;
                    text.copy_within(at..*len, at + 1);
                    text[at] = byte;
                    *len += 1;
                    at += 1;
                    if at == *len && at < SHOWN && byte.is_ascii() {
                        print!("{}", char::from(byte));
                        continue;
                    }
                }
                Key::Backspace if at > 0 => {
                    at -= 1;
                    self.remove(at);
                }
                Key::Delete if at < self.line.len => self.remove(at),
                Key::DropLine => {
                    at = 0;
                    self.line.len = 0;
                    too_long = false;
                }
                Key::DropRest => self.line.len = at,
                Key::Up if back < self.count.min(HISTORY) => {
                    back += 1;
                    at = self.recall(back);
                }
                Key::Down if back > 0 => {
                    back -= 1;
                    at = self.recall(back);
                }
                Key::Left if at > 0 => at -= 1,
                Key::Right if at < self.line.len => at += 1,
                Key::Home => at = 0,
                Key::End => at = self.line.len,
                _ => continue,
            }
            self.show(at);
        }
        println!();
        if too_long {
            return Err(BadLine::TooLong);
        }
        let last = self.count.checked_sub(1).map(|last| &self.history[last % HISTORY]);
        if self.line.len > 0 && last.is_none_or(|last| last.bytes() != self.line.bytes()) {
            self.history[self.count % HISTORY] = self.line;
            self.count += 1;
        }
        match core::str::from_utf8(self.line.bytes()) {
            Ok(text) if text.is_ascii() => Ok(text),
            _ => Err(BadLine::NotAscii),
        }
    }

    fn remove(&mut self, at: usize) {
        self.line.text.copy_within(at + 1..self.line.len, at);
        self.line.len -= 1;
    }

    /// Takes the line from `back` lines ago, or an empty one for 0, and says where it ends.
    fn recall(&mut self, back: usize) -> usize {
        self.line = if back == 0 { Line::EMPTY } else { self.history[(self.count - back) % HISTORY] };
        self.line.len
    }

    /// Shows the line anew, or as much of it as there is room for, with the cursor at `at`.
    fn show(&self, at: usize) {
        let from = at.saturating_sub(SHOWN - 1);
        let shown = &self.line.bytes()[from..self.line.len.min(from + SHOWN)];
        print!("\r> {}\x1b[K\r\x1b[{}C", Printable(shown), at - from + 2);
    }
}

/// Characters that are not ASCII as question marks.
struct Printable<'a>(&'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| {
            fmt::Write::write_char(f, if byte.is_ascii() { char::from(byte) } else { '?' })
        })
    }
}
