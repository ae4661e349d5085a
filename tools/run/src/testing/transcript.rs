//! What a console says of the tests of one boot, line by line, and what that and the end of the run make of each.
//!
//! The harness in the image ends its lines with a word that was made up for this boot: so what the application prints is never taken for
//! a verdict. A test that panics ends the run with the exit code for that and a complete report, and the harness says nothing more.

use super::section::Test;

/// The exit code of an image that panicked.
const PANIC: i32 = 101;

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed. Why, if its output does not say so.
    Failed(Option<String>),
    /// It did not run, and why.
    Ignored(String),
}

/// A test that is over, with what the console had meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its place among those of this boot.
    pub index: usize,
    /// How it ended.
    pub outcome: Outcome,
    /// Whole lines.
    pub output: String,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit code.
    Exit(i32),
    /// It was stopped after so many seconds.
    Stopped(u64),
}

/// Reads the console of one boot.
pub struct Transcript<'a> {
    tests: &'a [&'a Test],
    key: &'a str,
    /// The test that runs, or is to run.
    current: usize,
    begun: bool,
    /// A test of this boot has failed, so the harness ends with 1.
    failed: bool,
    output: String,
    /// The one whose verdict has come, while nothing has come behind it.
    last: Option<Done>,
}

/// What a line was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The harness begins the next test.
    Begins,
    /// Somebody printed this, without its end.
    Printed(String),
    /// The harness says how a test ended; perhaps somebody had printed this before.
    Verdict(Option<String>),
}

impl<'a> Transcript<'a> {
    /// Of a boot in which these tests run, one after the other, under this word.
    pub fn new(tests: &'a [&'a Test], key: &'a str) -> Self {
        Self { tests, key, current: 0, begun: false, failed: false, output: String::new(), last: None }
    }

    /// Takes a line, without its end. With it comes the test before, if it is now known that nothing went wrong behind it.
    pub fn line(&mut self, line: &str) -> (Line, Option<Done>) {
        let line = line.trim_end_matches('\r');
        if let Some(test) = self.tests.get(self.current) {
            if !self.begun
                && let Some(before) = line.strip_suffix(&format!("test {} begins {}", test.name, self.key))
            {
                self.begun = true;
                if !before.is_empty() {
                    self.print(before);
                }
                return (Line::Begins, self.last.take());
            }
            if self.begun
                && let Some((before, verdict)) = line
                    .strip_suffix(self.key)
                    .and_then(|line| line.strip_suffix(' '))
                    .and_then(|line| line.rsplit_once(&format!("test {} ... ", test.name)))
            {
                let before = (!before.is_empty()).then(|| before.to_owned());
                if let Some(before) = &before {
                    self.print(before);
                }
                let outcome = match verdict {
                    "ok" => Outcome::Passed,
                    _ => verdict.strip_prefix("ignored").map_or(Outcome::Failed(None), |why| {
                        Outcome::Ignored(why.trim_start_matches(", ").to_owned())
                    }),
                };
                self.failed |= matches!(outcome, Outcome::Failed(_));
                let output = std::mem::take(&mut self.output);
                self.last = Some(Done { index: self.current, outcome, output });
                self.current += 1;
                self.begun = false;
                return (Line::Verdict(before), None);
            }
        }
        self.print(line);
        (Line::Printed(line.to_owned()), None)
    }

    /// Whether all verdicts are there.
    pub fn is_complete(&self) -> bool {
        self.current == self.tests.len()
    }

    /// What is known now that the run has ended: of the test that was running, or of the last one.
    pub fn end(mut self, end: &End) -> Done {
        if !self.is_complete() {
            if let Some(last) = self.last.take().filter(|_| !self.begun) {
                // The harness goes on to the next test at once. So what ended the run came behind this one.
                return self.after(last, end);
            }
            let test = self.tests[self.current];
            let outcome = if self.begun { broken_off(test, &self.output, end) } else { never_began(end) };
            return Done { index: self.current, outcome, output: self.output };
        }
        let Some(last) = self.last.take() else {
            unreachable!("a boot has a test, and the last one is kept")
        };
        self.after(last, end)
    }

    /// What came behind a verdict counts: a CPU may have failed.
    fn after(self, mut last: Done, end: &End) -> Done {
        // What the harness itself ends with.
        let good = *end == End::Exit(self.failed.into()) && self.is_complete();
        if !good && last.outcome == Outcome::Passed {
            last.outcome = Outcome::Failed(Some(format!("it returned, and then {}", said(end))));
            last.output += &self.output;
        }
        last
    }

    fn print(&mut self, line: &str) {
        self.output.push_str(line);
        self.output.push('\n');
    }
}

