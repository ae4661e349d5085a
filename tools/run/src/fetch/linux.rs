//! A Linux for arm64 with a program in its first file system, out of Debian's packages.

use super::{KERNEL, PACKAGE, SUITE, apt, name_of, rename, say, stem_of};
use crate::cpio::Archive;
use crate::error::{Error, Result};
use crate::files;
use apt::Apt;
use object::LittleEndian;
use object::read::elf::{Dyn, FileHeader};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where libraries are, below what the packages are unpacked into.
const LIBRARIES: [&str; 4] =
    ["lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib", "usr/lib/aarch64-linux-gnu/pulseaudio"];

/// The one with QEMU, for guests of KVM: a directory with `vmlinuz` and `programs.cpio`.
///
/// # Errors
///
/// It cannot be fetched.
pub fn with_qemu(work: &Path) -> Result<PathBuf> {
    with(work, "qemu-system-arm", "usr/bin/qemu-system-aarch64", 110)
}

/// The one with kexec.
///
/// # Errors
///
/// It cannot be fetched.
pub fn with_kexec(work: &Path) -> Result<PathBuf> {
    with(work, "kexec-tools", "sbin/kexec", 80)
}

/// The program of a package; how many MB all that is to download.
fn with(work: &Path, package: &str, program: &str, megabytes: u32) -> Result<PathBuf> {
    say(&format!("fetching Debian's arm64 kernel and {package} ({megabytes} MB are downloaded, once)"));
    let apt = Apt::open(work, &[SUITE], "main")?;
    let (root, made) = (work.join("root"), work.join("linux"));
    files::make_dir(&made)?;
    for file in apt.download_with_dependencies(&[package, "busybox-static"])? {
        apt::unpack(&file, &root, None)?;
    }
    let kernel = apt
        .kernel_of(KERNEL)
        .ok_or_else(|| Error::failed(format!("{KERNEL} of {SUITE} names no kernel package")))?;
    let file = apt.download(&kernel)?;
    let boot = work.join("kernel");
    apt::unpack(&file, &boot, Some("./boot/vmlinuz-*"))?;
    let vmlinuz = fs::read_dir(boot.join("boot"))
        .into_iter()
        .flatten()
        .find_map(|entry| Some(entry.ok()?.path()))
        .ok_or_else(|| Error::failed(format!("no kernel in {}", name_of(&file))))?;
    rename(&vmlinuz, &made.join("vmlinuz"))?;
    pack(&root, program, &made.join("programs.cpio"))?;
    let version = apt.version(package, None).unwrap_or_default();
    files::write(&made.join(PACKAGE), format!("{}, {package} {version}\n", stem_of(&file)).as_bytes())?;
    Ok(made)
}

/// busybox, a program with the libraries that it is linked with, and a program that ends the run with exit code 1.
fn pack(root: &Path, program: &str, out: &Path) -> Result<()> {
    let mut archive = Archive::default();
    for folder in ["bin", "lib", "dev", "proc", "sys"] {
        archive.directory(folder);
    }
    archive.console();
    archive.file("bin/busybox", &root.join("bin/busybox"))?;
    let program = root.join(program);
    let name = name_of(&program);
    archive.file(&format!("bin/{}", name.split('-').next().unwrap_or(&name)), &program)?;
    archive.program("bin/fail", &failing_program());
    for (name, path) in libraries(root, &program)? {
        archive.file(&format!("lib/{name}"), &path)?;
    }
    files::write(out, &archive.close())
}

/// Every library of the program, and theirs, by name.
fn libraries(root: &Path, program: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![program.to_owned()];
    while let Some(path) = todo.pop() {
        let names = fs::read(&path).ok().and_then(|bytes| needed(&bytes));
        let names = names
            .ok_or_else(|| Error::failed(format!("what {} is linked with cannot be read", path.display())))?;
        for name in names {
            if found.contains_key(&name) {
                continue;
            }
            let place =
                LIBRARIES.iter().map(|folder| root.join(folder).join(&name)).find(|place| place.exists());
            let place = place.and_then(|place| place.canonicalize().ok());
            let place = place.ok_or_else(|| {
                Error::failed(format!("no {name} among the packages of {}", name_of(program)))
            })?;
            todo.push(place.clone());
            found.insert(name, place);
        }
    }
    Ok(found)
}

/// What a program or library says it is linked with.
fn needed(bytes: &[u8]) -> Option<Vec<String>> {
    let header = object::elf::FileHeader64::<LittleEndian>::parse(bytes).ok()?;
    let sections = header.sections(LittleEndian, bytes).ok()?;
    let Some((entries, strings)) = sections.dynamic(LittleEndian, bytes).ok()? else {
        return Some(Vec::new());
    };
    let strings = sections.strings(LittleEndian, bytes, strings).ok()?;
    entries
        .iter()
        .filter(|entry| entry.d_tag(LittleEndian) == object::elf::DT_NEEDED)
        .map(|entry| Some(String::from_utf8_lossy(entry.string(LittleEndian, strings).ok()?).into_owned()))
        .collect()
}

/// An ELF of one segment: semihosting's SYS_EXIT with exit code 1.
fn failing_program() -> Vec<u8> {
    const ADDRESS: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    // mov w0, #0x18; adr x1, 12; hlt #0xf000; b .; ADP_Stopped_ApplicationExit, 1
    let code = [0x5280_0300, 0x1000_0061, 0xd45e_0000, 0x1400_0000, 0x2_0026, 0, 1, 0_u32];
    let size = HEADERS + 4 * code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    let half = |elf: &mut Vec<u8>, value: u16| elf.extend_from_slice(&value.to_le_bytes());
    let word = |elf: &mut Vec<u8>, value: u32| elf.extend_from_slice(&value.to_le_bytes());
    let long = |elf: &mut Vec<u8>, value: u64| elf.extend_from_slice(&value.to_le_bytes());
    // type, machine, version, entry, program headers, section headers, flags, sizes and numbers of headers
    half(&mut elf, 2);
    half(&mut elf, 183);
    word(&mut elf, 1);
    [ADDRESS + HEADERS, 64, 0].into_iter().for_each(|value| long(&mut elf, value));
    word(&mut elf, 0);
    [64, 56, 1, 64, 0, 0].into_iter().for_each(|value| half(&mut elf, value));
    // PT_LOAD, readable and executable, from the start of the file
    word(&mut elf, 1);
    word(&mut elf, 5);
    [0, ADDRESS, ADDRESS, size, size, 0x1000].into_iter().for_each(|value| long(&mut elf, value));
    code.into_iter().for_each(|value| word(&mut elf, value));
    elf
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{Object, ObjectSegment};

    #[test]
    fn the_failing_program_is_an_elf() {
        let bytes = failing_program();
        let file = object::File::parse(&*bytes).unwrap();
        assert_eq!(file.architecture(), object::Architecture::Aarch64);
        let segment = file.segments().next().unwrap();
        assert_eq!(segment.address() + 120, file.entry());
        assert_eq!(segment.data().unwrap(), bytes);
        // hlt #0xf000, which is semihosting's
        assert_eq!(bytes[120 + 8..120 + 12], 0xd45e_0000_u32.to_le_bytes());
    }
}
