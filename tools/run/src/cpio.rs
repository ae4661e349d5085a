//! Archives that Linux unpacks into its first file system (cpio, "newc").

use crate::error::{Error, Result};
use crate::files::{self, cannot_write};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The bits of a mode that say what an entry is.
const DIRECTORY: u32 = 0o40000;
const REGULAR: u32 = 0o100000;
const CHARACTER: u32 = 0o20000;

/// An archive that is being written.
pub struct Archive {
    path: PathBuf,
    out: BufWriter<File>,
    entries: u32,
}

impl Archive {
    /// A new one in this file.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let out = File::create(path).map_err(|error| cannot_write(path, &error))?;
        Ok(Self { path: path.to_owned(), out: BufWriter::new(out), entries: 0 })
    }

    fn entry(&mut self, name: &str, mode: u32, data: &[u8], device: (u32, u32)) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(data.len())
            .map_err(|_| Error::failed(format!("{name} is too large for {}", self.path.display())))?;
        // inode, mode, user, group, links, time, size, the device it lies on, the device it is, length of the name, checksum
        let length = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, length, 0];
        let mut header = b"070701".to_vec();
        for field in fields {
            header.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        header.extend_from_slice(name.as_bytes());
        header.push(0);
        header.resize(header.len().next_multiple_of(4), 0);
        let padding = [0; 3];
        let padding = &padding[..data.len().next_multiple_of(4) - data.len()];
        [&header, data, padding]
            .iter()
            .try_for_each(|part| self.out.write_all(part))
            .map_err(|error| cannot_write(&self.path, &error))
    }

    /// A directory.
    ///
    /// # Errors
    ///
    /// The archive cannot be written.
    pub fn directory(&mut self, name: &str) -> Result<()> {
        self.entry(name, DIRECTORY | 0o755, &[], (0, 0))
    }

    /// The device that is a machine's console.
    ///
    /// # Errors
    ///
    /// The archive cannot be written.
    pub fn console(&mut self) -> Result<()> {
        self.entry("dev/console", CHARACTER | 0o600, &[], (5, 1))
    }

    /// An executable file with these bytes.
    ///
    /// # Errors
    ///
    /// The archive cannot be written.
    pub fn program(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.entry(name, REGULAR | 0o755, bytes, (0, 0))
    }

    /// A copy of this file, executable.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the archive cannot be written.
    pub fn file(&mut self, name: &str, path: &Path) -> Result<()> {
        self.program(name, &files::read(path)?)
    }

    /// Its end.
    ///
    /// # Errors
    ///
    /// The archive cannot be written.
    pub fn close(mut self) -> Result<()> {
        self.entry("TRAILER!!!", 0, &[], (0, 0))?;
        self.out.flush().map_err(|error| cannot_write(&self.path, &error))
    }
}

/// The first file system of a Linux, as this file: these programs (an archive), what to do as its first program, and an image.
///
/// # Errors
///
/// Something cannot be read, or the file not be written.
pub fn initrd(out: &Path, programs: &Path, init: &str, image: &Path) -> Result<()> {
    // Linux takes several archives, one behind the other.
    let there = files::read(programs)?;
    let mut archive = Archive::create(out)?;
    archive.out.write_all(&there).map_err(|error| cannot_write(out, &error))?;
    archive.program("init", init.as_bytes())?;
    archive.file("image", image)?;
    archive.close()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn entries_are_padded_to_words() {
        let path = std::env::temp_dir().join(format!("reveille-cpio-{}", std::process::id()));
        let mut archive = Archive::create(&path).unwrap();
        archive.directory("bin").unwrap();
        archive.console().unwrap();
        archive.program("bin/init", b"12345").unwrap();
        archive.close().unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
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
