//! Reads the console log of a panic, of the watchdog or of `nmi::backtrace` and prints it again with function, file and line of
//! every address that lies in the image, or with the name of the variable; functions that were inlined are named too.
//!
//! `scripts/symbolize` builds and calls it, and tells it where the checkout is and where its images are built.

mod names;

use names::Names;
use reveille_symbolize::image::{self, Image};
use reveille_symbolize::log::{self, Log};
use reveille_symbolize::search;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the wrapper prints for `--help`, and so not here.
const HINT: &str = "see scripts/symbolize --help";

/// Why there is nothing to print: what the exit code says, and one line.
enum Failure {
    /// Bad usage: 2.
    Usage(String),
    /// Something is missing, or cannot be written: 1.
    Other(String),
}

/// What was asked for.
struct Options {
    /// The checkout: file names in it are printed without it.
    root: PathBuf,
    /// Where images are looked for.
    images: PathBuf,
    /// Where the image was loaded, if the log does not say so.
    loaded: Option<u64>,
    elf: Option<PathBuf>,
    log: Option<PathBuf>,
}

fn main() -> ExitCode {
    let (line, code) = match run() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(line)) => (format!("{line} ({HINT})"), 2),
        Err(Failure::Other(line)) => (line, 1),
    };
    eprintln!("scripts/symbolize: {line}");
    ExitCode::from(code)
}

fn run() -> Result<(), Failure> {
    let options = Options::read(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()))?;
    let named = match &options.elf {
        Some(path) => {
            let unreadable =
                || Failure::Usage(format!("'{}' is not an ELF that can be read", path.display()));
            Some((path.clone(), image::read(path).ok_or_else(unreadable)?))
        }
        None => None,
    };
    let log = Log::parse(read_log(options.log.as_deref())?);
    let (path, file) = match named {
        Some(named) => named,
        None => {
            let Some(wanted) = log.build() else {
                return Err(Failure::Usage("the log names no build: name the ELF".to_owned()));
            };
            let found = search::with_build(&options.images, wanted).ok_or_else(|| {
                Failure::Usage(format!("no image built here has the build id {wanted:016x}: name the ELF"))
            })?;
            eprintln!("scripts/symbolize: build {wanted:016x} is {}", found.0.display());
            found
        }
    };
    let image = Image::parse(&file).map_err(|lacks| {
        Failure::Usage(format!("'{}' is no image of this project: {lacks}", path.display()))
    })?;
    if options.elf.is_some()
        && let Some(wanted) = log.build()
        && image.build_id() != Some(wanted)
    {
        let own = image.build_id().map_or_else(|| "unknown".to_owned(), |own| format!("{own:016x}"));
        eprintln!(
            "scripts/symbolize: the log is from build {wanted:016x}, but {} is build {own}: the names may be wrong",
            path.display()
        );
    }
    let names = Names::open(&path, &options.root)
        .map_err(|error| Failure::Other(format!("'{}': its debug information: {error}", path.display())))?;
    match print(&log, &image, options.loaded, &names) {
        // Whoever reads has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Failure::Other(format!("cannot write: {error}"))),
    }
}

/// Prints the log, each line with what its addresses are.
fn print(log: &Log, image: &Image<'_>, loaded: Option<u64>, names: &Names) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let (start, end) = image.text();
    let mut base = loaded.unwrap_or(start);
    for line in log.lines() {
        out.write_all(line.bytes())?;
        out.write_all(b"\n")?;
        if let Some(place) = line.image() {
            base = place;
            continue;
        }
        let mut seen = Vec::new();
        for address in line.addresses() {
            let Some(offset) = address.checked_sub(base) else { continue };
            let found = if offset < end - start {
                names.at(start + offset)
            } else {
                let variable = start.checked_add(offset).and_then(|at| image.variable(at));
                variable.map(|(name, from)| names::variable(name, from)).into_iter().collect()
            };
            if seen.contains(&address) {
                continue;
            }
            seen.push(address);
            let mut shown = format!("{address:#x}");
            for name in found {
                writeln!(out, "    {shown:<12} {name}")?;
                shown.clear();
            }
        }
    }
    out.flush()
}

/// The log, from a file or from stdin.
fn read_log(path: Option<&Path>) -> Result<Vec<u8>, Failure> {
    match path {
        Some(path) => std::fs::read(path)
            .map_err(|error| Failure::Usage(format!("cannot read the log '{}': {error}", path.display()))),
        None => {
            let mut bytes = Vec::new();
            io::stdin()
                .lock()
                .read_to_end(&mut bytes)
                .map_err(|error| Failure::Other(format!("cannot read stdin: {error}")))?;
            Ok(bytes)
        }
    }
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let usage = |line: String| Err(Failure::Usage(line));
        let (mut root, mut images, mut loaded) = (PathBuf::from("/"), PathBuf::from("target"), None);
        let mut files = Vec::new();
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (word.clone(), None),
            };
            match name.as_str() {
                "--image" | "--root" | "--images" => {
                    let Some(value) = value.or_else(|| words.next()) else {
                        return usage(format!("{name} wants a value"));
                    };
                    match name.as_str() {
                        "--root" => root = value.into(),
                        "--images" => images = value.into(),
                        _ => match log::hexadecimal(&value) {
                            Some(address) => loaded = Some(address),
                            None => {
                                return usage(format!(
                                    "--image: '{value}' is not an address such as 0x40200000"
                                ));
                            }
                        },
                    }
                }
                _ if word.starts_with('-') && word != "-" => {
                    return usage(format!("unknown option '{word}'"));
                }
                _ if files.len() == 2 => {
                    return usage(format!("what is '{word}'? There are an ELF and a log already"));
                }
                "-" => files.push(None),
                _ => files.push(Some(PathBuf::from(word))),
            }
        }
        let mut files = files.into_iter();
        let (elf, log) = (files.next().flatten(), files.next().flatten());
        Ok(Self { root, images, loaded, elf, log })
    }
}
