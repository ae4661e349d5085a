//! Boots: which tests share one, how many there are at once, and what comes of each.

use super::plan::{Machine, Wish};
use super::section::Test;
use super::transcript::{Done, End, Line, Transcript};
use super::{Arguments, appended, unprintable, wished};
use crate::elf::Image;
use crate::error::{Error, Result};
use crate::files::Scratch;
use crate::host::Host;
use crate::interrupt::Removing;
use crate::machine::{self, Setup, Watch};
use crate::options::Options;
use crate::run::{DEFAULT_TIMEOUT, Hand, Outcome, Reins, boot_under};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long the names of the tests of one boot may be together: they are boot arguments, for which not every firmware has much room.
const NAMES: usize = 1500;

/// What there is to print.
pub(super) enum Event<'a> {
    /// A line of a console.
    Line(&'a str),
    /// A test is over.
    Done(&'a Test, Done),
}

/// Tests that run in one boot, as far as that is possible.
struct Job<'a> {
    tests: Vec<&'a Test>,
    wish: Wish,
    /// What it takes of the host.
    weight: usize,
}

/// What comes from the thread of a job.
enum News<'a> {
    Line(String),
    Done(&'a Test, Done),
    /// There is no such machine.
    Failed(Error),
    /// It is over, and gives back what it took of the host.
    Over(usize),
    /// A signal has ended all.
    Ended(i32),
}

/// Says that a job is over, however its thread ends: it is waited for.
struct Over<'a> {
    weight: usize,
    send: Sender<News<'a>>,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        let _ = self.send.send(News::Over(self.weight));
    }
}

/// Runs these tests. The exit code, if a signal has ended it.
pub(super) fn run(
    tests: &[(&Test, Wish, Machine)],
    arguments: &Arguments,
    options: &Options,
    image: &Image,
    host: &Host,
    tell: &mut dyn FnMut(Event<'_>) -> io::Result<()>,
) -> Result<Option<u8>> {
    if let Some((_, wish, _)) = tests.first() {
        // Once here: so what is to be fetched is, while a signal ends this process at once.
        let scratch = Scratch::new()?;
        let _removing = Removing::new(scratch.path())?;
        machine_in(&scratch, wished(options, *wish), image, host)?;
    }
    let capacity = capacity(arguments, host);
    let mut jobs = jobs(tests, arguments, options, capacity);
    let hands = Hands::default();
    let (send, receive) = mpsc::channel();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Error::failed(format!("cannot listen to signals: {error}")))?;
    let handle = signals.handle();
    let mut ended_by = None;
    let mut failure: Option<Error> = None;
    thread::scope(|scope| {
        let to_main = send.clone();
        scope.spawn(move || signals.forever().try_for_each(|signal| to_main.send(News::Ended(signal))));
        let mut taken = 0;
        loop {
            while jobs.front().is_some_and(|job| taken == 0 || taken + job.weight <= capacity)
                && let Some(job) = jobs.pop_front()
            {
                taken += job.weight;
                let (send, hands) = (send.clone(), &hands);
                scope.spawn(move || {
                    let _over = Over { weight: job.weight, send: send.clone() };
                    work(job, arguments, options, image, host, hands, &send);
                });
            }
            if taken == 0 {
                break;
            }
            let told = match receive.recv() {
                Ok(News::Line(line)) => tell(Event::Line(&line)).map_err(unprintable),
                // What has been ended says nothing of a test.
                Ok(News::Done(..)) if ended_by.is_some() || failure.is_some() => Ok(()),
                Ok(News::Done(test, done)) => tell(Event::Done(test, done)).map_err(unprintable),
                Ok(News::Failed(error)) => Err(error),
                Ok(News::Over(weight)) => {
                    taken -= weight;
                    continue;
                }
                Ok(News::Ended(signal)) => {
                    ended_by = Some(if signal == SIGINT { 130 } else { 143 });
                    Ok(())
                }
                Err(_) => break,
            };
            if let Err(error) = told {
                failure.get_or_insert(error);
            }
            if failure.is_some() || ended_by.is_some() {
                jobs.clear();
                hands.end();
            }
        }
        handle.close();
    });
    failure.map_or(Ok(ended_by), Err)
}

/// How much of the host there is: machines, or CPUs of it.
fn capacity(arguments: &Arguments, host: &Host) -> usize {
    match arguments.threads {
        Some(threads) => threads,
        // What comes is to be read.
        None if arguments.nocapture => 1,
        None => host.cpus().len().max(1),
    }
}

