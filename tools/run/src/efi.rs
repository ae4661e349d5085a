//! UEFI firmware for a board, and the disks that it boots from.

use crate::board::refuse;
use crate::cpio::initrd;
use crate::error::Result;
use crate::fat;
use crate::fetch::{self, Packaged, Store};
use crate::files;
use crate::machine::{Composition, Setup};
use crate::output::Filter;
use std::path::{Path, PathBuf};

/// What `--firmware` may say on `virt`: U-Boot, and all that is UEFI firmware.
pub const VIRT_FIRMWARE: &[&str] = &[
    "u-boot",
    "edk2",
    "edk2-strict-nx",
    "edk2-shell",
    "edk2-disk",
    "grub",
    "grub-linux",
    "systemd-boot",
    "u-boot-efi",
    "kexec",
];

/// EDK2 takes so much RAM at least.
const LEAST_MEMORY: u64 = 256 << 20;

/// Whether the firmware that was chosen is UEFI firmware.
pub fn chosen(setup: &Setup) -> bool {
    setup.firmware.as_deref().is_some_and(|name| name != "u-boot")
}

/// Refuses what does not go with it.
///
/// # Errors
///
/// `--option: what is wrong`.
pub fn check(setup: &Setup) -> Result<()> {
    let options = &setup.options;
    let firmware = setup.firmware.as_deref().unwrap_or_default();
    refuse(setup.el == 3, || "--el: with --firmware the image is entered at 1 or 2".into())?;
    refuse(options.at.is_some(), || {
        format!("--at: with --firmware {firmware} it is firmware that chooses the place")
    })?;
    refuse(options.dtb.is_some(), || "--dtb: not with --firmware, which hands over the tree of QEMU".into())?;
    refuse(options.icount, || "--icount: not with --firmware".into())?;
    refuse(setup.memory.bytes() < LEAST_MEMORY, || "--memory: EDK2 takes 256M".into())?;
    refuse(firmware == "kexec" && options.append.contains('\''), || {
        "--append: no single quotes with --firmware kexec".into()
    })?;
    refuse(options.gdb, || {
        format!("--gdb: with --firmware {firmware} nobody knows beforehand where the image will be")
    })?;
    refuse(matches!(firmware, "edk2-disk" | "u-boot-efi") && !options.append.is_empty(), || {
        format!("--append: from a disk, with --firmware {firmware}, nobody hands over boot arguments")
    })
}

/// Firmware writes for a terminal, before the image does: what takes that away where there is none.
pub fn output(setup: &Setup) -> Option<Filter> {
    (chosen(setup) && setup.options.interactive != Some(true)).then(Filter::terminal)
}

/// Adds to QEMU's words firmware, and what it boots.
///
/// # Errors
///
/// A file that cannot be had or made.
pub fn qemu(to: &mut Composition<'_>) -> Result<()> {
    let firmware = to.setup.firmware.as_deref().unwrap_or_default();
    let store = Store::new(to.host);
    let bios = store.file(match firmware {
        "u-boot-efi" => Packaged::new("u-boot-qemu", "usr/lib/u-boot/qemu_arm64/u-boot.bin"),
        "edk2-strict-nx" => Packaged {
            // The first Debian that has it.
            suite: "trixie",
            ..Packaged::new("qemu-efi-aarch64", "usr/share/AAVMF/AAVMF_CODE.secboot.strictnx.fd")
        },
        _ => Packaged::new("qemu-efi-aarch64", "usr/share/qemu-efi-aarch64/QEMU_EFI.fd"),
    })?;
    to.words(["-bios"]);
    to.word(bios);
    let image = to.image.flat();
    let bootargs = to.bootargs.clone();
    let package =
        |name, path| fetch::firmware_file(to.host, name, path, "main").and_then(|path| files::read(&path));
    // Where firmware looks first.
    const FIRST: &str = "EFI/BOOT/BOOTAA64.EFI";
    let disk = match firmware {
        "edk2" | "edk2-strict-nx" => {
            to.kernel(image);
            return Ok(());
        }
        "kexec" => {
            let kernel = store.file(Packaged::new("kexec", "vmlinuz"))?;
            let programs = store.file(Packaged::new("kexec", "programs.cpio"))?;
            let initrd = kexec_files(to, &programs)?;
            to.words(["-kernel"]);
            to.word(kernel);
            to.words(["-initrd"]);
            to.word(initrd);
            to.words(["-append", "console=ttyAMA0 quiet panic=-1"]);
            return Ok(());
        }
        // It waits five seconds for a key, then does what is in this file.
        "edk2-shell" => vec![
            ("startup.nsh", format!("fs0:\\reveille.efi {bootargs}\r\n").into_bytes()),
            ("reveille.efi", files::read(image)?),
        ],
        "grub" | "grub-linux" => {
            let command = if firmware == "grub" { "chainloader" } else { "linux" };
            vec![
                ("EFI/debian/grub.cfg", format!("{command} /reveille.efi {bootargs}\nboot\n").into_bytes()),
                (FIRST, package("grub-efi-arm64-bin", "usr/lib/grub/arm64-efi/monolithic/grubaa64.efi")?),
                ("reveille.efi", files::read(image)?),
            ]
        }
        "systemd-boot" => vec![
            (
                "loader/entries/reveille.conf",
                format!("title Reveille\nefi /reveille.efi\noptions {bootargs}\n").into_bytes(),
            ),
            (FIRST, package("systemd-boot-efi", "usr/lib/systemd/boot/efi/systemd-bootaa64.efi")?),
            ("reveille.efi", files::read(image)?),
        ],
        // edk2-disk, u-boot-efi
        _ => vec![(FIRST, files::read(image)?)],
    };
    let path = to.scratch("efi.fat");
    files::write(&path, &fat::disk(&disk)?)?;
    let mut drive = std::ffi::OsString::from("if=none,id=efi,format=raw,snapshot=on,file=");
    drive.push(crate::machine::escaped(&path));
    to.words(["-drive"]);
    to.word(drive);
    to.words(["-device", "virtio-blk-device,drive=efi"]);
    Ok(())
}

/// The first file system of a Linux that starts the image in its own place, with these programs in it; its path.
fn kexec_files(to: &Composition<'_>, programs: &Path) -> Result<PathBuf> {
    let init = format!(
        "\
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
export LD_LIBRARY_PATH=/lib
/bin/kexec -c -l /image --command-line='{}' && echo 'Linux: loaded' && /bin/kexec -e
echo 'Linux: kexec failed'
/bin/busybox poweroff -f
",
        to.bootargs
    );
    let path = to.scratch("kexec.cpio");
    initrd(&path, programs, &init, to.image.flat())?;
    Ok(path)
}
