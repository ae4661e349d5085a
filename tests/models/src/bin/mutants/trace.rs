//! Bugs in the ring of a trace.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "trace_number_taken_in_two_steps",
        file: "trace.rs",
        edits: &[(
            "let number = self.head.fetch_add(Self::STEP, Relaxed);",
            "let number = self.head.load(Relaxed);
        self.head.store(number.wrapping_add(Self::STEP), Relaxed);",
        )],
        model: "trace::two_writers",
    },
    Mutant {
        name: "trace_number_taken_in_two_steps_by_one_cpu",
        file: "trace.rs",
        edits: &[(
            "let number = self.head.fetch_add(Self::STEP, Relaxed);",
            "let number = self.head.load(Relaxed);
        self.head.store(number.wrapping_add(Self::STEP), Relaxed);",
        )],
        model: "trace::interrupted_and_dropped",
    },
    Mutant {
        name: "trace_number_taken_after_the_record",
        file: "trace.rs",
        edits: &[
            (
                "let number = self.head.fetch_add(Self::STEP, Relaxed);",
                "let number = self.head.load(Relaxed);",
            ),
            (
                "M::put(slots, number, Self::words(number, time, site, value));",
                "M::put(slots, number, Self::words(number, time, site, value));
        self.head.fetch_add(Self::STEP, Relaxed);",
            ),
        ],
        model: "trace::interrupted",
    },
    Mutant {
        name: "trace_stamp_of_the_low_half_not_looked_at",
        file: "trace.rs",
        edits: &[("[low as u32, site as u32,", "[site as u32, site as u32,")],
        model: "trace::read_meanwhile",
    },
    Mutant {
        name: "trace_stamp_of_the_site_not_looked_at",
        file: "trace.rs",
        edits: &[("[low as u32, site as u32,", "[low as u32, low as u32,")],
        model: "trace::read_meanwhile",
    },
    Mutant {
        name: "trace_stamp_of_the_high_half_not_looked_at",
        file: "trace.rs",
        edits: &[("site as u32, (high >> 32) as u32]", "site as u32, site as u32]")],
        model: "trace::interrupted",
    },
    Mutant {
        name: "trace_stamp_of_the_time_not_looked_at",
        file: "trace.rs",
        edits: &[("(whole && timely)", "whole")],
        model: "trace::read_meanwhile",
    },
    Mutant {
        name: "trace_words_of_any_lap",
        file: "trace.rs",
        edits: &[
            (
                "let lap = number >> SLOT_SHIFT;
        [",
                "let lap = 1;
        [",
            ),
            (
                "let lap = number >> SLOT_SHIFT;
    let time",
                "let lap = 1;
    let time",
            ),
        ],
        model: "trace::read_meanwhile",
    },
    Mutant {
        name: "trace_dropped_not_counted",
        file: "trace.rs",
        edits: &[(
            "let number = self.head.fetch_add(Self::STEP, Relaxed);",
            "if self.head.load(Relaxed) >= self.memory.find().0 {
            return;
        }
        let number = self.head.fetch_add(Self::STEP, Relaxed);",
        )],
        model: "trace::dropped",
    },
    Mutant {
        name: "trace_drops_none",
        file: "trace.rs",
        edits: &[("if number >= limit {", "if limit == 0 {")],
        model: "trace::dropped",
    },
    Mutant {
        name: "trace_drops_one_too_late",
        file: "trace.rs",
        edits: &[("if number >= limit {", "if number > limit {")],
        model: "trace::dropped",
    },
    Mutant {
        name: "trace_reads_what_was_dropped",
        file: "trace.rs",
        edits: &[("let end = head.min(limit.max(first));", "let end = head;")],
        model: "trace::dropped",
    },
    Mutant {
        name: "trace_reads_from_the_beginning",
        file: "trace.rs",
        edits: &[("{ end - Self::LAP } else { first }", "{ first } else { first }")],
        model: "trace::read_meanwhile",
    },
    Mutant {
        name: "trace_unfinished_not_counted",
        file: "trace.rs",
        edits: &[("None => counted.unfinished += 1,", "None => {}")],
        model: "trace::read_meanwhile",
    },
    Mutant {
        name: "trace_opened_in_the_same_lap",
        file: "trace.rs",
        edits: &[("(head >> SLOT_SHIFT) + 1", "(head >> SLOT_SHIFT)")],
        model: "trace::opened_anew",
    },
    Mutant {
        name: "trace_opened_without_its_first_number",
        file: "trace.rs",
        edits: &[("        self.first.store(first, Relaxed);\n", "")],
        model: "trace::opened_anew",
    },
    Mutant {
        name: "trace_opened_with_the_limit_of_before",
        file: "trace.rs",
        edits: &[("TraceMode::Drop => first + Self::LAP,", "TraceMode::Drop => first,")],
        model: "trace::dropped",
    },
];
