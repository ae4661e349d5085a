//! `reveille-run fetch`, `tree` and `trees`.

use super::{Packaged, SUITE, Store, TREE_SUITES};
use crate::arguments::{Argument, Arguments};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::options::readable;
use std::ffi::OsString;
use std::path::PathBuf;

/// What is printed for `--help`.
const HELP: &str = "\
usage: reveille-run fetch [OPTIONS] PACKAGE PATH
       reveille-run tree [OPTIONS] PATH
       reveille-run trees [--refresh] [SUITE..]

Gets files that boards want out of Debian's arm64 packages, from the mirror that apt uses here, and keeps them: this is done by itself where
it is wanted, once. apt works in a directory of its own: neither the architectures nor the package lists of this system change, and no
privileges are needed.

  fetch   prints the path of the file PATH of PACKAGE. The packages linux and kexec are kernels with programs: vmlinuz, programs.cpio
  tree    prints the path of a device tree of the arm64 kernel, such as broadcom/bcm2711-rpi-4-b.dtb
  trees   gets all trees of the kernel of each SUITE (default: bookworm and bookworm-backports), and prints which they are

  --suite SUITE     fetch, tree: the suite of Debian (default bookworm)
  --component NAME  fetch: the component of Debian (default main)
  --from FILE       fetch, tree: keep this file in the place of the one that would be fetched, for systems without apt
  --refresh         trees: once more those that are here

Exit code: 0, 1 if a file cannot be had, 2 for bad usage.
";

/// What a command line says.
#[derive(Default)]
struct Given {
    words: Vec<String>,
    suite: Option<String>,
    component: Option<String>,
    from: Option<PathBuf>,
    refresh: bool,
}

/// `reveille-run fetch PACKAGE PATH`: these are the words behind `fetch`.
///
/// # Errors
///
/// Bad usage, or the file cannot be had.
pub fn fetch(words: Vec<OsString>, host: &Host) -> Result<()> {
    let Some(given) = Given::read(words, &["--suite", "--component", "--from"])? else { return Ok(()) };
    let [package, path] = given.exactly("name the package, and the file in it")?;
    let wanted = Packaged {
        package: plain(package, "the package")?,
        path: plain(path, "the file")?,
        component: given.component.as_deref().unwrap_or("main"),
        suite: given.suite(),
    };
    let store = Store::new(host);
    print(&match &given.from {
        Some(from) => store.give_file(wanted, from)?,
        None => store.file(wanted)?,
    })
}

/// `reveille-run tree PATH`: these are the words behind `tree`.
///
/// # Errors
///
/// Bad usage, or the tree cannot be had.
pub fn tree(words: Vec<OsString>, host: &Host) -> Result<()> {
    let Some(given) = Given::read(words, &["--suite", "--from"])? else { return Ok(()) };
    let [path] = given.exactly("name the tree, such as broadcom/bcm2711-rpi-4-b.dtb")?;
    let path = plain(path, "the tree")?;
    let store = Store::new(host);
    print(&match &given.from {
        Some(from) => store.give_tree(path, given.suite(), from)?,
        None => store.tree(path, given.suite())?,
    })
}

/// `reveille-run trees SUITE..`: these are the words behind `trees`.
///
/// # Errors
///
/// Bad usage, or the trees cannot be had.
pub fn trees(words: Vec<OsString>, host: &Host) -> Result<()> {
    let Some(given) = Given::read(words, &["--refresh"])? else { return Ok(()) };
    let mut suites = Vec::new();
    for suite in &given.words {
        suites.push(plain(suite, "the suite")?);
    }
    if suites.is_empty() {
        suites.extend(TREE_SUITES);
    }
    let lines = Store::new(host).all_trees(&suites, given.refresh)?;
    crate::command::print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

impl Given {
    /// Nothing if it is help that is wanted, which is then printed.
    fn read(words: Vec<OsString>, options: &[&str]) -> Result<Option<Self>> {
        let mut given = Self::default();
        let mut words = Arguments::new(words);
        while let Some(argument) = words.next_argument()? {
            match argument {
                Argument::Word(word) => given.words.push(word.to_string_lossy().into_owned()),
                Argument::Option(option) if matches!(option.as_str(), "--help" | "-h") => {
                    crate::command::print(HELP)?;
                    return Ok(None);
                }
                Argument::Option(option) if !options.contains(&option.as_str()) => {
                    return Err(words.unknown_option());
                }
                Argument::Option(option) => match option.as_str() {
                    "--suite" => given.suite = Some(plain(&words.text()?, "--suite")?.to_owned()),
                    "--component" => given.component = Some(plain(&words.text()?, "--component")?.to_owned()),
                    "--from" => given.from = Some(readable("--from", &words.value()?)?),
                    _ => given.refresh = true,
                },
            }
        }
        Ok(Some(given))
    }

    fn suite(&self) -> &str {
        self.suite.as_deref().unwrap_or(SUITE)
    }

    /// As many words as there have to be, or this sentence.
    fn exactly<const N: usize>(&self, sentence: &str) -> Result<&[String; N]> {
        if let Some(more) = self.words.get(N) {
            return Err(Error::usage(format!("what is '{more}'?")));
        }
        self.words.as_slice().try_into().map_err(|_| Error::usage(sentence))
    }
}

/// A name that leads nowhere else, since it becomes part of a path and of a list of sources.
fn plain<'a>(text: &'a str, what: &str) -> Result<&'a str> {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.starts_with('-');
    if text.split('/').all(is_plain) && !text.contains(char::is_whitespace) {
        return Ok(text);
    }
    Err(Error::usage(format!("{what}: '{text}' is no name that Debian has")))
}

fn print(path: &std::path::Path) -> Result<()> {
    crate::command::print(&format!("{}\n", path.display()))
}
