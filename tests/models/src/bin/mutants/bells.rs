//! Bugs in the doorbells.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "bell_not_written_where_it_is_set",
        file: "bells.rs",
        edits: &[(
            "            // Written even where",
            "            if seen & 1 << bell != 0 {
                return Ok(Rung { first: false });
            }
            // Written even where",
        )],
        model: "bells::same_bell",
    },
    Mutant {
        name: "bell_rung_relaxed",
        file: "bells.rs",
        edits: &[("seen | 1 << bell, AcqRel, Relaxed", "seen | 1 << bell, Acquire, Relaxed")],
        model: "bells::two_bells",
    },
    Mutant {
        name: "bell_rung_without_acquire",
        file: "bells.rs",
        edits: &[("seen | 1 << bell, AcqRel, Relaxed", "seen | 1 << bell, Release, Relaxed")],
        model: "bells::open_against_ring",
    },
    Mutant {
        name: "bells_taken_relaxed",
        file: "bells.rs",
        edits: &[("self.rung.swap(0, Acquire)", "self.rung.swap(0, Relaxed)")],
        model: "bells::same_bell",
    },
    Mutant {
        name: "bells_taken_in_two_steps",
        file: "bells.rs",
        edits: &[(
            "        self.rung.swap(0, Acquire)
",
            "        let rung = self.rung.load(Acquire);
        self.rung.store(0, Relaxed);
        rung
",
        )],
        model: "bells::two_bells",
    },
    Mutant {
        name: "bell_tells_nobody_if_it_is_another",
        file: "bells.rs",
        edits: &[("first: seen == 0", "first: seen & !(1 << bell) == 0")],
        model: "bells::same_bell",
    },
    Mutant {
        name: "bells_opened_relaxed",
        file: "bells.rs",
        edits: &[("self.rung.store(0, Release)", "self.rung.store(0, Relaxed)")],
        model: "bells::open_against_ring",
    },
    Mutant {
        name: "bells_closed_relaxed",
        file: "bells.rs",
        edits: &[("self.rung.swap(CLOSED, Acquire)", "self.rung.swap(CLOSED, Relaxed)")],
        model: "bells::close_against_ring",
    },
    Mutant {
        name: "bell_heard_where_nobody_is",
        file: "bells.rs",
        edits: &[(
            "Err(now) if now & CLOSED != 0 => return Err(Deaf),",
            "Err(now) if now == CLOSED + 1 => return Err(Deaf),",
        )],
        model: "bells::close_against_ring",
    },
];
