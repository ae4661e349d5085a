//! The command line of `reveille-run`.

use crate::board::{self, How};
use crate::card;
use crate::cpio;
use crate::elf::{Image, flat_firmware};
use crate::error::{Error, Result};
use crate::fetch;
use crate::host::Host;
use crate::machine::{Setup, assignments};
use crate::options::{Build, HELP, Options, Subject, parse, takes_value};
use crate::run::run;
use crate::testing;
use crate::words::{quoted, split};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// More options, as a line of a shell, before those of the command line.
const MORE: &str = "REVEILLE_RUN";

/// Does what the words of a command line say, and returns its exit code. What went wrong is said on stderr.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let host = Host::from_environment();
    let words: Vec<OsString> = words.into_iter().collect();
    let asked = asked(&words, &host);
    match command(words, &host) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            error.print(&asked);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Who this is for the user, whose help is asked for: with the name of the command, if it has help of its own and no script has called.
fn asked(words: &[OsString], host: &Host) -> String {
    let own = ["image", "fetch", "tree", "trees"];
    match words.first().and_then(|word| word.to_str()) {
        Some(word) if own.contains(&word) && !host.is_called_by_script() => {
            format!("{} {word}", host.program())
        }
        _ => host.program().to_owned(),
    }
}

fn command(mut words: Vec<OsString>, host: &Host) -> Result<u8> {
    match words.first().and_then(|word| word.to_str()) {
        Some("image") => return card::image(words.split_off(1), host).map(|()| 0),
        Some("fetch") => return fetch::fetch(words.split_off(1), host).map(|()| 0),
        Some("tree") => return fetch::tree(words.split_off(1), host).map(|()| 0),
        Some("trees") => return fetch::trees(words.split_off(1), host).map(|()| 0),
        _ => {}
    }
    if let Some(asked) = asked_for(&words) {
        match asked {
            "--version" | "-V" => print(&format!("reveille-run {}\n", env!("CARGO_PKG_VERSION")))?,
            _ => print(&help())?,
        }
        return Ok(0);
    }
    match words.first().and_then(|word| word.to_str()) {
        Some("archive") => cpio::archive(&words[1..]).map(|()| 0),
        Some("flat") => flat(&words[1..], host).map(|()| 0),
        Some("options") => print_options(words.split_off(1), host).map(|()| 0),
        _ => boot(words, host),
    }
}

/// `--help` or `--version`, or the short form, if that is among the words: not as the value of an option, nor behind `--`.
fn asked_for(words: &[OsString]) -> Option<&str> {
    let mut words = words
        .iter()
        .take_while(|word| *word != "--")
        .map(|word| word.to_str().unwrap_or_default())
        .peekable();
    while let Some(word) = words.next() {
        if matches!(word, "--help" | "-h" | "--version" | "-V") {
            return Some(word);
        }
        if takes_value(word) {
            words.next_if(|value| !value.starts_with("--"));
        }
    }
    None
}

/// On stdout. Whoever does not read to the end has what he wants.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut to = io::stdout();
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// On stderr, a line. If nobody reads it there is nobody to tell.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn help() -> String {
    format!(
        "\
usage: reveille-run [OPTIONS] ELF [OPTIONS] [-- QEMU ARGUMENTS]
       reveille-run image BOARD DIR --elf FILE [OPTIONS]
       reveille-run flat ELF
       reveille-run fetch PACKAGE PATH | tree PATH | trees [SUITE..]
       reveille-run archive OUT NAME=FILE..

Boots an image of Reveille in QEMU, with the console on this terminal, and exits with the guest's code. Ctrl-C ends it. As the runner of
`cargo run` it gets its options behind `--`, and before them those of the variable {MORE}.

With `image` it makes the boot partition of a card instead; with `flat` the image as boot loaders take it, beside the ELF, and prints its
path; `fetch` and the like get files that boards want out of Debian's packages; `archive` puts files into one that Linux takes as its
initrd, executable. `image` and `fetch` have their own --help.

{HELP}
Of an ELF of tests, as `cargo test` builds it with `reveille::tests!`, it boots each test on a machine of its own, and takes words of `libtest` behind it,
too:

{}
Boards:
{}
Exit code: the guest's; 2 for bad usage, 124 for a run that outlasted --timeout (the last console lines are then repeated on stderr), 1 for
whatever else is in the way.
",
        testing::HELP,
        board::list()
    )
}

