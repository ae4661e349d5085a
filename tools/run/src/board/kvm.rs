//! A guest of Linux's KVM: on QEMU's `virt`, entered at EL2, a Debian kernel starts a QEMU of its own, which gives the image another `virt`
//! (PSCI by hvc, the virtual GIC, its timers). All of it comes out of Debian's packages. What the guest does to end the run, a semihosting
//! call, is that of the QEMU outside and goes past Linux.

use super::virt::RAM;
use super::{Board, Defaults, Emulated, How, check_cpu_model, refuse};
use crate::cpio;
use crate::elf::Image;
use crate::error::Result;
use crate::fetch::{Packaged, Store};
use crate::host::Host;
use crate::machine::{Composition, Setup};
use crate::options::{Gic, Options};
use std::path::{Path, PathBuf};

/// Memory of Linux and its QEMU, MiB.
const OWN_MEMORY: u64 = 1280;

pub(super) struct Kvm;

impl Board for Kvm {
    fn names(&self) -> &'static [&'static str] {
        &["kvm"]
    }

    fn about(&self) -> &'static str {
        "a guest of Linux's KVM, whose QEMU gives it a virt of its own"
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

    fn least_memory(&self) -> Option<u64> {
        None
    }

    fn check(&self, setup: &Setup, host: &Host) -> Result<()> {
        let options = &setup.options;
        refuse(setup.el != 1, || "--el: a guest of KVM is entered at 1".into())?;
        refuse(options.at.is_some(), || "--at: not with --board kvm".into())?;
        refuse(options.dtb.is_some(), || "--dtb: not with --board kvm, whose QEMU makes the tree".into())?;
        refuse(options.icount, || "--icount: not with --board kvm".into())?;
        refuse(options.append.contains('\''), || "--append: no single quotes with --board kvm".into())?;
        check_cpu_model(setup, host)
    }

    fn load_address(&self, _: &Setup, image: &Image) -> u64 {
        RAM + image.offset()
    }

    fn qemu(&self, to: &mut Composition<'_>) -> Result<()> {
        let setup = to.setup;
        let store = Store::new(to.host);
        let kernel = store.file(Packaged::new("linux", "vmlinuz"))?;
        let programs = store.file(Packaged::new("linux", "programs.cpio"))?;
        let initrd = first_files(to, &programs)?;
        to.words(["-machine", &format!("virt,virtualization=on,gic-version={}", setup.gic)]);
        to.words(["-cpu", &setup.cpu, "-smp", &setup.cpus.to_string()]);
        to.words(["-m", &format!("{}M", setup.memory.mebibytes() + OWN_MEMORY)]);
        to.words(["-kernel"]);
        to.word(kernel);
        to.words(["-initrd"]);
        to.word(initrd);
        to.words(["-append", "console=ttyAMA0 loglevel=1 panic=-1 nokaslr"]);
        // For the program that says that the QEMU inside has failed.
        to.words(["-semihosting-config", "enable=on,target=native,userspace=on"]);
        Ok(())
    }
}

/// The first file system of Linux: programs, the image, and what to do with it. Its path.
fn first_files(to: &Composition<'_>, programs: &Path) -> Result<PathBuf> {
    let Setup { cpus, memory, .. } = to.setup;
    let bootargs = &to.bootargs;
    let init = format!(
        "\
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
export LD_LIBRARY_PATH=/lib
/bin/qemu -machine virt,accel=kvm,gic-version=host -cpu host -smp {cpus} -m {memory} -kernel /image -append '{bootargs}' \\
    -nodefaults -display none -serial stdio </dev/console
code=$?
if [ $code != 0 ]; then
    echo \"the QEMU inside ended with $code\"
    exec /bin/fail
fi
/bin/busybox poweroff -f
"
    );
    let path = to.scratch("kvm.cpio");
    cpio::initrd(&path, programs, &init, to.image.flat())?;
    Ok(path)
}
