//! Images of Reveille: which ELFs are some, where they were linked to be, and their flat form, which boot loaders take.

use crate::error::{Error, Result};
use crate::files;
use crate::host::Host;
use nix::unistd::{AccessFlags, access};
use object::elf::{EM_AARCH64, FileHeader64, PT_LOAD, SHF_ALLOC, SHT_NOBITS};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{LittleEndian, elf};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

type Header = FileHeader64<LittleEndian>;

/// Where the arm64 header has its fields, and the magic number among them.
const TEXT_OFFSET: usize = 8;
const IMAGE_SIZE: usize = 16;
const MAGIC: usize = 56;
const MAGIC_NUMBER: &[u8] = b"ARM\x64";
/// The size of that header.
const ARM64_HEADER: usize = 64;

/// A flat image is all of memory from its first byte to its last. One that is larger than this is a mistake.
const LARGEST: u64 = 1 << 30;

/// Firmware that follows the header stays clear of the start of RAM by so much, if the header asks for less than a page.
const CLEAR: u64 = 0x20_0000;

/// An image that was built, with its flat form.
#[derive(Clone, Debug)]
pub struct Image {
    elf: PathBuf,
    flat: PathBuf,
    link_address: u64,
    text_offset: u64,
    size: u64,
}

/// What there is to know of an ELF before anything is made of it.
struct Checked {
    bytes: Vec<u8>,
    date: SystemTime,
    link_address: u64,
}

impl Image {
    /// Opens an ELF and has its flat form made, beside it if that is possible, or else in the cache. A flat form with the date of the ELF is
    /// taken as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for a file that cannot be read or is no image, of which nothing is made; [`Error::Failed`] if there is no place for the
    /// flat form.
    pub fn open(path: &Path, host: &Host) -> Result<Self> {
        let checked = check(path, None)?;
        let elf = fs::canonicalize(path).map_err(|_| cannot_read(path, None))?;
        let (flat, bytes) = flat_file(&elf, &checked.bytes, checked.date, host)?;
        let field = |at| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        if !has_arm64_header(&bytes) {
            return Err(Error::failed(format!(
                "no arm64 header at the start of {}: was it linked with the linker script?",
                flat.display()
            )));
        }
        let (text_offset, size) = (field(TEXT_OFFSET), field(IMAGE_SIZE));
        Ok(Self { elf, flat, link_address: checked.link_address, text_offset, size })
    }

    /// The ELF: an absolute path.
    pub fn elf(&self) -> &Path {
        &self.elf
    }

    /// The flat form: an absolute path that ends in `.img`.
    pub fn flat(&self) -> &Path {
        &self.flat
    }

    /// Where its first byte was linked to be.
    pub fn link_address(&self) -> u64 {
        self.link_address
    }

    /// How much memory it takes once it is loaded, in bytes: what its header says.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What its header says about how far from a multiple of 2 MiB it wants to be, in bytes.
    pub fn text_offset(&self) -> u64 {
        self.text_offset
    }

    /// How far from the start of RAM QEMU puts the flat form, in bytes. It follows the header, but stays clear of the first 2 MiB if that asks
    /// for less than a page.
    pub fn offset(&self) -> u64 {
        if self.text_offset < 4096 { self.text_offset + CLEAR } else { self.text_offset }
    }

    /// The path for a file that is made for a run of this image, which stays: beside the flat form, with this behind the name.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        let name = self.flat.file_stem().unwrap_or_default();
        files::with_suffix(&self.flat.with_file_name(name), suffix)
    }

    /// The same flat form with another text offset in its header, so that QEMU puts it that far from the start of RAM: a file beside it.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn at(&self, offset: u64) -> Result<PathBuf> {
        let copy = self.beside(&format!("+{offset:#x}.img"));
        let date = files::date(&self.flat).map_err(|_| cannot_read(&self.flat, None))?;
        if !files::has_date(&copy, date) {
            let mut bytes = files::read(&self.flat)?;
            bytes[TEXT_OFFSET..TEXT_OFFSET + 8].copy_from_slice(&offset.to_le_bytes());
            files::write_as_old_as(&copy, &bytes, Some(date))
                .map_err(|error| files::cannot_write(&copy, &error))?;
        }
        Ok(copy)
    }
}

/// The flat form of an ELF for AArch64 that is no image, such as firmware: its path, beside the ELF or in the cache.
///
/// # Errors
///
/// As for [`Image::open`].
pub fn flat_firmware(path: &Path, option: Option<&str>, host: &Host) -> Result<PathBuf> {
    let (bytes, date) = read(path, option)?;
    let elf = fs::canonicalize(path).map_err(|_| cannot_read(path, option))?;
    flat_file(&elf, &bytes, date, host).map(|(flat, _)| flat)
}

