//! Runs of a QEMU that does what a test wants.

use super::sample::Sample;
use crate::elf::Image;
use crate::error::Error;
use crate::machine::{Machine, Setup, Watch};
use crate::options::Options;
use crate::run::{Hand, Outcome, Reins, boot, boot_under, run};
use std::io::{self, Write};
use std::time::Duration;

fn machine(sample: &Sample) -> Machine {
    let host = sample.host();
    let image = Image::open(&sample.image(), &host).unwrap();
    Machine::new(Setup::new(Options::default(), &host).unwrap(), image, &Watch::default(), &host).unwrap()
}

#[test]
fn the_console_and_the_exit_code_are_the_guests() {
    let sample = Sample::new();
    let mut console = Vec::new();
    sample.qemu("printf 'one\\ntwo'; exit 7");
    let outcome = boot(&machine(&sample), &mut console, Some(Duration::from_secs(60))).unwrap();
    assert!(matches!(outcome, Outcome::Exited(7)), "{outcome:?}");
    assert_eq!(console, b"one\ntwo");
    sample.qemu("kill -ABRT $$");
    let outcome = boot(&machine(&sample), &mut console, None).unwrap();
    assert!(matches!(outcome, Outcome::Exited(134)), "{outcome:?}");
}

/// Its time is up when it has said that it is on.
struct UntilOn {
    hand: Hand,
    said: String,
}

impl Write for UntilOn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.said += &String::from_utf8_lossy(bytes);
        if self.said.ends_with("on\n") {
            self.hand.limit(Some(Duration::ZERO));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets it run until it is on. What it has said.
fn until_on(sample: &Sample) -> String {
    let reins = Reins::new();
    let mut console = UntilOn { hand: reins.hand(), said: String::new() };
    let outcome = boot_under(&machine(sample), &mut console, &mut |_| {}, None, reins).unwrap();
    assert!(matches!(outcome, Outcome::TimedOut), "{outcome:?}");
    console.said
}

#[test]
fn messages_that_are_no_text_are_no_end_of_them() {
    let sample = Sample::new();
    sample.qemu("printf 'one\\n\\377\\ntwo\\n' >&2");
    let mut messages = Vec::new();
    boot_under(&machine(&sample), &mut Vec::new(), &mut |line| messages.push(line), None, Reins::new())
        .unwrap();
    assert_eq!(messages, ["one", "\u{fffd}", "two"]);
}

#[test]
fn time_is_up() {
    let sample = Sample::new();
    // In the place of the shell, so that it is what is ended.
    sample.qemu("echo on; exec sleep 1000");
    assert_eq!(until_on(&sample), "on\n");
}

#[test]
fn one_that_does_not_end_when_it_is_told_to_is_killed() {
    let sample = Sample::new();
    sample.qemu("trap '' TERM; echo on; exec sleep 1000");
    assert_eq!(until_on(&sample), "on\n");
}

/// Takes nothing.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("enough"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn whoever_reads_has_had_enough() {
    let sample = Sample::new();
    sample.qemu("echo on; exec sleep 1000");
    let outcome = boot(&machine(&sample), &mut Closed, None).unwrap();
    assert!(matches!(&outcome, Outcome::Stopped(error) if error.to_string() == "enough"), "{outcome:?}");
}

#[test]
fn the_last_lines_are_said_when_time_is_up() {
    let sample = Sample::new();
    let host = sample.host();
    // The console goes to a file as well, which QEMU is told.
    sample.qemu(
        "for word; do case $word in *,logfile=*) seq 1 30 >\"${word#*,logfile=}\" ;; esac; done; exec sleep 1000",
    );
    let lines: String = (11..=30).map(|line| format!("\n  {line}")).collect();
    // A busy machine may take long until it has come so far.
    let mut said = None;
    for seconds in [1, 4, 16, 64] {
        let options = Options { timeout: Some(seconds), ..Options::default() };
        let image = Image::open(&sample.image(), &host).unwrap();
        let error = run(Setup::new(options, &host).unwrap(), image, &host).unwrap_err();
        assert_eq!(error.exit_code(), 124);
        let wanted = format!("stopped after {seconds} s (--timeout); the last console lines:{lines}");
        let good = error == Error::Timeout(wanted);
        said = Some(error);
        if good {
            return;
        }
    }
    panic!("{said:?}");
}

#[test]
fn a_qemu_that_does_not_start() {
    let sample = Sample::new();
    let machine = machine(&sample);
    std::fs::remove_file(sample.dir().join("qemu")).unwrap();
    let said = boot(&machine, &mut Vec::new(), None).unwrap_err();
    assert!(said.to_string().starts_with("cannot start "), "{said}");
}
