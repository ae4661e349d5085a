//! Boots images of [Reveille](https://docs.rs/reveille) in QEMU. The program `reveille-run` is what `cargo run` calls:
//!
//! ```toml
//! # .cargo/config.toml
//! [target.'cfg(target_os = "none")']
//! runner = "reveille-run"
//! ```
//!
//! The rooms of this library, in the order in which a run goes through them:
//!
//! - [`options`]: words of a command line, and what is left of them when a board has filled in the rest ([`machine::Setup`]);
//! - [`elf`]: whether a file is an image, where it was linked to be, and its flat form;
//! - [`board`]: what each board is like, a file each;
//! - [`fetch`], [`efi`], [`card`]: files of Debian's packages, UEFI firmware and its disks, boot partitions of cards;
//! - [`machine`]: from all that to QEMU's command line;
//! - [`run`]: from there to an exit code, on a terminal or for a program that watches;
//! - [`testing`]: what `cargo test` calls: the tests of an image, each in a boot of its own;
//! - [`gdb`]: the command for a debugger, and what gdb knows of Reveille.
//!
//! [`command`] is the command line of the program, [`host`] what this machine has, [`error`] how all of them fail.

#![cfg_attr(target_os = "none", no_std)]

#[cfg(not(target_os = "none"))]
mod arguments;
#[cfg(not(target_os = "none"))]
pub mod board;
#[cfg(not(target_os = "none"))]
pub mod card;
#[cfg(not(target_os = "none"))]
pub mod command;
#[cfg(not(target_os = "none"))]
mod cpio;
#[cfg(not(target_os = "none"))]
pub mod efi;
#[cfg(not(target_os = "none"))]
pub mod elf;
#[cfg(not(target_os = "none"))]
pub mod error;
#[cfg(not(target_os = "none"))]
mod fat;
#[cfg(not(target_os = "none"))]
mod fdt;
#[cfg(not(target_os = "none"))]
pub mod fetch;
#[cfg(not(target_os = "none"))]
pub mod files;
#[cfg(not(target_os = "none"))]
pub mod gdb;
#[cfg(not(target_os = "none"))]
pub mod host;
#[cfg(not(target_os = "none"))]
mod interrupt;
#[cfg(not(target_os = "none"))]
pub mod machine;
#[cfg(not(target_os = "none"))]
pub mod options;
#[cfg(not(target_os = "none"))]
pub mod output;
#[cfg(not(target_os = "none"))]
pub mod run;
#[cfg(not(target_os = "none"))]
pub mod testing;
#[cfg(not(target_os = "none"))]
pub mod tf_a;
#[cfg(not(target_os = "none"))]
pub mod words;

#[cfg(all(test, not(target_os = "none")))]
mod tests;

#[cfg(not(target_os = "none"))]
pub use error::Error;
