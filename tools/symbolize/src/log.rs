//! What stands in a console log.

/// A console log, in lines without their ends.
pub struct Log(Vec<u8>);

/// One line of it.
pub struct Line<'a>(&'a [u8]);

/// The bytes around the numbers of the line in which a report says where the image was.
const BEFORE_IMAGE: &[u8] = b"image 0x";
const BEFORE_END: &[u8] = b" to 0x";
const BEFORE_BUILD: &[u8] = b", build ";

impl Log {
    /// `bytes` as they came from a serial line.
    pub fn parse(mut bytes: Vec<u8>) -> Self {
        bytes.retain(|byte| *byte != b'\r');
        Self(bytes)
    }

    /// Its lines. The last one may lack its end.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let bytes = self.0.strip_suffix(b"\n").unwrap_or(&self.0);
        let count = if self.0.is_empty() { 0 } else { usize::MAX };
        bytes.split(|byte| *byte == b'\n').map(Line).take(count)
    }

    /// The build id of the last report that names one.
    pub fn build(&self) -> Option<u64> {
        self.lines().filter_map(|line| Some(line.report()?.1)).last()
    }
}

impl<'a> Line<'a> {
    /// All of it.
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Where it says that the image was.
    pub fn image(&self) -> Option<u64> {
        self.report().map(|(image, _)| image)
    }

    /// `image 0x.. to 0x.., build ..`: the first address, and the build id, which has 16 digits.
    fn report(&self) -> Option<(u64, u64)> {
        let mut rest = self.0;
        loop {
            rest = &rest[find(rest, BEFORE_IMAGE)? + BEFORE_IMAGE.len()..];
            let (image, after) = number(rest);
            let Some(after) = after.strip_prefix(BEFORE_END) else { continue };
            let Some(after) = number(after).1.strip_prefix(BEFORE_BUILD) else { continue };
            if let (Some(image), Some(build)) = (image, after.get(..16).and_then(digits)) {
                return Some((image, build));
            }
        }
    }

    /// The hexadecimal numbers in it that are marked as such and fit into 64 bits, in order.
    pub fn addresses(&self) -> impl Iterator<Item = u64> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            loop {
                rest = &rest[find(rest, b"0x")? + 2..];
                let (value, after) = number(rest);
                rest = after;
                if value.is_some() {
                    return value;
                }
            }
        })
    }
}

/// Where `what` begins in `bytes`.
fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The number in hexadecimal digits at the start of `bytes`, `None` if it is none or too large, and what comes behind the digits.
fn number(bytes: &[u8]) -> (Option<u64>, &[u8]) {
    let count = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (number, rest) = bytes.split_at(count);
    (digits(number), rest)
}

fn digits(bytes: &[u8]) -> Option<u64> {
    let all = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_hexdigit);
    let text = core::str::from_utf8(bytes).ok().filter(|_| all)?;
    u64::from_str_radix(text, 16).ok()
}

/// `text` as an address: `0x` and hexadecimal digits.
pub fn hexadecimal(text: &str) -> Option<u64> {
    digits(text.strip_prefix("0x")?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_ends_alone() {
        let log = Log::parse(b"a\r\n\r\nb".to_vec());
        let lines: Vec<_> = log.lines().map(|line| line.bytes().to_vec()).collect();
        assert_eq!(lines, [b"a".to_vec(), b"".to_vec(), b"b".to_vec()]);
        assert_eq!(Log::parse(Vec::new()).lines().count(), 0);
        assert_eq!(Log::parse(b"\n".to_vec()).lines().count(), 1);
    }

    #[test]
    fn the_last_build_counts() {
        let log = b"  image 0x40200000 to 0x40300000, build 0123456789abcdef\n\
            image 0x1 to 0x2, build 0123\nx image 0x80000 to 0x90000, build 00000000000000ff\n";
        let log = Log::parse(log.to_vec());
        assert_eq!(log.build(), Some(0xff));
        let places: Vec<_> = log.lines().map(|line| line.image()).collect();
        assert_eq!(places, [Some(0x4020_0000), None, Some(0x8_0000)]);
    }

    #[test]
    fn addresses_are_marked_and_fit() {
        let line = Line(b"pc 0x40200010<0x4g 0x 0x12345678123456789 0X5 40 0x00000000000000abc.");
        assert_eq!(line.addresses().collect::<Vec<_>>(), [0x4020_0010, 4, 0xabc]);
    }

    #[test]
    fn an_address_is_written_out() {
        assert_eq!(hexadecimal("0x40200000"), Some(0x4020_0000));
        for wrong in ["", "0x", "40200000", "0x4_0", "0x+1", "0x11112222333344445", "there"] {
            assert_eq!(hexadecimal(wrong), None, "{wrong}");
        }
    }
}
