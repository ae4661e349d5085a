//! Boot partitions of cards: what `reveille-run image BOARD DIR --elf FILE` makes.

use crate::error::{Error, Result};
use crate::host::Host;
use std::ffi::OsString;

/// A board's card.
pub trait Card: Sync {}

/// `reveille-run image BOARD DIR [OPTIONS]`.
///
/// # Errors
///
/// What is in the way.
pub fn image(_words: Vec<OsString>, _host: &Host) -> Result<()> {
    Err(Error::failed("image: not ported yet"))
}
