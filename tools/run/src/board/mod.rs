//! What each board is like: a file each, and a list of them. `platform/README.md` of Reveille's repository says how to add one.

use crate::card::Card;
use crate::elf::Image;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::machine::{Composition, Setup};
use crate::options::{Gic, Options};
use crate::output::Filter;
use crate::words::listed;

mod imx8mp;
mod kvm;
mod lying;
mod raspi;
mod raspi3;
pub(crate) mod raspi4;
mod raspi5;
mod rockpro64;
mod secure;
mod versal;
mod virt;
mod xen;
mod zcu102;

/// Every board, in the order of their names.
pub const BOARDS: &[&dyn Board] = &[
    &imx8mp::Imx8mp,
    &kvm::Kvm,
    &lying::Lying,
    &raspi::Raspi,
    &raspi3::Raspi3,
    &raspi4::Raspi4,
    &raspi5::Raspi5,
    &rockpro64::RockPro64,
    &secure::Secure,
    &versal::Versal,
    &virt::Virt,
    &xen::Xen,
    &zcu102::Zcu102,
];

/// A device tree out of Debian's arm64 kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Such as `broadcom/bcm2711-rpi-4-b.dtb`.
    pub path: &'static str,
    /// The suite whose kernel has it, if that is not [`crate::fetch::SUITE`].
    pub suite: Option<&'static str>,
}

/// What a board has if nothing else is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Number of CPUs.
    pub cpus: u32,
    /// Interrupt controller.
    pub gic: Gic,
    /// Exception level at entry.
    pub el: u8,
    /// QEMU's model of the CPU.
    pub cpu: &'static str,
    /// RAM, as for `--memory`.
    pub memory: &'static str,
    /// What `--firmware` says then.
    pub firmware: Option<&'static str>,
    /// What `--console` says then.
    pub console: Option<&'static str>,
}

/// A board.
pub trait Board: Sync {
    /// Its name, then its other names.
    fn names(&self) -> &'static [&'static str];

    /// What it is, in half a sentence.
    fn about(&self) -> &'static str;

    /// How it is known.
    fn how(&self) -> How;

    /// How its boot partition is made, if it boots from a card.
    fn card(&self) -> Option<&dyn Card> {
        None
    }
}

/// How a board is known.
#[derive(Clone, Copy)]
pub enum How {
    /// QEMU has it.
    Emulated(&'static dyn Emulated),
    /// By its device tree alone.
    Tree(Tree),
    /// It is a card for several boards, and none that runs: the names of those.
    Card(&'static [&'static str]),
}

/// A board that QEMU has.
pub trait Emulated: Sync {
    /// What `--firmware` may say. Without any there is no choice.
    fn firmware(&self) -> &'static [&'static str] {
        &[]
    }

    /// What `--console` may say. Without any there is no choice.
    fn consoles(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether its firmware can have ACPI tables, for `--acpi`.
    fn has_acpi(&self) -> bool {
        false
    }

    /// What it has if nothing else is asked for.
    fn defaults(&self, options: &Options) -> Defaults;

    /// The least RAM with which it runs, in MiB; none where an image is not in that RAM from the start, and whoever puts it there says so.
    fn least_memory(&self) -> Option<u64> {
        Some(8)
    }

    /// Refuses what this board cannot be. An option that it does not have is refused, not ignored.
    ///
    /// # Errors
    ///
    /// `--option: what is wrong`.
    fn check(&self, setup: &Setup, host: &Host) -> Result<()>;

    /// Where the first byte of the image is once it is loaded, as far as that is known beforehand.
    fn load_address(&self, setup: &Setup, image: &Image) -> u64;

    /// Adds to QEMU's words the machine, its CPUs and RAM, and how the image gets in, with its boot arguments. Console, semihosting and
    /// debugger are added for every board alike.
    ///
    /// # Errors
    ///
    /// A file that cannot be had or made.
    fn qemu(&self, composition: &mut Composition<'_>) -> Result<()>;

    /// What takes away from the console that which the image has not printed, where there is such.
    fn output(&self, _setup: &Setup) -> Option<Filter> {
        None
    }
}

/// The board of this name, which came from this option.
///
/// # Errors
///
/// There is none: says which there are.
pub fn find(name: &str, option: &str) -> Result<&'static dyn Board> {
    BOARDS.iter().copied().find(|board| board.names().contains(&name)).ok_or_else(|| {
        let all = BOARDS.iter().flat_map(|board| board.names());
        Error::usage(format!("{option}: unknown '{name}'; there are: {}", listed(all)))
    })
}

/// A line for each board: its names, and what it is.
pub fn list() -> String {
    let mut text = String::new();
    for board in BOARDS {
        text.push_str(&format!("  {:<28}  {}\n", listed(board.names()), board.about()));
    }
    text
}

// What boards call in `check`.

/// Refuses the value of an option, if it was given, that is not among those that this board has.
pub(crate) fn one_of(option: &str, board: &str, value: Option<&str>, there: &[&str]) -> Result<()> {
    match value {
        Some(value) if !there.contains(&value) => Err(Error::usage(if there.is_empty() {
            format!("{option}: {board} has no choice of it")
        } else {
            format!("{option}: {board} has no '{value}'; there are: {}", listed(there))
        })),
        _ => Ok(()),
    }
}

/// Fails with this sentence if that is so.
pub(crate) fn refuse(wrong: bool, sentence: impl FnOnce() -> String) -> Result<()> {
    if wrong { Err(Error::usage(sentence())) } else { Ok(()) }
}

/// The name of the model in `--cpu`, without its properties.
pub(crate) fn model(cpu: &str) -> &str {
    cpu.split(',').next().unwrap_or(cpu)
}

/// Models that each QEMU has that is new enough, so that it need not be asked.
const MODELS: &[&str] = &[
    "max",
    "a64fx",
    "cortex-a35",
    "cortex-a53",
    "cortex-a55",
    "cortex-a57",
    "cortex-a72",
    "cortex-a76",
    "cortex-a710",
    "neoverse-n1",
    "neoverse-n2",
    "neoverse-v1",
];

/// Is the model one of those that QEMU has for `virt`?
pub(crate) fn check_cpu_model(setup: &Setup, host: &Host) -> Result<()> {
    let model = model(&setup.cpu);
    if MODELS.contains(&model) {
        return Ok(());
    }
    let there = host.ask_qemu(&["-machine", "virt", "-cpu", "help"])?;
    // An indented name a line, perhaps with something behind it.
    let known = there
        .lines()
        .filter(|line| line.starts_with(' '))
        .any(|line| line.split_whitespace().next() == Some(model));
    refuse(!known, || {
        format!("--cpu: QEMU has no model '{model}' (qemu-system-aarch64 -cpu help lists them)")
    })
}
