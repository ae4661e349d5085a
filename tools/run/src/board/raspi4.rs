//! QEMU's `raspi4b`: four Cortex-A72, a GIC-400, a spin table in the place of firmware, and the tree of the real board, out of Debian's arm64
//! kernel, which QEMU completes. What QEMU lacks it disables in the tree, and says so.

use super::raspi::{has_bootargs, pl011_tree};
use super::{Board, Defaults, Emulated, How, model, refuse};
use crate::card::{Card, raspi as raspi_card};
use crate::elf::Image;
use crate::error::Result;
use crate::fetch;
use crate::host::Host;
use crate::machine::{Composition, Setup};
use crate::options::{Gic, Options};
use crate::tf_a;

/// Where the tree goes for TF-A: in the last 64 MiB of what QEMU calls RAM, the part that the image has no use for by default.
pub(crate) const TREE: u64 = 0x3800_0000;
/// Below is firmware's.
const LOWEST: u64 = 0x8_0000;

pub(super) struct Raspi4;

impl Board for Raspi4 {
    fn names(&self) -> &'static [&'static str] {
        &["raspi4", "raspi4b"]
    }

    fn about(&self) -> &'static str {
        "Raspberry Pi 4: QEMU's raspi4b; with --firmware tf-a it has PSCI"
    }

    fn how(&self) -> How {
        How::Emulated(&Raspi4)
    }

    fn card(&self) -> Option<&dyn Card> {
        Some(&raspi_card::RASPI4_CARD)
    }
}

impl Emulated for Raspi4 {
    fn firmware(&self) -> &'static [&'static str] {
        &["tf-a"]
    }

    fn consoles(&self) -> &'static [&'static str] {
        &["mini", "pl011"]
    }

    fn defaults(&self, options: &Options) -> Defaults {
        Defaults {
            cpus: 4,
            gic: Gic::V2,
            el: 2,
            cpu: "cortex-a72",
            memory: "2G",
            firmware: None,
            console: Some(if options.firmware.is_some() { "pl011" } else { "mini" }),
        }
    }

    fn check(&self, setup: &Setup, _: &Host) -> Result<()> {
        let name = setup.name();
        let options = &setup.options;
        refuse(setup.cpus != 4, || format!("--cpus: {name} has 4, no more and no less"))?;
        refuse(setup.gic != Gic::V2, || format!("--gic: {name} has a GIC-400, which is version 2"))?;
        refuse(setup.el == 1, || format!("--el: {name} enters the flat image at 2, or the ELF at 3"))?;
        refuse(model(&setup.cpu) != "cortex-a72", || format!("--cpu: {name} has cortex-a72"))?;
        refuse(setup.memory.bytes() != 2 << 30, || "--memory: QEMU's raspi4b has 2G".into())?;
        if let Some(at) = options.at {
            refuse(setup.el == 3, || "--at: with --el 3 the ELF is loaded, where it was linked for".into())?;
            refuse(at % 4096 != 0 || !(LOWEST..TREE).contains(&at), || {
                format!("--at: {at:#x} is not a page from {LOWEST:#x} to {TREE:#x}")
            })?;
        }
        refuse(!options.append.is_empty() && has_bootargs(options)?, || {
            "--append: with --dtb the boot arguments are those of the tree".into()
        })?;
        if let Some(firmware) = &setup.firmware {
            refuse(setup.el == 3, || {
                format!("--el: with --firmware {firmware} the flat image is entered at 2")
            })?;
            refuse(setup.console.as_deref() == Some("mini"), || {
                "--console: TF-A makes pl011 the console".into()
            })?;
        }
        Ok(())
    }

    fn load_address(&self, setup: &Setup, image: &Image) -> u64 {
        match setup.options.at {
            _ if setup.el == 3 => image.link_address(),
            Some(at) => at,
            None => image.offset(),
        }
    }

    fn qemu(&self, to: &mut Composition<'_>) -> Result<()> {
        let setup = to.setup;
        let append = !has_bootargs(&setup.options)?;
        let mut dtb = match &setup.options.dtb {
            Some(dtb) => dtb.clone(),
            None => fetch::board_tree(to.host, "broadcom/bcm2711-rpi-4-b.dtb", None)?,
        };
        if setup.console.as_deref() == Some("pl011") {
            // TF-A changes the tree itself.
            if setup.firmware.is_none() {
                dtb = pl011_tree(&dtb, to.image)?;
            }
        } else {
            to.serial = 1;
        }
        to.words(["-machine", "raspi4b"]);
        if setup.firmware.is_some() {
            return tf_a::qemu(to, &dtb, self.load_address(setup, to.image), append);
        }
        let kernel = match setup.options.at {
            _ if setup.el == 3 => to.image.elf().to_owned(),
            Some(at) => to.image.at(at)?,
            None => to.image.flat().to_owned(),
        };
        to.words(["-dtb"]);
        to.word(dtb);
        to.kernel_with(kernel, append);
        Ok(())
    }
}
