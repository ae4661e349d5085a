//! The debugger: the command that starts one for a machine, and what gdb is told of Reveille.

use crate::error::Result;
use crate::files;
use crate::host::Host;
use crate::machine::Machine;
use crate::words::quoted;
use std::path::PathBuf;

/// The commands, unwinder and printers for gdb, in Python.
pub const SCRIPT: &str = include_str!("gdb/reveille.py");

/// Where gdb finds [`SCRIPT`]: a file in the cache, which is made or renewed.
///
/// # Errors
///
/// It cannot be written.
pub fn script(host: &Host) -> Result<PathBuf> {
    let path = host.cache().join("gdb").join("reveille.py");
    files::make_dir(&host.cache().join("gdb"))?;
    files::write(&path, SCRIPT.as_bytes())?;
    Ok(path)
}

/// The command by which gdb joins a machine that waits at this port, with the symbols of the image where that is.
///
/// # Errors
///
/// As for [`script`].
pub fn command(machine: &Machine, port: u16, host: &Host) -> Result<String> {
    let image = machine.image();
    let moved = machine.setup().board.load_address(machine.setup(), image).wrapping_sub(image.link_address());
    let script = script(host)?;
    Ok(quoted([
        "gdb-multiarch",
        "-q",
        "-ex",
        "set confirm off",
        "-ex",
        "set architecture aarch64",
        "-ex",
        &format!("add-symbol-file {} -o {moved:#x}", quoted([image.elf()])),
        "-x",
        &script.to_string_lossy(),
        "-ex",
        &format!("target remote 127.0.0.1:{port}"),
    ]))
}
