//! The tests of an image: what `cargo test` calls this program for.
//!
//! An image that was built with `reveille::tests!` says in its file which tests it has ([`section`]). The words of the command line are those of
//! `libtest`, and options of the machine ([`arguments`]). What becomes of each test is a [`plan`]; those that run are booted, each for itself or several
//! together (`boots`); the console of a boot says how they ended ([`transcript`]); and [`report`] prints that as `libtest` does.

use crate::elf::Image;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::machine::Setup;
use crate::options::{self, Gic, Options, Subject};
use crate::run;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub mod arguments;
mod boots;
pub mod plan;
pub mod report;
pub mod section;
pub mod transcript;

pub use arguments::HELP;

use arguments::Arguments;
use plan::{Fate, Machine, Plan, Wish};
use report::Report;
use section::Test;
use transcript::Outcome;

/// The exit code if a test has failed.
const FAILED: u8 = 101;

/// A command line that is about the tests of an image.
#[derive(Clone, Debug)]
pub struct Command {
    elf: PathBuf,
    tests: Vec<Test>,
    words: Vec<OsString>,
}

impl Command {
    /// Finds the ELF among the words, and the tests in it; `None` if it has none, or there is no ELF.
    ///
    /// # Errors
    ///
    /// Its tests are not as this version has them.
    pub fn find(words: &[OsString]) -> Result<Option<Self>> {
        let mut at = 0;
        while let Some(word) = words.get(at) {
            match word.to_str() {
                Some("--") => return Ok(None),
                Some(name) if options::takes_value(name) || arguments::takes_value(name) => at += 2,
                Some(name) if name.starts_with('-') && name != "-" => at += 1,
                _ => break,
            }
        }
        let Some(elf) = words.get(at) else { return Ok(None) };
        // What else may be wrong with it is said where it is opened.
        let Ok(bytes) = std::fs::read(elf) else { return Ok(None) };
        if crate::elf::check_image(Path::new(elf), None).is_err() {
            return Ok(None);
        }
        let tests =
            section::read(&bytes).map_err(|what| Error::usage(format!("'{}': {what}", elf.display())))?;
        let Some(tests) = tests else { return Ok(None) };
        let mut others = words.to_vec();
        let elf = PathBuf::from(others.remove(at));
        Ok(Some(Self { elf, tests, words: others }))
    }

    /// Does what the words say, and returns the exit code: 0 if no test has failed, 101 if one has, 130 or 143 if a signal has ended it.
    ///
    /// # Errors
    ///
    /// Bad usage, or QEMU is missing.
    pub fn run(self, host: &Host) -> Result<u8> {
        let (arguments, words) = arguments::take(self.words, options::takes_value)?;
        let mut options = Options::default();
        options::parse(words, &mut options, &mut Subject::Elf(Some(self.elf.clone().into())), host)?;
        let (tests, filtered) = plan::meant(self.tests, &arguments);
        if arguments.list {
            return report::list(&mut io::stdout(), &tests, arguments.format)
                .map_err(unprintable)
                .map(|()| 0);
        }
        // What is wrong with the command line is no matter of a test.
        Setup::new(options.clone(), host)?;
        let plan = plan::plan((tests, filtered), &arguments, given(&options), |wish| {
            let setup = Setup::new(wished(&options, wish), host).map_err(|error| error.to_string())?;
            let gic = match setup.gic {
                Gic::None => 0,
                Gic::V2 => 2,
                Gic::V3 => 3,
            };
            Ok(Machine { cpus: setup.cpus, gic, el: setup.el.into() })
        });
        let alone = [
            ("--gdb", options.gdb),
            ("--interactive", options.interactive == Some(true)),
            ("--print", options.print),
        ];
        if let Some((option, _)) = alone.iter().find(|(_, given)| *given) {
            return alone_on_the_terminal(option, &plan, &options, self.elf.as_os_str(), host);
        }
        if plan.tests.iter().any(|(_, fate)| matches!(fate, Fate::Runs(..))) {
            host.check_qemu()?;
        }
        let image = Image::open(&self.elf, host)?;
        run_all(plan, &arguments, &options, &image, host)
    }
}

fn unprintable(error: io::Error) -> Error {
    Error::failed(format!("cannot print: {error}"))
}

/// What the command line says of the machine.
fn given(options: &Options) -> Wish {
    let gic = options.gic.and_then(|gic| match gic {
        Gic::None => None,
        Gic::V2 => Some(2),
        Gic::V3 => Some(3),
    });
    Wish { cpus: options.cpus, gic, el: options.el.map(u32::from) }
}

/// The options, with this in them.
fn wished(options: &Options, wish: Wish) -> Options {
    let gic = wish.gic.map(|version| if version == 2 { Gic::V2 } else { Gic::V3 });
    Options { cpus: wish.cpus, gic, el: wish.el.map(|el| el as u8), ..options.clone() }
}

/// The same, with a word more for the image.
fn appended(mut options: Options, word: &str) -> Options {
    if !options.append.is_empty() {
        options.append.push(' ');
    }
    options.append.push_str(word);
    options
}

/// One test, as an image that is no test runs: for what wants a terminal.
fn alone_on_the_terminal(
    option: &str,
    plan: &Plan,
    options: &Options,
    elf: &OsStr,
    host: &Host,
) -> Result<u8> {
    let mut there = plan.tests.iter().filter_map(|(test, fate)| match fate {
        Fate::Runs(wish, _) => Some((test, *wish)),
        Fate::Ignored(_) => None,
    });
    let (Some((test, wish)), None) = (there.next(), there.next()) else {
        return Err(Error::usage(format!("{option}: one test at a time: name it, with --exact")));
    };
    host.check_qemu()?;
    let options = appended(wished(options, wish), &format!("reveille.test={}", test.name));
    run::run(Setup::new(options, host)?, Image::open(Path::new(elf), host)?, host)
}

fn run_all(plan: Plan, arguments: &Arguments, options: &Options, image: &Image, host: &Host) -> Result<u8> {
    let began = Instant::now();
    let stdout = io::stdout();
    let mut report = Report::new(stdout.lock(), arguments, stdout.is_terminal());
    report.begin(plan.tests.len()).map_err(unprintable)?;
    let mut running = Vec::new();
    for (test, fate) in &plan.tests {
        match fate {
            Fate::Runs(wish, machine) => running.push((test, *wish, *machine)),
            Fate::Ignored(why) => {
                report.done(test, &Outcome::Ignored(why.clone()), String::new()).map_err(unprintable)?;
            }
        }
    }
    let ended_by = boots::run(&running, arguments, options, image, host, &mut |event| match event {
        boots::Event::Line(line) => report.line(line),
        boots::Event::Done(test, done) => report.done(test, &done.outcome, done.output),
    })?;
    if let Some(code) = ended_by {
        return Ok(code);
    }
    let good = report.end(plan.filtered, began.elapsed()).map_err(unprintable)?;
    Ok(if good { 0 } else { FAILED })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::sample::{Sample, elf};

    #[test]
    fn a_damaged_elf_has_a_name() {
        let sample = Sample::new();
        let mut bytes = elf();
        // Where the table of sections is.
        bytes[40..48].copy_from_slice(&[0xff; 8]);
        std::fs::write(sample.image(), bytes).unwrap();
        let words = ["--test-threads".into(), "2".into(), sample.image().into()];
        let said = Command::find(&words).unwrap_err();
        assert_eq!(said, Error::usage(format!("'{}': the ELF is damaged", sample.image().display())));
    }
}
