//! A guest of Xen without a dom0, on QEMU's `virt`.

use super::{Board, Defaults, Emulated, How};
use crate::elf::Image;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::machine::{Composition, Setup};
use crate::options::{Gic, Options};

pub(super) struct Xen;

impl Board for Xen {
    fn names(&self) -> &'static [&'static str] {
        &["xen"]
    }

    fn about(&self) -> &'static str {
        "a guest of Xen without a dom0"
    }

    fn how(&self) -> How {
        How::Emulated(&Xen)
    }
}

impl Emulated for Xen {
    fn defaults(&self, _: &Options) -> Defaults {
        Defaults {
            cpus: 4,
            gic: Gic::V3,
            el: 1,
            cpu: "cortex-a57",
            memory: "256M",
            firmware: None,
            console: None,
        }
    }

    fn check(&self, _: &Setup, _: &Host) -> Result<()> {
        Ok(())
    }

    fn load_address(&self, _: &Setup, image: &Image) -> u64 {
        super::virt::RAM + image.text_offset()
    }

    fn qemu(&self, _: &mut Composition<'_>) -> Result<()> {
        Err(Error::failed("--board xen: not ported yet"))
    }
}
