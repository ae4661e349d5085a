//! Disks that firmware boots from: a FAT file system in a file of its own.

use crate::error::{Error, Result};
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

/// What a disk has beside the files on it.
const SPARE: usize = 16 << 20;

/// Makes one in this file, with files of these names, of which each may have folders before it, with slashes.
///
/// # Errors
///
/// The file cannot be written.
pub fn create(path: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    let whole: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut disk = Cursor::new(vec![0; whole.next_multiple_of(1 << 20) + SPARE]);
    fill(&mut disk, files)
        .and_then(|()| fs::write(path, disk.get_ref()))
        .map_err(|error| Error::failed(format!("no file system in {}: {error}", path.display())))
}

fn fill(disk: &mut Cursor<Vec<u8>>, files: &[(&str, &[u8])]) -> std::io::Result<()> {
    fatfs::format_volume(&mut *disk, FormatVolumeOptions::new().volume_label(*b"REVEILLE   "))?;
    let system = FileSystem::new(disk, FsOptions::new())?;
    let root = system.root_dir();
    for (name, bytes) in files {
        for (at, _) in name.match_indices('/') {
            // Those that are there already are only opened.
            root.create_dir(&name[..at])?;
        }
        root.create_file(name)?.write_all(bytes)?;
    }
    drop(root);
    system.unmount()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_was_written_can_be_read() {
        let large = vec![7; 3 << 20];
        let mut disk = Cursor::new(vec![0; 20 << 20]);
        fill(&mut disk, &[("EFI/BOOT/BOOTAA64.EFI", &large), ("EFI/debian/grub.cfg", b"boot\n")]).unwrap();
        let system = FileSystem::new(disk, FsOptions::new()).unwrap();
        let mut text = String::new();
        system.root_dir().open_file("EFI/debian/grub.cfg").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "boot\n");
        let mut bytes = Vec::new();
        system.root_dir().open_file("efi/boot/bootaa64.efi").unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes == large);
    }
}
