//! Bugs in idle.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "idle_looks_with_interrupts_open",
        file: "wakes.rs",
        edits: &[(
            "        let mask = close();
        // Behind the closing: what comes after this look is pending.
        if self.counted(&calls) == self.seen.load(Relaxed) && !has_work() {",
            "        let waits = self.counted(&calls) == self.seen.load(Relaxed) && !has_work();
        let mask = close();
        if waits {",
        )],
        model: "wakes::woken_once",
    },
    Mutant {
        name: "idle_looks_for_work_alone",
        file: "wakes.rs",
        edits: &[("self.counted(&calls) == self.seen.load(Relaxed) && !has_work()", "!has_work()")],
        model: "wakes::woken_once",
    },
    Mutant {
        name: "idle_notes_before_it_looks",
        file: "wakes.rs",
        edits: &[(
            "let mask = close();",
            "self.seen.store(self.counted(&calls), Relaxed);
        let mask = close();",
        )],
        model: "wakes::woken_once",
    },
    Mutant {
        name: "idle_waits_with_interrupts_open",
        file: "wakes.rs",
        edits: &[(
            "            wait();
        }
        // A pending interrupt is taken here.
        open(mask);",
            "            open(mask);
            wait();
        } else {
            open(mask);
        }",
        )],
        model: "wakes::woken_once",
    },
    Mutant {
        name: "wake_not_counted",
        file: "wakes.rs",
        edits: &[(
            "self.handled.store(self.handled.load(Relaxed).wrapping_add(1), Relaxed);",
            "self.handled.store(self.handled.load(Relaxed), Relaxed);",
        )],
        model: "wakes::woken_once",
    },
    Mutant {
        name: "wake_by_a_call_not_counted",
        file: "wakes.rs",
        edits: &[(
            "self.handled.load(Relaxed).wrapping_add(calls())",
            "self.handled.load(Relaxed).wrapping_add(calls() * 0)",
        )],
        model: "wakes::woken_once",
    },
    Mutant {
        name: "wake_counted_from_what_was_seen",
        file: "wakes.rs",
        edits: &[(
            "self.handled.store(self.handled.load(Relaxed).wrapping_add(1), Relaxed);",
            "self.handled.store(self.seen.load(Relaxed) ^ 1, Relaxed);",
        )],
        model: "wakes::woken_again_and_again",
    },
];
