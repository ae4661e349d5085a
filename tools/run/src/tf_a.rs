//! TF-A before the image, on a Raspberry Pi 4.

use crate::error::{Error, Result};
use crate::machine::Composition;
use std::path::Path;

/// TF-A as the `armstub` of the board's own firmware: at address 0, told where the tree and the image are, which are loaded already.
///
/// # Errors
///
/// A file that cannot be had or made.
pub fn qemu(_to: &mut Composition<'_>, _tree: &Path, _address: u64, _append: bool) -> Result<()> {
    Err(Error::failed("TF-A: not ported yet"))
}
