//! A guest of Xen without a dom0, on QEMU's `virt`: Xen, out of Debian's packages, finds the image in memory and makes the one domain of it,
//! with its own device tree (PSCI by hvc, an `arm,sbsa-uart`, a virtual GIC at Xen's addresses). What the guest does to end the run, a
//! semihosting call, is QEMU's and goes past Xen.

use super::virt::RAM;
use super::{Board, Defaults, Emulated, How, check_cpu_model, refuse};
use crate::elf::Image;
use crate::error::{Error, Result};
use crate::fdt::{self, Node};
use crate::fetch;
use crate::files::{self, Scratch};
use crate::host::Host;
use crate::machine::{Composition, Setup, dump_tree};
use crate::options::{Gic, Options};
use crate::output::Filter;
use std::ffi::OsString;

/// Where the image waits for Xen: above what QEMU and Xen load by themselves.
const IMAGE: u32 = 0x6000_0000;
/// Memory beside the guest's, MiB.
const OWN_MEMORY: u64 = 1024;

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

    fn least_memory(&self) -> Option<u64> {
        None
    }

    fn check(&self, setup: &Setup, host: &Host) -> Result<()> {
        let options = &setup.options;
        refuse(setup.el != 1, || "--el: a guest of Xen is entered at 1".into())?;
        refuse(options.at.is_some(), || "--at: Xen decides where its guest is".into())?;
        refuse(options.dtb.is_some(), || "--dtb: Xen makes the tree of its guest".into())?;
        refuse(options.interactive == Some(true), || {
            "--interactive: Xen's console does not listen for its guest".into()
        })?;
        refuse(options.icount, || "--icount: not with --board xen".into())?;
        refuse(setup.cpus > 128, || "--cpus: a guest of Xen has 128 at most".into())?;
        check_cpu_model(setup, host)
    }

    fn load_address(&self, _: &Setup, image: &Image) -> u64 {
        // What Xen does with an image that may lie anywhere: the start of the guest's RAM, and its offset.
        RAM + image.text_offset()
    }

    fn qemu(&self, to: &mut Composition<'_>) -> Result<()> {
        let setup = to.setup;
        let xen = fetch::firmware_file(to.host, "xen-hypervisor-4.17-arm64", "boot/xen-4.17-arm64", "main")?;
        let words: Vec<OsString> = vec![
            "-machine".into(),
            format!("virt,virtualization=on,gic-version={}", setup.gic).into(),
            "-cpu".into(),
            (&setup.cpu).into(),
            "-smp".into(),
            setup.cpus.to_string().into(),
            "-m".into(),
            format!("{}M", setup.memory.mebibytes() + OWN_MEMORY).into(),
        ];
        let scratch = Scratch::new()?;
        let machine_tree = scratch.path().join("machine.dtb");
        dump_tree(to.host, words.clone(), &machine_tree)?;
        let tree = with_domain(to, &files::read(&machine_tree)?)?;
        let tree_file = to.scratch("xen.dtb");
        files::write(&tree_file, &tree)?;
        for word in words {
            to.word(word);
        }
        to.words(["-kernel"]);
        to.word(xen);
        to.words(["-dtb"]);
        to.word(tree_file);
        to.load_file(to.image.flat(), IMAGE.into(), "");
        Ok(())
    }

    fn output(&self, _: &Setup) -> Option<Filter> {
        // Xen puts its name before each line of its guest.
        Some(Filter::prefix("(XEN) DOM1: "))
    }
}

/// Xen's tree: the one of the machine, and the domain.
fn with_domain(to: &Composition<'_>, machine: &[u8]) -> Result<Vec<u8>> {
    let image = to.image.flat();
    let size = image
        .metadata()
        .map_err(|error| Error::failed(format!("cannot read {}: {error}", image.display())))?;
    let size = u32::try_from(size.len()).map_err(|_| Error::failed("the image is too large for Xen"))?;
    // In KiB, in two cells.
    let memory = to.setup.memory.bytes() >> 10;
    let module = Node::new(format!("module@{IMAGE:x}"))
        .strings("compatible", &["multiboot,kernel", "multiboot,module"])
        .cells("reg", &[0, IMAGE, 0, size])
        .strings("bootargs", &[&to.bootargs]);
    let domain = Node::new("domU1")
        .strings("compatible", &["xen,domain"])
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[2])
        .cells("cpus", &[to.setup.cpus])
        .cells("memory", &[(memory >> 32) as u32, memory as u32])
        .cells("vpl011", &[])
        .node(module);
    let chosen = Node::new("chosen")
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[2])
        .strings("xen,xen-bootargs", &["console=dtuart dtuart=/pl011@9000000 sync_console"])
        .node(domain);
    fdt::add(machine, &chosen).ok_or_else(|| Error::failed("QEMU's tree has no /chosen that can be added to"))
}
