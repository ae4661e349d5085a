//! The command line of a program of tests: that of `libtest`, with options of the machine in between.

use crate::error::{Error, Result};
use std::ffi::OsString;

/// The help text of them.
pub const HELP: &str = include_str!("arguments.txt");

/// How the results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A line for each test.
    #[default]
    Pretty,
    /// A character for each test.
    Terse,
}

/// Whether there is colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What becomes of tests that are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ignored {
    /// They are reported as such.
    #[default]
    Skipped,
    /// They run, and no others.
    Alone,
    /// They run as others do.
    Included,
}

/// What of a command line is about tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Parts of names; with any, only tests with one of them in their names run.
    pub filters: Vec<String>,
    /// `--skip`, all of them.
    pub skip: Vec<String>,
    /// `--exact`: filters are whole names.
    pub exact: bool,
    /// `--list`.
    pub list: bool,
    /// `--ignored`, `--include-ignored`.
    pub ignored: Ignored,
    /// `--nocapture`.
    pub nocapture: bool,
    /// `--show-output`.
    pub show_output: bool,
    /// `--format`, `-q`.
    pub format: Format,
    /// `--color`.
    pub color: Color,
    /// `--test-threads`: so many machines at once.
    pub threads: Option<usize>,
    /// `--one-boot`.
    pub one_boot: bool,
    /// `--bench`: what `cargo bench` says, for which there is nothing.
    pub bench: bool,
    /// `--help`.
    pub help: bool,
}

/// Takes what is about tests out of a command line. The second part is the rest, for who reads options of the machine; `takes_value` says which of
/// those have a value as their next word.
///
/// # Errors
///
/// [`Error::Usage`]: a value that is missing or makes no sense, an option of `libtest` that there is not here.
pub fn take(
    words: impl IntoIterator<Item = OsString>,
    takes_value: impl Fn(&str) -> bool,
) -> Result<(Arguments, Vec<OsString>)> {
    let mut arguments = Arguments::default();
    let mut others = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let Some(text) = word.to_str() else {
            return Err(Error::usage(format!("'{}' is not UTF-8", word.display())));
        };
        if text == "--" {
            others.push(word);
            others.extend(words);
            break;
        }
        if !text.starts_with('-') {
            arguments.filters.push(text.to_owned());
            continue;
        }
        let (name, inline) = match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (text, None),
        };
        if inline.is_none() && arguments.flag(name)? {
            continue;
        }
        if VALUES.contains(&name) {
            let value = inline.or_else(|| words.next().and_then(|value| value.into_string().ok()));
            let value = value.ok_or_else(|| Error::usage(format!("{name}: its value is missing")))?;
            arguments.value(name, value)?;
            continue;
        }
        if let Some(why) = absent(name) {
            return Err(Error::usage(format!("{name}: {why}")));
        }
        let value = if inline.is_none() && takes_value(name) { words.next() } else { None };
        others.extend([word].into_iter().chain(value));
    }
    Ok((arguments, others))
}

const VALUES: &[&str] = &["--skip", "--format", "--color", "--test-threads"];

/// Whether the value of this option of `libtest` is the next word.
pub fn takes_value(name: &str) -> bool {
    VALUES.contains(&name)
}

/// Why an option of `libtest` is not here.
fn absent(name: &str) -> Option<&'static str> {
    Some(match name {
        "--logfile" => "there is none of it here; redirect the output",
        "--report-time"
        | "--ensure-time"
        | "--shuffle"
        | "--shuffle-seed"
        | "--fail-fast"
        | "-Z"
        | "--exclude-should-panic"
        | "--force-run-in-process" => "it is unstable in libtest, and there is none of it here",
        _ => return None,
    })
}

