//! A line with a checksum.

use core::fmt::{self, Write};
use reveille_machine::dump::crc;

/// A line that holds as much as this takes no more records.
const LONG: usize = 160;
/// No record is longer than the rest.
const ROOM: usize = 240;

/// A line that is being written, and how many there were.
pub(super) struct Line {
    print: fn(fmt::Arguments<'_>),
    text: [u8; ROOM],
    len: usize,
    count: u64,
}

impl Line {
    pub(super) fn new(print: fn(fmt::Arguments<'_>)) -> Self {
        Self { print, text: [0; ROOM], len: 0, count: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn is_long(&self) -> bool {
        self.len >= LONG
    }

    /// Lines that are written.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn add(&mut self, text: fmt::Arguments<'_>) {
        // What has no room is cut off.
        let _ = self.write_fmt(text);
    }

    /// A name of the application's: as far as it has room, and what is not plain as `?`.
    pub(super) fn add_name(&mut self, name: &str) {
        for byte in name.bytes() {
            let plain = if byte.is_ascii_graphic() || byte == b' ' { byte } else { b'?' };
            self.push(plain);
        }
    }

    /// Writes the line, unless it is empty.
    pub(super) fn end(&mut self) {
        if self.len == 0 {
            return;
        }
        let text = &self.text[..self.len];
        let sum = !crc(u32::MAX, text);
        // Only ASCII was put there.
        (self.print)(format_args!("~{} {sum:08x}\n", core::str::from_utf8(text).unwrap_or_default()));
        self.len = 0;
        self.count += 1;
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.push(byte));
        Ok(())
    }
}
