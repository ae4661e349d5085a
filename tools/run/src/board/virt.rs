//! QEMU's `virt`: a GICv2 or GICv3, a PL011, PSCI by hvc or smc, as many CPUs as asked for.

use super::{Board, Defaults, Emulated, How, check_cpu_model, refuse};
use crate::efi;
use crate::elf::Image;
use crate::error::Result;
use crate::fetch;
use crate::host::Host;
use crate::machine::{Composition, Setup};
use crate::options::{Gic, Options};
use crate::output::Filter;

/// Where RAM begins.
pub(crate) const RAM: u64 = 0x4000_0000;
/// Where U-Boot puts the image.
const UBOOT_IMAGE: u64 = 0x4040_0000;
/// The first of its virtio devices.
const VIRTIO: u64 = 0xa00_0000;
/// Less RAM holds no image and its tree, whatever the number of CPUs.
pub(crate) const LEAST_MEMORY: u64 = 16;

pub(super) struct Virt;

impl Board for Virt {
    fn names(&self) -> &'static [&'static str] {
        &["virt"]
    }

    fn about(&self) -> &'static str {
        "QEMU's virt, any number of CPUs, the reference"
    }

    fn how(&self) -> How {
        How::Emulated(&Virt)
    }
}

impl Emulated for Virt {
    fn firmware(&self) -> &'static [&'static str] {
        efi::VIRT_FIRMWARE
    }

    fn consoles(&self) -> &'static [&'static str] {
        &["pl011", "virtio", "virtio-legacy"]
    }

    fn has_acpi(&self) -> bool {
        true
    }

    fn defaults(&self, options: &Options) -> Defaults {
        Defaults {
            cpus: 4,
            gic: Gic::V3,
            el: 1,
            cpu: "max",
            memory: "512M",
            firmware: options.acpi.then_some("edk2"),
            console: None,
        }
    }

    fn least_memory(&self) -> Option<u64> {
        Some(LEAST_MEMORY)
    }

    fn check(&self, setup: &Setup, host: &Host) -> Result<()> {
        check_cpu_model(setup, host)?;
        let options = &setup.options;
        if let Some(at) = options.at {
            refuse(setup.el == 3, || "--at: with --el 3 the ELF is loaded, where it was linked for".into())?;
            refuse(at % 4096 != 0 || at <= RAM || at >= RAM + setup.memory.bytes(), || {
                format!("--at: {at:#x} is not a page inside the RAM, {} from {RAM:#x}", setup.memory)
            })?;
        }
        let firmware = setup.firmware.as_deref();
        if let (true, Some(firmware)) = (options.acpi, firmware.filter(|name| name.starts_with("u-boot"))) {
            refuse(true, || format!("--acpi: not with --firmware {firmware}, which hands over a tree"))?;
        }
        if efi::chosen(setup) {
            efi::check(setup)?;
        } else if let Some(firmware) = firmware {
            refuse(setup.el == 3, || "--el: with --firmware the image is entered at 1 or 2".into())?;
            refuse(options.at.is_some(), || {
                format!("--at: with --firmware {firmware} the image is at {UBOOT_IMAGE:#x}")
            })?;
            refuse(options.dtb.is_some(), || {
                "--dtb: not with --firmware, which hands over the tree of QEMU".into()
            })?;
            // It waits for a key by the time that it counts.
            refuse(options.icount, || "--icount: not with --firmware".into())?;
        }
        if let Some(console) = setup.console.as_deref() {
            refuse(options.acpi && console.starts_with("virtio"), || {
                format!("--console: not {console} with --acpi, which does not describe it")
            })?;
        }
        if options.dtb.is_some() {
            refuse(setup.el == 3, || "--dtb: not with --el 3, where the tree is found in RAM".into())?;
            refuse(!options.append.is_empty(), || {
                "--append: with --dtb the boot arguments are those of the tree".into()
            })?;
        }
        Ok(())
    }

    fn load_address(&self, setup: &Setup, image: &Image) -> u64 {
        if setup.el == 3 {
            image.link_address()
        } else if setup.firmware.is_some() {
            UBOOT_IMAGE
        } else if let Some(at) = setup.options.at {
            at
        } else {
            RAM + image.offset()
        }
    }

    fn qemu(&self, to: &mut Composition<'_>) -> Result<()> {
        let setup = to.setup;
        let image = to.image;
        let mut machine = format!("virt,gic-version={}", setup.gic);
        match setup.el {
            2 => machine += ",virtualization=on",
            3 => machine += ",secure=on,virtualization=on",
            _ => {}
        }
        if setup.options.icount {
            machine += ",dtb-randomness=off";
        }
        // EDK2 hands over a tree or ACPI tables, never both.
        if !setup.options.acpi && efi::chosen(setup) {
            machine += ",acpi=off";
        }
        to.machine(&machine);
        console(to);
        if setup.options.dtb.is_some() {
            with_tree(to)
        } else if setup.el == 3 {
            to.kernel(image.elf());
            Ok(())
        } else if let Some(at) = setup.options.at {
            to.kernel(image.at(at - RAM)?);
            Ok(())
        } else if efi::chosen(setup) {
            efi::qemu(to)
        } else {
            if setup.firmware.is_some() {
                // By itself it starts, after two seconds, what QEMU holds ready for it.
                let bios = fetch::firmware_file(
                    to.host,
                    "u-boot-qemu",
                    "usr/lib/u-boot/qemu_arm64/u-boot.bin",
                    "main",
                )?;
                to.words(["-bios"]);
                to.word(bios);
            }
            to.kernel(image.flat());
            Ok(())
        }
    }

    fn output(&self, setup: &Setup) -> Option<Filter> {
        efi::output(setup)
    }
}

