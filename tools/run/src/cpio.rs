//! Archives that Linux unpacks into its first file system (cpio, "newc").

use crate::error::{Error, Result};
use crate::files;
use std::ffi::OsString;
use std::path::Path;

/// The bits of a mode that say what an entry is.
const DIRECTORY: u32 = 0o40000;
const REGULAR: u32 = 0o100000;
const CHARACTER: u32 = 0o20000;

/// An archive that is being put together.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn entry(&mut self, name: &str, mode: u32, data: &[u8], device: (u32, u32)) {
        self.entries += 1;
        // inode, mode, user, group, links, time, size, the device it lies on, the device it is, length of the name, checksum
        let (size, length) = (data.len() as u32, name.len() as u32 + 1);
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, length, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// A directory.
    pub fn directory(&mut self, name: &str) {
        self.entry(name, DIRECTORY | 0o755, &[], (0, 0));
    }

    /// The device that is a machine's console.
    pub fn console(&mut self) {
        self.entry("dev/console", CHARACTER | 0o600, &[], (5, 1));
    }

    /// An executable file with these bytes.
    pub fn program(&mut self, name: &str, bytes: &[u8]) {
        self.entry(name, REGULAR | 0o755, bytes, (0, 0));
    }

    /// A copy of this file, executable.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn file(&mut self, name: &str, path: &Path) -> Result<()> {
        self.program(name, &files::read(path)?);
        Ok(())
    }

    /// Its end, and all of it.
    pub fn close(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[], (0, 0));
        self.bytes
    }
}

/// `reveille-run archive OUT NAME=FILE..`: these are the words behind `archive`.
///
/// # Errors
///
/// Bad usage, a file that cannot be read, or an archive that cannot be written.
pub fn archive(words: &[OsString]) -> Result<()> {
    let [out, entries @ ..] = words else {
        return Err(Error::usage("name the archive, and what is to be in it"));
    };
    let mut archive = Archive::default();
    for word in entries {
        let entry = word.to_str().and_then(|word| word.split_once('='));
        let (name, path) =
            entry.filter(|(name, path)| !name.is_empty() && !path.is_empty()).ok_or_else(|| {
                Error::usage(format!("'{}' is not the name of a file, `=`, and where it is", word.display()))
            })?;
        archive.file(name, Path::new(path))?;
    }
    files::write(Path::new(out), &archive.close())
}

/// The first file system of a Linux, as this file: these programs (an archive), what to do as its first program, and an image.
///
/// # Errors
///
/// Something cannot be read, or the file not be written.
pub fn initrd(out: &Path, programs: &Path, init: &str, image: &Path) -> Result<()> {
    // Linux takes several archives, one behind the other.
    let mut bytes = files::read(programs)?;
    let mut archive = Archive::default();
    archive.program("init", init.as_bytes());
    archive.file("image", image)?;
    bytes.append(&mut archive.close());
    files::write(out, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_padded_to_words() {
        let mut archive = Archive::default();
        archive.directory("bin");
        archive.console();
        archive.program("bin/init", b"12345");
        let bytes = archive.close();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        let headers: Vec<_> = text.split("070701").skip(1).collect();
        assert_eq!(headers.len(), 4);
        assert!(headers[0].starts_with("00000001000041ed"), "{}", headers[0]);
        assert!(headers[0].ends_with("bin\0\0\0"), "{:?}", headers[0]);
        // Its device is 5, 1.
        assert!(headers[1].starts_with("0000000200002180"), "{}", headers[1]);
        assert!(headers[1].contains("00000005000000010000000c00000000dev/console\0"), "{:?}", headers[1]);
        assert!(headers[2].ends_with("bin/init\0\x0012345\0\0\0"), "{:?}", headers[2]);
        assert!(headers[3].contains("TRAILER!!!\0"), "{:?}", headers[3]);
    }
}
