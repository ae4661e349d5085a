//! Bugs in the news, and in the routes of interrupts.
//!
//! What holds the table of routes is glue, which no model runs; the model has its order of steps, and some of these bugs are in it.

use super::Mutant;

/// The order of steps of what holds the table, as the model has it.
const CALLERS: &str = "../../tests/models/tests/news.rs";

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "news_without_fence",
        file: "news.rs",
        edits: &[("A::fence(SeqCst);", "let _ = SeqCst;")],
        model: "news::tell_against_online",
    },
    Mutant {
        name: "news_with_weak_fence",
        file: "news.rs",
        edits: &[(
            "A::fence(SeqCst);",
            "let _ = SeqCst;
        A::fence(core::sync::atomic::Ordering::AcqRel);",
        )],
        model: "news::tell_against_online",
    },
    Mutant {
        name: "online_without_fence_for_news",
        file: "handshake/life.rs",
        edits: &[("A::fence(SeqCst);", "let _ = SeqCst;")],
        model: "news::tell_against_online",
    },
    Mutant {
        name: "news_told_before_the_fence",
        file: "news.rs",
        edits: &[(
            "        A::fence(SeqCst);
        tell();",
            "        tell();
        A::fence(SeqCst);",
        )],
        model: "news::tell_against_online",
    },
    Mutant {
        name: "news_counted_relaxed",
        file: "news.rs",
        edits: &[("self.latest.fetch_add(1, Release) + 1;", "self.latest.fetch_add(1, Relaxed) + 1;")],
        model: "news::number_hands_over",
    },
    Mutant {
        name: "news_read_relaxed",
        file: "news.rs",
        edits: &[("self.latest.load(Acquire)", "self.latest.load(Relaxed)")],
        model: "news::number_hands_over",
    },
    Mutant {
        name: "news_noted_that_came_meanwhile",
        file: "news.rs",
        edits: &[(
            "self.apply_up_to(self.latest(), applied, apply);",
            "apply();
        applied.number.store(self.latest(), Relaxed);",
        )],
        model: "news::tell_against_look",
    },
    Mutant {
        name: "wanted_relaxed",
        file: "news.rs",
        edits: &[("self.bits.fetch_add(1 << bit, Release);", "self.bits.fetch_add(1 << bit, Relaxed);")],
        model: "news::tell_against_look",
    },
    Mutant {
        name: "wanted_read_relaxed",
        file: "news.rs",
        edits: &[("self.bits.load(Acquire)", "self.bits.load(Relaxed)")],
        model: "news::tell_against_look",
    },
    Mutant {
        name: "applied_relaxed",
        file: "news.rs",
        edits: &[("applied.number.store(number, Release);", "applied.number.store(number, Relaxed);")],
        model: "news::taken_away",
    },
    Mutant {
        name: "applied_read_relaxed",
        file: "news.rs",
        edits: &[("self.number.load(Acquire)", "self.number.load(Relaxed)")],
        model: "news::taken_away",
    },
    Mutant {
        name: "taken_away_by_older_news",
        file: "news.rs",
        edits: &[("self.latest.fetch_add(1, Release) + 1", "self.latest.fetch_add(1, Release)")],
        model: "news::taken_away",
    },
    Mutant {
        name: "sent_without_a_look",
        file: "routes.rs",
        edits: &[("if !is_online() {", "if !is_online() && self.end > N {")],
        model: "news::affinity_against_leave",
    },
    Mutant {
        name: "moves_what_goes_to_others",
        file: "routes.rs",
        edits: &[("if *to == from + 1 {", "if *to != 0 {")],
        model: "news::affinity_against_leave",
    },
    Mutant {
        name: "leaves_the_last_behind",
        file: "routes.rs",
        edits: &[("self.end.max(interrupt + 1)", "self.end.max(interrupt)")],
        model: "news::two_leave",
    },
    Mutant {
        name: "looked_at_outside_of_the_lock",
        file: CALLERS,
        edits: &[(
            "        self.locked(|routes| {
            routes.send(interrupt, cpu, || self.slots[usize::from(cpu)].is_online())?;",
            "        let is_online = self.slots[usize::from(cpu)].is_online();
        self.locked(|routes| {
            routes.send(interrupt, cpu, || is_online)?;",
        )],
        model: "news::affinity_against_leave",
    },
    Mutant {
        name: "moves_before_it_says_that_it_leaves",
        file: CALLERS,
        edits: &[
            (
                "        assert!(self.slots[usize::from(cpu)].begin_leave(1));
",
                "",
            ),
            (
                "        assert!(self.slots[usize::from(cpu)].gone(1));",
                "        assert!(self.slots[usize::from(cpu)].begin_leave(1));
        assert!(self.slots[usize::from(cpu)].gone(1));",
            ),
        ],
        model: "news::affinity_against_leave",
    },
];
