//! Cards for Raspberry Pis: what the firmware in the board's GPU looks for, or that in its EEPROM. Names and settings are those of Raspberry
//! Pi's documentation of config.txt ("Boot options", "Conditional filters") and of the boot folder.

use super::{Card, Contents, Firmware, Wanted};
use crate::error::{Error, Result};
use crate::fetch::{Packaged, SUITE};
use crate::files;

use std::fmt::Write;

/// Debian's kernel knows the Raspberry Pi 5 from this suite on.
pub(crate) const RASPI5_SUITE: &str = "trixie";

/// The tree of a board, the filter in `config.txt` by which it is chosen, and the suite of Debian whose kernel has it.
struct Tree {
    filter: &'static str,
    name: &'static str,
    suite: &'static str,
}

impl Tree {
    const fn new(filter: &'static str, name: &'static str) -> Self {
        Self { filter, name, suite: SUITE }
    }
}

/// A generation of boards.
struct Model {
    trees: &'static [Tree],
    /// The files of its own firmware. The Raspberry Pi 5 has it in its EEPROM.
    firmware: &'static [&'static str],
    /// Whether TF-A is known for it.
    has_psci: bool,
}

const RASPI3: Model = Model {
    trees: &[
        Tree::new("pi3", "bcm2837-rpi-3-b"),
        Tree::new("board-type=0x0d", "bcm2837-rpi-3-b-plus"),
        Tree::new("board-type=0x0e", "bcm2837-rpi-3-a-plus"),
        Tree::new("pi02", "bcm2837-rpi-zero-2-w"),
    ],
    firmware: &["bootcode.bin", "start.elf", "fixup.dat"],
    has_psci: false,
};

const RASPI4: Model = Model {
    trees: &[Tree::new("pi4", "bcm2711-rpi-4-b")],
    firmware: &["start4.elf", "fixup4.dat"],
    has_psci: true,
};

const RASPI5: Model = Model {
    trees: &[Tree { filter: "pi5", name: "bcm2712-rpi-5-b", suite: RASPI5_SUITE }],
    firmware: &[],
    has_psci: false,
};

/// A card for some models.
pub struct RaspiCard(&'static [Model]);

/// One for a Raspberry Pi 3 or Zero 2 W.
pub static RASPI3_CARD: RaspiCard = RaspiCard(&[RASPI3]);
/// One for a Raspberry Pi 4.
pub static RASPI4_CARD: RaspiCard = RaspiCard(&[RASPI4]);
/// One for a Raspberry Pi 5.
pub static RASPI5_CARD: RaspiCard = RaspiCard(&[RASPI5]);
/// One for all of these: the firmware of each chooses the tree.
pub static RASPI_CARD: RaspiCard = RaspiCard(&[RASPI3, RASPI4, RASPI5]);

impl RaspiCard {
    fn trees(&self) -> impl Iterator<Item = &'static Tree> {
        self.0.iter().flat_map(|model| model.trees)
    }

    fn firmware(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().flat_map(|model| model.firmware).copied()
    }
}

impl Card for RaspiCard {
    fn check(&self, wanted: &Wanted) -> Result<()> {
        if wanted.psci && !self.0.iter().all(|model| model.has_psci) {
            return Err(Error::usage(
                "--psci: raspi4 alone has it; the firmware of a Raspberry Pi 5 has PSCI, and a raspi3 does without",
            ));
        }
        if wanted.firmware != Firmware::Package && self.firmware().next().is_none() {
            return Err(Error::usage(format!(
                "--firmware, --no-firmware: {} has its firmware in an EEPROM, and none on the card",
                wanted.board
            )));
        }
        Ok(())
    }

