//! Files out of Debian's arm64 packages that are not part of this crate: device trees of boards, firmware. Each is fetched once, when it is
//! first wanted, and stays in the cache ([`Host::cache`]).

use crate::error::{Error, Result};
use crate::host::Host;
use std::path::PathBuf;

/// The suite they come from, whatever the Debian of this machine: what was tested stays what it was.
pub const SUITE: &str = "bookworm";

/// The path of a board's device tree, such as `broadcom/bcm2711-rpi-4-b.dtb`, of [`SUITE`] or of another, for boards that its kernel does not
/// have.
///
/// # Errors
///
/// It cannot be fetched.
pub fn board_tree(host: &Host, path: &str, suite: Option<&str>) -> Result<PathBuf> {
    let suite = suite.unwrap_or(SUITE);
    let file = host.cache().join("trees").join(suite).join(path);
    if file.is_file() {
        Ok(file)
    } else {
        Err(Error::failed(format!("no {path} among the device trees of {suite}")))
    }
}

/// The path of a file of a package, which is in this component of [`SUITE`].
///
/// # Errors
///
/// It cannot be fetched.
pub fn firmware_file(host: &Host, package: &str, path: &str, _component: &str) -> Result<PathBuf> {
    let file = host.cache().join("firmware").join(package).join(path);
    if file.is_file() { Ok(file) } else { Err(Error::failed(format!("no {path} in {package}"))) }
}
