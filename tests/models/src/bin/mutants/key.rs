//! Bugs around the survey that decides whether code may be patched, and in what its callers do with it.
//!
//! The callers are glue, which no model runs; the model has their order of steps, and some of these bugs are in it.

use super::Mutant;

/// The callers' order of steps, as the model has it.
const CALLERS: &str = "../../tests/models/tests/key_arrival.rs";

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "patch_in_spite_of_the_wedged",
        file: "handshake/snapshot.rs",
        edits: &[(
            "matches!(self, Self::Offline | Self::Online | Self::Gone | Self::Revoked | Self::Failed)",
            "matches!(self, Self::Offline | Self::Online | Self::Gone | Self::Revoked | Self::Failed | Self::Wedged)",
        )],
        model: "key_arrival::key_against_arrival",
    },
    Mutant {
        name: "patch_in_spite_of_the_dying",
        file: "handshake/snapshot.rs",
        edits: &[(
            "matches!(self, Self::Offline | Self::Online | Self::Gone | Self::Revoked | Self::Failed)",
            "matches!(self, Self::Offline | Self::Online | Self::Gone | Self::Revoked | Self::Failed | Self::Dying)",
        )],
        model: "key_arrival::key_against_leaver",
    },
    Mutant {
        name: "two_are_alone",
        file: "survey.rs",
        edits: &[("if online <= 1 {", "if online <= 2 {")],
        model: "key_arrival::lock_form",
    },
    Mutant {
        name: "only_the_first_cpu_is_surveyed",
        file: "survey.rs",
        edits: &[(
            "for (cpu, slot) in slots.into_iter().enumerate() {",
            "for (cpu, slot) in slots.into_iter().enumerate().take(1) {",
        )],
        model: "key_arrival::key_against_leaver",
    },
    Mutant {
        name: "survey_sees_nothing",
        file: "handshake/slot.rs",
        edits: &[(
            "Snapshot::from_bits(self.word.load(Acquire))",
            "Snapshot::from_bits(self.word.load({ let _ = Acquire; Ordering::Relaxed }))",
        )],
        model: "key_arrival::key_against_leaver",
    },
    Mutant {
        name: "leaver_hands_nothing_over",
        file: "handshake/life.rs",
        edits: &[(
            "Snapshot::new(generation, 0, State::Gone), Release, Relaxed)",
            "Snapshot::new(generation, 0, State::Gone), Relaxed, Relaxed)",
        )],
        model: "key_arrival::key_against_leaver",
    },
    Mutant {
        name: "gathered_cpu_sees_the_old_site",
        file: "rendezvous/round.rs",
        edits: &[("self.word.load(Acquire)", "self.word.load({ let _ = Acquire; Relaxed })")],
        model: "key_arrival::key_against_arrival",
    },
    Mutant {
        name: "form_for_several_after_the_kick",
        file: CALLERS,
        edits: &[
            ("        world.site.write(OFF);\n        let kicked", "        let kicked"),
            (
                "        world.reset.raise(1);\n        world.count();",
                "        world.reset.raise(1);\n        world.site.write(OFF);\n        world.count();",
            ),
        ],
        model: "key_arrival::lock_form",
    },
    Mutant {
        name: "form_for_one_whatever_the_survey",
        file: CALLERS,
        edits: &[("if survey == Survey::Alone {", "if survey != Survey::Several {")],
        model: "key_arrival::lock_form",
    },
    Mutant {
        name: "lock_of_one_is_not_taken",
        file: CALLERS,
        edits: &[("                    self.lock.store(1, Relaxed);\n", "")],
        model: "key_arrival::lock_form",
    },
    Mutant {
        name: "arriver_fetches_before_it_has_won",
        file: CALLERS,
        edits: &[(
            "if slot.arrive(1) != Arrival::Won {
                return;",
            "if slot.arrive(1) != Arrival::Won {
                let _ = world.site.read();
                return;",
        )],
        model: "key_arrival::key_against_arrival",
    },
    Mutant {
        name: "no_survey_inside_the_round",
        file: CALLERS,
        edits: &[("Survey::Busy(cpu) => assert_eq!(cpu, 1),", "Survey::Busy(_) => self.site.write(OFF),")],
        model: "key_arrival::key_against_leaver",
    },
];
