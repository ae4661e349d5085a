//! Files out of Debian's arm64 packages that come with no crate: device trees of boards, firmware, kernels. Each is fetched once, when it is
//! first wanted, and stays in a directory that several processes may use at once.

mod apt;
mod command;
mod linux;
mod sources;

use crate::error::{Error, Result};
use crate::files;
use crate::host::Host;
use crate::interrupt::Removing;
use apt::Apt;
pub use command::{fetch, tree, trees};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The suite that files come from, whatever the Debian of this machine: what was tested stays what it was.
pub const SUITE: &str = "bookworm";

/// The suites whose kernels' trees are read by default.
pub const TREE_SUITES: [&str; 2] = ["bookworm", "bookworm-backports"];

/// The package of the arm64 kernel in every suite.
const KERNEL: &str = "linux-image-arm64";

/// The name of the file that says which package a directory was made of.
const PACKAGE: &str = "PACKAGE";

/// A file of a package.
#[derive(Clone, Copy, Debug)]
pub struct Packaged<'a> {
    /// The package; or `linux`, `kexec`, which are made of several: a kernel (`vmlinuz`) and what its first file system holds
    /// (`programs.cpio`).
    pub package: &'a str,
    /// The path of the file in it.
    pub path: &'a str,
    /// The component of Debian that has it.
    pub component: &'a str,
    /// The suite of Debian that has it.
    pub suite: &'a str,
}

impl<'a> Packaged<'a> {
    /// A file of a package in the component `main` of the usual suite.
    pub fn new(package: &'a str, path: &'a str) -> Self {
        Self { package, path, component: "main", suite: SUITE }
    }

    /// The name of the directory that the package is unpacked into.
    fn name(&self) -> String {
        if self.suite == SUITE { self.package.to_owned() } else { format!("{}-{}", self.package, self.suite) }
    }
}

/// The path of a file of a package, which is in this component of the usual suite.
///
/// # Errors
///
/// It cannot be fetched, or the package has no such file.
pub fn firmware_file(host: &Host, package: &str, path: &str, component: &str) -> Result<PathBuf> {
    Store::new(host).file(Packaged { component, ..Packaged::new(package, path) })
}

/// The path of a board's device tree, such as `broadcom/bcm2711-rpi-4-b.dtb`, of the usual suite or of another, for boards that its kernel
/// does not have.
///
/// # Errors
///
/// It cannot be fetched, or there is no such tree.
pub fn board_tree(host: &Host, path: &str, suite: Option<&str>) -> Result<PathBuf> {
    Store::new(host).tree(path, suite.unwrap_or(SUITE))
}

/// The directory where files stay: `trees/SUITE/VENDOR/BOARD.dtb`, `firmware/PACKAGE/..`, and `given/..` with the same two below it, for what
/// was put there by hand.
pub struct Store {
    directory: PathBuf,
}

impl Store {
    /// The one of this machine.
    pub fn new(host: &Host) -> Self {
        let cache = host.cache();
        // Paths of it go to programs that run elsewhere.
        Self { directory: std::path::absolute(cache).unwrap_or_else(|_| cache.to_owned()) }
    }

    fn firmware(&self, name: &str) -> PathBuf {
        self.directory.join("firmware").join(name)
    }

    fn trees(&self, suite: &str) -> PathBuf {
        self.directory.join("trees").join(suite)
    }

    /// What was put there by hand in the place of a file below this directory.
    fn given(&self, file: &Path) -> PathBuf {
        let place = file.strip_prefix(&self.directory).unwrap_or(file);
        self.directory.join("given").join(place)
    }

    /// The path of a file of a package.
    ///
    /// # Errors
    ///
    /// It cannot be fetched, or the package has no such file.
    pub fn file(&self, wanted: Packaged) -> Result<PathBuf> {
        let directory = self.firmware(&wanted.name());
        let file = directory.join(wanted.path);
        let given = self.given(&file);
        if given.is_file() {
            return Ok(given);
        }
        if !directory.exists() {
            can_fetch(|| {
                let Packaged { package, path, .. } = wanted;
                let suite =
                    if wanted.suite == SUITE { String::new() } else { format!(" --suite {}", wanted.suite) };
                (
                    format!("{path} of Debian's package {package}"),
                    format!("fetch{suite} {package} {path} --from FILE"),
                )
            })?;
            self.alone(|work| {
                if directory.exists() {
                    return Ok(());
                }
                let made = match wanted.package {
                    "linux" => linux::with_qemu(work)?,
                    "kexec" => linux::with_kexec(work)?,
                    _ => unpacked(work, wanted)?,
                };
                keep(&made, &directory)
            })?;
        }
        if file.is_file() {
            return Ok(file);
        }
        Err(Error::failed(format!("no {} in {}", wanted.path, package_of(&directory))))
    }

    /// Name and version of the package of a file, such as `raspi-firmware_1.20220830+ds-1_all`.
    pub fn version(&self, wanted: Packaged) -> String {
        let directory = self.firmware(&wanted.name());
        self.origin(&directory.join(wanted.path), || package_of(&directory))
    }

