//! Bugs in preemption that is put off.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "preemption_mark_looked_for_first",
        file: "preemption.rs",
        edits: &[(
            "        self.still.store(left, Relaxed);
        // Behind that: what an interrupt puts off until then is found, and later none does.
        if left != 0 || self.put_off.load(Relaxed) == Self::NOT {
            return false;
        }",
            "        let none = self.put_off.load(Relaxed) == Self::NOT;
        self.still.store(left, Relaxed);
        if left != 0 || none {
            return false;
        }",
        )],
        model: "preemption::one_user_at_a_time",
    },
    Mutant {
        name: "preemption_not_put_off",
        file: "preemption.rs",
        edits: &[("if self.still.load(Relaxed) == Self::NOT {", "if self.still.load(Relaxed) <= 1 {")],
        model: "preemption::one_user_at_a_time",
    },
    Mutant {
        name: "preemption_forgotten",
        file: "preemption.rs",
        edits: &[("        self.put_off.store(1, Relaxed);\n", "")],
        model: "preemption::one_user_at_a_time",
    },
    Mutant {
        name: "preemption_does_not_nest",
        file: "preemption.rs",
        edits: &[("let left = self.still.load(Relaxed) - 1;", "let left = 0;")],
        model: "preemption::one_user_at_a_time",
    },
];
