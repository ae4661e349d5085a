//! Which tests run, on which machines, and which are ignored and why.

use super::arguments::{Arguments, Ignored};
use super::section::Test;

/// What is asked of a machine; what is not is left to the board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wish {
    /// Number of CPUs.
    pub cpus: Option<u32>,
    /// Version of the GIC.
    pub gic: Option<u32>,
    /// Exception level at entry.
    pub el: Option<u32>,
}

/// What a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Number of CPUs.
    pub cpus: u32,
    /// Version of the GIC; 0: none.
    pub gic: u32,
    /// Exception level at entry.
    pub el: u32,
}

/// What becomes of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It runs on such a machine.
    Runs(Wish, Machine),
    /// It is ignored, and why; empty if nobody says.
    Ignored(String),
}

/// What becomes of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Those that are meant, in the order of their names.
    pub tests: Vec<(Test, Fate)>,
    /// How many are not.
    pub filtered: usize,
}

/// Which tests are meant: those, and how many are not.
pub fn meant(tests: Vec<Test>, arguments: &Arguments) -> (Vec<Test>, usize) {
    let count = tests.len();
    let is_meant = |test: &Test| {
        arguments.is_meant(&test.name)
            && !arguments.bench
            && (arguments.ignored != Ignored::Alone || test.ignore.is_some())
    };
    let meant: Vec<_> = tests.into_iter().filter(is_meant).collect();
    let filtered = count - meant.len();
    (meant, filtered)
}

/// What becomes of these tests. `given` is what the command line asks of the machine; `machine` says what one has of which this is asked, beside
/// all else that the command line says, or in a sentence why there is none.
pub fn plan(
    (tests, filtered): (Vec<Test>, usize),
    arguments: &Arguments,
    given: Wish,
    machine: impl Fn(Wish) -> Result<Machine, String>,
) -> Plan {
    let tests = tests.into_iter().map(|test| {
        let fate = match &test.ignore {
            Some(why) if arguments.ignored == Ignored::Skipped => Fate::Ignored(why.clone()),
            _ => match suitable(&test, given, &machine) {
                Ok((wish, machine)) => Fate::Runs(wish, machine),
                Err(why) => Fate::Ignored(why),
            },
        };
        (test, fate)
    });
    Plan { tests: tests.collect(), filtered }
}

/// A machine for a test: what the test wants where the command line says nothing. A board that has no choice may suit as it is.
fn suitable(
    test: &Test,
    given: Wish,
    machine: &impl Fn(Wish) -> Result<Machine, String>,
) -> Result<(Wish, Machine), String> {
    let wish = Wish { cpus: given.cpus.or(test.cpus), gic: given.gic.or(test.gic), el: given.el.or(test.el) };
    let mut refusal = None;
    let mut tried = Vec::new();
    // What the test wants beside the command line, then less and less of it, down to the command line alone.
    for wish in [
        wish,
        Wish { cpus: given.cpus, ..wish },
        Wish { gic: given.gic, ..wish },
        Wish { el: given.el, ..wish },
        Wish { el: wish.el, ..given },
        Wish { gic: wish.gic, ..given },
        Wish { cpus: wish.cpus, ..given },
        given,
    ] {
        if tried.contains(&wish) {
            continue;
        }
        tried.push(wish);
        match machine(wish).and_then(|machine| unsuited(test, machine).map_or(Ok(machine), Err)) {
            Ok(machine) => return Ok((wish, machine)),
            // Of what the test wants itself, the sentence is the best.
            Err(why) => refusal = refusal.or(Some(why)),
        }
    }
    Err(refusal.unwrap_or_default())
}

