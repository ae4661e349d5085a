//! Load options (9.1, EFI_LOADED_IMAGE_PROTOCOL), as a command line.

use crate::error::{Error, Fault};

/// How many bytes [`arguments`] writes at most, for load options of `size` bytes.
pub fn longest(size: usize) -> usize {
    size / 2
}

/// Writes the load options `units`, in the UCS-2 of UEFI, to `to` as a command line, up to the first 0, or the end of `to`. The name of the program, which
/// EDK2's shell puts in front, is left out: a first word in quotes, or one that has a `\` in it or ends with `.efi`.
///
/// # Errors
/// [`Fault::Property`]: it is no ASCII text, as the optional data of a boot option need not be.
#[inline(never)]
pub fn arguments<'a>(units: &[u8], to: &'a mut [u8]) -> Result<&'a str, Error<'static>> {
    let mut length = 0;
    for (unit, place) in units.as_chunks().0.iter().zip(to.iter_mut()) {
        match *unit {
            [0, 0] => break,
            [letter @ (b'\t' | b' '..=b'~'), 0] => *place = letter,
            _ => return Err(Error::in_firmware(Fault::Property, "load options: no text")),
        }
        length += 1;
    }
    let text = without_program(to.get(..length).unwrap_or(&[]).trim_ascii());
    Ok(core::str::from_utf8(text).unwrap_or(""))
}

fn without_program(text: &[u8]) -> &[u8] {
    let quoted = text.first() == Some(&b'"');
    let end = |letter: &u8| *letter == if quoted { b'"' } else { b' ' };
    let rest = text.get(usize::from(quoted)..).unwrap_or(&[]);
    let (first, rest) =
        rest.split_at_checked(rest.iter().position(end).unwrap_or(rest.len())).unwrap_or((rest, &[]));
    let is_file = first.last_chunk::<4>().is_some_and(|end| end.eq_ignore_ascii_case(b".efi"));
    if quoted || is_file || first.contains(&b'\\') { rest.get(1..).unwrap_or(&[]).trim_ascii() } else { text }
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
        ] {
            assert_eq!(read(given), wanted, "{given:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let mut to = [0; 64];
        for bytes in [&[0, 0xd8, b'a', 0][..], &[1, 0], &[b'a', 0, 0x7f, 0], &[0xe9, 0]] {
            assert!(arguments(bytes, &mut to).is_err(), "{bytes:?}");
        }
        assert_eq!(arguments(&[b'a', 0, b'b'], &mut to).unwrap(), "a");
        assert_eq!(arguments(&[b'a', 0, b'b', 0], &mut to[..1]).unwrap(), "a");
    }
}
