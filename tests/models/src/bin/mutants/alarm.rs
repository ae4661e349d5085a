//! Bugs in alarms.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "alarm_taken_away_after_its_handler",
        file: "alarm.rs",
        edits: &[(
            "        self.due.store(Self::NEVER, Relaxed);
        run();
",
            "        run();
        self.due.store(Self::NEVER, Relaxed);
",
        )],
        model: "alarm::set_against_fire",
    },
    Mutant {
        name: "alarm_fires_for_what_it_was_set_for",
        file: "alarm.rs",
        edits: &[("if due == Self::NEVER || due > now {", "if due == Self::NEVER {")],
        model: "alarm::set_against_fire",
    },
    Mutant {
        name: "alarm_a_tick_late",
        file: "alarm.rs",
        edits: &[("due > now", "due >= now")],
        model: "alarm::set_against_fire",
    },
    Mutant {
        name: "alarm_cancelled_and_still_set",
        file: "alarm.rs",
        edits: &[(
            "        let was = self.due.load(Relaxed);
        self.due.store(Self::NEVER, Relaxed);
",
            "        let was = self.due.load(Relaxed);
",
        )],
        model: "alarm::set_against_fire",
    },
];
