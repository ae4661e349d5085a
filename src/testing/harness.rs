//! The program that runs tests.
//!
//! It says of each that it begins, and how it ended, in lines that end with the word that the bootarg `reveille.test_key` has: whoever chose that word
//! knows who wrote such a line. A test that panics ends the run without one.

use super::record::{self, Test};
use crate::dt::Gic;
use crate::percpu::{online, possible};
use crate::{ExitCode, System, println};
use core::fmt;

/// How a test ended that came back.
enum Verdict {
    Passed,
    Failed,
    /// The machine is not as it wants it, or nobody has asked for it.
    Ignored(Why),
}

/// Why a test is not run.
enum Why {
    Cpus(u64),
    Gic(u64),
    El(u64),
    /// It begins with all CPUs off but one, and a test before it was another.
    Alone,
    /// The attribute says so, with this reason.
    Asked(&'static str),
    /// It ends in a panic, and others are to run after it.
    Panics,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("ok"),
            Self::Failed => f.write_str("FAILED"),
            Self::Ignored(Why::Asked("")) => f.write_str("ignored"),
            Self::Ignored(why) => write!(f, "ignored, {why}"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpus(wanted) => {
                write!(f, "it wants {wanted} CPUs, and this machine has {}", possible().len())
            }
            Self::Gic(version) => write!(f, "it wants a GICv{version}, which this machine does not have"),
            Self::El(level) => write!(f, "it wants to be entered at EL{level}"),
            Self::Alone => {
                f.write_str("it wants all CPUs off but one: it has to run before others, or by itself")
            }
            Self::Asked(why) => f.write_str(why),
            Self::Panics => f.write_str("it ends in a panic: it has to be asked for by reveille.test"),
        }
    }
}

/// What [`tests!`](crate::tests!) calls: runs the tests that the bootarg `reveille.test` names, or else all that suit the machine.
#[doc(hidden)]
pub fn main(system: &'static System, setup: Option<fn(&'static System)>) -> ExitCode {
    if let Some(setup) = setup {
        setup(system);
    }
    let key = Key(system.arg("reveille.test_key").unwrap_or_default());
    let (mut passed, mut failed, mut ignored) = (0_u32, 0_u32, 0_u32);
    let mut count = |verdict| match verdict {
        Verdict::Passed => passed += 1,
        Verdict::Failed => failed += 1,
        Verdict::Ignored(_) => ignored += 1,
    };
    match system.arg("reveille.test") {
        Some(names) => {
            for name in names.split(',') {
                match record::all().iter().find(|test| test.name() == name) {
                    Some(test) => count(tell(test, key, system, None)),
                    None => {
                        println!("bootargs: reveille.test={name}: this image has no such test");
                        count(Verdict::Failed);
                    }
                }
            }
        }
        None => {
            // First those that others would spoil.
            let all = || record::all().iter();
            for test in all().filter(|test| alone(test)).chain(all().filter(|test| !alone(test))) {
                count(tell(test, key, system, unasked(test)));
            }
        }
    }
    if key.0.is_empty() {
        let result = if failed == 0 { "ok" } else { "FAILED" };
        println!("test result: {result}. {passed} passed; {failed} failed; {ignored} ignored");
    }
    (failed == 0).into()
}

/// The word that only whoever runs the tests knows, with a blank before it.
#[derive(Clone, Copy)]
struct Key(&'static str);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " {}", self.0) }
    }
}

/// Runs a test, unless there is a reason not to; says that it begins, and how it ended. What has to come before it comes before it begins: a machine
/// that ends there has not run it.
fn tell(test: &Test, key: Key, system: &'static System, unasked: Option<Why>) -> Verdict {
    let ready = match unasked {
        Some(why) => Err(Verdict::Ignored(why)),
        None => prepare(test, system),
    };
    let name = test.name();
    println!("test {name} begins{key}");
    let verdict = ready.map_or_else(|verdict| verdict, |()| run(test, system));
    println!("test {name} ... {verdict}{key}");
    verdict
}

/// Looks whether the machine is as the test wants it, and brings its CPUs up.
fn prepare(test: &Test, system: &'static System) -> Result<(), Verdict> {
    if let Some(why) = unsuited(test, system) {
        return Err(Verdict::Ignored(why));
    }
    if !alone(test) && online().len() != possible().len() {
        let roll_call = system.bring_up_all(system.deadline());
        if !roll_call.is_complete() {
            println!("{roll_call}");
            println!("not every CPU came online, as the test {} wants it", test.name());
            return Err(Verdict::Failed);
        }
    }
    Ok(())
}

fn run(test: &Test, system: &'static System) -> Verdict {
    if !test.run(system) {
        return Verdict::Failed;
    }
    if test.value("should_panic").is_some() {
        println!("it should have panicked, and returned");
        return Verdict::Failed;
    }
    Verdict::Passed
}

/// Whether it brings CPUs up itself.
fn alone(test: &Test) -> bool {
    test.value("up") == Some("false")
}

/// Why nobody would run this test who was not asked for it by name.
fn unasked(test: &Test) -> Option<Why> {
    let panics = test.value("should_panic").map(|_| Why::Panics);
    test.value("ignore").map(Why::Asked).or(panics)
}

/// Why this machine is none for it.
fn unsuited(test: &Test, system: &'static System) -> Option<Why> {
    let version = match &system.machine().gic {
        Ok(Gic::V2 { .. }) => 2,
        Ok(Gic::V3 { .. }) => 3,
        _ => 0,
    };
    let fewer = test.number("cpus").filter(|wanted| *wanted > possible().len() as u64);
    let other = |key, has: u64| test.number(key).filter(|wanted| *wanted != has);
    fewer
        .map(Why::Cpus)
        .or_else(|| other("gic", version).map(Why::Gic))
        .or_else(|| other("el", system.entry_el().into()).map(Why::El))
        .or_else(|| (alone(test) && online().len() != 1).then_some(Why::Alone))
}
