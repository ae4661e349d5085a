//! Bugs in the panic gate.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "gate_check_then_store",
        file: "gate.rs",
        edits: &[
            ("let mut word = Self::FREE;", "let mut word = self.word.load(Relaxed);"),
            (
                "let (next, entry) = decide(Fields::from_bits(word));",
                "let (next, entry) = decide(Fields::from_bits(word));
                 if entry == Entry::Reporter {
                     self.word.store(next.to_bits(), Relaxed);
                     return entry;
                 }",
            ),
        ],
        model: "gate::one_reporter",
    },
    Mutant {
        name: "gate_forgets_owner",
        file: "gate.rs",
        edits: &[(
            "!matches!(self.phase, Phase::Free) && self.owner != me",
            "matches!(self.phase, Phase::Mute) && self.owner != me",
        )],
        model: "gate::one_reporter",
    },
    Mutant {
        name: "gate_count_load_then_store",
        file: "gate.rs",
        edits: &[(
            "self.parked.0.fetch_add(1, Relaxed);",
            "self.parked.0.store(self.parked.0.load(Relaxed) + 1, Relaxed);",
        )],
        model: "gate::one_reporter",
    },
    Mutant {
        name: "gate_phase_of_anyone",
        file: "gate.rs",
        edits: &[("held.owner == me && held.phase < phase", "held.phase < phase")],
        model: "gate::phases_against_failure",
    },
    Mutant {
        name: "gate_nested_without_end",
        file: "gate.rs",
        edits: &[(
            "=> (Phase::Acting, Entry::Nested(self.phase)),",
            "=> (self.phase, Entry::Nested(self.phase)),",
        )],
        model: "gate::phases_against_failure",
    },
    Mutant {
        name: "gate_stop_hides_failure",
        file: "gate.rs",
        edits: &[
            ("Phase::Free | Phase::Halting => (", "Phase::Free => ("),
            (
                "Phase::Stopping | Phase::Reporting => (",
                "Phase::Halting | Phase::Stopping | Phase::Reporting => (",
            ),
        ],
        model: "gate::failure_after_stop",
    },
    Mutant {
        name: "reporter_without_fence",
        file: "gate.rs",
        edits: &[("A::fence(SeqCst);", "let _ = SeqCst;")],
        model: "gate::online_against_scan",
    },
    Mutant {
        name: "reporter_with_weak_fence",
        file: "gate.rs",
        edits: &[("A::fence(SeqCst);", "let _ = SeqCst; A::fence(core::sync::atomic::Ordering::AcqRel);")],
        model: "gate::online_against_scan",
    },
    Mutant {
        name: "parked_relaxed",
        file: "parked.rs",
        edits: &[(
            "self.how.store(u64::from(how) | closed, Release);",
            "self.how.store(u64::from(how) | closed, core::sync::atomic::Ordering::Relaxed);",
        )],
        model: "gate::what_the_parked_left",
    },
    Mutant {
        name: "parked_read_relaxed",
        file: "parked.rs",
        edits: &[("self.how.load(Acquire)", "self.how.load(core::sync::atomic::Ordering::Relaxed)")],
        model: "gate::what_the_parked_left",
    },
    Mutant {
        name: "parked_before_it_leaves",
        file: "parked.rs",
        edits: &[
            ("        let closed = if leave() { Self::CLOSED } else { 0 };\n", ""),
            (
                "self.how.store(u64::from(how) | closed, Release);",
                "self.how.store(u64::from(how) | Self::CLOSED, Release); leave();",
            ),
        ],
        model: "gate::what_the_parked_left",
    },
];
