//! Firmware that lies.
//!
//! A stub at EL2 between an image of Reveille at EL1 and the firmware of the machine. It passes every SMC on, but
//! what becomes of a `CPU_ON` or a `CPU_OFF` is up to the image itself, which makes a plan for each CPU by HVC:
//! the call is refused, or answered with success and forgotten, or carried out late, with another context id, with
//! the MMU still on; and a CPU that runs can be sent to its entry point again.
//!
//! It expects QEMU's `virt` with `virtualization=on`, where firmware is called by SMC, with this stub as `-kernel` and
//! the image in memory at 0x40200000. The calls are numbered in `shim::call`; `tests/target/src/shim.rs` is
//! their other end.
//!
//! The MMU is off throughout, so no exclusives are used (they need not work there): each word has one writer, or
//! writers that the caller keeps apart.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("an image for QEMU, built for target_os = \"none\"");
}

#[cfg(target_os = "none")]
mod common;
#[cfg(target_os = "none")]
mod shim;
