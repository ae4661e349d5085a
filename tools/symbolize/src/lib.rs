//! What the tools for the host share: which image a console log is from, and what is in it.

#![cfg_attr(not(feature = "host"), no_std)]

#[cfg(feature = "host")]
pub mod image;
#[cfg(feature = "host")]
pub mod log;
#[cfg(feature = "host")]
pub mod search;
