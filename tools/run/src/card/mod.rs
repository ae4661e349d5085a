//! What the boot partition of a card for a board holds, as a directory with a list of all that is in it. `scripts/flash` makes a card of
//! such a directory.

mod command;
mod manifest;
pub mod raspi;

use crate::error::{Error, Result};
use crate::fetch::{Packaged, Store};
use crate::files::{self, Scratch};
use crate::host::Host;
use crate::interrupt::{self, Removing};
pub use command::image;
use manifest::MANIFEST;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where the board's own firmware comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Firmware {
    /// Debian's packages.
    #[default]
    Package,
    /// Nowhere: the card has it already.
    None,
    /// This directory.
    Directory(PathBuf),
}

/// What a card is to have.
#[derive(Debug)]
pub struct Wanted {
    /// The board, by the name that was given.
    pub board: String,
    /// With TF-A before the image.
    pub psci: bool,
    /// The board's own firmware.
    pub firmware: Firmware,
    /// Boot arguments.
    pub append: String,
}

/// How the boot partition of a board is made.
pub trait Card: Sync {
    /// Refuses what it cannot be, before anything is made.
    ///
    /// # Errors
    ///
    /// The board does not have what is wanted of it.
    fn check(&self, wanted: &Wanted) -> Result<()>;

    /// Puts it together: with this image, which came from there.
    ///
    /// # Errors
    ///
    /// Something of it cannot be had or written.
    fn fill(&self, contents: &mut Contents<'_>, wanted: &Wanted, image: &[u8], origin: &str) -> Result<()>;
}

/// A card that is being put together in a directory.
pub struct Contents<'a> {
    directory: &'a Path,
    store: Store,
    /// Who makes it.
    program: &'a str,
    /// The name of each file, and where it came from.
    files: Vec<(String, String)>,
}

impl Contents<'_> {
    /// A file with these bytes.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    fn add(&mut self, name: &str, bytes: &[u8], origin: &str) -> Result<()> {
        write(&self.directory.join(name), bytes)?;
        self.files.push((name.to_owned(), origin.to_owned()));
        Ok(())
    }

    /// A text that is made here.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    fn own(&mut self, name: &str, text: &str) -> Result<()> {
        self.add(name, text.as_bytes(), self.program)
    }

    /// A copy of this file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or not be written.
    fn copy(&mut self, name: &str, file: &Path, origin: &str) -> Result<()> {
        self.add(name, &files::read(file)?, origin)
    }

    /// A file of a package.
    ///
    /// # Errors
    ///
    /// It cannot be fetched, or not be written.
    fn packaged(&mut self, name: &str, wanted: Packaged) -> Result<()> {
        let file = self.store.file(wanted)?;
        let version = self.store.version(wanted);
        self.copy(name, &file, &version)
    }

    /// A file of the board's own firmware, from where it is wanted from.
    ///
    /// # Errors
    ///
    /// It is not there, cannot be fetched, or not be written.
    fn firmware(&mut self, from: &Firmware, name: &str, wanted: Packaged) -> Result<()> {
        match from {
            Firmware::Package => self.packaged(name, wanted),
            Firmware::None => Ok(()),
            Firmware::Directory(directory) => {
                let file = directory.join(name);
                if !file.is_file() {
                    return Err(Error::failed(format!("no {name} in {}", directory.display())));
                }
                self.copy(name, &file, &directory.display().to_string())
            }
        }
    }
}

/// The directory that is to hold what is on the card: checked before anything is made for it.
pub struct Place {
    directory: PathBuf,
    parent: PathBuf,
}

impl Place {
    /// A directory that is empty, or was made here before, or can be made.
    ///
    /// # Errors
    ///
    /// It holds something else, is a mount point or no directory, or there is no directory to make it in.
    pub fn check(given: &Path) -> Result<Self> {
        let shown = given.display();
        let absolute =
            std::path::absolute(given).map_err(|error| Error::failed(format!("{shown}: {error}")))?;
        let is_directory = absolute.is_dir();
        let parent = absolute.parent().unwrap_or(&absolute);
        if !parent.is_dir() {
            let parent = given.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(parent);
            return Err(Error::failed(format!(
                "{} is no directory, so {shown} cannot be made there",
                parent.display()
            )));
        }
        let resolved = |path: &Path| {
            path.canonicalize().map_err(|error| Error::failed(format!("{}: {error}", path.display())))
        };
        if !is_directory {
            if absolute.symlink_metadata().is_ok() {
                return Err(Error::failed(format!("{shown} is there, and is no directory")));
            }
            let parent = resolved(parent)?;
            let directory = parent.join(absolute.file_name().unwrap_or_default());
            return Ok(Self { directory, parent });
        }
        let directory = resolved(&absolute)?;
        let shown = directory.display();
        let unreadable = |error| Error::failed(format!("cannot read {shown}: {error}"));
        let has_entries = fs::read_dir(&directory).map_err(unreadable)?.next().is_some();
        if has_entries && !directory.join(MANIFEST).is_file() {
            return Err(Error::failed(format!(
                "{shown} is not empty, and not the work of {}: choose another directory",
                crate::host::program()
            )));
        }
        let parent = directory.parent().unwrap_or(&directory).to_owned();
        let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).map_err(unreadable);
        if parent == directory || device(&directory)? != device(&parent)? {
            return Err(Error::failed(format!(
                "{shown} is a mount point: choose a directory, and copy what is in it"
            )));
        }
        Ok(Self { directory, parent })
    }

    /// Makes the directory, or replaces the one that is there: by all that the card is to have, or not at all.
    ///
    /// # Errors
    ///
    /// Something of it cannot be had or written.
    pub fn fill(
        &self,
        card: &dyn Card,
        wanted: &Wanted,
        image: &[u8],
        origin: &str,
        host: &Host,
    ) -> Result<()> {
        // Beside it, so that it gets its name in one step.
        let work = Scratch::below(&self.parent, ".reveille-card.")?;
        let _removing = Removing::new(work.path())?;
        let new = work.path().join("new");
        let shown = self.directory.display();
        fs::create_dir(&new)
            .and_then(|()| fs::set_permissions(&new, fs::Permissions::from_mode(0o755)))
            .map_err(|error| Error::failed(format!("cannot make {}: {error}", new.display())))?;
        let mut contents =
            Contents { directory: &new, store: Store::new(host), program: host.program(), files: Vec::new() };
        card.fill(&mut contents, wanted, image, origin)?;
        let list = manifest::write_list(&new, &wanted.board, &contents.files)?;
        interrupt::uninterrupted(|| self.replace(&new, &work.path().join("old")))?;
        let mut text = format!("{shown}:\n");
        for (name, size) in list {
            text.push_str(&format!("  {name}, {size} bytes\n"));
        }
        crate::command::print(&text)
    }

    /// Puts this directory in its place, and what is there in the other.
    fn replace(&self, new: &Path, old: &Path) -> Result<()> {
        let shown = self.directory.display();
        if !self.directory.exists() {
            return fs::rename(new, &self.directory)
                .map_err(|error| Error::failed(format!("cannot make {shown}: {error}")));
        }
        let cannot = |error| Error::failed(format!("cannot replace {shown}: {error}"));
        fs::rename(&self.directory, old).map_err(cannot)?;
        fs::rename(new, &self.directory).map_err(|error| {
            let _ = fs::rename(old, &self.directory);
            cannot(error)
        })
    }
}

/// A file that everybody may read.
fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(file, bytes)
        .and_then(|()| fs::set_permissions(file, fs::Permissions::from_mode(0o644)))
        .map_err(|error| Error::failed(format!("cannot write {}: {error}", file.display())))
}
