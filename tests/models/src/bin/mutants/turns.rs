//! Bugs in the turns at a lock.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "turn_mark_kept_by_who_gives_up",
        file: "turns.rs",
        edits: &[(
            "        self.set_waiting(mark, false);
        taken",
            "        if taken.is_some() {
            self.set_waiting(mark, false);
        }
        taken",
        )],
        model: "turns::given_up",
    },
    Mutant {
        name: "turn_mark_kept_with_the_lock",
        file: "turns.rs",
        edits: &[(
            "        self.set_waiting(mark, false);
        taken",
            "        if taken.is_none() {
            self.set_waiting(mark, false);
        }
        taken",
        )],
        model: "turns::given_up",
    },
    Mutant {
        name: "turn_marked_at_each_look",
        file: "turns.rs",
        edits: &[(
            "if mark.waits.load(Relaxed) == u64::from(waits) {",
            "if !waits && mark.waits.load(Relaxed) == 0 {",
        )],
        model: "turns::given_up",
    },
    Mutant {
        name: "turn_mark_given_back_twice",
        file: "turns.rs",
        edits: &[(
            "if mark.waits.load(Relaxed) == u64::from(waits) {",
            "if waits && mark.waits.load(Relaxed) == 1 {",
        )],
        model: "turns::left",
    },
    Mutant {
        name: "turn_counted_by_store",
        file: "turns.rs",
        edits: &[(
            "self.waiting.fetch_add(if waits { 1 } else { u64::MAX }, Relaxed);",
            "let waiting = self.waiting.load(Relaxed);
        self.waiting.store(waiting.wrapping_add(if waits { 1 } else { u64::MAX }), Relaxed);",
        )],
        model: "turns::given_up",
    },
    Mutant {
        name: "turn_never_let",
        file: "turns.rs",
        edits: &[(
            "while self.is_turn_of_others(me) && !is_over() {",
            "while self.is_turn_of_others(me) && is_over() {",
        )],
        model: "turns::others_go_first",
    },
    Mutant {
        name: "turn_not_noted",
        file: "turns.rs",
        edits: &[("self.last.store(u64::from(me), Relaxed);", "")],
        model: "turns::others_go_first",
    },
    Mutant {
        name: "turn_let_by_everyone",
        file: "turns.rs",
        edits: &[(
            "self.last.load(Relaxed) == u64::from(me) && self.waiting",
            "self.last.load(Relaxed) != u64::from(me).wrapping_add(9) && self.waiting",
        )],
        model: "turns::given_up",
    },
];
