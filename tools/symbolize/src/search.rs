//! The image that a log is from, among those that were built here.

use crate::image::{self, Image};
use std::fs;
use std::path::{Path, PathBuf};

/// Images are larger than this.
const LEAST: u64 = 64 << 10;

/// The image below `folder` with this build id, and what is in it.
///
/// As cargo names them: files without an extension, for the target, and not those that it keeps for itself.
pub fn with_build(folder: &Path, wanted: u64) -> Option<(PathBuf, Vec<u8>)> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() {
                if !matches!(
                    entry.file_name().to_str(),
                    Some("deps" | "build" | "incremental" | ".fingerprint")
                ) {
                    folders.push(path);
                }
                continue;
            }
            let is_image = kind.is_file()
                && path.extension().is_none()
                && path.to_string_lossy().contains("aarch64")
                && entry.metadata().is_ok_and(|metadata| metadata.len() >= LEAST);
            if !is_image {
                continue;
            }
            let Some(bytes) = image::read(&path) else { continue };
            let is_wanted = Image::parse(&bytes).is_ok_and(|image| image.build_id() == Some(wanted));
            if is_wanted {
                return Some((path, bytes));
            }
        }
    }
    None
}
