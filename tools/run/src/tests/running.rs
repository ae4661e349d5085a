//! Runs of a QEMU that does what a test wants.

use super::sample::Sample;
use crate::elf::Image;
use crate::error::Error;
use crate::machine::{Machine, Setup, Watch};
use crate::options::Options;
use crate::run::{Outcome, boot, run};
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

#[test]
fn time_is_up() {
    let sample = Sample::new();
    let mut console = Vec::new();
    // In the place of the shell, so that it is what is ended.
    sample.qemu("echo on; exec sleep 1000");
    let outcome = boot(&machine(&sample), &mut console, Some(Duration::from_secs(2))).unwrap();
    assert!(matches!(outcome, Outcome::TimedOut), "{outcome:?}");
    assert_eq!(console, b"on\n");
}

#[test]
fn one_that_does_not_end_when_it_is_told_to_is_killed() {
    let sample = Sample::new();
    sample.qemu("trap '' TERM; exec sleep 1000");
    let outcome = boot(&machine(&sample), &mut Vec::new(), Some(Duration::from_millis(500))).unwrap();
    assert!(matches!(outcome, Outcome::TimedOut), "{outcome:?}");
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
    let options = Options { timeout: Some(1), ..Options::default() };
    let image = Image::open(&sample.image(), &host).unwrap();
    let said = run(Setup::new(options, &host).unwrap(), image, &host).unwrap_err();
    let lines: String = (11..=30).map(|line| format!("\n  {line}")).collect();
    assert_eq!(
        said,
        Error::Timeout(format!("stopped after 1 s (--timeout); the last console lines:{lines}"))
    );
    assert_eq!(said.exit_code(), 124);
}

#[test]
fn a_qemu_that_does_not_start() {
    let sample = Sample::new();
    let machine = machine(&sample);
    std::fs::remove_file(sample.dir().join("qemu")).unwrap();
    let said = boot(&machine, &mut Vec::new(), None).unwrap_err();
    assert!(said.to_string().starts_with("cannot start "), "{said}");
}
