//! QEMU's `virt` with firmware that lies, for the tests of Reveille: the stub of `tests/shim` runs at EL2, the image below it at EL1. Firmware
//! is called by smc, which the stub traps; the image tells it by hvc what to do with whom.

use super::virt::{LEAST_MEMORY, Virt};
use super::{Board, Defaults, Emulated, How, check_cpu_model, refuse};
use crate::elf::Image;
use crate::error::Result;
use crate::host::Host;
use crate::machine::{Composition, Setup};
use crate::options::Options;

/// Where the stub expects the image.
const IMAGE: u64 = 0x4020_0000;

pub(super) struct Lying;

impl Board for Lying {
    fn names(&self) -> &'static [&'static str] {
        &["lying"]
    }

    fn about(&self) -> &'static str {
        "virt with firmware that lies, for the tests of Reveille's repository"
    }

    fn how(&self) -> How {
        How::Emulated(&Lying)
    }
}

impl Emulated for Lying {
    fn defaults(&self, options: &Options) -> Defaults {
        Virt.defaults(options)
    }

    fn least_memory(&self) -> Option<u64> {
        Some(LEAST_MEMORY)
    }

    fn check(&self, setup: &Setup, host: &Host) -> Result<()> {
        refuse(setup.el != 1, || "--el: with --board lying the image is entered at EL1".into())?;
        refuse(setup.options.at.is_some(), || {
            format!("--at: with --board lying the image is at {IMAGE:#x}")
        })?;
        refuse(setup.options.dtb.is_some(), || {
            "--dtb: not with --board lying, which edits the tree of QEMU".into()
        })?;
        check_cpu_model(setup, host)
    }

    fn load_address(&self, _: &Setup, _: &Image) -> u64 {
        IMAGE
    }

    fn qemu(&self, to: &mut Composition<'_>) -> Result<()> {
        let setup = to.setup;
        let stub = to.shim("lying", "reveille-shim")?;
        let mut machine = format!("virt,virtualization=on,gic-version={}", setup.gic);
        if setup.options.icount {
            machine += ",dtb-randomness=off";
        }
        to.machine(&machine);
        to.kernel(stub);
        to.load_file(to.image.flat(), IMAGE, "");
        Ok(())
    }
}
