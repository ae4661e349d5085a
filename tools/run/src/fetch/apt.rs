//! An apt in a directory of its own, that believes to run on an arm64 machine with nothing installed: neither the architectures nor the
//! package lists of this system change, and no privileges are needed.

use super::sources::{self, Source};
use crate::error::{Error, Result};
use crate::interrupt;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How long lists, or packages, may take, seconds.
const LISTS: u32 = 300;
const PACKAGES: u32 = 1200;

/// What all this takes of the system.
const PROGRAMS: [&str; 5] = ["apt-get", "apt-cache", "dpkg-deb", "tar", "timeout"];

/// Why nothing can be fetched here, if so.
pub fn obstacle() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_here = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing = PROGRAMS.into_iter().find(|program| !is_here(program));
    missing
        .map(|program| format!("{program} is missing"))
        .or_else(|| sources().is_none().then(|| "no Debian mirror is among the sources of apt".to_owned()))
}

/// Where this machine gets Debian from.
fn sources() -> Option<Source> {
    Source::of_system(Path::new("/etc"))
}

/// An apt that knows some suites of Debian.
pub struct Apt {
    directory: PathBuf,
    options: Vec<OsString>,
}

impl Apt {
    /// Makes one below this directory, of these suites and this component of them, and has it read their lists.
    ///
    /// # Errors
    ///
    /// No mirror of Debian is known here, or the lists cannot be had from it.
    pub fn open(directory: &Path, suites: &[&str], component: &str) -> Result<Self> {
        let suites = suites.join(" ");
        let sources = sources().ok_or_else(|| {
            Error::failed(format!(
                "no Debian mirror among the sources of apt, so nothing can be fetched from {suites}"
            ))
        })?;
        let sources = sources.stanza(&suites, component);
        let write = |error| Error::failed(format!("cannot write in {}: {error}", directory.display()));
        for part in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(part)).map_err(write)?;
        }
        fs::write(directory.join("state/status"), "").map_err(write)?;
        fs::write(directory.join("debian.sources"), sources).map_err(write)?;
        let mut options: Vec<OsString> = vec!["-q".into(), "-q".into()];
        let mut option = |name: &str, value: OsString| {
            let mut word = OsString::from(name);
            word.push("=");
            word.push(value);
            options.extend(["-o".into(), word]);
        };
        option("APT::Architecture", "arm64".into());
        option("APT::Architectures", "arm64".into());
        option("Dir::Etc::SourceList", directory.join("debian.sources").into());
        option("Dir::Etc::SourceParts", "/dev/null".into());
        option("Dir::State", directory.join("state").into());
        option("Dir::State::status", directory.join("state/status").into());
        option("Dir::Cache", directory.join("cache").into());
        option("Acquire::Languages", "none".into());
        option("Acquire::Retries", "3".into());
        option("APT::Sandbox::User", "".into());
        let apt = Self { directory: directory.to_owned(), options };
        apt.get(LISTS, &["update"])
            .map_err(|()| Error::failed(format!("apt-get update failed: {suites} cannot be read")))?;
        Ok(apt)
    }

    /// apt-get for so many seconds at most, with what it says on stderr.
    fn get(&self, seconds: u32, words: &[&str]) -> std::result::Result<(), ()> {
        let status = interrupt::run(
            Command::new("timeout")
                .args(["--foreground", "-k", "5", &seconds.to_string(), "apt-get"])
                .args(&self.options)
                .args(words)
                .current_dir(&self.directory),
        );
        if status.is_ok_and(|status| status.success()) { Ok(()) } else { Err(()) }
    }

    /// What apt-cache says.
    fn cache(&self, words: &[&str]) -> String {
        Command::new("apt-cache")
            .args(&self.options)
            .args(words)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default()
    }

    /// The file of a package, downloaded: `PACKAGE` or `PACKAGE=VERSION`.
    ///
    /// # Errors
    ///
    /// It cannot be had.
    pub fn download(&self, package: &str) -> Result<PathBuf> {
        let failed = || Error::failed(format!("cannot download {package}"));
        self.get(PACKAGES, &["download", package]).map_err(|()| failed())?;
        let name = package.split('=').next().unwrap_or(package);
        let beginning = format!("{name}_");
        debs_in(&self.directory)
            .into_iter()
            .find(|path| super::name_of(path).starts_with(&beginning))
            .ok_or_else(failed)
    }

    /// The files of these packages and of all that they depend on, downloaded.
    ///
    /// # Errors
    ///
    /// They cannot be had.
    pub fn download_with_dependencies(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        let mut words =
            vec!["-o", "Debug::NoLocking=1", "-y", "--no-install-recommends", "--download-only", "install"];
        words.extend(packages);
        self.get(PACKAGES, &words)
            .map_err(|()| Error::failed(format!("cannot download {} and what it depends on", packages[0])))?;
        Ok(debs_in(&self.directory.join("cache/archives")))
    }

    /// The version of a package: that of this suite, where it is named.
    pub fn version(&self, package: &str, suite: Option<&str>) -> Option<String> {
        // package | version | URI suite/component architecture Packages
        self.cache(&["madison", package]).lines().find_map(|line| {
            let mut fields = line.split('|').map(str::trim);
            let version = fields.nth(1)?;
            let found = fields.next()?.split_whitespace().nth(1)?.split('/').next()?;
            suite.is_none_or(|suite| suite == found).then(|| version.to_owned())
        })
    }

    /// The kernel on which a package of kernels depends: `linux-image-arm64` or `linux-image-arm64=VERSION`.
    pub fn kernel_of(&self, package: &str) -> Option<String> {
        let shown = self.cache(&["show", package]);
        let depends = shown.lines().find_map(|line| line.strip_prefix("Depends:"))?;
        depends.split([',', ' ']).find(|word| word.starts_with("linux-image-")).map(str::to_owned)
    }
}

fn debs_in(directory: &Path) -> Vec<PathBuf> {
    sources::files_in(directory, "deb")
}

/// Unpacks a package below a directory: all of it, or what this pattern of tar's matches. Whether there was anything of it.
///
/// # Errors
///
/// It is no package, or the directory cannot be written.
pub fn unpack(package: &Path, into: &Path, pattern: Option<&str>) -> Result<bool> {
    let failed = || Error::failed(format!("cannot unpack {} into {}", package.display(), into.display()));
    fs::create_dir_all(into).map_err(|_| failed())?;
    let Some(pattern) = pattern else {
        let status = Command::new("dpkg-deb").arg("-x").args([package, into]).stdin(Stdio::null()).status();
        return status.is_ok_and(|status| status.success()).then_some(true).ok_or_else(failed);
    };
    let mut archive = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|_| failed())?;
    let tar = Command::new("tar")
        .args(["-x", "-C"])
        .arg(into)
        .args(["--wildcards", pattern])
        .stdin(archive.stdout.take().map_or_else(Stdio::null, Stdio::from))
        // That a pattern matches nothing it says as well.
        .stderr(Stdio::null())
        .status();
    let archive = archive.wait();
    if !archive.is_ok_and(|status| status.success()) {
        return Err(failed());
    }
    Ok(tar.map_err(|_| failed())?.success())
}