/// Which tests share a boot.
fn jobs<'a>(
    tests: &[(&'a Test, Wish, Machine)],
    arguments: &Arguments,
    options: &Options,
    capacity: usize,
) -> VecDeque<Job<'a>> {
    let weight = |machine: Machine| {
        let cpus = options.host_cpus.unwrap_or(machine.cpus).min(machine.cpus) as usize;
        // With --icount its CPUs take turns.
        let machines = arguments.threads.is_some() || options.icount;
        if machines { 1 } else { cpus.clamp(1, capacity) }
    };
    let mut jobs = VecDeque::new();
    // Of the machines that are alike, the last job that has room.
    let mut open = BTreeMap::new();
    for (test, wish, machine) in tests {
        let shares = arguments.one_boot && !test.alone;
        let key = (machine.cpus, machine.gic, machine.el);
        let job = open.get(&key).copied().filter(|_| shares).and_then(|at: usize| jobs.get_mut(at));
        let has_room = |job: &Job<'_>| {
            job.tests.iter().map(|test| test.name.len() + 1).sum::<usize>() + test.name.len() <= NAMES
        };
        match job.filter(|job| has_room(job)) {
            Some(job) => job.tests.push(test),
            None => {
                if shares {
                    open.insert(key, jobs.len());
                }
                jobs.push_back(Job { tests: vec![*test], wish: *wish, weight: weight(*machine) });
            }
        }
    }
    jobs
}

/// The boots that go on.
#[derive(Default)]
struct Hands(Mutex<(bool, Vec<Hand>)>);

impl Hands {
    fn add(&self, hand: Hand) {
        let mut hands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hands.0 {
            hand.end();
        }
        hands.1.push(hand);
    }

    /// Ends those that go on, and those that come.
    fn end(&self) {
        let mut hands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hands.0 = true;
        hands.1.iter().for_each(Hand::end);
    }

    fn have_ended(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Boots the tests of a job until all are done: in one boot, or in another one behind each that ended it.
fn work<'a>(
    job: Job<'a>,
    arguments: &Arguments,
    options: &Options,
    image: &Image,
    host: &Host,
    hands: &Hands,
    send: &Sender<News<'a>>,
) {
    let fail = |error| {
        let _ = send.send(News::Failed(error));
    };
    let mut tests = &job.tests[..];
    while !tests.is_empty() && !hands.have_ended() {
        let key = key();
        let names: Vec<_> = tests.iter().map(|test| test.name.as_str()).collect();
        let words = format!("reveille.test={} reveille.test_key={key}", names.join(","));
        let options = appended(wished(options, job.wish), &words);
        let limit = |test: &Test| {
            let seconds = options.timeout.or(test.timeout).unwrap_or(DEFAULT_TIMEOUT);
            (seconds > 0).then_some(seconds)
        };
        let reins = Reins::new();
        hands.add(reins.hand());
        let mut console = Console {
            transcript: Transcript::new(tests, &key),
            line: Vec::new(),
            hand: reins.hand(),
            limits: tests.iter().map(|test| limit(test).map(Duration::from_secs)).collect(),
            verdicts: 0,
            nocapture: arguments.nocapture,
            tell: &|event| {
                // If nobody listens, the end is near.
                let _ = send.send(match event {
                    Told::Line(line) => News::Line(line),
                    Told::Done(done) => News::Done(tests[done.index], done),
                });
            },
        };
        let mut messages = Vec::new();
        let scratch = match Scratch::new() {
            Ok(scratch) => scratch,
            Err(error) => return fail(error),
        };
        let outcome = machine_in(&scratch, options.clone(), image, host).and_then(|machine| {
            let first = limit(tests[0]).map(Duration::from_secs);
            boot_under(&machine, &mut console, &mut |line| messages.push(line), first, reins)
        });
        console.close();
        let end = match outcome {
            Ok(Outcome::Exited(code)) => End::Exit(code),
            Ok(Outcome::TimedOut) => {
                let running = tests[console.verdicts.min(tests.len() - 1)];
                End::Stopped(limit(running).unwrap_or_default())
            }
            Ok(Outcome::Stopped(error)) => {
                return fail(Error::failed(format!("cannot take what a console says: {error}")));
            }
            Err(error) => return fail(error),
        };
        let mut done = console.transcript.end(&end);
        if matches!(done.outcome, super::Outcome::Failed(_)) {
            // They may say why.
            done.output.extend(messages.iter().map(|line| format!("{line}\n")));
        }
        tests = &tests[done.index + 1..];
        let _ = send.send(News::Done(job.tests[job.tests.len() - tests.len() - 1], done));
    }
}

/// A machine whose large files are in this directory.
fn machine_in(scratch: &Scratch, options: Options, image: &Image, host: &Host) -> Result<machine::Machine> {
    let watch = Watch { scratch: Some(scratch.path().to_owned()), ..Watch::default() };
    machine::Machine::new(Setup::new(options, host)?, image.clone(), &watch, host)
}

/// A word that no application has.
fn key() -> String {
    let word = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", word(), word())
}

enum Told {
    Line(String),
    Done(Done),
}

/// The console of a boot, cut into lines.
struct Console<'a> {
    transcript: Transcript<'a>,
    line: Vec<u8>,
    hand: Hand,
    limits: Vec<Option<Duration>>,
    verdicts: usize,
    nocapture: bool,
    tell: &'a dyn Fn(Told),
}

