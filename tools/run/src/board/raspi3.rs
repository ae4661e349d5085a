//! QEMU's `raspi3b` and `raspi3ap`: four Cortex-A53, no GIC, a spin table in the place of firmware, and the tree of the real board, out of
//! Debian's arm64 kernel, which QEMU completes. The Zero 2 W is a `raspi3ap` with a tree of its own.

use super::raspi::{has_bootargs, pl011_tree};
use super::{Board, Defaults, Emulated, How, model, refuse};
use crate::card::{Card, raspi as raspi_card};
use crate::elf::Image;
use crate::error::Result;
use crate::fetch;
use crate::host::Host;
use crate::machine::{Composition, Setup};
use crate::options::{Gic, Memory, Options};

pub(super) struct Raspi3;

/// Where the image may be put: below is firmware's, above this the rest of the machine.
const LOWEST: u64 = 0x8_0000;
const HIGHEST: u64 = 0x1800_0000;

/// RAM of the board that has this name.
fn memory(name: &str) -> &'static str {
    if matches!(name, "raspi3" | "raspi3b") { "1G" } else { "512M" }
}

impl Board for Raspi3 {
    fn names(&self) -> &'static [&'static str] {
        &["raspi3", "raspi3b", "raspi3ap", "zero2w"]
    }

    fn about(&self) -> &'static str {
        "Raspberry Pi 3 and Zero 2 W: QEMU's raspi3b, raspi3ap"
    }

    fn how(&self) -> How {
        How::Emulated(&Raspi3)
    }

    fn card(&self) -> Option<&dyn Card> {
        Some(&raspi_card::RASPI3_CARD)
    }
}

impl Emulated for Raspi3 {
    fn consoles(&self) -> &'static [&'static str] {
        &["mini", "pl011"]
    }

    fn defaults(&self, options: &Options) -> Defaults {
        Defaults {
            cpus: 4,
            gic: Gic::None,
            el: 2,
            cpu: "cortex-a53",
            memory: memory(&options.board),
            firmware: None,
            console: Some("mini"),
        }
    }

    fn check(&self, setup: &Setup, _: &Host) -> Result<()> {
        let name = setup.name();
        refuse(setup.cpus != 4, || format!("--cpus: {name} has 4, no more and no less"))?;
        refuse(setup.gic != Gic::None, || format!("--gic: {name} has none"))?;
        refuse(setup.el != 2, || {
            format!("--el: {name} enters the flat image at 2; where the ELF is linked for it has no memory")
        })?;
        refuse(model(&setup.cpu) != "cortex-a53", || format!("--cpu: {name} has cortex-a53"))?;
        let has = memory(name);
        refuse(Memory::new(has).map(|has| has.bytes()) != Some(setup.memory.bytes()), || {
            format!("--memory: {name} has {has}")
        })?;
        if let Some(at) = setup.options.at {
            refuse(at % 4096 != 0 || !(LOWEST..HIGHEST).contains(&at), || {
                format!("--at: {at:#x} is not a page from {LOWEST:#x} to {HIGHEST:#x}")
            })?;
        }
        refuse(!setup.options.append.is_empty() && has_bootargs(&setup.options)?, || {
            "--append: with --dtb the boot arguments are those of the tree".into()
        })
    }

    fn load_address(&self, setup: &Setup, image: &Image) -> u64 {
        setup.options.at.unwrap_or_else(|| image.offset())
    }

    fn qemu(&self, to: &mut Composition<'_>) -> Result<()> {
        let setup = to.setup;
        let (machine, tree) = match setup.name() {
            "raspi3ap" => ("raspi3ap", "3-a-plus"),
            "zero2w" => ("raspi3ap", "zero-2-w"),
            _ => ("raspi3b", "3-b"),
        };
        let mut dtb = match &setup.options.dtb {
            Some(dtb) => dtb.clone(),
            None => fetch::board_tree(to.host, &format!("broadcom/bcm2837-rpi-{tree}.dtb"), None)?,
        };
        if setup.console.as_deref() == Some("pl011") {
            dtb = pl011_tree(&dtb, to.image)?;
        } else {
            to.serial = 1;
        }
        to.words(["-machine", machine, "-dtb"]);
        to.word(dtb);
        let image = match setup.options.at {
            Some(at) => to.image.at(at)?,
            None => to.image.flat().to_owned(),
        };
        to.kernel_with(image, !has_bootargs(&setup.options)?);
        Ok(())
    }
}
