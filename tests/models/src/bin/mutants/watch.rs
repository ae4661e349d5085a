//! Bugs in the watchdog.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "stuck_claimed_by_store",
        file: "watch.rs",
        edits: &[(
            "match self.reported.compare_exchange(reported, beat, Relaxed, Relaxed) {",
            "match Ok::<u64, u64>(self.reported.swap(beat, Relaxed)) {",
        )],
        model: "watch::one_reporter",
    },
    Mutant {
        name: "stuck_claimed_by_all",
        file: "watch.rs",
        edits: &[(
            "while reported < beat {",
            "if reported == beat {
            return true;
        }
        while reported < beat {",
        )],
        model: "watch::one_reporter",
    },
    Mutant {
        name: "stuck_claimed_though_it_is_past",
        file: "watch.rs",
        edits: &[("while reported < beat {", "while reported != beat {")],
        model: "watch::stuck_again",
    },
    Mutant {
        name: "stuck_claimed_once_for_all",
        file: "watch.rs",
        edits: &[("while reported < beat {", "while reported < beat.min(1) {")],
        model: "watch::stuck_again",
    },
    Mutant {
        name: "watch_started_relaxed",
        file: "watch.rs",
        edits: &[("self.half.store(half, Release);", "self.half.store(half, { let _ = Release; Relaxed });")],
        model: "watch::start_against_look",
    },
    Mutant {
        name: "watch_read_relaxed",
        file: "watch.rs",
        edits: &[("self.half.load(Acquire)", "self.half.load({ let _ = Acquire; Relaxed })")],
        model: "watch::start_against_look",
    },
    Mutant {
        name: "watch_on_before_the_beats",
        file: "watch.rs",
        edits: &[
            (
                "        // Relaxed: a CPU that beats at the same time says the same in other words.
",
                "        self.half.store(half, Release);
",
            ),
            (
                "        // Release: pairs with `half`. Who sees it on sees no beat from before.
        self.half.store(half, Release);
",
                "",
            ),
        ],
        model: "watch::start_against_look",
    },
    Mutant {
        name: "told_is_as_good_as_heard",
        file: "watch.rs",
        edits: &[("now.saturating_sub(first) >= half", "now.saturating_sub(first) < u64::MAX")],
        model: "watch::told_before_it_is_reported",
    },
    Mutant {
        name: "never_told",
        file: "watch.rs",
        edits: &[(
            "let has_heard = beat != self.started.load(Relaxed) || {",
            "let has_heard = beat <= self.started.load(Relaxed) || {",
        )],
        model: "watch::told_before_it_is_reported",
    },
    Mutant {
        name: "told_anew_at_each_look",
        file: "watch.rs",
        edits: &[("if first <= beat {", "if first <= now {")],
        model: "watch::told_before_it_is_reported",
    },
];