fn said(end: &End) -> String {
    match end {
        End::Exit(code) => format!("the machine ended with the exit code {code}"),
        End::Stopped(seconds) => format!("the machine was stopped after {seconds} s"),
    }
}

fn never_began(end: &End) -> Outcome {
    Outcome::Failed(Some(match end {
        End::Stopped(seconds) => format!("it had not begun after {seconds} s: the machine was stopped"),
        other => format!("it had not begun when {}", said(other)),
    }))
}

/// The machine ended before the test came back.
fn broken_off(test: &Test, output: &str, end: &End) -> Outcome {
    let failed = |why: String| Outcome::Failed(Some(why));
    match (end, panic_message(output)) {
        (End::Stopped(seconds), _) => {
            failed(format!("it was not over after {seconds} s: the machine was stopped"))
        }
        (End::Exit(PANIC), Some(message)) => match test.should_panic.as_deref() {
            None => Outcome::Failed(None),
            Some(text) if message.contains(text) => Outcome::Passed,
            Some(text) => failed(format!(
                "panic did not contain expected string\n      panic message: {message:?},\n expected substring: {text:?}"
            )),
        },
        (End::Exit(code), None) if test.should_panic.is_some() => {
            failed(format!("test did not panic as expected: the machine ended with the exit code {code}"))
        }
        (End::Exit(code), _) => {
            failed(format!("the machine ended with the exit code {code} before it returned"))
        }
    }
}

/// The message of the report of a panic, or the exception in words, if the report is complete.
fn panic_message(output: &str) -> Option<String> {
    let mut lines = output.lines().skip_while(|line| !is_head(line));
    let first = lines.next()?.split_once(" s: ")?.1;
    let mut message = first.to_owned();
    let mut rest = lines.by_ref().take_while(|line| !line.starts_with("  image 0x")).peekable();
    while let Some(line) = rest.next() {
        // The last line before is the place.
        if rest.peek().is_none() && line.starts_with("  at ") {
            break;
        }
        message.push('\n');
        message.push_str(line);
    }
    lines.any(|line| line.starts_with("end of the report: ")).then_some(message)
}

