//! What the tests of Reveille's readers share: a second, independent way to read a tree or a table, through the text that
//! `dtc` or `iasl` makes of it; and functions that ask a reader everything it can be asked.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

#[cfg(not(target_os = "none"))]
pub mod ask;
#[cfg(not(target_os = "none"))]
pub mod blobs;
#[cfg(not(target_os = "none"))]
pub mod cpu_time;
#[cfg(not(target_os = "none"))]
pub mod dts;
#[cfg(not(target_os = "none"))]
pub mod fuzz;
#[cfg(not(target_os = "none"))]
pub mod random;
#[cfg(not(target_os = "none"))]
pub mod tables;
#[cfg(not(target_os = "none"))]
pub mod truth;
#[cfg(not(target_os = "none"))]
pub mod uefi;
