//! Firmware at EL3 that leaves things behind.
//!
//! All that an image of Reveille needs of firmware, and no more: it hands the interrupt controller to the Non-secure world, starts and
//! stops CPUs by PSCI (called by SMC), and enters the image at EL2 or EL1. Before each entry it leaves behind what the host has asked
//! for: at EL3, where no image can undo it, and at EL2; see [`common::Leavings`] and tests/shim/leavings.table.
//!
//! It expects QEMU's `virt` with `secure=on,virtualization=on` and this as `-bios`, by which QEMU's own PSCI is off and all CPUs begin
//! here, at address 0; the image in memory at 0x40200000, and a device tree that names PSCI at 0x4fc00000: platform/secure. What is to
//! be left is in the second flash, at 0x4000000.
//!
//! The MMU is off throughout, so no exclusives are used: each word has one writer, or writers that the caller keeps apart.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("an image for QEMU, built for target_os = \"none\"");
}

#[cfg(target_os = "none")]
#[path = "../../common.rs"]
mod common;
#[cfg(target_os = "none")]
mod stage;
