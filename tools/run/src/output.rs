//! What a board makes of the console, where more comes out than the image has printed.

/// Takes something away from the bytes that run through it.
#[derive(Clone, Debug)]
pub struct Filter {
    kind: Kind,
    state: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// What stands before each line.
    Prefix(&'static str),
    /// Carriage returns, and what a terminal does instead of showing it.
    Terminal,
}

impl Filter {
    /// Takes these words away from the beginning of each line that has them.
    pub fn prefix(words: &'static str) -> Self {
        Self { kind: Kind::Prefix(words), state: Vec::new() }
    }

    /// Takes away carriage returns, and sequences of control characters for a terminal.
    pub fn terminal() -> Self {
        Self { kind: Kind::Terminal, state: Vec::new() }
    }

    /// What comes out for these bytes. Some may be held back until it is clear what they belong to.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for byte in bytes {
            match self.kind {
                Kind::Prefix(words) => self.feed_prefix(words.as_bytes(), *byte, &mut out),
                Kind::Terminal => self.feed_terminal(*byte, &mut out),
            }
        }
        out
    }

    /// What is held back when nothing more comes.
    pub fn finish(&mut self) -> Vec<u8> {
        match self.kind {
            Kind::Prefix(_) if self.state == PASSING => Vec::new(),
            _ => std::mem::take(&mut self.state),
        }
    }

    /// The state is what of the prefix has come, or [`PASSING`] in the rest of a line.
    fn feed_prefix(&mut self, words: &[u8], byte: u8, out: &mut Vec<u8>) {
        if self.state == PASSING {
            out.push(byte);
        } else {
            self.state.push(byte);
            if self.state == words {
                self.state = PASSING.to_vec();
            } else if !words.starts_with(&self.state) {
                out.append(&mut self.state);
                self.state = PASSING.to_vec();
            }
        }
        if byte == b'\n' {
            self.state.clear();
        }
    }

    /// The state is what has come of a sequence: ESC, `[`, digits and the like, a letter.
    fn feed_terminal(&mut self, byte: u8, out: &mut Vec<u8>) {
        const ESCAPE: u8 = 0x1b;
        match (self.state.len(), byte) {
            (0, b'\r') => {}
            (0, ESCAPE) => self.state.push(byte),
            (0, _) => out.push(byte),
            (1, b'[') | (2.., b'0'..=b'9' | b';' | b'=' | b'?') => self.state.push(byte),
            (2.., b'A'..=b'Z' | b'a'..=b'z') => self.state.clear(),
            _ => {
                // It was none.
                out.append(&mut self.state);
                self.feed_terminal(byte, out);
            }
        }
    }
}

/// No prefix begins so.
const PASSING: &[u8] = b"\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn through(mut filter: Filter, text: &str) -> String {
        let mut out = Vec::new();
        // Byte by byte, so that everything is cut everywhere.
        for byte in text.bytes() {
            out.extend(filter.feed(&[byte]));
        }
        out.extend(filter.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_prefix_goes_from_each_line_that_has_it() {
        let out = through(
            Filter::prefix("(XEN) DOM1: "),
            "(XEN) DOM1: one\n(XEN) two\n\n(XEN) DOM1: (XEN) DOM1: x\n(XEN",
        );
        assert_eq!(out, "one\n(XEN) two\n\n(XEN) DOM1: x\n(XEN");
        assert_eq!(through(Filter::prefix("ab"), "ab"), "");
    }

    #[test]
    fn sequences_for_a_terminal_go() {
        let out = through(
            Filter::terminal(),
            "\x1b[2J\x1b[01;01H\x1b[=3hone\r\ntwo\x1b[0m\x1bx\x1b\x1b[1mend\x1b[3",
        );
        assert_eq!(out, "one\ntwo\x1bx\x1bend\x1b[3");
    }
}
