//! NXP i.MX 8M Plus EVK (four Cortex-A53, GICv3, i.MX UARTs), as QEMU's `imx8mp-evk` models it, with PSCI by QEMU in the place of TF-A. The
//! tree is the one of the real board, out of Debian's arm64 kernel, which QEMU completes; its console is the second UART.

use super::{Board, Defaults, Emulated, How, refuse};
use crate::elf::Image;
use crate::error::Result;
use crate::fetch;
use crate::host::Host;
use crate::machine::{Composition, Setup};
use crate::options::{Gic, Options};

/// Where RAM begins.
const RAM: u64 = 0x4000_0000;

pub(super) struct Imx8mp;

impl Board for Imx8mp {
    fn names(&self) -> &'static [&'static str] {
        &["imx8mp", "imx8mp-evk"]
    }

    fn about(&self) -> &'static str {
        "NXP i.MX 8M Plus EVK: QEMU's imx8mp-evk"
    }

    fn how(&self) -> How {
        How::Emulated(&Imx8mp)
    }
}

impl Emulated for Imx8mp {
    fn defaults(&self, _: &Options) -> Defaults {
        Defaults {
            cpus: 4,
            gic: Gic::V3,
            el: 2,
            cpu: "cortex-a53",
            memory: "2G",
            firmware: None,
            console: None,
        }
    }

    fn check(&self, setup: &Setup, _: &Host) -> Result<()> {
        let name = setup.name();
        refuse(setup.cpus != 4, || format!("--cpus: {name} has 4, no more and no less"))?;
        refuse(setup.gic != Gic::V3, || format!("--gic: {name} has version 3"))?;
        refuse(setup.el != 2, || format!("--el: {name} enters at 2"))?;
        refuse(setup.cpu != "cortex-a53", || format!("--cpu: {name} has cortex-a53"))?;
        refuse(setup.options.at.is_some(), || format!("--at: not with {name}"))?;
        refuse(setup.options.dtb.is_some(), || format!("--dtb: {name} has the tree of the board"))
    }

    fn load_address(&self, _: &Setup, image: &Image) -> u64 {
        RAM + image.offset()
    }

    fn qemu(&self, to: &mut Composition<'_>) -> Result<()> {
        let tree = fetch::board_tree(to.host, "freescale/imx8mp-evk.dtb", None)?;
        let memory = to.setup.memory.to_string();
        to.serial = 1;
        to.words(["-machine", "imx8mp-evk", "-smp", "4", "-m", &memory]);
        to.closed_networks(1);
        to.words(["-dtb"]);
        to.word(tree);
        to.kernel(to.image.flat());
        Ok(())
    }
}
