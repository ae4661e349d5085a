//! QEMU's `virt` with a Secure world, and firmware of Reveille's own in it, for its tests: the stage of `tests/shim` runs at EL3, the image
//! below it at EL2 or EL1. It has PSCI by smc, and leaves behind what is in the second flash, if anything.

use super::virt::Virt;
use super::{Board, Defaults, Emulated, How, check_cpu_model, refuse};
use crate::elf::Image;
use crate::error::{Error, Result};
use crate::files;
use crate::host::Host;
use crate::machine::{Composition, Setup};
use crate::options::Options;
use std::ffi::OsString;
use std::path::PathBuf;

/// Where the stage expects the image and the tree, and what it is to leave behind.
const IMAGE: u64 = 0x4020_0000;
const TREE: u64 = 0x4fc0_0000;
const FLASH: u64 = 0x0400_0000;

pub(super) struct Secure;

impl Board for Secure {
    fn names(&self) -> &'static [&'static str] {
        &["secure"]
    }

    fn about(&self) -> &'static str {
        "virt with a Secure world and firmware in it, for the tests of Reveille's repository"
    }

    fn how(&self) -> How {
        How::Emulated(&Secure)
    }
}

impl Emulated for Secure {
    fn defaults(&self, options: &Options) -> Defaults {
        Virt.defaults(options)
    }

    fn check(&self, setup: &Setup, host: &Host) -> Result<()> {
        refuse(setup.el == 3, || "--el: with --board secure the image is entered at 1 or 2".into())?;
        refuse(setup.options.at.is_some(), || {
            format!("--at: with --board secure the image is at {IMAGE:#x}")
        })?;
        refuse(setup.options.dtb.is_some(), || {
            "--dtb: not with --board secure, which hands over the tree of QEMU".into()
        })?;
        refuse(setup.memory.mebibytes() < 256, || {
            "--memory: with --board secure it has to be 256M at least".into()
        })?;
        refuse(setup.cpus > 123, || {
            format!(
                "--cpus: {} CPUs, but --board secure knows one region of redistributors, of 123",
                setup.cpus
            )
        })?;
        check_cpu_model(setup, host)
    }

    fn load_address(&self, _: &Setup, _: &Image) -> u64 {
        IMAGE
    }

    fn qemu(&self, to: &mut Composition<'_>) -> Result<()> {
        let setup = to.setup;
        let stage = to.shim("secure", "reveille-stage")?;
        let mut machine = format!("virt,virtualization=on,gic-version={}", setup.gic);
        if setup.options.icount {
            machine += ",dtb-randomness=off";
        }
        let tree = tree(to, &machine)?;
        to.machine(&format!("{machine},secure=on"));
        to.words(["-bios"]);
        to.word(&stage);
        to.load_file(to.image.flat(), IMAGE, "");
        to.load_file(&tree, TREE, "");
        if setup.el == 1 {
            // Nothing but the level: see `Leavings` in tests/shim/src/common.rs.
            let level = files::with_suffix(&stage, ".el1");
            let mut bytes = b"LEAV".to_vec();
            bytes.extend([1, 0, 0, 0xd65f_03c0_u32].iter().flat_map(|word| word.to_le_bytes())); // ret
            files::write(&level, &bytes)?;
            to.load_file(&level, FLASH, "");
        }
        Ok(())
    }
}

/// QEMU's tree of this machine with that much of everything. With firmware of ours it names no PSCI; so it is that of the machine without a
/// Secure world, where QEMU itself has PSCI by smc.
fn tree(to: &Composition<'_>, machine: &str) -> Result<PathBuf> {
    let setup = to.setup;
    let mut words: Vec<OsString> =
        ["-machine", machine, "-cpu", &setup.cpu, "-smp", &setup.cpus.to_string(), "-m"]
            .map(OsString::from)
            .to_vec();
    words.extend([
        setup.memory.to_string().into(),
        "-kernel".into(),
        to.image.flat().into(),
        "-append".into(),
    ]);
    words.extend([&to.bootargs, "-nodefaults", "-display", "none", "-serial", "null"].map(OsString::from));
    let tree = to.scratch("secure.dtb");
    crate::machine::dump_tree(to.host, words, &tree)?;
    if tree.is_file() { Ok(tree) } else { Err(Error::failed(format!("QEMU has made no {}", tree.display()))) }
}
