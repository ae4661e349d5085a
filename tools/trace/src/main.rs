//! Makes a file that Perfetto opens, and a picture of the bring-up, of what an image has noted: of a console log, or of a memory core.
//!
//! `scripts/trace` builds and calls it.

mod memory;
mod message;
mod perfetto;
mod picture;
mod story;
mod text;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use story::Story;

/// What the wrapper prints for `--help`, and so not here.
const HINT: &str = "see scripts/trace --help";

/// Why there is nothing to write: what the exit code says, and one line.
enum Failure {
    /// Bad usage: 2.
    Usage(String),
    /// What was read is not whole, or something cannot be written: 1.
    Other(String),
}

/// What was asked for.
#[derive(Default)]
struct Options {
    log: Option<PathBuf>,
    core: Option<PathBuf>,
    elf: Option<PathBuf>,
    /// Where the image was loaded, if not where it was linked.
    loaded: Option<u64>,
    perfetto: Option<PathBuf>,
    svg: Option<PathBuf>,
    /// What is whole of a log that is not is enough.
    partial: bool,
}

fn main() -> ExitCode {
    let (line, code) = match run() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(line)) => (format!("{line} ({HINT})"), 2),
        Err(Failure::Other(line)) => (line, 1),
    };
    eprintln!("scripts/trace: {line}");
    ExitCode::from(code)
}

fn run() -> Result<(), Failure> {
    let options = Options::read(std::env::args_os().skip(1))?;
    let (dump, source) = if let Some(core) = &options.core {
        let elf =
            options.elf.as_deref().ok_or_else(|| Failure::Usage("--core goes with --elf".to_owned()))?;
        let dump = memory::read(&contents(core)?, &contents(elf)?, options.loaded);
        (dump.map_err(|error| Failure::Other(format!("'{}': {error}", core.display())))?, core.clone())
    } else {
        let path = options.log.clone().unwrap_or_else(|| PathBuf::from("-"));
        let bytes = contents(&path)?;
        let (dump, faults) = text::read(&String::from_utf8_lossy(&bytes), options.partial)
            .map_err(|error| Failure::Other(format!("{}: {error}", named(&path))))?;
        for fault in &faults {
            eprintln!("scripts/trace: {}: {fault}: left out", named(&path));
        }
        (dump, path)
    };
    let story = Story::of(&dump);
    eprintln!("scripts/trace: {}", story.summary());
    if let Some(path) = &options.perfetto {
        write(path, &perfetto::file(&story))?;
    }
    if let Some(path) = &options.svg {
        let picture = picture::draw(&story).ok_or_else(|| {
            Failure::Other(format!(
                "{}: no CPU is kicked in this trace, so there is no bring-up to draw (its records may be overwritten: --mode drop)",
                named(&source)
            ))
        })?;
        write(path, picture.as_bytes())?;
    }
    Ok(())
}

/// How a file is called in messages.
fn named(path: &Path) -> String {
    if path == Path::new("-") { "stdin".to_owned() } else { format!("'{}'", path.display()) }
}

fn contents(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().read_to_end(&mut bytes).map(|_| ())
    } else {
        fs::read(path).map(|read| bytes = read)
    }
    .map_err(|error| Failure::Other(format!("cannot read {}: {error}", named(path))))?;
    Ok(bytes)
}

/// The whole file, or none: it is written beside its place first.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path)).map_err(|error| {
        let _ = fs::remove_file(&beside);
        Failure::Other(format!("cannot write '{}': {error}", path.display()))
    })
}

impl Options {
    fn read(words: impl Iterator<Item = std::ffi::OsString>) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut words = words;
        while let Some(word) = words.next() {
            let name = word.to_string_lossy().into_owned();
            let mut value = || {
                words.next().map(PathBuf::from).ok_or_else(|| Failure::Usage(format!("{name} takes a value")))
            };
            match name.as_str() {
                "--log" => options.log = Some(value()?),
                "--core" => options.core = Some(value()?),
                "--elf" => options.elf = Some(value()?),
                "--image" => {
                    let text = value()?.to_string_lossy().into_owned();
                    let address =
                        text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
                    options.loaded = Some(address.ok_or_else(|| {
                        Failure::Usage(format!("--image: '{text}' is not an address such as 0x40200000"))
                    })?);
                }
                "--perfetto" => options.perfetto = Some(value()?),
                "--svg" => options.svg = Some(value()?),
                "--partial" => options.partial = true,
                _ => return Err(Failure::Usage(format!("what is '{name}'?"))),
            }
        }
        Ok(options)
    }
}