impl Arguments {
    /// Whether a test of this name is meant.
    pub fn is_meant(&self, name: &str) -> bool {
        let matches =
            |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(matches)) && !self.skip.iter().any(matches)
    }

    fn flag(&mut self, name: &str) -> Result<bool> {
        let only = |ignored: Ignored, wanted: Ignored| {
            if ignored == Ignored::Skipped || ignored == wanted {
                Ok(wanted)
            } else {
                Err(Error::usage("--ignored and --include-ignored: one of them"))
            }
        };
        match name {
            "--exact" => self.exact = true,
            "--list" => self.list = true,
            "--ignored" => self.ignored = only(self.ignored, Ignored::Alone)?,
            "--include-ignored" => self.ignored = only(self.ignored, Ignored::Included)?,
            "--nocapture" | "--no-capture" => self.nocapture = true,
            "--show-output" => self.show_output = true,
            "-q" | "--quiet" => self.format = Format::Terse,
            "--one-boot" => self.one_boot = true,
            "--bench" => self.bench = true,
            // All there is.
            "--test" => {}
            "-h" | "--help" => self.help = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn value(&mut self, name: &str, value: String) -> Result<()> {
        match (name, value.as_str()) {
            ("--skip", _) => self.skip.push(value),
            ("--format", "pretty") => self.format = Format::Pretty,
            ("--format", "terse") => self.format = Format::Terse,
            ("--format", "json" | "junit") => {
                return Err(Error::usage(format!(
                    "--format: {value} is unstable in libtest, and there is none of it here: pretty or terse"
                )));
            }
            ("--format", _) => {
                return Err(Error::usage(format!("--format: '{value}' is neither pretty nor terse")));
            }
            ("--color", "auto") => self.color = Color::Auto,
            ("--color", "always") => self.color = Color::Always,
            ("--color", "never") => self.color = Color::Never,
            ("--color", _) => {
                return Err(Error::usage(format!("--color: '{value}' is none of auto, always, never")));
            }
            _ => {
                let number = value.parse().ok().filter(|number| (1..=MOST_THREADS).contains(number));
                self.threads = Some(number.ok_or_else(|| {
                    Error::usage(format!("{name}: '{value}' is not a number from 1 to {MOST_THREADS}"))
                })?);
            }
        }
        Ok(())
    }
}

const MOST_THREADS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(words: &str) -> Result<(Arguments, Vec<OsString>)> {
        take(words.split_whitespace().map(OsString::from), |name| matches!(name, "--cpus" | "--append"))
    }

    #[test]
    fn what_is_about_tests_and_what_about_the_machine() {
        let (arguments, others) =
            taken("one --cpus 8 two --exact --append x --skip three --test-threads=4 --gic=2 -q -- -d int")
                .unwrap();
        assert_eq!(arguments.filters, ["one", "two"]);
        assert_eq!(arguments.skip, ["three"]);
        assert_eq!((arguments.threads, arguments.exact, arguments.format), (Some(4), true, Format::Terse));
        assert_eq!(others, ["--cpus", "8", "--append", "x", "--gic=2", "--", "-d", "int"]);
        let (arguments, others) =
            taken("--list --format terse --include-ignored --no-capture --color=never").unwrap();
        assert!(arguments.list && arguments.nocapture && others.is_empty());
        assert_eq!((arguments.ignored, arguments.color), (Ignored::Included, Color::Never));
        // What nobody knows is for who reads the rest.
        assert_eq!(taken("--frobnicate x").unwrap().1, ["--frobnicate"]);
    }

    #[test]
    fn which_are_meant() {
        let meant = |words: &str, name: &str| taken(words).unwrap().0.is_meant(name);
        assert!(meant("", "a::b"));
        assert!(meant("b", "a::b") && meant("x a::", "a::b") && !meant("c", "a::b"));
        assert!(meant("--exact a::b", "a::b") && !meant("--exact b", "a::b"));
        assert!(
            !meant("--skip b", "a::b")
                && !meant("a --skip a::b --exact", "a::b")
                && meant("--skip c", "a::b")
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (words, said) in [
            ("--skip", "--skip: its value is missing"),
            ("--test-threads 0", "--test-threads: '0' is not a number from 1 to 1024"),
            (
                "--format json",
                "--format: json is unstable in libtest, and there is none of it here: pretty or terse",
            ),
            ("--format=xml", "--format: 'xml' is neither pretty nor terse"),
            ("--color red", "--color: 'red' is none of auto, always, never"),
            ("--ignored --include-ignored", "--ignored and --include-ignored: one of them"),
            ("--shuffle", "--shuffle: it is unstable in libtest, and there is none of it here"),
            ("--logfile=x", "--logfile: there is none of it here; redirect the output"),
        ] {
            assert_eq!(taken(words).unwrap_err(), Error::usage(said), "{words}");
        }
    }
}
