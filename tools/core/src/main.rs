//! Makes an ELF core of what a machine has left on its console: of the dump that the bootarg `reveille.core=console` asks for, or, where
//! there is none, of the report as far as it goes. `scripts/core` builds and calls it; what the debugger reads out of a guest comes in the
//! same form.

mod elf;
mod lines;
mod machine;
mod report;

use reveille_symbolize::image::{self, Image};
use reveille_symbolize::log::Log;
use reveille_symbolize::search;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the wrapper prints for `--help`, and so not here.
const HINT: &str = "see scripts/core --help";

/// Why there is no core: what the exit code says, and one line.
enum Failure {
    /// Bad usage, or input of which nothing can be made: 2.
    Usage(String),
    /// Something cannot be written: 1.
    Other(String),
}

/// What was asked for.
struct Options {
    /// Where images are looked for.
    images: PathBuf,
    elf: Option<PathBuf>,
    output: PathBuf,
    log: PathBuf,
}

/// The exit code for a core that lacks something, or may.
const INCOMPLETE: u8 = 3;

fn main() -> ExitCode {
    let (line, code) = match run() {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => return ExitCode::from(INCOMPLETE),
        Err(Failure::Usage(line)) => (format!("{line} ({HINT})"), 2),
        Err(Failure::Other(line)) => (line, 1),
    };
    say(&line);
    ExitCode::from(code)
}

fn say(line: &str) {
    eprintln!("scripts/core: {line}");
}

/// Whether all was there.
fn run() -> Result<bool, Failure> {
    let options = Options::read(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()))?;
    let log = std::fs::read(&options.log)
        .map_err(|error| Failure::Usage(format!("cannot read '{}': {error}", options.log.display())))?;
    let log = Log::parse(log);
    let name = options.log.display().to_string();
    let (machine, complaints) = match lines::read(&log, &name).map_err(Failure::Usage)? {
        Some(read) => read,
        None => {
            let machine = report::read(&log).ok_or_else(|| {
                Failure::Usage(format!("'{name}' has neither a dump nor the report of a panic"))
            })?;
            (
                machine,
                vec![
                    "there is no dump in the log: registers as the report has them, and no memory".to_owned(),
                ],
            )
        }
    };
    let (path, bytes) = image(&options, machine.build)?;
    let entry = Image::parse(&bytes)
        .map_err(|lacks| Failure::Usage(format!("'{}' is no image of this project: {lacks}", path.display())))
        .and_then(|image| {
            if image.build_id() != Some(machine.build) {
                let own = image.build_id().map_or_else(|| "unknown".to_owned(), |own| format!("{own:016x}"));
                return Err(Failure::Usage(format!(
                    "the machine ran build {:016x}, but '{}' is build {own}",
                    machine.build,
                    path.display()
                )));
            }
            Ok(image.text().0)
        })?;
    if machine.image % 4096 != entry % 4096 {
        return Err(Failure::Usage(format!("an image at {:#x} is not where one can be", machine.image)));
    }
    complaints.iter().for_each(|complaint| say(complaint));
    let core = elf::core(&machine, &name_of(&path)).map_err(Failure::Other)?;
    std::fs::write(&options.output, core)
        .map_err(|error| Failure::Other(format!("cannot write '{}': {error}", options.output.display())))?;
    // What the wrapper wants to know.
    println!("{}", path.display());
    let unknown = machine.cpus.iter().filter(|cpu| !cpu.is_known).count();
    say(&format!(
        "{} CPUs{}, {} bytes of memory",
        machine.cpus.len(),
        if unknown == 0 { String::new() } else { format!(", {unknown} of them without registers") },
        machine.pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>()
    ));
    Ok(complaints.is_empty())
}

/// The last part of a path.
fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The image of this build, and what is in it.
fn image(options: &Options, build: u64) -> Result<(PathBuf, Vec<u8>), Failure> {
    match &options.elf {
        Some(path) => match image::read(path) {
            Some(bytes) => Ok((path.clone(), bytes)),
            None => Err(Failure::Usage(format!("'{}' is not an ELF that can be read", path.display()))),
        },
        None => search::with_build(&options.images, build).ok_or_else(|| {
            Failure::Usage(format!("no image built here has the build id {build:016x}: name it with --image"))
        }),
    }
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let (mut images, mut elf, mut output, mut log) = (PathBuf::from("target"), None, None, None);
        while let Some(word) = words.next() {
            let mut value = || {
                words.next().map(PathBuf::from).ok_or_else(|| Failure::Usage(format!("{word} wants a value")))
            };
            match word.as_str() {
                "--images" => images = value()?,
                "--image" => elf = Some(value()?),
                "--output" => output = Some(value()?),
                "--from" => log = Some(value()?),
                _ => return Err(Failure::Usage(format!("what is '{word}'?"))),
            }
        }
        let missing = |name: &str| Failure::Usage(format!("{name} is missing"));
        Ok(Self {
            images,
            elf,
            output: output.ok_or_else(|| missing("--output"))?,
            log: log.ok_or_else(|| missing("--from"))?,
        })
    }
}
