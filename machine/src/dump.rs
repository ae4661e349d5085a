//! The text form of a dump: words of memory, as lines that a serial console carries and a log keeps.
//!
//! Each line stands for itself: its number, an address, the words from there on, and a checksum, in base64. Whatever is lost of a log, the
//! other lines are good; and which are lost is known. `docs/core.md` has the format for others.
//!
//! What is no memory of the machine has addresses too, which no machine has: [`INFO`] for what the rest is read by; and, if a debugger
//! wrote the dump, [`cpu`] for the registers of a CPU that runs.

/// The line before the first, with its end.
pub const BEGIN: &str = "-----BEGIN REVEILLE CORE-----\n";
/// The line behind the last, with its end. A dump without it was cut off.
pub const END: &str = "-----END REVEILLE CORE-----\n";

/// The first word of the dumps described here.
pub const VERSION: u64 = 1;

/// Where the words of [`info`] are.
pub const INFO: u64 = 0xbeef_0000_0000_0000;

/// Where the registers of the CPU with this number are, if it runs: the words of [`registers`].
pub const fn cpu(number: usize) -> u64 {
    INFO + CPU_SIZE * (1 + number as u64)
}

/// Bytes of address space for each: more than there are words.
const CPU_SIZE: u64 = 0x200;

/// What the rest is read by: the words at [`INFO`].
pub mod info {
    /// [`VERSION`](super::VERSION).
    pub const VERSION: usize = 0;
    /// Where the image lies.
    pub const IMAGE: usize = 1;
    /// Its build id.
    pub const BUILD: usize = 2;
    /// How many CPUs the machine has.
    pub const CPUS: usize = 3;
    /// Affinity of the CPU that panicked, with bit 63 set; 0: none has.
    pub const REPORTER: usize = 4;
    /// Where the areas of the CPUs are, one after the other.
    pub const AREAS: usize = 5;
    /// Bytes of an area in 15:0; where its affinity is in 31:16, the word of its slot in 47:32, that of how it parked in 63:48.
    pub const LAYOUT: usize = 6;
    /// Where the address is of what it left when it parked, whose kind is in bits 1:0, in 15:0; that of its breadcrumbs in 31:16.
    pub const MARKS: usize = 7;
    /// How many words there are.
    pub const WORDS: usize = 8;
}

/// The registers of a CPU, as words.
pub mod registers {
    /// x0 to x30, the stack pointer, the place, and `PSTATE`.
    pub const WORDS: usize = 34;
}

/// What a CPU has left that made a call to its end: kinds 0 and 3.
pub mod call {
    /// x29 and x30.
    pub const FP: u64 = 0;
    /// x19 to x28.
    pub const X19: u64 = 16;
    /// The stack pointer, the place, and `PSTATE`.
    pub const SP: u64 = 96;
}

/// What is there of a CPU that an exception has brought to its end: kinds 1 and 2.
pub mod frame {
    /// x0 to x30.
    pub const X: u64 = 0;
    /// The stack pointer of exceptions, and that of threads behind it.
    pub const SP: u64 = 248;
    /// The place, and `PSTATE`.
    pub const PC: u64 = 264;
    /// `ESR_ELx` and `FAR_ELx`.
    pub const ESR: u64 = 280;
    /// The kind that was an exception of its own.
    pub const OWN: u64 = 2;
}

/// Bytes of a line before they are text; characters of the text.
const RAW: usize = 96;
const TEXT: usize = RAW / 3 * 4;
/// Bytes of the number at the beginning, and of the checksum at the end.
const NUMBER: usize = 2;
const CHECK: usize = 4;
/// What a word may take: a token and its bytes, behind one that counts zeros.
const LONGEST: usize = 10;

/// Tokens. Up to 0x7f: so many words that are 0, less one. From here on: the word in 1 to 8 bytes, the others 0.
const WORD: u8 = 0x80;
/// Nothing.
const FILL: u8 = 0xff;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// CRC-32 (IEEE 802.3, as zlib's) of `bytes`, which follow those of `start`; it begins with `u32::MAX`, and what comes out in the end is
/// to be inverted.
#[inline(never)]
pub fn crc(start: u32, bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut crc = start;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 != 0 { POLYNOMIAL } else { 0 };
        }
    }
    crc
}

/// Makes lines of words.
pub struct Encoder {
    /// Is given all lines, their ends included, character by character.
    out: fn(&u8),
    /// Bytes of the line that is under way, and the checksum of them.
    len: usize,
    check: u32,
    /// The bytes that are not characters yet, behind a 1: three are four of them.
    bits: u32,
    number: u16,
    /// Where the next word belongs for which no address is needed.
    next: u64,
    /// Words that are 0, and of which the line says nothing yet.
    zeros: u8,
}