/// Refuses a file that is no image of Reveille, before anything is made of it. `option` is the one that named it, if it was one.
///
/// # Errors
///
/// [`Error::Usage`].
pub fn check_image(path: &Path, option: Option<&str>) -> Result<()> {
    check(path, option).map(|_| ())
}

/// The flat form of an image that belongs to somebody else: beside it nothing is left.
///
/// # Errors
///
/// As for [`check_image`].
pub fn flatten_file(path: &Path, option: Option<&str>) -> Result<Vec<u8>> {
    let checked = check(path, option)?;
    flatten(&checked.bytes).map_err(|reason| no_flat_form(path, reason))
}

fn has_arm64_header(bytes: &[u8]) -> bool {
    bytes.len() >= ARM64_HEADER && bytes[MAGIC..].starts_with(MAGIC_NUMBER)
}

fn cannot_read(path: &Path, option: Option<&str>) -> Error {
    Error::usage(format!("{}cannot read the ELF '{}'", prefix(option), path.display()))
}

fn prefix(option: Option<&str>) -> String {
    option.map_or_else(String::new, |option| format!("{option}: "))
}

fn no_flat_form(path: &Path, reason: &str) -> Error {
    Error::failed(format!("cannot make a flat image of {}: {reason}", path.display()))
}

/// What is wrong with a file.
fn no_image(path: &Path, option: Option<&str>, what: &str) -> Error {
    Error::usage(format!("{}'{}' {what}", prefix(option), path.display()))
}

/// The bytes of an ELF for AArch64, and its date, from before they were read: if it changes meanwhile, what is made of them is too old.
fn read(path: &Path, option: Option<&str>) -> Result<(Vec<u8>, SystemTime)> {
    let not = |what| no_image(path, option, what);
    if !path.is_file() {
        return Err(cannot_read(path, option));
    }
    let date = files::date(path).map_err(|_| cannot_read(path, option))?;
    let bytes = fs::read(path).map_err(|_| cannot_read(path, option))?;
    if !bytes.starts_with(&elf::ELFMAG) {
        return Err(not("is not an ELF"));
    }
    // Where the kind of machine stands is the same in all of them.
    if bytes.get(18..20) != Some(&EM_AARCH64.0.to_le_bytes()[..]) {
        return Err(not("is an ELF for another kind of CPU than AArch64"));
    }
    Ok((bytes, date))
}

fn check(path: &Path, option: Option<&str>) -> Result<Checked> {
    let (bytes, date) = read(path, option)?;
    let first = Header::parse(&*bytes).ok().and_then(|header| {
        let segments = header.program_headers(LittleEndian, &*bytes).ok()?;
        segments.iter().find(|segment| segment.p_type(LittleEndian) == PT_LOAD)
    });
    let start = first.and_then(|segment| bytes.get(usize::try_from(segment.p_offset(LittleEndian)).ok()?..));
    match (first, start) {
        (Some(first), Some(start)) if has_arm64_header(start) => {
            Ok(Checked { link_address: first.p_vaddr(LittleEndian), bytes, date })
        }
        _ => Err(no_image(path, option, "has no arm64 header at its start: was it linked with reveille.ld?")),
    }
}

/// The flat form of an ELF, and where it is.
fn flat_file(elf: &Path, elf_bytes: &[u8], date: SystemTime, host: &Host) -> Result<(PathBuf, Vec<u8>)> {
    let beside = files::with_suffix(elf, ".img");
    let flatten = || flatten(elf_bytes).map_err(|reason| no_flat_form(elf, reason));
    // Other files are made beside the flat form. So it is not enough that it is there.
    if elf.parent().is_none_or(|folder| access(folder, AccessFlags::W_OK).is_ok()) {
        if let Some(bytes) = up_to_date(date, &beside) {
            return Ok((beside, bytes));
        }
        let bytes = flatten()?;
        match files::write_as_old_as(&beside, &bytes, Some(date)) {
            Ok(()) => return Ok((beside, bytes)),
            Err(error) if is_closed(&error) => {}
            Err(error) => return Err(files::cannot_write(&beside, &error)),
        }
    }
    // Nobody may write beside it: then in the cache, in a folder for each path.
    let bytes = flatten()?;
    let folder = host.cache().join("images").join(files::digest(elf.as_os_str().as_encoded_bytes()));
    files::make_dir(&folder)?;
    let kept = files::with_suffix(&folder.join(elf.file_name().unwrap_or_default()), ".img");
    if let Some(bytes) = up_to_date(date, &kept) {
        return Ok((kept, bytes));
    }
    files::write_as_old_as(&kept, &bytes, Some(date)).map_err(|error| files::cannot_write(&kept, &error))?;
    Ok((kept, bytes))
}

