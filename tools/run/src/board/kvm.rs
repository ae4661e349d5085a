//! A guest of Linux's KVM on QEMU's `virt`.

use super::{Board, Defaults, Emulated, How};
use crate::elf::Image;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::machine::{Composition, Setup};
use crate::options::{Gic, Options};

pub(super) struct Kvm;

impl Board for Kvm {
    fn names(&self) -> &'static [&'static str] {
        &["kvm"]
    }

    fn about(&self) -> &'static str {
        "a guest of Linux's KVM"
    }

    fn how(&self) -> How {
        How::Emulated(&Kvm)
    }
}

impl Emulated for Kvm {
    fn defaults(&self, _: &Options) -> Defaults {
        Defaults {
            cpus: 4,
            gic: Gic::V3,
            el: 1,
            cpu: "cortex-a76",
            memory: "256M",
            firmware: None,
            console: None,
        }
    }

    fn check(&self, _: &Setup, _: &Host) -> Result<()> {
        Ok(())
    }

    fn load_address(&self, _: &Setup, image: &Image) -> u64 {
        super::virt::RAM + image.offset()
    }

    fn qemu(&self, _: &mut Composition<'_>) -> Result<()> {
        Err(Error::failed("--board kvm: not ported yet"))
    }
}
