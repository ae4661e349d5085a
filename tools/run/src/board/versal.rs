//! QEMU's `xlnx-versal-virt`: the two Cortex-A72 of an AMD Versal, a GICv3, PL011, PSCI by QEMU. The tree is QEMU's own.

use super::{Board, Defaults, Emulated, How, refuse};
use crate::elf::Image;
use crate::error::Result;
use crate::host::Host;
use crate::machine::{Composition, Setup};
use crate::options::{Gic, Options};

pub(super) struct Versal;

impl Board for Versal {
    fn names(&self) -> &'static [&'static str] {
        &["versal", "xlnx-versal-virt"]
    }

    fn about(&self) -> &'static str {
        "AMD Versal: QEMU's xlnx-versal-virt"
    }

    fn how(&self) -> How {
        How::Emulated(&Versal)
    }
}

impl Emulated for Versal {
    fn defaults(&self, _: &Options) -> Defaults {
        Defaults {
            cpus: 2,
            gic: Gic::V3,
            el: 2,
            cpu: "cortex-a72",
            memory: "2G",
            firmware: None,
            console: None,
        }
    }

    fn check(&self, setup: &Setup, _: &Host) -> Result<()> {
        let name = setup.name();
        refuse(setup.cpus != 2, || format!("--cpus: {name} has 2, no more and no less"))?;
        refuse(setup.gic != Gic::V3, || format!("--gic: {name} has version 3"))?;
        refuse(setup.el != 2, || format!("--el: {name} enters at 2"))?;
        refuse(setup.cpu != "cortex-a72", || format!("--cpu: {name} has cortex-a72"))?;
        refuse(setup.options.at.is_some(), || format!("--at: not with {name}"))?;
        refuse(setup.options.dtb.is_some(), || format!("--dtb: {name} has the tree that QEMU makes"))
    }

    fn load_address(&self, _: &Setup, image: &Image) -> u64 {
        image.offset()
    }

    fn qemu(&self, to: &mut Composition<'_>) -> Result<()> {
        let memory = to.setup.memory.to_string();
        // Two Cortex-R5F are counted as well, which stay off.
        to.words(["-machine", "xlnx-versal-virt", "-smp", "4", "-m", &memory]);
        to.closed_networks(2);
        to.kernel(to.image.flat());
        Ok(())
    }
}