/// Whether a line is the first one of a report: `panic on cpu 0 at 0.533866 s: ..`
fn is_head(line: &str) -> bool {
    line.strip_prefix("panic on ")
        .and_then(|rest| rest.split_once(" s: "))
        .and_then(|(place, _)| place.rsplit_once(" at "))
        .is_some_and(|(_, time)| time.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\npanic on cpu 0 at 0.533866 s: assertion failed\n  left: 4\n right: 1\n  at tests/one.rs:13:14\n\
                          \u{20} image 0x40200000 to 0x4036e000, build 551373da2eed4818\n  pc 0x4020935c\n\
                          end of the report: 4 CPUs: 3 parked; then: exit\n";

    fn test(name: &str) -> Test {
        Test { name: name.into(), ..Test::default() }
    }

    /// All tests of a console, each with its outcome and output.
    fn read(tests: &[Test], console: &str, end: End) -> Vec<Done> {
        let tests: Vec<_> = tests.iter().collect();
        let mut transcript = Transcript::new(&tests, "k3y");
        let mut done = Vec::new();
        for line in console.lines() {
            done.extend(transcript.line(line).1);
        }
        done.push(transcript.end(&end));
        done
    }

    fn single(test: Test, console: &str, end: End) -> Outcome {
        let done = read(&[test], console, end);
        assert_eq!(done.len(), 1);
        done[0].outcome.clone()
    }

    fn why(outcome: Outcome) -> String {
        match outcome {
            Outcome::Failed(Some(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn several_in_one_boot() {
        let console = "setup\r\ntest a begins k3y\r\nhello\r\nno end of linetest a ... ok k3y\r\ntest b begins k3y\r\n\
                       test b ... FAILED k3y\r\ntest c begins k3y\r\ntest c ... ignored, why k3y\r\ntest result: FAILED.\r\n";
        let done = read(&[test("a"), test("b"), test("c")], console, End::Exit(1));
        assert_eq!(
            done,
            [
                Done { index: 0, outcome: Outcome::Passed, output: "setup\nhello\nno end of line\n".into() },
                Done { index: 1, outcome: Outcome::Failed(None), output: String::new() },
                Done { index: 2, outcome: Outcome::Ignored("why".into()), output: String::new() },
            ]
        );
    }

    #[test]
    fn only_the_harness_has_a_verdict() {
        let begins = "test a begins k3y\n";
        for line in ["test a ... ok", "test a ... ok other", "test b ... ok k3y", "ok k3y", "a ... ok k3y"] {
            let said = why(single(test("a"), &format!("{begins}{line}\n"), End::Exit(0)));
            assert_eq!(said, "the machine ended with the exit code 0 before it returned", "{line}");
        }
        // Nor a verdict before it began.
        let said = why(single(test("a"), "test a ... ok k3y\n", End::Exit(0)));
        assert_eq!(said, "it had not begun when the machine ended with the exit code 0");
        assert_eq!(
            single(test("a"), "test a begins k3y\ntest a ... ok k3y\n", End::Exit(0)),
            Outcome::Passed
        );
    }

    #[test]
    fn panics() {
        let console = format!("test a begins k3y\n{REPORT}");
        let panics = |text: &str| Test { should_panic: Some(text.into()), ..test("a") };
        assert_eq!(single(test("a"), &console, End::Exit(101)), Outcome::Failed(None));
        for text in ["", "assertion failed", "left: 4\n right"] {
            assert_eq!(single(panics(text), &console, End::Exit(101)), Outcome::Passed, "{text}");
        }
        let announced = console.replace("k3y\n", "k3y\npanic on purpose\n");
        assert_eq!(single(panics("assertion failed"), &announced, End::Exit(101)), Outcome::Passed);
        // What is not of the message does not count.
        for text in ["tests/one.rs", "parked", "image"] {
            let said = why(single(panics(text), &console, End::Exit(101)));
            assert!(said.contains("panic did not contain expected string") && said.contains(text), "{said}");
        }
        // Nor does a report that is not complete, or a run that ends in another way.
        let cut = console.replace("end of the report", "e");
        assert!(matches!(single(panics(""), &cut, End::Exit(101)), Outcome::Failed(Some(_))));
        assert!(matches!(single(panics(""), &console, End::Exit(0)), Outcome::Failed(Some(_))));
        assert!(matches!(single(panics(""), &console, End::Stopped(5)), Outcome::Failed(Some(_))));
        let returned = "test a begins k3y\ntest a ... FAILED k3y\n";
        assert_eq!(single(panics(""), returned, End::Exit(1)), Outcome::Failed(None));
    }

    #[test]
    fn what_comes_behind_a_verdict_counts() {
        let console = "test a begins k3y\ntest a ... ok k3y\n";
        for (end, said) in [
            (End::Exit(1), "it returned, and then the machine ended with the exit code 1"),
            (End::Exit(101), "it returned, and then the machine ended with the exit code 101"),
            (End::Stopped(9), "it returned, and then the machine was stopped after 9 s"),
        ] {
            assert_eq!(why(single(test("a"), console, end)), said);
        }
        let done = read(&[test("a"), test("b")], &format!("{console}{REPORT}"), End::Exit(101));
        assert_eq!((done.len(), done[0].index), (1, 0));
        assert!(done[0].output.contains("assertion failed"));
    }

    #[test]
    fn a_test_that_hangs() {
        assert_eq!(
            why(single(test("a"), "test a begins k3y\nhello\n", End::Stopped(5))),
            "it was not over after 5 s: the machine was stopped"
        );
        assert_eq!(
            why(single(test("a"), "hello\n", End::Stopped(5))),
            "it had not begun after 5 s: the machine was stopped"
        );
    }
}