    fn fill(&self, contents: &mut Contents<'_>, wanted: &Wanted, image: &[u8], origin: &str) -> Result<()> {
        const PSCI: &str = "arm-trusted-firmware";
        const FIRMWARE: &str = "raspi-firmware";
        contents.add("kernel8.img", image, origin)?;
        contents.own("config.txt", &settings(&self.trees().collect::<Vec<_>>(), wanted.psci))?;
        contents.own("cmdline.txt", &format!("{}\n", wanted.append))?;
        for tree in self.trees() {
            let path = format!("broadcom/{}.dtb", tree.name);
            let file = contents.store.tree(&path, tree.suite)?;
            let mut origin = contents.store.tree_version(&path, tree.suite);
            let mut bytes = files::read(&file)?;
            if wanted.psci {
                bytes = exchanged(&bytes).ok_or_else(|| {
                    Error::failed(format!("no names of serial ports in {}", file.display()))
                })?;
                origin.push_str(", with serial0 and serial1 exchanged");
            }
            contents.add(&format!("{}.dtb", tree.name), &bytes, &origin)?;
        }
        if wanted.psci {
            contents
                .packaged("bl31.bin", Packaged::new(PSCI, "usr/lib/arm-trusted-firmware/rpi4/bl31.bin"))?;
            contents
                .packaged("bl31.txt", Packaged::new(PSCI, "usr/share/doc/arm-trusted-firmware/copyright"))?;
        }
        let component = "non-free-firmware";
        for name in self.firmware() {
            let path = format!("usr/lib/raspi-firmware/{name}");
            let packaged = Packaged { component, ..Packaged::new(FIRMWARE, &path) };
            contents.firmware(&wanted.firmware, name, packaged)?;
        }
        if wanted.firmware == Firmware::Package && self.firmware().next().is_some() {
            let licence = Packaged::new(FIRMWARE, "usr/share/doc/raspi-firmware/copyright");
            contents.packaged("raspi-firmware.txt", Packaged { component, ..licence })?;
        }
        Ok(())
    }
}

/// A tree whose names `serial0` and `serial1` have changed places: TF-A makes `serial0` the console, which on the board goes to Bluetooth.
/// Nothing if it does not have them.
fn exchanged(tree: &[u8]) -> Option<Vec<u8>> {
    const UARTS: [&[u8]; 2] = [b"/soc/serial@7e201000", b"/soc/serial@7e215040"];
    let mut out = tree.to_vec();
    for at in 0..tree.len() {
        for (name, other) in [(UARTS[0], UARTS[1]), (UARTS[1], UARTS[0])] {
            if tree[at..].starts_with(name) {
                out[at..at + other.len()].copy_from_slice(other);
            }
        }
    }
    (out != tree).then_some(out)
}

/// What is in `config.txt`.
fn settings(trees: &[&Tree], psci: bool) -> String {
    let mut text = "\
# The first settings of a Raspberry Pi, read by its firmware.
arm_64bit=1
kernel=kernel8.img
# The console, 115200 baud: the mini UART on pins 8 and 10; of a Raspberry Pi 5 the debug connector with three pins.
enable_uart=1
"
    .to_owned();
    for tree in trees {
        // So that no two filters count at once.
        if trees.len() > 1 {
            let _ = writeln!(text, "[all]\n[{}]", tree.filter);
        }
        let _ = writeln!(text, "device_tree={}.dtb", tree.name);
        if tree.suite == RASPI5_SUITE {
            text.push_str(
                "# Else this firmware looks for an operating system that it knows, and starts no other.\nos_check=0\n",
            );
        }
    }
    if psci {
        text.push_str(
            "# The first code at EL3, in place of the stub in the firmware.\narmstub=bl31.bin\nenable_gic=1\n",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_model_has_no_filters_and_several_do() {
        let one: Vec<_> = RASPI4.trees.iter().collect();
        assert!(!settings(&one, false).contains('['));
        assert!(settings(&one, true).ends_with("armstub=bl31.bin\nenable_gic=1\n"));
        let all: Vec<_> = RASPI_CARD.trees().collect();
        let text = settings(&all, false);
        assert_eq!(text.matches("[all]\n[").count(), 6);
        assert!(text.ends_with("os_check=0\n"));
    }

    #[test]
    fn ports_change_places() {
        let tree = b"..\0/soc/serial@7e201000\0/soc/serial@7e215040\0";
        assert_eq!(exchanged(tree).unwrap(), b"..\0/soc/serial@7e215040\0/soc/serial@7e201000\0");
        assert_eq!(exchanged(b"/soc/serial@0"), None);
    }
}
