//! Bugs in preemption that is put off.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "preemption_mark_looked_for_first",
        file: "preemption.rs",
        edits: &[
            (
                "        self.still.store(left, Relaxed);
",
                "        let put_off = self.put_off.load(Relaxed);
        self.still.store(left, Relaxed);
",
            ),
            ("left == 0 && self.put_off.load(Relaxed) != Self::NOT", "left == 0 && put_off != Self::NOT"),
        ],
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