    /// The path of a board's device tree of the kernel of this suite.
    ///
    /// # Errors
    ///
    /// It cannot be fetched, or there is no such tree.
    pub fn tree(&self, path: &str, suite: &str) -> Result<PathBuf> {
        let directory = self.trees(suite);
        let tree = directory.join(path);
        let given = self.given(&tree);
        if given.is_file() {
            return Ok(given);
        }
        if !directory.join(PACKAGE).exists() {
            can_fetch(|| {
                let option = if suite == SUITE { String::new() } else { format!(" --suite {suite}") };
                (
                    format!("the device tree {path} of Debian's arm64 kernel"),
                    format!("tree{option} {path} --from FILE"),
                )
            })?;
            self.alone(|work| {
                if directory.join(PACKAGE).exists() {
                    return Ok(());
                }
                say(&format!(
                    "fetching the device trees of Debian's arm64 kernel in {suite} (65 to 100 MB are downloaded, once)"
                ));
                self.fetch_trees(work, &[suite]).map(drop)
            })?;
        }
        if tree.is_file() {
            return Ok(tree);
        }
        Err(Error::failed(format!("no {path} among the device trees of {}", package_of(&directory))))
    }

    /// Name and version of the kernel package of a tree.
    pub fn tree_version(&self, path: &str, suite: &str) -> String {
        let directory = self.trees(suite);
        self.origin(&directory.join(path), || {
            let package = package_of(&directory);
            package.split(',').next().unwrap_or(&package).to_owned()
        })
    }

    /// Where a file came from that may have been put here by hand.
    fn origin(&self, file: &Path, package: impl Fn() -> String) -> String {
        if self.given(file).is_file() { "a file that was given by hand".to_owned() } else { package() }
    }

    /// All trees of the kernels of these suites, those that are here again if `refresh`. For each, in this order, which package they
    /// are of.
    ///
    /// # Errors
    ///
    /// They cannot be fetched.
    pub fn all_trees(&self, suites: &[&str], refresh: bool) -> Result<Vec<String>> {
        let is_wanted = |suite: &&str| refresh || !self.trees(suite).join(PACKAGE).exists();
        if suites.iter().any(is_wanted) {
            can_fetch(|| {
                ("the device trees of Debian's arm64 kernel".to_owned(), "tree PATH --from FILE".to_owned())
            })?;
            self.alone(|work| {
                let wanted: Vec<_> = suites.iter().copied().filter(is_wanted).collect();
                if wanted.is_empty() { Ok(()) } else { self.fetch_trees(work, &wanted) }
            })?;
        }
        Ok(suites.iter().map(|suite| format!("{suite}: {}", package_of(&self.trees(suite)))).collect())
    }

    fn fetch_trees(&self, work: &Path, suites: &[&str]) -> Result<()> {
        let apt = Apt::open(work, suites, "main")?;
        for suite in suites {
            let version = apt.version(KERNEL, Some(suite)).ok_or_else(|| {
                Error::failed(format!(
                    "apt knows no {KERNEL} in {suite}: is {suite} among its sources, for arm64?"
                ))
            })?;
            let package = apt.kernel_of(&format!("{KERNEL}={version}")).ok_or_else(|| {
                Error::failed(format!("{KERNEL} {version} of {suite} names no kernel package"))
            })?;
            let (unpacked, made) = (work.join("tree"), work.join("suite"));
            // Newer kernels have the trees in a package of their own, in another place.
            let release = package.trim_start_matches("linux-image-");
            let mut has_any = false;
            for part in [package.clone(), format!("linux-base-{release}")] {
                let file = apt.download(&format!("{part}={version}"))?;
                has_any = apt::unpack(&file, &unpacked, Some("*.dtb"))?;
                remove(&file)?;
                if has_any {
                    break;
                }
            }
            let place = has_any.then(|| folder_of_trees(&unpacked)).flatten();
            let place =
                place.ok_or_else(|| Error::failed(format!("{package} {version} has no device trees")))?;
            rename(&place, &made)?;
            let count = count_trees(&made);
            files::write(&made.join(PACKAGE), format!("{package} {version}, {count} trees\n").as_bytes())?;
            keep(&made, &self.trees(suite))?;
            remove(&unpacked)?;
        }
        Ok(())
    }

    /// Keeps a file in the place of one that would be fetched, and prints where.
    fn give(&self, file: &Path, from: &Path) -> Result<PathBuf> {
        let given = self.given(file);
        let parent = given.parent().unwrap_or(&self.directory);
        let cannot =
            |error| Error::failed(format!("cannot copy {} to {}: {error}", from.display(), given.display()));
        fs::create_dir_all(parent).map_err(cannot)?;
        let new = parent.join(format!(".{}.{}", name_of(&given), files::unique()));
        let copied = fs::copy(from, &new).and_then(|_| fs::rename(&new, &given));
        if copied.is_err() {
            let _ = fs::remove_file(&new);
        }
        copied.map_err(cannot)?;
        Ok(given)
    }

