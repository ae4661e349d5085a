//! Bugs in timers that other CPUs may stop.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "timer_freed_before_it_is_emptied",
        file: "timers.rs",
        edits: &[(
            "        discard();
        entry.free(timer.set);
",
            "        entry.free(timer.set);
        discard();
",
        )],
        model: "timers::cancel_against_run",
    },
    Mutant {
        name: "timer_freed_relaxed",
        file: "timers.rs",
        edits: &[(
            "self.word.store(word & !STATE | FREE, Release);",
            "self.word.store(word & !STATE | FREE, Relaxed);",
        )],
        model: "timers::cancel_against_run",
    },
    Mutant {
        name: "timer_set_without_acquire",
        file: "timers.rs",
        edits: &[(
            "            // Acquire: pairs with `free`.
            let word = entry.word.load(Acquire);
            if word",
            "            let word = entry.word.load(Relaxed);
            if word",
        )],
        model: "timers::cancel_against_run",
    },
    Mutant {
        name: "timer_stopped_in_two_steps",
        file: "timers.rs",
        edits: &[(
            "        if !entry.take(timer.set, EMPTIED) {
            return false;
        }
",
            "        if entry.word.load(Relaxed) != timer.set {
            return false;
        }
        entry.word.store(timer.set & !STATE | EMPTIED, Relaxed);
",
        )],
        model: "timers::cancel_against_run",
    },
    Mutant {
        name: "timer_stopped_whatever_its_use",
        file: "timers.rs",
        edits: &[(
            "if !entry.take(timer.set, EMPTIED) {",
            "if !entry.take(entry.word.load(Relaxed), EMPTIED) {",
        )],
        model: "timers::cancel_against_run",
    },
    Mutant {
        name: "timers_cleared_that_are_stopped",
        file: "timers.rs",
        edits: &[(
            "SET if entry.take(word, EMPTIED) => self.unmark(index),",
            "SET => {
                    entry.take(word, EMPTIED);
                }",
        )],
        model: "timers::cancel_against_clear",
    },
    Mutant {
        name: "timers_cleared_with_room",
        file: "timers.rs",
        edits: &[("FREE => entry.word.store(word | EMPTIED, Relaxed),", "FREE => {}")],
        model: "timers::cancel_against_clear",
    },
    Mutant {
        name: "timer_set_while_its_last_use_is_marked",
        file: "timers.rs",
        edits: &[
            ("self.at(Self::ALL & !self.running.load(Relaxed))", "self.at(Self::ALL)"),
            (
                "        self.unmark(timer.index);
        discard();
        entry.free(timer.set);
",
                "        discard();
        entry.free(timer.set);
        self.unmark(timer.index);
",
            ),
        ],
        model: "timers::cancel_against_run",
    },
];