/// `[OPTIONS] ELF [OPTIONS]`
fn boot(words: Vec<OsString>, host: &Host) -> Result<u8> {
    let (mut options, mut subject) = (Options::default(), Subject::Elf(None));
    let mut more = Vec::new();
    if let Some(line) = std::env::var_os(MORE) {
        let line = line.into_string().map_err(|_| Error::usage(format!("{MORE}: it is not UTF-8")))?;
        more.extend(split(&line, MORE)?.into_iter().map(OsString::from));
    }
    let all: Vec<_> = more.iter().chain(&words).cloned().collect();
    if let Some(command) = testing::Command::find(&all)? {
        return command.run(host);
    }
    parse(more, &mut options, &mut subject, host)?;
    parse(words, &mut options, &mut subject, host)?;
    let Subject::Elf(Some(elf)) = subject else { return Err(Error::usage("name the ELF")) };
    let elf = Path::new(&elf);
    crate::elf::check_image(elf, None)?;
    host.check_qemu()?;
    let setup = Setup::new(options, host)?;
    run(setup, Image::open(elf, host)?, host)
}

/// `flat ELF`: the flat form of any ELF for AArch64.
fn flat(words: &[OsString], host: &Host) -> Result<()> {
    let [elf] = words else { return Err(Error::usage("flat takes one ELF")) };
    print(&format!("{}\n", flat_firmware(Path::new(elf), None, host)?.display()))
}

/// `options [--build] [--elf FILE] [OPTIONS]`: checks options, and prints what they come to, for a shell. For the scripts of Reveille's repository.
/// With `--build` the words may name an image that is to be built. With `--elf` the addresses of that image are printed as well. Of a board that
/// QEMU does not have, the path of its tree is all that is printed.
fn print_options(mut words: Vec<OsString>, host: &Host) -> Result<()> {
    let mut subject = Subject::Elf(None);
    if words.first().is_some_and(|word| word == "--build") {
        subject = Subject::Build(Build::default());
        words.remove(0);
    }
    let mut elf = None;
    if words.len() > 1 && words[0] == "--elf" {
        elf = Some(words.remove(1));
        words.remove(0);
    }
    let mut options = Options::default();
    parse(words, &mut options, &mut subject, host)?;
    let build = match subject {
        Subject::Build(build) => build,
        Subject::Elf(None) => Build::default(),
        Subject::Elf(Some(word)) => return Err(Error::usage(format!("what is '{}'?", word.display()))),
    };
    if let How::Tree(tree) = board::find(&options.board, "--board")?.how() {
        let path = fetch::board_tree(host, tree.path, tree.suite)?;
        return print(&format!("opt_board={}\nopt_tree={}\n", quoted([&options.board]), quoted([path])));
    }
    let setup = Setup::new(options, host)?;
    let mut text = assignments(&setup, &build);
    if let Some(elf) = elf {
        let image = Image::open(Path::new(&elf), host)?;
        let loaded = setup.board.load_address(&setup, &image);
        text.push_str(&format!("image_linked={:#x}\nimage_loaded={loaded:#x}\n", image.link_address()));
    }
    print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_that_is_no_value() {
        for (words, asked) in [
            ("image -h", Some("-h")),
            ("archive --help", Some("--help")),
            ("--append x --version", Some("--version")),
            ("--append --help", Some("--help")),
            ("--append -h image", None),
            ("--append=x -V", Some("-V")),
            ("image -- -h", None),
        ] {
            let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
            assert_eq!(asked_for(&words), asked, "{words:?}");
        }
    }
}
