//! What is printed: as by `libtest`.

use super::arguments::{Arguments, Color, Format};
use super::section::Test;
use super::transcript::Outcome;
use std::io::{self, Write};
use std::time::Duration;

/// How many characters a line of the terse format has.
const ROW: usize = 88;

/// The results, as they come.
pub struct Report<W> {
    out: W,
    format: Format,
    colour: bool,
    show_output: bool,
    /// Consoles have been printed already.
    nocapture: bool,
    total: usize,
    count: usize,
    passed: Vec<(String, String)>,
    failed: Vec<(String, String)>,
    ignored: usize,
}

impl<W: Write> Report<W> {
    /// For this command line; `terminal`: whether that is what `out` is.
    pub fn new(out: W, arguments: &Arguments, terminal: bool) -> Self {
        let colour = match arguments.color {
            Color::Auto => terminal,
            Color::Always => true,
            Color::Never => false,
        };
        Self {
            out,
            format: arguments.format,
            colour,
            show_output: arguments.show_output,
            nocapture: arguments.nocapture,
            total: 0,
            count: 0,
            passed: Vec::new(),
            failed: Vec::new(),
            ignored: 0,
        }
    }

    /// So many tests are to come.
    pub fn begin(&mut self, total: usize) -> io::Result<()> {
        self.total = total;
        writeln!(self.out, "\nrunning {total} {}", if total == 1 { "test" } else { "tests" })?;
        self.out.flush()
    }

    /// A line of a console, as it comes.
    pub fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    /// A test is over. `output` is what the console had meanwhile.
    pub fn done(&mut self, test: &Test, outcome: &Outcome, output: String) -> io::Result<()> {
        let (word, letter, colour) = match outcome {
            Outcome::Passed => ("ok", '.', GREEN),
            Outcome::Failed(_) => ("FAILED", 'F', RED),
            Outcome::Ignored(_) => ("ignored", 'i', YELLOW),
        };
        self.count += 1;
        match self.format {
            Format::Pretty => {
                let panics = if test.should_panic.is_some() { " - should panic" } else { "" };
                let why = match outcome {
                    Outcome::Ignored(why) if !why.is_empty() => format!(", {}", why.replace('\n', " ")),
                    _ => String::new(),
                };
                let word = self.painted(word, colour);
                writeln!(self.out, "test {}{panics} ... {word}{why}", test.name)?;
            }
            Format::Terse => {
                write!(self.out, "{}", self.painted(&letter.to_string(), colour))?;
                if self.count.is_multiple_of(ROW) || self.count == self.total {
                    writeln!(self.out, " {}/{}", self.count, self.total)?;
                }
            }
        }
        self.out.flush()?;
        let output = if self.nocapture { String::new() } else { output };
        match outcome {
            Outcome::Passed => self.passed.push((test.name.clone(), output)),
            Outcome::Failed(why) => {
                let note = why.as_ref().map(|why| format!("note: {why}\n")).unwrap_or_default();
                self.failed.push((test.name.clone(), output + &note));
            }
            Outcome::Ignored(_) => self.ignored += 1,
        }
        Ok(())
    }

    /// All are over. Whether it is good.
    pub fn end(mut self, filtered: usize, time: Duration) -> io::Result<bool> {
        for list in [&mut self.passed, &mut self.failed] {
            list.sort();
        }
        if self.show_output {
            section(&mut self.out, "successes", &self.passed)?;
        }
        if !self.failed.is_empty() {
            section(&mut self.out, "failures", &self.failed)?;
        }
        let good = self.failed.is_empty();
        let word = if good { self.painted("ok", GREEN) } else { self.painted("FAILED", RED) };
        writeln!(
            self.out,
            "\ntest result: {word}. {} passed; {} failed; {} ignored; 0 measured; {filtered} filtered out; finished in {:.2}s\n",
            self.passed.len(),
            self.failed.len(),
            self.ignored,
            time.as_secs_f64()
        )?;
        self.out.flush()?;
        Ok(good)
    }

