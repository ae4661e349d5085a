//! Bugs in the launch slot.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "fill_relaxed",
        file: "launch.rs",
        edits: &[(
            "compare_exchange(EMPTY, FILLING, Acquire, Relaxed)",
            "compare_exchange(EMPTY, FILLING, Relaxed, Relaxed)",
        )],
        model: "launch::exactly_once",
    },
    Mutant {
        name: "fill_without_filling",
        file: "launch.rs",
        edits: &[(
            "compare_exchange(EMPTY, FILLING, Acquire, Relaxed)",
            "compare_exchange(EMPTY, FULL, Acquire, Relaxed)",
        )],
        model: "launch::exactly_once",
    },
    Mutant {
        name: "fill_check_then_store",
        file: "launch.rs",
        edits: &[(
            "match self.word.compare_exchange(EMPTY, FILLING, Acquire, Relaxed) {",
            "let seen = self.word.load(Acquire);
             if seen == EMPTY {
                 self.word.store(FILLING, Relaxed);
             }
             match if seen == EMPTY { Ok(seen) } else { Err(seen) } {",
        )],
        model: "launch::exactly_once",
    },
    Mutant {
        name: "publish_relaxed",
        file: "launch.rs",
        edits: &[("store(FULL, Release)", "store(FULL, Relaxed)")],
        model: "launch::exactly_once",
    },
    Mutant {
        name: "take_relaxed",
        file: "launch.rs",
        edits: &[(
            "compare_exchange(FULL, RUNNING, Acquire, Relaxed)",
            "compare_exchange(FULL, RUNNING, Relaxed, Relaxed)",
        )],
        model: "launch::exactly_once",
    },
    Mutant {
        name: "take_frees_at_once",
        file: "launch.rs",
        edits: &[(
            "compare_exchange(FULL, RUNNING, Acquire, Relaxed)",
            "compare_exchange(FULL, EMPTY, Acquire, Relaxed)",
        )],
        model: "launch::exactly_once",
    },
    Mutant {
        name: "take_frees_what_it_did_not_take",
        file: "launch.rs",
        edits: &[(".ok().map(|_| Running { slot: self })", ".is_ok().then_some(Running { slot: self })")],
        model: "launch::exactly_once",
    },
    Mutant {
        name: "done_relaxed",
        file: "launch.rs",
        edits: &[(
            "impl<A: Arch> Drop for Running<'_, A> {
    fn drop(&mut self) {",
            "impl<A: Arch> Drop for Running<'_, A> {
    fn drop(&mut self) {
        self.slot.word.store(EMPTY, Relaxed);
        return;
        #[allow(unreachable_code)]",
        )],
        model: "launch::exactly_once",
    },
    Mutant {
        name: "unfilled_relaxed",
        file: "launch.rs",
        edits: &[(
            "impl<A: Arch> Drop for Filling<'_, A> {
    fn drop(&mut self) {",
            "impl<A: Arch> Drop for Filling<'_, A> {
    fn drop(&mut self) {
        self.slot.word.store(EMPTY, Relaxed);
        return;
        #[allow(unreachable_code)]",
        )],
        model: "launch::filling_dropped",
    },
    Mutant {
        name: "close_without_check",
        file: "launch.rs",
        edits: &[(
            "match self.word.compare_exchange(EMPTY, CLOSED, Relaxed, Relaxed) {",
            "match Ok::<u64, u64>(self.word.swap(CLOSED, Relaxed)) {",
        )],
        model: "launch::close_against_fill",
    },
    Mutant {
        name: "condemn_empties",
        file: "launch.rs",
        edits: &[("self.word.store(CLOSED, Relaxed);", "self.word.store(EMPTY, Relaxed);")],
        model: "launch::condemn_against_fill",
    },
    Mutant {
        name: "reopen_relaxed",
        file: "launch.rs",
        edits: &[(
            "compare_exchange(CLOSED, EMPTY, Release, Relaxed)",
            "compare_exchange(CLOSED, EMPTY, Relaxed, Relaxed)",
        )],
        model: "launch::close_against_fill",
    },
];
