//! Bugs in the depth of masked sections.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "masking_count_read_before_the_mask",
        file: "masking.rs",
        edits: &[(
            "let raised = raise();
        let before = self.word.load(Relaxed);",
            "let before = self.word.load(Relaxed);
        let raised = raise();",
        )],
        model: "masking::masked_while_one_is_alive",
    },
    Mutant {
        name: "masking_mask_not_raised_again",
        file: "masking.rs",
        edits: &[(
            "        raise();
        let before = self.word.load(Relaxed);",
            "        let before = self.word.load(Relaxed);
        if is_held(before) { raise(); }",
        )],
        model: "masking::masked_while_one_is_alive",
    },
    Mutant {
        name: "masking_next_to_last_lowers",
        file: "masking.rs",
        edits: &[(
            "    pub const fn is_nobody(self) -> bool {
        !is_held(self.0)",
            "    pub const fn is_nobody(self) -> bool {
        !is_held(self.0.wrapping_add(ONE))",
        )],
        model: "masking::masked_while_one_is_alive",
    },
    Mutant {
        name: "masking_nmi_level_leaves_its_count",
        file: "masking.rs",
        edits: &[(
            "self.word.store(before, Relaxed);
        result",
            "self.word.store(self.word.load(Relaxed).wrapping_add(ONE) & !NMI, Relaxed);
        result",
        )],
        model: "masking::masked_while_one_is_alive",
    },
    Mutant {
        name: "masking_nmi_level_leaves_its_mask",
        file: "masking.rs",
        edits: &[("put_back(mask);", "let _ = (put_back, mask);")],
        model: "masking::masked_while_one_is_alive",
    },
    Mutant {
        name: "masking_nmi_level_looks_too_late",
        file: "masking.rs",
        edits: &[(
            "let mask = look();
        let result = f();",
            "let result = f();
        let mask = look();",
        )],
        model: "masking::masked_while_one_is_alive",
    },
    Mutant {
        name: "masking_nmi_level_unmarked",
        file: "masking.rs",
        edits: &[(
            "self.word.store(before.wrapping_sub(ONE) | NMI, Relaxed);",
            "self.word.store(before.wrapping_sub(ONE), Relaxed);",
        )],
        model: "masking::masked_while_one_is_alive",
    },
    Mutant {
        name: "masking_counted_at_nmi_level",
        file: "masking.rs",
        edits: &[("if before & NMI != 0 {", "if before & NMI == 1 {")],
        model: "masking::masked_while_one_is_alive",
    },
];
