//! Disks that firmware boots from: a table of partitions with a single one, which has a FAT file system.

use crate::error::{Error, Result};
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use std::io::{Cursor, Write};

/// What a disk has beside the files on it.
const SPARE: usize = 16 << 20;
/// Where the partition begins. U-Boot looks for files in partitions alone.
const START: usize = 1 << 20;
const SECTOR: usize = 512;

/// One with files of these names, of which each may have folders before it, with slashes.
///
/// # Errors
///
/// A name that cannot be one there.
pub fn disk(files: &[(&str, Vec<u8>)]) -> Result<Vec<u8>> {
    let whole: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut partition = Cursor::new(vec![0; whole.next_multiple_of(1 << 20) + SPARE]);
    fill(&mut partition, files)
        .map_err(|error| Error::failed(format!("cannot make a FAT file system: {error}")))?;
    let mut partition = partition.into_inner();
    let mut disk = table(partition.len()).to_vec();
    disk.resize(START, 0);
    disk.append(&mut partition);
    Ok(disk)
}

/// The first sector: a master boot record whose one partition has this size, is an EFI system partition, and active.
fn table(size: usize) -> [u8; SECTOR] {
    const SIGNATURE: usize = 0x1b8;
    const ENTRY: usize = 0x1be;
    const ACTIVE: u8 = 0x80;
    const EFI_SYSTEM: u8 = 0xef;
    // By cylinder, head and sector it is nowhere.
    const NOWHERE: [u8; 3] = [0xfe, 0xff, 0xff];
    let mut sector = [0; SECTOR];
    let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
    let sectors = |bytes: usize| ((bytes / SECTOR) as u32).to_le_bytes();
    put(SIGNATURE, b"RVLL");
    put(ENTRY, &[ACTIVE]);
    put(ENTRY + 1, &NOWHERE);
    put(ENTRY + 4, &[EFI_SYSTEM]);
    put(ENTRY + 5, &NOWHERE);
    put(ENTRY + 8, &sectors(START));
    put(ENTRY + 12, &sectors(size));
    put(SECTOR - 2, &[0x55, 0xaa]);
    sector
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
        let mut disk = disk(&files).unwrap();
        // The partition ends with the disk.
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| disk[at + i])) as usize;
        assert_eq!((word(0x1be + 8) + word(0x1be + 12)) * SECTOR, disk.len());
        let partition = Cursor::new(disk.split_off(START));
        let system = FileSystem::new(partition, FsOptions::new()).unwrap();
        let mut text = String::new();
        system.root_dir().open_file("EFI/debian/grub.cfg").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "boot\n");
        let mut bytes = Vec::new();
        system.root_dir().open_file("efi/boot/bootaa64.efi").unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes == large);
    }
}