fn up_to_date(date: SystemTime, flat: &Path) -> Option<Vec<u8>> {
    if files::has_date(flat, date) { fs::read(flat).ok() } else { None }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// What `llvm-objcopy -O binary` makes of an ELF: every section that is loaded and not empty at its place, zeros between them, and nothing of
/// what only takes room.
///
/// # Errors
///
/// Why that cannot be: the ELF is damaged, or the image larger than a GiB.
pub fn flatten(bytes: &[u8]) -> std::result::Result<Vec<u8>, &'static str> {
    const DAMAGED: &str = "the ELF is damaged";
    let header = Header::parse(bytes).map_err(|_| DAMAGED)?;
    let segments = header.program_headers(LittleEndian, bytes).map_err(|_| DAMAGED)?;
    let sections = header.section_headers(LittleEndian, bytes).map_err(|_| DAMAGED)?;
    let mut parts = Vec::new();
    for section in sections {
        let loaded = section.sh_flags(LittleEndian).0 & SHF_ALLOC.0 != 0;
        if !loaded || section.sh_type(LittleEndian) == SHT_NOBITS || section.sh_size(LittleEndian) == 0 {
            continue;
        }
        let offset = section.sh_offset(LittleEndian);
        // Its address in memory is that of the segment that it lies in, plus the distance from its start.
        let within = segments.iter().find(|segment| {
            let start = segment.p_offset(LittleEndian);
            segment.p_type(LittleEndian) == PT_LOAD
                && start <= offset
                && offset - start < segment.p_filesz(LittleEndian)
        });
        let address = match within {
            Some(segment) => {
                segment.p_paddr(LittleEndian).wrapping_add(offset - segment.p_offset(LittleEndian))
            }
            None => section.sh_addr(LittleEndian),
        };
        parts.push((address, section.data(LittleEndian, bytes).map_err(|_| DAMAGED)?));
    }
    let start = parts.iter().map(|(address, _)| *address).min().ok_or("nothing in it is loaded")?;
    let mut flat = Vec::new();
    for (address, data) in parts {
        let (from, length) = (address - start, data.len() as u64);
        if from > LARGEST || length > LARGEST - from {
            return Err("it would be larger than a GiB");
        }
        let from = from as usize;
        if flat.len() < from + data.len() {
            flat.resize(from + data.len(), 0);
        }
        flat[from..from + data.len()].copy_from_slice(data);
    }
    Ok(flat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::sample::{LINKED, SIZE, Sample, elf};
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    fn refused(sample: &Sample, bytes: &[u8]) -> String {
        let path = sample.dir().join("other");
        fs::write(&path, bytes).unwrap();
        let error = Image::open(&path, &sample.host()).unwrap_err();
        assert!(!sample.dir().join("other.img").exists(), "something is made of what is refused");
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string().replace(&path.display().to_string(), "F")
    }

    #[test]
    fn what_is_no_image_is_refused_and_nothing_is_left() {
        let sample = Sample::new();
        assert_eq!(refused(&sample, b""), "'F' is not an ELF");
        assert_eq!(refused(&sample, b"#!/bin/sh\n"), "'F' is not an ELF");
        let mut other = elf();
        other[18] = 62;
        assert_eq!(refused(&sample, &other), "'F' is an ELF for another kind of CPU than AArch64");
        assert_eq!(refused(&sample, &elf()[..18]), "'F' is an ELF for another kind of CPU than AArch64");
        const NO_HEADER: &str = "'F' has no arm64 header at its start: was it linked with reveille.ld?";
        let mut other = elf();
        other[0x1038] = 0;
        assert_eq!(refused(&sample, &other), NO_HEADER);
        // Cut short anywhere before that, it has none.
        for length in [20, 64, 100, 0x1000, 0x103f] {
            assert_eq!(refused(&sample, &elf()[..length]), NO_HEADER, "{length}");
        }
        let said = Image::open(&sample.dir().join("nothing"), &sample.host()).unwrap_err().to_string();
        assert!(said.starts_with("cannot read the ELF '"), "{said}");
        assert!(Image::open(sample.dir(), &sample.host()).is_err());
        let said = check_image(&sample.dir().join("other"), Some("--elf")).unwrap_err().to_string();
        assert!(said.starts_with("--elf: '"), "{said}");
    }

    #[test]
    fn damaged_tables_are_no_panic() {
        for at in (0..120).chain(0x2200..0x2200 + 7 * 64) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = elf();
                bytes[at] = value;
                let _ = flatten(&bytes);
            }
        }
    }

    #[test]
    fn flat_and_what_its_header_says() {
        let sample = Sample::new();
        let image = Image::open(&sample.image(), &sample.host()).unwrap();
        assert_eq!(image.flat(), sample.image().with_extension("img").canonicalize().unwrap());
        assert_eq!(
            (image.link_address(), image.size(), image.text_offset(), image.offset()),
            (LINKED, SIZE, 0, CLEAR)
        );
        let flat = fs::read(image.flat()).unwrap();
        assert_eq!(flat.len(), 0x1108);
        assert_eq!(flat[0x1004], 0x88);
        assert_eq!(flat[0x80..0x1004], [0; 0xf84]);
        assert!(files::has_date(image.flat(), files::date(image.elf()).unwrap()));
        assert_eq!(
            image.beside(".x"),
            sample.image().with_extension("x").canonicalize().unwrap_or(image.beside(".x"))
        );
    }

    #[test]
    fn as_llvm_objcopy_has_it() {
        let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
        let sysroot = PathBuf::from(String::from_utf8(sysroot.stdout).unwrap().trim());
        let objcopy = fs::read_dir(sysroot.join("lib/rustlib"))
            .unwrap()
            .filter_map(|entry| Some(entry.ok()?.path().join("bin/llvm-objcopy")))
            .find(|path| path.exists());
        let Some(objcopy) = objcopy else {
            println!("this toolchain has no llvm-objcopy (component llvm-tools): not compared");
            return;
        };
        let sample = Sample::new();
        let theirs = sample.dir().join("theirs");
        let done =
            Command::new(objcopy).args(["-O", "binary"]).args([&sample.image(), &theirs]).status().unwrap();
        assert!(done.success());
        assert_eq!(flatten(&elf()).unwrap(), fs::read(theirs).unwrap());
    }

    #[test]
    fn too_large_is_said() {
        let mut bytes = elf();
        // The address of the segment of the second section: only what lies in a segment moves with it, so the section's own is used.
        bytes[64 + 32..64 + 40].copy_from_slice(&0x80_u64.to_le_bytes());
        bytes[0x2200 + 3 * 64 + 16..0x2200 + 3 * 64 + 24].copy_from_slice(&(1_u64 << 40).to_le_bytes());
        assert_eq!(flatten(&bytes), Err("it would be larger than a GiB"));
    }

    #[test]
    fn another_elf_with_an_older_date_is_noticed() {
        let sample = Sample::new();
        let first = Image::open(&sample.image(), &sample.host()).unwrap();
        let date = fs::metadata(first.elf()).unwrap().modified().unwrap();
        let mut bytes = elf();
        bytes[0x1040] = 0x77;
        fs::write(sample.image(), bytes).unwrap();
        let file = fs::File::options().write(true).open(sample.image()).unwrap();
        file.set_modified(date - std::time::Duration::from_secs(100)).unwrap();
        let second = Image::open(&sample.image(), &sample.host()).unwrap();
        assert_eq!(fs::read(second.flat()).unwrap()[0x40], 0x77);
    }

    #[test]
    fn where_nobody_may_write() {
        let sample = Sample::new();
        let closed = sample.dir().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::write(closed.join("image"), elf()).unwrap();
        // One that was made when it could be is no place for what else is made.
        let open = Image::open(&closed.join("image"), &sample.host()).unwrap();
        assert_eq!(open.flat(), closed.join("image.img").canonicalize().unwrap());
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
        let image = Image::open(&closed.join("image"), &sample.host());
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
        let image = image.unwrap();
        // Root may write everywhere.
        if image.flat() != open.flat() {
            assert!(image.flat().starts_with(sample.cache()), "{}", image.flat().display());
            assert!(image.at(0x8_0000).unwrap().starts_with(sample.cache()));
        }
    }

    #[test]
    fn at_another_place() {
        let sample = Sample::new();
        let image = Image::open(&sample.image(), &sample.host()).unwrap();
        let moved = image.at(0x8_0000).unwrap();
        let (bytes, original) = (fs::read(&moved).unwrap(), fs::read(image.flat()).unwrap());
        assert_eq!(bytes[8..16], 0x8_0000_u64.to_le_bytes());
        assert_eq!((&bytes[..8], &bytes[16..]), (&original[..8], &original[16..]));
        assert!(moved.to_string_lossy().ends_with("/image+0x80000.img"));
    }
}