fn unsuited(test: &Test, machine: Machine) -> Option<String> {
    let Machine { cpus, gic, el } = machine;
    if let Some(wanted) = test.cpus.filter(|wanted| *wanted > cpus) {
        return Some(format!("it wants {wanted} CPUs, and this machine has {cpus}"));
    }
    if let Some(wanted) = test.gic.filter(|wanted| *wanted != gic) {
        let has = if gic == 0 { "no GIC".to_owned() } else { format!("a GICv{gic}") };
        return Some(format!("it wants a GICv{wanted}, and this machine has {has}"));
    }
    let wanted = test.el.filter(|wanted| *wanted != el)?;
    Some(format!("it wants to be entered at EL{wanted}, and this machine enters at EL{el}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(name: &str) -> Test {
        Test { name: name.into(), ..Test::default() }
    }

    /// Any number of CPUs, but eight with a GICv2.
    fn virt(wish: Wish) -> Result<Machine, String> {
        let machine =
            Machine { cpus: wish.cpus.unwrap_or(4), gic: wish.gic.unwrap_or(3), el: wish.el.unwrap_or(1) };
        if machine.gic == 2 && machine.cpus > 8 {
            return Err("--cpus: a GICv2 has 8 CPUs at most".into());
        }
        Ok(machine)
    }

    /// No choice but of the level.
    fn pi(wish: Wish) -> Result<Machine, String> {
        if wish.cpus.is_some_and(|cpus| cpus != 4) || wish.gic.is_some_and(|gic| gic != 2) {
            return Err("--cpus: raspi4 has 4".into());
        }
        Ok(Machine { cpus: 4, gic: 2, el: wish.el.unwrap_or(2) })
    }

    fn fate(test: Test, given: Wish, machine: impl Fn(Wish) -> Result<Machine, String>) -> Fate {
        plan((vec![test], 0), &Arguments::default(), given, machine).tests.remove(0).1
    }

    fn machine_of(fate: Fate) -> Machine {
        match fate {
            Fate::Runs(_, machine) => machine,
            Fate::Ignored(why) => panic!("{why}"),
        }
    }

    #[test]
    fn a_machine_as_the_test_wants_it() {
        let many = Test { cpus: Some(16), ..test("a") };
        assert_eq!(machine_of(fate(many.clone(), Wish::default(), virt)).cpus, 16);
        let given = Wish { cpus: Some(32), ..Wish::default() };
        assert_eq!(machine_of(fate(many.clone(), given, virt)).cpus, 32);
        let given = Wish { cpus: Some(8), ..Wish::default() };
        assert_eq!(
            fate(many.clone(), given, virt),
            Fate::Ignored("it wants 16 CPUs, and this machine has 8".into())
        );
        let given = Wish { gic: Some(2), ..Wish::default() };
        assert_eq!(fate(many, given, virt), Fate::Ignored("--cpus: a GICv2 has 8 CPUs at most".into()));
        let old = Test { gic: Some(2), el: Some(2), ..test("a") };
        assert_eq!(machine_of(fate(old.clone(), Wish::default(), virt)), Machine { cpus: 4, gic: 2, el: 2 });
        let given = Wish { gic: Some(3), ..Wish::default() };
        assert_eq!(
            fate(old, given, virt),
            Fate::Ignored("it wants a GICv2, and this machine has a GICv3".into())
        );
        let other = Test { el: Some(1), ..test("a") };
        let given = Wish { el: Some(2), ..Wish::default() };
        assert!(matches!(fate(other, given, virt), Fate::Ignored(why) if why.contains("EL1")));
    }

    #[test]
    fn a_board_that_has_no_choice_may_suit() {
        let few = Test { cpus: Some(2), gic: Some(2), el: Some(1), ..test("a") };
        assert_eq!(machine_of(fate(few, Wish::default(), pi)), Machine { cpus: 4, gic: 2, el: 1 });
        let many = Test { cpus: Some(16), ..test("a") };
        assert_eq!(fate(many, Wish::default(), pi), Fate::Ignored("--cpus: raspi4 has 4".into()));
    }

    #[test]
    fn ignored_ones_run_only_when_they_are_asked_for() {
        let tests = || {
            let ignored = Test { ignore: Some("slow".into()), ..test("b") };
            vec![test("a"), ignored, test("c")]
        };
        let fates = |arguments: Arguments| {
            let plan = plan(meant(tests(), &arguments), &arguments, Wish::default(), virt);
            let runs = plan.tests.iter().filter(|(_, fate)| matches!(fate, Fate::Runs(..))).count();
            (plan.tests.len(), runs, plan.filtered)
        };
        assert_eq!(fates(Arguments::default()), (3, 2, 0));
        assert_eq!(fates(Arguments { ignored: Ignored::Alone, ..Arguments::default() }), (1, 1, 2));
        assert_eq!(fates(Arguments { ignored: Ignored::Included, ..Arguments::default() }), (3, 3, 0));
        assert_eq!(fates(Arguments { filters: vec!["a".into()], ..Arguments::default() }), (1, 1, 2));
        assert_eq!(fates(Arguments { bench: true, ..Arguments::default() }), (0, 0, 3));
    }
}
