//! Bugs in the locks.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "turn_given_back_relaxed",
        file: "turnstile.rs",
        edits: &[(
            "self.word.clear_low_half(Release);",
            "self.word.clear_low_half({ let _ = Release; Relaxed });",
        )],
        model: "locks::one_at_a_time",
    },
    Mutant {
        name: "given_back_with_the_claims",
        file: "turnstile.rs",
        edits: &[("self.word.clear_low_half(Release);", "self.word.store(Self::FREE, Release);")],
        model: "locks::claims_in_their_order",
    },
    Mutant {
        name: "free_lock_taken_without_fence",
        file: "turnstile.rs",
        edits: &[(
            "        // Acquire: pairs with `give_back`. A fence, because the form for a single CPU has none.
        W::fence(Acquire);",
            "        let _ = Acquire;",
        )],
        model: "locks::one_at_a_time",
    },
    Mutant {
        name: "waited_for_without_fence",
        file: "turnstile.rs",
        edits: &[(
            "                // As in `try_take`.
                W::fence(Acquire);",
            "                let _ = Acquire;",
        )],
        model: "locks::one_at_a_time",
    },
    Mutant {
        name: "free_lock_check_then_store",
        file: "turnstile.rs",
        edits: &[(
            "if !self.word.replace(Self::FREE, me.0) {",
            "if self.word.load() != Self::FREE {
            return false;
        }
        self.word.store(me.0, Relaxed);
        if false {",
        )],
        model: "locks::try_against_lock",
    },
    Mutant {
        name: "change_check_then_store",
        file: "turnstile.rs",
        edits: &[(
            "if !self.word.replace(change.seen, change.new | holder) {",
            "if self.word.load() != change.seen {
            return Seen::Again;
        }
        self.word.store(change.new | holder, Relaxed);
        if false {",
        )],
        model: "locks::one_at_a_time",
    },
    Mutant {
        name: "taken_past_the_claims",
        file: "turnstile.rs",
        edits: &[("if !is_held(seen) && (is_first || !has_claims(seen)) {", "if !is_held(seen) {")],
        model: "locks::nobody_passes_a_claim",
    },
    Mutant {
        name: "free_as_long_as_it_is_claimed",
        file: "turnstile.rs",
        edits: &[(
            "if !is_held(seen) && (is_first || !has_claims(seen)) {",
            "if is_first || !is_held(seen) && !has_claims(seen) {",
        )],
        model: "locks::one_at_a_time",
    },
    Mutant {
        name: "claim_of_another",
        file: "turnstile.rs",
        edits: &[(
            "let is_first = waiter.claim == Some(served(seen));",
            "let is_first = waiter.claim.is_some();",
        )],
        model: "locks::claims_in_their_order",
    },
    Mutant {
        name: "claim_that_is_never_over",
        file: "turnstile.rs",
        edits: &[(
            "let claims = if is_first { without_first(seen) } else { 0 };",
            "let claims = seen & !HOLDER;",
        )],
        model: "locks::one_at_a_time",
    },
    Mutant {
        name: "no_claim_however_often_passed",
        file: "turnstile.rs",
        edits: &[(
            "waiter.passed >= waiter.fairness.overtakings.into()",
            "waiter.passed >= u64::from(waiter.fairness.overtakings) + 9",
        )],
        model: "locks::nobody_passes_a_claim",
    },
    Mutant {
        name: "turns_are_not_counted",
        file: "turnstile.rs",
        edits: &[("self.turns.load().wrapping_add(1)", "self.turns.load()")],
        model: "locks::nobody_passes_a_claim",
    },
    Mutant {
        name: "no_patience",
        file: "turnstile.rs",
        edits: &[("if waiter.looks <= waiter.fairness.patience {", "if waiter.looks == 0 {")],
        model: "locks::nobody_passes_a_claim",
    },
    Mutant {
        name: "patience_for_ever",
        file: "turnstile.rs",
        edits: &[(
            "if waiter.looks <= waiter.fairness.patience {",
            "if waiter.looks <= waiter.fairness.patience + 9 {",
        )],
        model: "locks::stopped_anywhere",
    },
    Mutant {
        name: "struck_off_and_taken_at_once",
        file: "turnstile.rs",
        edits: &[("new: without_first(seen), end: End::StruckOff", "new: HOLDER, end: End::StruckOff")],
        model: "locks::struck_off",
    },
    Mutant {
        name: "taken_by_nobody_in_particular",
        file: "turnstile.rs",
        edits: &[("self.word.replace(Self::FREE, me.0)", "self.word.replace(Self::FREE, me.0.min(1))")],
        model: "locks::holder_is_known",
    },
    Mutant {
        name: "holder_of_which_a_byte_is_known",
        file: "turnstile.rs",
        edits: &[("Some(Self(word & HOLDER))", "Some(Self(word & 0xff))")],
        model: "locks::holder_is_known",
    },
    Mutant {
        name: "claimant_taken_for_the_holder",
        file: "turnstile.rs",
        edits: &[(
            "if matches!(change.end, End::Taken) { me.0 } else { 0 }",
            "if matches!(change.end, End::Taken | End::Claimed) { me.0 } else { 0 }",
        )],
        model: "locks::holder_is_known",
    },
    Mutant {
        name: "interrupts_open_before_the_lock_is_free",
        file: "turnstile.rs",
        edits: &[(
            "    turn: Turn<P>,
    _mask: M,",
            "    _mask: M,
    turn: Turn<P>,",
        )],
        model: "locks::free_before_interrupts_open",
    },
];
