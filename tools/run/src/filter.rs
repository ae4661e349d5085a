//! What is taken out of a console that shows more than the image prints.

use std::io::{self, Read, Write};

/// A filter of a stream of bytes. It holds back only what may be the beginning of something that it takes out.
#[derive(Debug)]
pub struct Filter {
    kind: Kind,
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Escape sequences and carriage returns.
    Terminal,
    /// This at the beginning of a line, of which it is known how much is still possible; elsewhere in it `None`.
    Prefix(&'static [u8], bool),
}

impl Filter {
    /// Without what is for a terminal: firmware writes for one, before the image does.
    pub fn terminal() -> Self {
        Self { kind: Kind::Terminal, held: Vec::new() }
    }

    /// Without these bytes at the beginning of a line.
    pub fn prefix(prefix: &'static str) -> Self {
        Self { kind: Kind::Prefix(prefix.as_bytes(), true), held: Vec::new() }
    }

    /// Takes more bytes, and appends to `out` what is left of them.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            match self.kind {
                Kind::Terminal => self.feed_terminal(byte, out),
                Kind::Prefix(prefix, is_possible) => self.feed_line(prefix, is_possible, byte, out),
            }
        }
    }

    /// Appends to `out` what was held back: nothing comes any more.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }

    fn feed_terminal(&mut self, byte: u8, out: &mut Vec<u8>) {
        let is_next = match self.held.len() {
            0 => byte == 0x1b,
            1 => byte == b'[',
            _ if byte.is_ascii_alphabetic() => {
                self.held.clear();
                return;
            }
            _ => byte.is_ascii_digit() || b";=?".contains(&byte),
        };
        if is_next {
            self.held.push(byte);
            return;
        }
        out.append(&mut self.held);
        match byte {
            0x1b => self.held.push(byte),
            b'\r' => {}
            _ => out.push(byte),
        }
    }

    fn feed_line(&mut self, prefix: &'static [u8], is_possible: bool, byte: u8, out: &mut Vec<u8>) {
        if is_possible && prefix.get(self.held.len()) == Some(&byte) {
            self.held.push(byte);
            if self.held.len() == prefix.len() {
                self.held.clear();
                self.kind = Kind::Prefix(prefix, false);
            }
            return;
        }
        out.append(&mut self.held);
        out.push(byte);
        self.kind = Kind::Prefix(prefix, byte == b'\n');
    }

    /// Filters all that comes, as it comes.
    ///
    /// # Errors
    ///
    /// What comes cannot be read, or what is left not be written.
    pub fn run(mut self, mut from: impl Read, mut to: impl Write) -> io::Result<()> {
        let (mut bytes, mut out) = ([0; 4096], Vec::new());
        loop {
            let count = match from.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                count => count?,
            };
            if count == 0 {
                self.finish(&mut out);
            } else {
                self.feed(&bytes[..count], &mut out);
            }
            to.write_all(&out)?;
            to.flush()?;
            out.clear();
            if count == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same whatever comes at once.
    fn filtered(filter: impl Fn() -> Filter, text: &str) -> String {
        let mut whole = Vec::new();
        filter().run(text.as_bytes(), &mut whole).unwrap();
        let (mut parts, mut one) = (Vec::new(), filter());
        for byte in text.bytes() {
            one.feed(&[byte], &mut parts);
        }
        one.finish(&mut parts);
        assert_eq!(whole, parts);
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn what_is_for_a_terminal_goes() {
        let text = "\x1b[2J\x1b[01;01H\x1b[=3h\x1b[?25lone\r\ntwo\x1b\x1b[0m\x1bM \x1b[1 three\x1b[";
        assert_eq!(filtered(Filter::terminal, text), "one\ntwo\x1b\x1bM \x1b[1 three\x1b[");
    }

    #[test]
    fn a_prefix_goes_once_and_at_the_beginning_of_a_line() {
        let text = "(XEN) DOM1: one\n(XEN) two\n(XEN) DOM1: (XEN) DOM1: three\n (XEN) DOM1: four\n(XEN) DOM1";
        assert_eq!(
            filtered(|| Filter::prefix("(XEN) DOM1: "), text),
            "one\n(XEN) two\n(XEN) DOM1: three\n (XEN) DOM1: four\n(XEN) DOM1"
        );
    }

    #[test]
    fn nothing_is_held_back_that_is_not_a_beginning() {
        let (mut filter, mut out) = (Filter::prefix("(XEN) DOM1: "), Vec::new());
        filter.feed(b"> ", &mut out);
        assert_eq!(out, b"> ");
    }
}
