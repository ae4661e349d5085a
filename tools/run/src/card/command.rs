//! `reveille-run image`.

use super::{Firmware, Place, Wanted};
use crate::arguments::{Argument, Arguments};
use crate::board;
use crate::elf;
use crate::error::{Error, Result};
use crate::host::Host;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// What is printed for `--help`.
const HELP: &str = concat!(
    "\
usage: reveille-run image BOARD DIR --elf FILE [OPTIONS]

Makes of the directory DIR what the boot partition of a card for BOARD holds: the program as the image, the board's settings, its device
tree, its firmware, and a list of all that (manifest.txt) with versions, sizes and checksums. Copied to the FAT32 partition of a card, it
boots there.

BOARD is raspi3 (Raspberry Pi 3 and Zero 2 W), raspi4, raspi5, or raspi: one card for all of these. No card has been tried on a board
yet; QEMU's raspi3b, raspi3ap and raspi4b boot what is on them.

DIR is replaced if it is empty or was made by this program, and is made if it is not there. Either all of it is there at the end, or
nothing has changed.

",
    include_str!("options.txt"),
    "  --origin TEXT     what the list says about where the program came from (default: its path)
  --check           say what is wrong with all that, if anything, and make nothing. --elf may be missing then

Exit code: 0, 1 if DIR could not be made, 2 for bad usage.
"
);

/// What a command line says.
#[derive(Default)]
struct Given {
    words: Vec<OsString>,
    elf: Option<PathBuf>,
    origin: Option<String>,
    psci: bool,
    firmware: Firmware,
    append: Vec<String>,
    check: bool,
}

/// `reveille-run image BOARD DIR --elf FILE [OPTIONS]`: these are the words behind `image`.
///
/// # Errors
///
/// What is in the way. Then nothing has changed.
pub fn image(words: Vec<OsString>, host: &Host) -> Result<()> {
    let Some(given) = Given::read(words)? else {
        return crate::command::print(HELP);
    };
    let mut words = given.words.into_iter();
    let name = words.next().ok_or_else(|| Error::usage("name the board, and the directory to make"))?;
    let name = name.to_string_lossy().into_owned();
    let card = board::find(&name, "BOARD")?
        .card()
        .ok_or_else(|| Error::usage(format!("BOARD: {name} boots from no card that this could make")))?;
    let wanted =
        Wanted { board: name, psci: given.psci, firmware: given.firmware, append: given.append.join(" ") };
    card.check(&wanted)?;
    if wanted.append.contains('\n') {
        return Err(Error::usage("--append: more than one line"));
    }
    let directory = words.next().ok_or_else(|| Error::usage("name the directory to make"))?;
    if let Some(word) = words.next() {
        return Err(Error::usage(format!("what is '{}'?", word.display())));
    }
    if given.elf.is_none() && !given.check {
        return Err(Error::usage("name the program: --elf FILE"));
    }
    let place = Place::check(Path::new(&directory))?;
    let Some(path) = given.elf.filter(|_| !given.check) else { return Ok(()) };
    // Nothing is left beside what is somebody else's.
    let image = elf::flatten_file(&path, Some("--elf"))?;
    let origin = given.origin.unwrap_or_else(|| path.display().to_string());
    place.fill(card, &wanted, &image, &origin, host)
}

impl Given {
    /// Nothing if it is help that is wanted.
    fn read(words: Vec<OsString>) -> Result<Option<Self>> {
        let mut given = Self::default();
        let mut words = Arguments::new(words);
        while let Some(argument) = words.next_argument()? {
            let option = match argument {
                Argument::Word(word) => {
                    given.words.push(word);
                    continue;
                }
                Argument::Option(option) => option,
            };
            match option.as_str() {
                "--help" | "-h" => return Ok(None),
                "--elf" => given.elf = Some(program(&words.value()?)?),
                "--origin" => {
                    let origin = words.text()?;
                    if origin.contains('\n') {
                        return Err(Error::usage("--origin: more than one line"));
                    }
                    given.origin = Some(origin);
                }
                "--psci" => given.psci = true,
                "--firmware" => {
                    let directory = readable_directory("--firmware", &words.value()?)?;
                    if given.firmware != Firmware::Package {
                        return Err(Error::usage("--firmware: once, and not with --no-firmware"));
                    }
                    given.firmware = Firmware::Directory(directory);
                }
                "--no-firmware" => {
                    if matches!(given.firmware, Firmware::Directory(_)) {
                        return Err(Error::usage("--no-firmware: not with --firmware"));
                    }
                    given.firmware = Firmware::None;
                }
                "--append" => given.append.push(words.text()?),
                "--check" => given.check = true,
                _ => return Err(words.unknown_option()),
            }
        }
        Ok(Some(given))
    }
}

/// The absolute path of an image.
fn program(path: &OsString) -> Result<PathBuf> {
    let path = Path::new(path);
    elf::check_image(path, Some("--elf"))?;
    fs::canonicalize(path).map_err(|error| Error::usage(format!("--elf: '{}': {error}", path.display())))
}

/// The absolute path of a directory.
fn readable_directory(option: &str, path: &OsString) -> Result<PathBuf> {
    let path = Path::new(path);
    let cannot = || Error::usage(format!("{option}: cannot read the directory '{}'", path.display()));
    if fs::read_dir(path).is_err() {
        return Err(cannot());
    }
    fs::canonicalize(path).map_err(|_| cannot())
}
