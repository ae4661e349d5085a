//! Bugs in the depth of masked sections.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "masking_count_read_before_the_mask",
        file: "masking.rs",
        edits: &[(
            "nor where this is.
        raise();
        let depth = here();
        let before = depth.word.load(Relaxed);",
            "nor where this is.
        let depth = here();
        let before = depth.word.load(Relaxed);
        raise();",
        )],
        model: "masking::masked_while_one_is_alive",
    },
    Mutant {
        name: "masking_where_asked_before_the_mask",
        file: "masking.rs",
        edits: &[(
            "nor where this is.
        raise();
        let depth = here();",
            "nor where this is.
        let depth = here();
        raise();",
        )],
        model: "masking::masked_where_it_is",
    },
    Mutant {
        name: "masking_mask_not_raised_again",
        file: "masking.rs",
        edits: &[(
            "        raise();
        let depth = here();
        let before = depth.word.load(Relaxed);
        if before & NMI != 0 {",
            "        let depth = here();
        let before = depth.word.load(Relaxed);
        if is_held(before) { raise(); }
        if before & NMI != 0 {",
        )],
        model: "masking::masked_while_one_is_alive",
    },
    Mutant {
        name: "masking_counted_where_it_is_held",
        file: "masking.rs",
        edits: &[(
            "if is_held(before) {\n            return false;",
            "if before & NMI != 0 {\n            return false;",
        )],
        model: "masking::masked_while_one_is_alive",
    },
    Mutant {
        name: "masking_next_to_last_lowers",
        file: "masking.rs",
        edits: &[("(!is_held(left)).then_some(left)", "(!is_held(left.wrapping_add(ONE))).then_some(left)")],
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