impl Encoder {
    /// One whose lines go to `out`, with their ends.
    pub const fn new(out: fn(&u8)) -> Self {
        Self { out, len: 0, check: 0, bits: 1, number: 0, next: 0, zeros: 0 }
    }

    /// Adds the word at `address`.
    #[inline(never)]
    pub fn word(&mut self, address: u64, word: u64) {
        if address != self.next || self.len == 0 || self.len > RAW - CHECK - LONGEST {
            self.finish();
            self.check = u32::MAX;
            self.bytes(NUMBER, self.number.into());
            self.value(address);
        }
        self.next = address.wrapping_add(8);
        if word != 0 {
            return self.value(word);
        }
        self.zeros += 1;
        if self.zeros == WORD {
            self.end_zeros();
        }
    }

    /// Says how many words are 0, if any.
    #[inline(never)]
    fn end_zeros(&mut self) {
        if let Some(token) = self.zeros.checked_sub(1) {
            self.zeros = 0;
            self.bytes(1, token.into());
        }
    }

    /// Adds `word`, up to its highest byte that is not 0.
    #[inline(never)]
    fn value(&mut self, word: u64) {
        self.end_zeros();
        let count = 8 - word.leading_zeros() as usize / 8;
        self.bytes(1, u64::from(WORD - 1) + count as u64);
        self.bytes(count, word);
    }

    /// Adds `count` bytes of `word`.
    #[inline(never)]
    fn bytes(&mut self, count: usize, mut word: u64) {
        for _ in 0..count {
            let byte = word as u8;
            word >>= 8;
            self.len += 1;
            self.check = crc(self.check, &[byte]);
            self.bits = self.bits << 8 | u32::from(byte);
            if self.bits >> 24 != 0 {
                let mut shift = 24;
                while shift != 0 {
                    shift -= 6;
                    (self.out)(&ALPHABET[(self.bits >> shift) as usize % 64]);
                }
                self.bits = 1;
            }
        }
    }

    /// The line that is under way is the last.
    #[inline(never)]
    pub fn finish(&mut self) {
        if self.len == 0 {
            return;
        }
        self.end_zeros();
        // So that with the checksum nothing is left.
        while self.bits >> 16 == 0 {
            self.bytes(1, FILL.into());
        }
        self.bytes(CHECK, u64::from(!self.check));
        (self.out)(&b'\n');
        self.number = self.number.wrapping_add(1);
        self.len = 0;
    }
}

/// Why a line is none of a dump's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLine {
    /// It is too short or too long, or has characters that are not of the form.
    Form,
    /// Its checksum is wrong.
    Checksum,
    /// Its checksum is right, but what is in it makes no sense.
    Content,
}

impl core::fmt::Display for BadLine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Form => "it is no line of a dump",
            Self::Checksum => "its checksum is wrong",
            Self::Content => "its content makes no sense",
        })
    }
}

