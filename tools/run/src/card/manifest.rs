//! The list of what is on a card, which `sha256sum --check` reads and `scripts/flash` believes.

use super::write;
use crate::error::Result;
use crate::files;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::Path;

/// Its name.
pub const MANIFEST: &str = "manifest.txt";

/// Writes it into a directory with these files, of which is known where they came from. All files there then, in order, with their sizes.
///
/// # Errors
///
/// A file cannot be read, or the list not written.
pub fn write_list(directory: &Path, board: &str, files: &[(String, String)]) -> Result<Vec<(String, usize)>> {
    let mut text = format!(
        "# The boot partition of a card for {board}.\n# Check it with: sha256sum --check {MANIFEST}\n"
    );
    let mut list = Vec::new();
    for (name, origin) in files {
        // As it is on the disk, not as it was meant.
        let bytes = files::read(&directory.join(name))?;
        list.push((name.clone(), bytes.len()));
        let _ = writeln!(text, "#\n# {name}: {} bytes, from {origin}", bytes.len());
        for byte in Sha256::digest(&bytes) {
            let _ = write!(text, "{byte:02x}");
        }
        let _ = writeln!(text, "  {name}");
    }
    write(&directory.join(MANIFEST), text.as_bytes())?;
    list.push((MANIFEST.to_owned(), text.len()));
    list.sort();
    Ok(list)
}
