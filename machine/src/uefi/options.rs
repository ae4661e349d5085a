//! Load options (9.1, EFI_LOADED_IMAGE_PROTOCOL), as a command line.

use crate::error::{Error, Fault};

/// How many bytes [`arguments`] writes at most, for load options of `size` bytes.
pub fn longest(size: usize) -> usize {
    // A 16-bit unit becomes three bytes, and two of them four.
    (size / 2).saturating_mul(3)
}

/// Writes the load options `units`, in the UCS-2 or UTF-16 of UEFI, to `to` as a command line in UTF-8, up to the first 0. The name of the program, which
/// EDK2's shell puts in front, is left out: a first word in quotes, or one that has a `\` in it or ends with `.efi`.
///
/// # Errors
/// [`Fault::Property`]: it is no text, as the optional data of a boot option need not be. [`Fault::Unsupported`]: `to` is shorter than [`longest`].
pub fn arguments<'a>(units: &[u8], to: &'a mut [u8]) -> Result<&'a str, Error<'static>> {
    let units = units
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .take_while(|unit| *unit != 0);
    let mut length = 0_usize;
    for (index, letter) in char::decode_utf16(units).enumerate() {
        let letter = letter.ok().filter(|letter| !letter.is_control() || letter.is_ascii_whitespace());
        let Some(letter) = letter else {
            let error = Error::in_firmware(Fault::Property, "load options: no text at character");
            return Err(error.value(index as u64));
        };
        let room = to.get_mut(length..length.saturating_add(letter.len_utf8()));
        let Some(room) = room else {
            return Err(
                Error::in_firmware(Fault::Unsupported, "load options: too long, bytes").value(length as u64)
            );
        };
        length += letter.encode_utf8(room).len();
    }
    let text = core::str::from_utf8(to.get(..length).unwrap_or(&[])).unwrap_or("").trim_ascii();
    Ok(without_program(text))
}

fn without_program(text: &str) -> &str {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted.split_once('"').map_or("", |(_, rest)| rest.trim_ascii_start());
    }
    let (first, rest) = text.split_once(|letter: char| letter.is_ascii_whitespace()).unwrap_or((text, ""));
    let bytes = first.as_bytes();
    let is_file = bytes.last_chunk::<4>().is_some_and(|end| end.eq_ignore_ascii_case(b".efi"));
    if is_file || bytes.contains(&b'\\') { rest.trim_ascii_start() } else { text }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::{String, ToString};

    fn read(text: &str) -> String {
        let units: std::vec::Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut to = std::vec![0; longest(units.len())];
        arguments(&units, &mut to).unwrap().to_string()
    }

    #[test]
    fn the_name_of_the_program_is_left_out() {
        for (given, wanted) in [
            ("", ""),
            ("log=info deadline_ms=20", "log=info deadline_ms=20"),
            ("  log=info\0rest", "log=info"),
            ("FS0:\\a.EFI  log=info", "log=info"),
            ("a.efi", ""),
            ("\"FS0:\\my image\" log=info ", "log=info"),
            ("\\kernel log=info", "log=info"),
            (".ef log=info", ".ef log=info"),
            ("name=\u{e9}\u{1f600}", "name=\u{e9}\u{1f600}"),
        ] {
            assert_eq!(read(given), wanted, "{given:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let mut to = [0; 64];
        for bytes in [&[0, 0xd8, b'a', 0][..], &[1, 0], &[b'a', 0, 0x7f, 0]] {
            assert!(arguments(bytes, &mut to).is_err(), "{bytes:?}");
        }
        assert_eq!(arguments(&[b'a', 0, b'b'], &mut to).unwrap(), "a");
        assert!(arguments(&[b'a', 0, b'b', 0], &mut to[..1]).is_err());
    }
}
