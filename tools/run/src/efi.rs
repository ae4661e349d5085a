//! UEFI firmware for a board, and the disks that it boots from.

use crate::error::{Error, Result};
use crate::machine::{Composition, Setup};
use crate::output::Filter;

/// What `--firmware` may say for `virt`.
pub const VIRT_FIRMWARE: &[&str] = &[
    "u-boot",
    "edk2",
    "edk2-strict-nx",
    "edk2-shell",
    "edk2-disk",
    "grub",
    "grub-linux",
    "systemd-boot",
    "u-boot-efi",
    "kexec",
];

/// Is the firmware that was chosen UEFI firmware?
pub fn chosen(setup: &Setup) -> bool {
    setup.firmware.as_deref().is_some_and(|name| VIRT_FIRMWARE[1..].contains(&name))
}

/// Checks what was asked for with it.
///
/// # Errors
///
/// `--option: what is wrong`.
pub fn check(_setup: &Setup) -> Result<()> {
    Ok(())
}

/// Adds to QEMU's words the firmware and what it boots.
///
/// # Errors
///
/// A file that cannot be had or made.
pub fn qemu(_to: &mut Composition<'_>) -> Result<()> {
    Err(Error::failed("UEFI firmware: not ported yet"))
}

/// What takes away from the console that which firmware writes for a terminal.
pub fn output(setup: &Setup) -> Option<Filter> {
    (chosen(setup) && setup.options.interactive != Some(true)).then(Filter::terminal)
}