impl Console<'_> {
    fn end_of_line(&mut self) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        let (line, done) = self.transcript.line(&line);
        let printed = match line {
            Line::Begins => None,
            Line::Printed(line) => Some(line),
            Line::Verdict(before) => {
                self.verdicts += 1;
                // From here on it is the time of the next one, or of the last one's way out.
                if let Some(limit) = self.limits.get(self.verdicts) {
                    self.hand.limit(*limit);
                }
                before
            }
        };
        if let Some(line) = printed.filter(|_| self.nocapture) {
            (self.tell)(Told::Line(line));
        }
        if let Some(done) = done {
            (self.tell)(Told::Done(done));
        }
    }

    /// Nothing more comes.
    fn close(&mut self) {
        if !self.line.is_empty() {
            self.end_of_line();
        }
    }
}

impl Write for Console<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            match byte {
                b'\n' => self.end_of_line(),
                _ => self.line.push(*byte),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::sample::Sample;

    /// Which tests share a boot, and what each boot takes of a host with four CPUs.
    fn shared(arguments: &Arguments, options: &Options) -> Vec<(Vec<String>, usize)> {
        let test = |name: &str, alone| Test { name: name.into(), alone, ..Test::default() };
        let tests = [test("a", false), test("b", true), test("c", false), test("d", false), test("e", false)];
        let machine = |cpus| Machine { cpus, gic: 3, el: 1 };
        let wanted = [4, 4, 16, 4, 1].map(machine);
        let tests: Vec<_> =
            tests.iter().zip(wanted).map(|(test, machine)| (test, Wish::default(), machine)).collect();
        let jobs = jobs(&tests, arguments, options, arguments.threads.unwrap_or(4));
        let names = |job: &Job<'_>| job.tests.iter().map(|test| test.name.clone()).collect();
        jobs.iter().map(|job| (names(job), job.weight)).collect()
    }

    fn expected(jobs: &[(&str, usize)]) -> Vec<(Vec<String>, usize)> {
        jobs.iter().map(|(names, weight)| (names.chars().map(String::from).collect(), *weight)).collect()
    }

    #[test]
    fn each_in_a_boot_of_its_own() {
        let weights = |arguments: Arguments, options: Options| {
            let jobs = shared(&arguments, &options);
            assert!(jobs.len() == 5 && jobs.iter().all(|(names, _)| names.len() == 1));
            jobs.into_iter().map(|(_, weight)| weight).collect::<Vec<_>>()
        };
        let none = Options::default;
        // More than the host has is all of it.
        assert_eq!(weights(Arguments::default(), none()), [4, 4, 4, 4, 1]);
        assert_eq!(weights(Arguments { threads: Some(3), ..Arguments::default() }, none()), [1; 5]);
        assert_eq!(weights(Arguments::default(), Options { icount: true, ..none() }), [1; 5]);
        assert_eq!(weights(Arguments::default(), Options { host_cpus: Some(2), ..none() }), [2, 2, 2, 2, 1]);
    }

    #[test]
    fn those_that_want_the_same_machine_share_a_boot() {
        let one_boot = Arguments { one_boot: true, ..Arguments::default() };
        assert_eq!(
            shared(&one_boot, &Options::default()),
            expected(&[("ad", 4), ("b", 4), ("c", 4), ("e", 1)])
        );
    }

    #[test]
    fn what_a_boot_alone_needs_goes_with_it() {
        let sample = Sample::new();
        let host = sample.host();
        let image = Image::open(&sample.image(), &host).unwrap();
        let given = |text: &str| Some(text.to_owned());
        let board = |board: &str| Options { board: board.to_owned(), ..Options::default() };
        for (options, name) in [
            (Options { shim: Some(sample.dir().join("reveille-stage")), ..board("secure") }, "secure.dtb"),
            (board("xen"), "xen.dtb"),
            (Options { firmware: given("tf-a"), ..board("raspi4") }, "tf-a.dtb"),
            (Options { firmware: given("edk2-disk"), ..Options::default() }, "efi.fat"),
        ] {
            let scratch = Scratch::new().unwrap();
            let machine = machine_in(&scratch, options, &image, &host).unwrap();
            let path = scratch.path().join(name);
            assert!(path.exists(), "{name}");
            let command = crate::words::quoted(machine.command());
            assert!(command.contains(&path.display().to_string()), "{command}");
        }
    }

    #[test]
    fn a_word_of_its_own_for_each_boot() {
        let (one, other) = (key(), key());
        assert!(one != other && one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
