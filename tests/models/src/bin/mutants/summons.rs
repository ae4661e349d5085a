//! Bugs in summonses.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "running_relaxed",
        file: "summons.rs",
        edits: &[(
            "let now = self.word.load(Acquire);\n        (now & STATE",
            "let now = self.word.load(Relaxed);\n        (now & STATE",
        )],
        model: "summons::code_changed_under_way",
    },
    Mutant {
        name: "running_is_overlooked",
        file: "summons.rs",
        edits: &[(
            "(now & STATE == RUNNING).then_some(",
            "(now & STATE == RUNNING && serial(now) == 0).then_some(",
        )],
        model: "summons::code_changed_under_way",
    },
    Mutant {
        name: "summons_ask_relaxed",
        file: "summons.rs",
        edits: &[(
            "compare_exchange(old, new, Release, Relaxed)",
            "compare_exchange(old, new, Relaxed, Relaxed)",
        )],
        model: "summons::taken_or_withdrawn",
    },
    Mutant {
        name: "summons_take_relaxed",
        file: "summons.rs",
        edits: &[(
            "compare_exchange(old, old & !STATE | RUNNING, Acquire, Relaxed)",
            "compare_exchange(old, old & !STATE | RUNNING, Relaxed, Relaxed)",
        )],
        model: "summons::taken_or_withdrawn",
    },
    Mutant {
        name: "summons_take_without_exchange",
        file: "summons.rs",
        edits: &[(
            "self.word.compare_exchange(old, old & !STATE | RUNNING, Acquire, Relaxed).ok()?;",
            "let _ = self.word.load(Acquire);
             self.word.store(old & !STATE | RUNNING, Relaxed);",
        )],
        model: "summons::taken_or_withdrawn",
    },
    Mutant {
        name: "summons_taken_is_idle",
        file: "summons.rs",
        edits: &[("old & !STATE | RUNNING, Acquire", "old & !STATE, Acquire")],
        model: "summons::taken_or_withdrawn",
    },
    Mutant {
        name: "summons_done_relaxed",
        file: "summons.rs",
        edits: &[(
            "self.summons.word.store(self.word & !STATE, Release);",
            "self.summons.word.store(self.word & !STATE, Relaxed);",
        )],
        model: "summons::taken_or_withdrawn",
    },
    Mutant {
        name: "summons_progress_relaxed",
        file: "summons.rs",
        edits: &[(
            "let now = self.summons.word.load(Acquire);",
            "let now = self.summons.word.load(Relaxed);",
        )],
        model: "summons::taken_or_withdrawn",
    },
    Mutant {
        name: "summons_withdraw_without_exchange",
        file: "summons.rs",
        edits: &[(
            "match self.summons.word.compare_exchange(self.word, self.word & !STATE, Relaxed, Relaxed) {",
            "match Ok::<u64, u64>(self.summons.word.swap(self.word & !STATE, Relaxed)) {",
        )],
        model: "summons::taken_or_withdrawn",
    },
    Mutant {
        name: "summons_ask_without_exchange",
        file: "summons.rs",
        edits: &[(
            "self.word.compare_exchange(old, new, Release, Relaxed).ok()?;",
            "self.word.store(new, Release);",
        )],
        model: "summons::two_ask",
    },
];
