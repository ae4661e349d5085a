//! Bugs in the door.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "door_entered_relaxed",
        file: "door.rs",
        edits: &[("word + 1, Acquire, Relaxed", "word + 1, Relaxed, Relaxed")],
        model: "door::open_against_enter",
    },
    Mutant {
        name: "door_entered_check_then_add",
        file: "door.rs",
        edits: &[(
            "match self.word.compare_exchange(word, word + 1, Acquire, Relaxed) {",
            "match Ok::<u64, u64>(self.word.fetch_add(1, Acquire)) {",
        )],
        model: "door::close_against_enter",
    },
    Mutant {
        name: "door_left_relaxed",
        file: "door.rs",
        edits: &[("1_u64.wrapping_neg(), Release", "1_u64.wrapping_neg(), Relaxed")],
        model: "door::close_against_enter",
    },
    Mutant {
        name: "door_added_by_a_store",
        file: "door.rs",
        edits: &[(
            "self.word.fetch_add(1, Relaxed);",
            "self.word.store(self.word.load(Relaxed) + 1, Relaxed);",
        )],
        model: "door::two_inside",
    },
    Mutant {
        name: "door_closed_relaxed",
        file: "door.rs",
        edits: &[(
            "compare_exchange(Self::OPEN, CLOSED, Acquire, Relaxed)",
            "compare_exchange(Self::OPEN, CLOSED, Relaxed, Relaxed)",
        )],
        model: "door::close_against_enter",
    },
    Mutant {
        name: "door_closed_on_those_inside",
        file: "door.rs",
        edits: &[(
            "match self.word.compare_exchange(Self::OPEN, CLOSED, Acquire, Relaxed) {",
            "match Ok::<u64, u64>(self.word.fetch_or(CLOSED, Acquire)) {",
        )],
        model: "door::close_against_enter",
    },
    Mutant {
        name: "door_opened_relaxed",
        file: "door.rs",
        edits: &[("self.word.fetch_and(!CLOSED, Release);", "self.word.fetch_and(!CLOSED, Relaxed);")],
        model: "door::open_against_enter",
    },
    Mutant {
        name: "door_opened_by_a_store",
        file: "door.rs",
        edits: &[("self.word.fetch_and(!CLOSED, Release);", "self.word.store(Self::OPEN, Release);")],
        model: "door::open_against_add",
    },
];
