//! AMD Xilinx ZCU102 (Zynq UltraScale+: four Cortex-A53, a GIC-400, Cadence UARTs), as QEMU's `xlnx-zcu102` models it, with PSCI by QEMU in
//! the place of TF-A. The tree is the one of the real board, out of Debian's arm64 kernel, which QEMU completes.

use super::{Board, Defaults, Emulated, How, refuse};
use crate::elf::Image;
use crate::error::Result;
use crate::fetch;
use crate::host::Host;
use crate::machine::{Composition, Setup};
use crate::options::{Gic, Options};

pub(super) struct Zcu102;

impl Board for Zcu102 {
    fn names(&self) -> &'static [&'static str] {
        &["zcu102", "xlnx-zcu102"]
    }

    fn about(&self) -> &'static str {
        "AMD Xilinx ZCU102: QEMU's xlnx-zcu102"
    }

    fn how(&self) -> How {
        How::Emulated(&Zcu102)
    }
}

impl Emulated for Zcu102 {
    fn defaults(&self, _: &Options) -> Defaults {
        Defaults {
            cpus: 4,
            gic: Gic::V2,
            el: 1,
            cpu: "cortex-a53",
            memory: "2G",
            firmware: None,
            console: None,
        }
    }

    fn check(&self, setup: &Setup, _: &Host) -> Result<()> {
        let name = setup.name();
        refuse(setup.cpus != 4, || format!("--cpus: {name} has 4, no more and no less"))?;
        refuse(setup.gic != Gic::V2, || format!("--gic: {name} has a GIC-400, which is version 2"))?;
        // At 3 there is nobody to let the other CPUs out of reset.
        refuse(setup.el == 3, || format!("--el: {name} enters at 1 or 2"))?;
        refuse(setup.cpu != "cortex-a53", || format!("--cpu: {name} has cortex-a53"))?;
        refuse(setup.options.at.is_some(), || format!("--at: not with {name}"))?;
        refuse(setup.options.dtb.is_some(), || format!("--dtb: {name} has the tree of the board"))
    }

    fn load_address(&self, _: &Setup, image: &Image) -> u64 {
        image.offset()
    }

    fn qemu(&self, to: &mut Composition<'_>) -> Result<()> {
        let tree = fetch::board_tree(to.host, "xilinx/zynqmp-zcu102-rev1.0.dtb", None)?;
        let mut machine = "xlnx-zcu102,audiodev=quiet".to_owned();
        if to.setup.el == 2 {
            machine += ",virtualization=on";
        }
        let memory = to.setup.memory.to_string();
        to.words(["-audiodev", "none,id=quiet", "-machine", &machine, "-smp", "4", "-m", &memory]);
        to.closed_networks(4);
        to.words(["-dtb"]);
        to.word(tree);
        to.kernel(to.image.flat());
        Ok(())
    }
}
