//! What the machine has that this runs on: QEMU, CPUs, and a place for files that are fetched or made.

use crate::error::{Error, Result};
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest QEMU that everything here was tried with.
pub const QEMU_WANTED: u32 = 10;

/// Who this is, in messages: what a script that calls it is called, or `reveille-run`.
const PROGRAM: &str = "REVEILLE_PROGRAM";
/// Who it is otherwise.
const DEFAULT_PROGRAM: &str = "reveille-run";
/// Where files are kept, instead of the user's cache: the scripts of Reveille's repository keep them in cargo's target directory.
const CACHE: &str = "REVEILLE_CACHE";
/// Somebody has looked already whether the tools are there.
const CHECKED: &str = "REVEILLE_TOOLS_CHECKED";

/// This machine.
#[derive(Clone, Debug)]
pub struct Host {
    qemu: OsString,
    cache: PathBuf,
    program: String,
    cpus: Vec<u32>,
}

impl Host {
    /// What the environment says: `QEMU`, `XDG_CACHE_HOME`, and what the scripts of Reveille's repository say by `REVEILLE_PROGRAM` and
    /// `REVEILLE_CACHE`.
    pub fn from_environment() -> Self {
        let given = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let cache = given(CACHE).map(PathBuf::from).unwrap_or_else(|| {
            given("XDG_CACHE_HOME")
                .map(PathBuf::from)
                // A relative one has to be ignored, the specification says.
                .filter(|path| path.is_absolute())
                .or_else(|| env::home_dir().map(|home| home.join(".cache")))
                .unwrap_or_else(env::temp_dir)
                .join("reveille")
        });
        Self {
            qemu: given("QEMU").unwrap_or_else(|| "qemu-system-aarch64".into()),
            cache,
            program: program(),
            cpus: cpus(),
        }
    }

    /// A machine with this QEMU and this cache, for programs that know better than the environment.
    pub fn new(qemu: impl Into<OsString>, cache: impl Into<PathBuf>) -> Self {
        Self { qemu: qemu.into(), cache: cache.into(), program: program(), cpus: cpus() }
    }

    /// The command by which QEMU starts.
    pub fn qemu(&self) -> &OsStr {
        &self.qemu
    }

    /// The directory for files that are fetched, and for what is made of them. It may not be there yet.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// What this program is called in messages.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Whether a script has called this, under whose name it speaks.
    pub fn is_called_by_script(&self) -> bool {
        self.program != DEFAULT_PROGRAM
    }

    /// The CPUs that this process may use, by their numbers.
    pub fn cpus(&self) -> &[u32] {
        &self.cpus
    }

    /// Stops if QEMU is missing or too old.
    ///
    /// # Errors
    ///
    /// Says so, and how to have it.
    pub fn check_qemu(&self) -> Result<()> {
        if env::var_os(CHECKED).is_some() { Ok(()) } else { self.look_at_qemu() }
    }

    fn look_at_qemu(&self) -> Result<()> {
        let name = self.qemu.to_string_lossy();
        const HOW: &str = "on Debian install qemu-system-arm (of Debian 12 that of bookworm-backports), on Fedora \
                           qemu-system-aarch64, with Homebrew qemu; the variable QEMU names another one";
        let output = Command::new(&self.qemu).arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::failed(format!("{name} is missing: {HOW}")),
            _ => Error::failed(format!("cannot start {name}: {error}")),
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version =
            text.split("version ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or("");
        let major = version.split('.').next().and_then(|number| number.parse().ok());
        match major {
            Some(major) if QEMU_WANTED <= major => Ok(()),
            Some(_) => {
                Err(Error::failed(format!("{name} is QEMU {version}, older than {QEMU_WANTED}: {HOW}")))
            }
            None => Err(Error::failed(format!("{name} does not say which version of QEMU it is: {HOW}"))),
        }
    }

    /// What QEMU prints when it is called with these words.
    ///
    /// # Errors
    ///
    /// It does not start, or fails.
    pub fn ask_qemu<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<String> {
        let failed = || {
            let words = std::iter::once(self.qemu()).chain(words.iter().map(AsRef::as_ref));
            Error::failed(format!("this fails: {}", crate::words::quoted(words)))
        };
        let output =
            Command::new(&self.qemu).args(words).stdin(Stdio::null()).output().map_err(|_| failed())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(failed())
        }
    }
}

/// See [`Host::program`].
pub fn program() -> String {
    env::var(PROGRAM).ok().filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_PROGRAM.to_owned())
}

/// The CPUs that this process may use. Where the system does not say which, as many as it says.
fn cpus() -> Vec<u32> {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            status.lines().find_map(|line| cpu_list(line.strip_prefix("Cpus_allowed_list:")?.trim()))
        })
        .unwrap_or_else(|| (0..std::thread::available_parallelism().map_or(1, |n| n.get() as u32)).collect())
}

/// The numbers in a list such as `0-3,8`.
fn cpu_list(list: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse::<u32>().ok()?..=last.parse().ok()?);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(cpu_list("0-2,8"), Some(vec![0, 1, 2, 8]));
        assert_eq!(cpu_list("5"), Some(vec![5]));
        assert_eq!(cpu_list(""), None);
        assert!(!cpus().is_empty());
    }

    #[test]
    fn a_qemu_that_is_missing_old_or_none() {
        let said = Host::new("/nonexistent/qemu", "/").look_at_qemu().unwrap_err().to_string();
        assert!(
            said.starts_with("/nonexistent/qemu is missing: on Debian install qemu-system-arm"),
            "{said}"
        );
        let scratch = crate::files::Scratch::new().unwrap();
        let qemu = scratch.path().join("qemu");
        let says = |text: &str| {
            crate::tests::sample::script(&qemu, &format!("#!/bin/sh\necho '{text}'\n"));
            Host::new(&qemu, "/").look_at_qemu().map_err(|error| error.to_string())
        };
        assert_eq!(says("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)"), Ok(()));
        assert_eq!(says("QEMU emulator version 11.2"), Ok(()));
        let said = says("QEMU emulator version 9.2.1").unwrap_err();
        assert!(said.contains("/qemu is QEMU 9.2.1, older than 10: on Debian"), "{said}");
        let said = says("hello").unwrap_err();
        assert!(said.contains("/qemu does not say which version of QEMU it is: on Debian"), "{said}");
        let said = Host::new(scratch.path(), "/").look_at_qemu().unwrap_err().to_string();
        assert!(said.starts_with("cannot start "), "{said}");
        let said = Host::new("/nonexistent/qemu", "/").ask_qemu(&["-x"]).unwrap_err().to_string();
        assert_eq!(said, "this fails: /nonexistent/qemu -x");
    }
}