/// The tree of QEMU goes on naming the PL011, so the console is named by hand; `--append earlycon` takes that back.
fn console(to: &mut Composition<'_>) {
    let Some(name @ ("virtio" | "virtio-legacy")) = to.setup.console.as_deref() else { return };
    let legacy = name == "virtio-legacy";
    to.bootargs = format!("earlycon=virtio,{VIRTIO:#x} {}", to.bootargs);
    to.console(&[
        "-serial",
        "null",
        "-global",
        &format!("virtio-mmio.force-legacy={legacy}"),
        "-device",
        "virtio-serial-device,bus=virtio-mmio-bus.0",
        "-device",
        "virtconsole,chardev=console",
    ]);
}

/// What a boot loader does at the end, for `--dtb`: x0 = tree, x1 to x3 = 0, on to the image.
fn with_tree(to: &mut Composition<'_>) -> Result<()> {
    let (setup, image) = (to.setup, to.image);
    let address = Virt.load_address(setup, image);
    // At the end of RAM, or of its first GiB: 2 MiB for the tree, then the code.
    let end = setup.memory.bytes().min(1 << 30);
    let tree = RAM + end - (4 << 20);
    let code = image.beside(&format!(".enter-{address:#x}-{tree:#x}.bin"));
    crate::files::write(&code, &entry_code(tree, address))?;
    let dtb = setup.options.dtb.clone().unwrap_or_default();
    to.load_file(image.flat(), address, "");
    to.load_file(&dtb, tree, "");
    to.load_file(&code, tree + (2 << 20), ",cpu-num=0");
    Ok(())
}

/// First it wipes the magic of the tree that QEMU leaves at the start of RAM, so that there is no tree but the one handed over.
fn entry_code(tree: u64, address: u64) -> Vec<u8> {
    const CODE: [u32; 8] = [
        0xd2a8_0005, // mov x5, #0x40000000
        0xf900_00bf, // str xzr, [x5]
        0x5800_00c0, // ldr x0, tree
        0x5800_00e4, // ldr x4, address
        0xaa1f_03e1, // mov x1, xzr
        0xaa1f_03e2, // mov x2, xzr
        0xaa1f_03e3, // mov x3, xzr
        0xd61f_0080, // br x4
    ];
    let mut bytes: Vec<u8> = CODE.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend(tree.to_le_bytes());
    bytes.extend(address.to_le_bytes());
    bytes
}
