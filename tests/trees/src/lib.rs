//! What the tests of Reveille's device-tree reader share: a second, independent way to read a tree, through the text that
//! `dtc` makes of it; and a function that asks the reader everything it can be asked.
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
pub mod truth;
#[cfg(not(target_os = "none"))]
pub mod uefi;
