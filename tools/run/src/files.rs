//! Files that are there whole or not at all, files as old as what they are made of, and a directory that goes when it is no longer wanted.

use crate::error::{Error, Result};
use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// A name that nothing else has, in this process or another, and that nobody can guess: for files that get their own name when they are complete.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let any = RandomState::new().build_hasher().finish();
    format!("{}.{}.{any:016x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// `path` with something behind its name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// A file with this content, in one step: whoever finds it finds all of it. If it has that content already it stays as it is.
///
/// # Errors
///
/// It cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    write_as_old_as(path, bytes, None).map_err(|error| cannot_write(path, &error))
}

/// The same, with this date if there is one: that of what it is made of, from before that was read. See [`has_date`].
///
/// # Errors
///
/// What the system says.
pub fn write_as_old_as(path: &Path, bytes: &[u8], date: Option<SystemTime>) -> io::Result<()> {
    let beside = with_suffix(path, &format!(".{}", unique()));
    let mut file = File::options().write(true).create_new(true).open(&beside)?;
    let written = file.write_all(bytes).and_then(|()| {
        if let Some(date) = date {
            file.set_modified(date)?;
        }
        fs::rename(&beside, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// When a file was changed last.
///
/// # Errors
///
/// What the system says.
pub fn date(path: &Path) -> io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}

/// What is made of a file gets the date of that file. Newer is not enough to tell: when features change and change back, cargo puts an
/// older ELF in the place of a newer one.
pub fn has_date(made: &Path, of_source: SystemTime) -> bool {
    date(made).is_ok_and(|of_made| of_made == of_source)
}

/// Reads a file whole.
///
/// # Errors
///
/// It cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::failed(format!("cannot read {}: {error}", path.display())))
}

/// Makes a directory, with those above it.
///
/// # Errors
///
/// It cannot be made.
pub fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path)
        .map_err(|error| Error::failed(format!("cannot make the directory {}: {error}", path.display())))
}

pub(crate) fn cannot_write(path: &Path, error: &io::Error) -> Error {
    Error::failed(format!("cannot write {}: {error}", path.display()))
}

/// A number for some words, the same each time: what is made by other options gets another name, so that what `--print` prints goes on to
/// hold. FNV-1a of 64 bits, as 16 hexadecimal digits.
pub fn digest(bytes: impl AsRef<[u8]>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes.as_ref() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

/// A directory of this process, which is gone with it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new one, where temporary files go.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn new() -> Result<Self> {
        Self::below(&std::env::temp_dir(), "reveille.")
    }

    /// A new one in this directory, with a name that begins so.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn below(place: &Path, beginning: &str) -> Result<Self> {
        loop {
            let path = place.join(format!("{beginning}{}", unique()));
            let mut builder = fs::DirBuilder::new();
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            match builder.create(&path) {
                Ok(()) => return Ok(Self { path }),
                // Of a process that had this number, and was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(Error::failed(format!(
                        "cannot make a directory in {}: {error}",
                        place.display()
                    )));
                }
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_or_not_at_all() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("file");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(
            write(&scratch.path().join("no/where"), b"")
                .unwrap_err()
                .to_string()
                .starts_with("cannot write ")
        );
        // Nothing half done is left.
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_date_of_what_it_is_made_of() {
        let scratch = Scratch::new().unwrap();
        let (source, made) = (scratch.path().join("source"), scratch.path().join("made"));
        fs::write(&source, b"1").unwrap();
        let of_source = date(&source).unwrap();
        assert!(!has_date(&made, of_source));
        write_as_old_as(&made, b"1", Some(of_source)).unwrap();
        assert!(has_date(&made, of_source));
        let older = of_source - std::time::Duration::from_secs(1);
        File::options().write(true).open(&source).unwrap().set_modified(older).unwrap();
        assert!(!has_date(&made, date(&source).unwrap()));
        assert!(date(&scratch.path().join("nothing")).is_err());
    }

    #[test]
    fn scratch_is_gone_afterwards() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().to_owned();
        fs::write(path.join("file"), b"").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