    fn painted(&self, word: &str, colour: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{word}\x1b[0m") } else { word.to_owned() }
    }
}

const GREEN: &str = "32";
const RED: &str = "31";
const YELLOW: &str = "33";

/// The consoles of these tests, then their names.
fn section(out: &mut impl Write, title: &str, tests: &[(String, String)]) -> io::Result<()> {
    writeln!(out, "\n{title}:\n")?;
    for (name, output) in tests.iter().filter(|(_, output)| !output.is_empty()) {
        writeln!(out, "---- {name} stdout ----\n{}\n", output.trim_end())?;
    }
    writeln!(out, "\n{title}:")?;
    tests.iter().try_for_each(|(name, _)| writeln!(out, "    {name}"))
}

/// The names of these tests.
pub fn list(out: &mut impl Write, tests: &[Test], format: Format) -> io::Result<()> {
    tests.iter().try_for_each(|test| writeln!(out, "{}: test", test.name))?;
    if format == Format::Pretty {
        let count = tests.len();
        writeln!(out, "\n{count} {}, 0 benchmarks", if count == 1 { "test" } else { "tests" })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(name: &str) -> Test {
        Test { name: name.into(), ..Test::default() }
    }

    fn printed(arguments: &Arguments) -> String {
        let mut out = Vec::new();
        let mut report = Report::new(&mut out, arguments, false);
        report.begin(4).unwrap();
        report.done(&test("b"), &Outcome::Failed(Some("why".into())), "hello\n".into()).unwrap();
        let panics = Test { should_panic: Some(String::new()), ..test("a") };
        report.done(&panics, &Outcome::Passed, "report\n".into()).unwrap();
        report.done(&test("c"), &Outcome::Ignored("too\nslow".into()), String::new()).unwrap();
        report.done(&test("d"), &Outcome::Failed(None), String::new()).unwrap();
        assert!(!report.end(2, Duration::from_millis(1234)).unwrap());
        String::from_utf8(out).unwrap()
    }

    const END: &str = "\nfailures:\n\n---- b stdout ----\nhello\nnote: why\n\n\nfailures:\n    b\n    d\n\n\
                       test result: FAILED. 1 passed; 2 failed; 1 ignored; 0 measured; 2 filtered out; finished in 1.23s\n\n";

    #[test]
    fn a_line_for_each() {
        let lines = "\nrunning 4 tests\ntest b ... FAILED\ntest a - should panic ... ok\ntest c ... ignored, too slow\ntest d ... FAILED\n";
        assert_eq!(printed(&Arguments::default()), format!("{lines}{END}"));
        let shown = printed(&Arguments { show_output: true, ..Arguments::default() });
        let successes = "\nsuccesses:\n\n---- a stdout ----\nreport\n\n\nsuccesses:\n    a\n";
        assert_eq!(shown, format!("{lines}{successes}{END}"));
    }

    #[test]
    fn what_was_printed_already() {
        let printed = printed(&Arguments { nocapture: true, ..Arguments::default() });
        assert!(!printed.contains("hello") && printed.contains("note: why"), "{printed}");
    }

    #[test]
    fn a_letter_for_each() {
        let terse = printed(&Arguments { format: Format::Terse, ..Arguments::default() });
        assert_eq!(terse, format!("\nrunning 4 tests\nF.iF 4/4\n{END}"));
    }

    #[test]
    fn colours() {
        let said = printed(&Arguments { color: Color::Always, ..Arguments::default() });
        assert!(said.contains("test b ... \x1b[31mFAILED\x1b[0m\n"), "{said}");
    }

    #[test]
    fn names() {
        let said = |format| {
            let mut out = Vec::new();
            list(&mut out, &[test("a"), test("b::c")], format).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(said(Format::Terse), "a: test\nb::c: test\n");
        assert_eq!(said(Format::Pretty), "a: test\nb::c: test\n\n2 tests, 0 benchmarks\n");
    }
}
