//! An image, a QEMU and a cache, as small as they can be.

use crate::files::Scratch;
use crate::host::Host;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the image is linked to be.
pub(crate) const LINKED: u64 = 0x4020_0000;
/// What it takes, by its header.
pub(crate) const SIZE: u64 = 0x3000;

/// A section: its type, flags, address, place in the file, and size.
type Section = (u32, u64, u64, u64, u64);

const PROGBITS: u32 = 1;
const NOBITS: u32 = 8;
const ALLOC: u64 = 2;

/// An ELF for AArch64 with an arm64 header, two sections with a gap between them, and some that are not loaded.
pub(crate) fn elf() -> Vec<u8> {
    let sections: [Section; 7] = [
        (0, 0, 0, 0, 0),
        (PROGBITS, ALLOC, LINKED, 0x1000, 0x80),
        // Empty ones and those without bytes do not count, wherever they are.
        (PROGBITS, ALLOC, LINKED - 0x1000, 0x10, 0),
        (PROGBITS, ALLOC, LINKED + 0x1004, 0x2004, 0x10),
        (NOBITS, ALLOC, LINKED + 0x2000, 0x2108, 0x1000),
        // Not loaded at all.
        (PROGBITS, 0, 0, 0x2100, 0x10),
        (PROGBITS, ALLOC, LINKED + 0x1100, 0x2100, 0x8),
    ];
    let mut bytes = vec![0; 0x2200];
    bytes[..4].copy_from_slice(b"\x7fELF");
    // 64 bits, little-endian, version 1.
    bytes[4..7].copy_from_slice(&[2, 1, 1]);
    let mut put = |at: usize, value: u64, size: usize| {
        bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size])
    };
    put(16, 2, 2);
    put(18, 183, 2);
    put(20, 1, 4);
    put(24, LINKED, 8);
    put(32, 64, 8);
    put(40, 0x2200, 8);
    put(52, 64, 2);
    put(54, 56, 2);
    put(56, 1, 2);
    put(58, 64, 2);
    put(60, sections.len() as u64, 2);
    // One segment. QEMU loads by its physical address, which is what counts for a flat image, too.
    put(64, 1, 4);
    put(68, 5, 4);
    put(72, 0x1000, 8);
    put(80, LINKED, 8);
    put(88, LINKED, 8);
    put(96, 0x1108, 8);
    put(104, 0x2000, 8);
    put(112, 0x1000, 8);
    // The arm64 header.
    put(0x1000, 0x1400_0010, 4);
    put(0x1008, 0, 8);
    put(0x1010, SIZE, 8);
    put(0x1038, 0x644d_5241, 4);
    put(0x2004, 0x1122_3344_5566_7788, 8);
    put(0x2100, 0x99, 8);
    for (kind, flags, address, offset, size) in sections {
        let mut header = [0; 64];
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        for (at, value) in [(8, flags), (16, address), (24, offset), (32, size), (48, 1)] {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        bytes.extend(header);
    }
    bytes
}

/// Makes a file that can be executed. Another process writes it: while this one has it open for that, a child of another test's thread may
/// begin, which has it open too, and then it is busy.
pub(crate) fn script(path: &Path, text: &str) {
    let mut writer = Command::new("sh")
        .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
}

/// A directory with an image, device trees, firmware, and a QEMU that knows a few words.
pub(crate) struct Sample {
    scratch: Scratch,
}

impl Sample {
    pub(crate) fn new() -> Self {
        let sample = Self { scratch: Scratch::new().unwrap() };
        fs::write(sample.image(), elf()).unwrap();
        for name in ["reveille-shim", "reveille-stage"] {
            fs::write(sample.dir().join(name), elf()).unwrap();
        }
        fs::write(sample.dir().join("tree.dtb"), b"plain tree serial1:115200n8").unwrap();
        fs::write(sample.dir().join("args.dtb"), b"tree with bootargs serial1:115200n8").unwrap();
        for tree in [
            "broadcom/bcm2837-rpi-3-b",
            "broadcom/bcm2837-rpi-3-a-plus",
            "broadcom/bcm2837-rpi-zero-2-w",
            "broadcom/bcm2711-rpi-4-b",
            "xilinx/zynqmp-zcu102-rev1.0",
            "freescale/imx8mp-evk",
        ] {
            let path = sample.cache().join(format!("trees/bookworm/{tree}.dtb"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"serial1:115200n8").unwrap();
        }
        for suite in ["bookworm", "trixie"] {
            let place = sample.cache().join("trees").join(suite);
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("PACKAGE"), b"linux-image-arm64 1, 6 trees\n").unwrap();
        }
        for file in [
            "u-boot-qemu/usr/lib/u-boot/qemu_arm64/u-boot.bin",
            "qemu-efi-aarch64/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
            "qemu-efi-aarch64-trixie/usr/share/AAVMF/AAVMF_CODE.secboot.strictnx.fd",
            "grub-efi-arm64-bin/usr/lib/grub/arm64-efi/monolithic/grubaa64.efi",
            "systemd-boot-efi/usr/lib/systemd/boot/efi/systemd-bootaa64.efi",
            "xen-hypervisor-4.17-arm64/boot/xen-4.17-arm64",
            "arm-trusted-firmware/usr/lib/arm-trusted-firmware/rpi4/bl31.bin",
            "linux/vmlinuz",
            "linux/programs.cpio",
            "kexec/vmlinuz",
            "kexec/programs.cpio",
        ] {
            let path = sample.cache().join("firmware").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, [7; 0x200]).unwrap();
        }
        fs::write(sample.dir().join("machine.dtb"), crate::fdt::tests::tree()).unwrap();
        sample.qemu("exit 0");
        sample
    }

    pub(crate) fn dir(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.dir().join("image")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.dir().join("cache")
    }

    /// Has its QEMU do this when it is to run something. What it is asked for otherwise it knows: its version, models of CPUs, and trees.
    pub(crate) fn qemu(&self, what: &str) {
        let path = self.dir().join("qemu");
        let text = format!(
            "#!/bin/sh\n\
             case \"$*\" in\n\
             --version) echo 'QEMU emulator version 10.0.2 (sample)'; exit ;;\n\
             *'-cpu help') printf 'Available CPUs:\\n  cortex-a78ae\\n  max\\n'; exit ;;\n\
             esac\n\
             for word; do case $word in dumpdtb=*) cat \"${{0%/*}}/machine.dtb\" >\"${{word#dumpdtb=}}\"; exit ;; esac; done\n\
             {what}\n"
        );
        script(&path, &text);
    }

    pub(crate) fn host(&self) -> Host {
        Host::new(self.dir().join("qemu"), self.cache())
    }
}