/// Reads a line, without its end: gives each of its words, with its address, to `word`, and returns the number of the line.
///
/// # Errors
///
/// What is wrong with it. Then nothing of it was given to `word`, unless it is [`BadLine::Content`].
pub fn decode(line: &[u8], mut word: impl FnMut(u64, u64)) -> Result<u16, BadLine> {
    let mut raw = [0; RAW];
    if line.len() > TEXT || !line.len().is_multiple_of(4) {
        return Err(BadLine::Form);
    }
    let mut len = 0;
    for four in line.chunks_exact(4) {
        let mut bits = 0;
        for letter in four {
            let digit = ALPHABET.iter().position(|known| known == letter).ok_or(BadLine::Form)?;
            bits = bits << 6 | digit as u32;
        }
        raw[len..len + 3].copy_from_slice(&bits.to_be_bytes()[1..]);
        len += 3;
    }
    if len < NUMBER + 1 + CHECK {
        return Err(BadLine::Form);
    }
    let (body, check) = raw[..len].split_at(len - CHECK);
    if check != (!crc(u32::MAX, body)).to_le_bytes() {
        return Err(BadLine::Checksum);
    }
    let number = u16::from_le_bytes([body[0], body[1]]);
    let mut rest = body[NUMBER..].iter().copied();
    let mut bytes = |count: u8| -> Result<u64, BadLine> {
        let mut value = [0; 8];
        for byte in value.iter_mut().take(count.into()) {
            *byte = rest.next().ok_or(BadLine::Content)?;
        }
        Ok(u64::from_le_bytes(value))
    };
    let mut address = match bytes(1)? as u8 {
        token @ 0x7f..=0x87 => bytes(token - (WORD - 1))?,
        _ => return Err(BadLine::Content),
    };
    while let Ok(token) = bytes(1) {
        let mut count = 1;
        let value = match token as u8 {
            zeros @ 0..WORD => {
                count = u64::from(zeros) + 1;
                0
            }
            token @ WORD..=0x87 => bytes(token - (WORD - 1))?,
            FILL => continue,
            _ => return Err(BadLine::Content),
        };
        for _ in 0..count {
            word(address, value);
            address = address.wrapping_add(8);
        }
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::cell::RefCell;
    use std::string::String;
    use std::vec::Vec;

    std::thread_local! {
        /// What the encoders of a test have written.
        static TEXT_OUT: RefCell<String> = const { RefCell::new(String::new()) };
    }

    fn taken() -> String {
        TEXT_OUT.take()
    }

    /// The lines of these words.
    fn encoded(words: &[(u64, u64)]) -> Vec<String> {
        let mut encoder =
            Encoder::new(|letter| TEXT_OUT.with_borrow_mut(|text| text.push(char::from(*letter))));
        words.iter().for_each(|(address, word)| encoder.word(*address, *word));
        encoder.finish();
        taken().lines().map(Into::into).collect()
    }

    fn decoded(lines: &[String]) -> Vec<(u64, u64)> {
        let mut words = Vec::new();
        for (number, line) in lines.iter().enumerate() {
            let read = decode(line.as_bytes(), |address, word| words.push((address, word)));
            assert_eq!(read, Ok(number as u16), "{line}");
        }
        words
    }

    /// Words of all sorts, at places of all sorts.
    fn sample() -> Vec<(u64, u64)> {
        let mut words = Vec::new();
        let mut state = 1_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut at = 0x4020_0000;
        for _ in 0..5000 {
            let word = match next() % 7 {
                0 | 1 => 0,
                2 => 0x4020_0000 + next() % 0x10_0000,
                3 => next() % 256,
                4 => u64::MAX << (next() % 64),
                5 => next() >> (next() % 64),
                _ => words.last().map_or(0, |(_, word)| *word),
            };
            words.push((at, word));
            at = match next() % 100 {
                0 => next() & !7,
                1 => u64::MAX - 7,
                2 => 0,
                _ => at.wrapping_add(8),
            };
        }
        words
    }

    #[test]
    fn what_goes_in_comes_out() {
        for words in [sample(), (0..1000).map(|n| (8 * n, 0)).collect(), Vec::from([(0, u64::MAX); 300])] {
            assert_eq!(decoded(&encoded(&words)), words);
        }
        assert!(encoded(&[]).is_empty());
    }

    #[test]
    fn zeros_and_pointers_take_little() {
        let characters =
            |words: &[(u64, u64)]| encoded(words).iter().map(|line| line.len() + 1).sum::<usize>();
        let zeros: Vec<_> = (0..512).map(|n| (0x4020_0000 + 8 * n, 0)).collect();
        assert!(characters(&zeros) < 40);
        let pointers: Vec<_> = (0..512).map(|n| (0x4020_0000 + 8 * n, 0x4025_0000 + 40 * n)).collect();
        assert!(characters(&pointers) < 512 * 9);
    }

    #[test]
    fn lines_have_an_end() {
        assert!(encoded(&sample()).iter().all(|line| line.len() <= TEXT && line.len().is_multiple_of(4)));
    }

    #[test]
    fn a_changed_character_is_found() {
        let lines = encoded(&sample()[..40]);
        for at in 0..lines[0].len() {
            let mut line = lines[0].clone().into_bytes();
            line[at] = if line[at] == b'A' { b'B' } else { b'A' };
            let mut given = 0;
            assert_eq!(decode(&line, |_, _| given += 1), Err(BadLine::Checksum), "{at}");
            assert_eq!(given, 0);
            line[at] = b'-';
            assert_eq!(decode(&line, |_, _| ()), Err(BadLine::Form));
        }
        for short in 0..lines[0].len() {
            assert!(decode(&lines[0].as_bytes()[..short], |_, _| ()).is_err(), "{short}");
        }
        assert_eq!(decode(&[b'A'; TEXT + 4], |_, _| ()), Err(BadLine::Form));
    }

    #[test]
    fn a_line_that_makes_no_sense_is_no_dump() {
        for body in
            [&[0x90_u8, 0, 0][..], &[0x82, 1], &[0x80, 1, 0x83, 0], &[0x80, 1, 0xc9, 0], &[0x80, 1, 0xa0, 0]]
        {
            let mut encoder =
                Encoder::new(|letter| TEXT_OUT.with_borrow_mut(|text| text.push(char::from(*letter))));
            encoder.check = u32::MAX;
            encoder.bytes(2, 0);
            body.iter().for_each(|byte| encoder.bytes(1, (*byte).into()));
            // Nothing to fill up with would make it longer.
            while !(encoder.len + CHECK).is_multiple_of(3) {
                encoder.bytes(1, (*body.last().unwrap()).into());
            }
            encoder.finish();
            assert_eq!(decode(taken().trim_end().as_bytes(), |_, _| ()), Err(BadLine::Content), "{body:x?}");
        }
    }

    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(!crc(u32::MAX, b"123456789"), 0xcbf4_3926);
    }
}