    /// Keeps a file in the place of one of a package; its path from then on.
    ///
    /// # Errors
    ///
    /// It cannot be copied.
    pub fn give_file(&self, wanted: Packaged, from: &Path) -> Result<PathBuf> {
        self.give(&self.firmware(&wanted.name()).join(wanted.path), from)
    }

    /// Keeps a file in the place of a board's device tree; its path from then on.
    ///
    /// # Errors
    ///
    /// It cannot be copied.
    pub fn give_tree(&self, path: &str, suite: &str, from: &Path) -> Result<PathBuf> {
        self.give(&self.trees(suite).join(path), from)
    }

    /// Fetches while no other process does, in a directory that is empty then and gone afterwards.
    fn alone(&self, fetch: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let cannot =
            |error| Error::failed(format!("cannot fetch into {}: {error}", self.directory.display()));
        fs::create_dir_all(&self.directory).map_err(cannot)?;
        let lock = File::create(self.directory.join("fetch.lock")).map_err(cannot)?;
        lock.lock().map_err(cannot)?;
        // Whoever was stopped in the middle has left this.
        let work = self.directory.join(".fetch");
        remove(&work)?;
        fs::create_dir(&work).map_err(cannot)?;
        let removing = Removing::new(&work)?;
        let fetched = fetch(&work);
        let removed = remove(&work);
        drop(removing);
        fetched.and(removed)
    }
}

/// Stops where nothing can be fetched, with what is wanted, and the words after the name of the program by which it is given instead.
fn can_fetch(wanted: impl FnOnce() -> (String, String)) -> Result<()> {
    let Some(obstacle) = apt::obstacle() else { return Ok(()) };
    let (file, words) = wanted();
    Err(Error::failed(format!(
        "{obstacle}, and {file} comes out of a Debian package, which takes apt and dpkg: \
         get it elsewhere, and say `reveille-run {words}`"
    )))
}

/// Says what is being done that takes a while.
fn say(line: &str) {
    crate::command::say(line);
}

/// A package of files, unpacked in a new directory below this one.
fn unpacked(work: &Path, wanted: Packaged) -> Result<PathBuf> {
    say(&format!("fetching Debian's {} (once)", wanted.package));
    let apt = Apt::open(work, &[wanted.suite], wanted.component)?;
    let file = apt.download(wanted.package)?;
    let made = work.join("files");
    apt::unpack(&file, &made, None)?;
    files::write(&made.join(PACKAGE), format!("{}\n", stem_of(&file)).as_bytes())?;
    Ok(made)
}

/// What was made in a directory for work gets its place, in one step, so that who finds it finds all of it.
fn keep(made: &Path, place: &Path) -> Result<()> {
    if let Some(parent) = place.parent() {
        files::make_dir(parent)?;
    }
    let old = made.with_extension("old");
    if place.exists() {
        rename(place, &old)?;
    }
    rename(made, place)?;
    // What is made next may have this name as well.
    remove(&old)
}

/// What is in the file that says which package a directory was made of.
fn package_of(directory: &Path) -> String {
    let text = fs::read_to_string(directory.join(PACKAGE)).unwrap_or_default();
    text.trim_end().to_owned()
}

/// Where the folders of vendors are below an unpacked kernel package.
fn folder_of_trees(unpacked: &Path) -> Option<PathBuf> {
    let lib = unpacked.join("usr/lib");
    let folders = |path: &Path| {
        fs::read_dir(path)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect::<Vec<_>>()
    };
    let kernel = folders(&lib).into_iter().find(|path| name_of(path).starts_with("linux-image-"));
    let modules = || folders(&lib.join("modules")).into_iter().map(|path| path.join("dtb"));
    kernel.into_iter().chain(modules()).find(|path| path.is_dir())
}

/// How many device trees are below a directory.
fn count_trees(directory: &Path) -> usize {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .map(|path| {
            if path.is_dir() {
                count_trees(&path)
            } else {
                usize::from(path.extension().is_some_and(|end| end == "dtb"))
            }
        })
        .sum()
}

/// The last part of a path.
fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The same without what is behind its last dot.
fn stem_of(path: &Path) -> String {
    path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| {
        Error::failed(format!("cannot rename {} to {}: {error}", from.display(), to.display()))
    })
}

/// Removes a file or a directory, if it is there.
fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::failed(format!("cannot remove {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Scratch;

    #[test]
    fn several_take_the_places_of_others_one_after_the_other() {
        let scratch = Scratch::new().unwrap();
        let made = scratch.path().join("work/suite");
        for content in ["1", "2"] {
            for suite in ["bookworm", "trixie"] {
                fs::create_dir_all(&made).unwrap();
                fs::write(made.join(PACKAGE), content).unwrap();
                keep(&made, &scratch.path().join("trees").join(suite)).unwrap();
            }
        }
        for suite in ["bookworm", "trixie"] {
            assert_eq!(package_of(&scratch.path().join("trees").join(suite)), "2");
        }
        assert_eq!(fs::read_dir(scratch.path().join("work")).unwrap().count(), 0);
    }
}
