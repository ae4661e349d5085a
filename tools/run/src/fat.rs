//! Disks that firmware boots from: a FAT file system, without a table of partitions.

use crate::error::{Error, Result};
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use std::io::{Cursor, Write};

/// What a disk has beside the files on it.
const SPARE: usize = 16 << 20;

/// One with files of these names, of which each may have folders before it, with slashes.
///
/// # Errors
///
/// A name that cannot be one there.
pub fn disk(files: &[(&str, Vec<u8>)]) -> Result<Vec<u8>> {
    let whole: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut disk = Cursor::new(vec![0; whole.next_multiple_of(1 << 20) + SPARE]);
    fill(&mut disk, files)
        .map_err(|error| Error::failed(format!("cannot make a FAT file system: {error}")))?;
    Ok(disk.into_inner())
}

fn fill(disk: &mut Cursor<Vec<u8>>, files: &[(&str, Vec<u8>)]) -> std::io::Result<()> {
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
        let files = [("EFI/BOOT/BOOTAA64.EFI", large.clone()), ("EFI/debian/grub.cfg", b"boot\n".to_vec())];
        let disk = Cursor::new(disk(&files).unwrap());
        let system = FileSystem::new(disk, FsOptions::new()).unwrap();
        let mut text = String::new();
        system.root_dir().open_file("EFI/debian/grub.cfg").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "boot\n");
        let mut bytes = Vec::new();
        system.root_dir().open_file("efi/boot/bootaa64.efi").unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes == large);
    }
}
