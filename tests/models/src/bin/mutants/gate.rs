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
        name: "gate_written_by_others",
        file: "gate.rs",
        edits: &[(
            "            if entry == Entry::Other {
                return entry;",
            "            if entry == Entry::Other {
                self.word.store(next.to_bits(), Relaxed);
                return entry;",
        )],
        model: "gate::phases_against_failure",
    },
    Mutant {
        name: "gate_phase_of_anyone",
        file: "gate.rs",
        edits: &[("held.phase == Phase::Free || held.owner != me ||", "held.phase == Phase::Free ||")],
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
];
