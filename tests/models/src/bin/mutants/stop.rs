//! Bugs in the rendezvous, the lifecycle lock and the request to leave.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    // The rendezvous: what its word hands over.
    Mutant {
        name: "acknowledge_relaxed",
        file: "rendezvous/round.rs",
        edits: &[(
            "compare_exchange(now, acknowledged(now), Release, Relaxed)",
            "compare_exchange(now, acknowledged(now), { let _ = Release; Relaxed }, Relaxed)",
        )],
        model: "stop_rendezvous::two_cpus",
    },
    Mutant {
        name: "run_relaxed",
        file: "rendezvous/initiator.rs",
        edits: &[("self.go_on(Stage::Run, Release);", "self.go_on(Stage::Run, Relaxed);")],
        model: "stop_rendezvous::two_cpus_each",
    },
    Mutant {
        name: "over_relaxed",
        file: "rendezvous/initiator.rs",
        edits: &[("self.go_on(Stage::Idle, Release);", "self.go_on(Stage::Idle, Relaxed);")],
        model: "stop_rendezvous::two_cpus",
    },
    Mutant {
        name: "overtaken_is_called_off",
        file: "rendezvous/participant.rs",
        edits: &[("return self.leave(Ending::Overtaken)", "return self.leave(Ending::Aborted)")],
        model: "stop_rendezvous::back_to_back_one",
    },
    Mutant {
        name: "step_relaxed",
        file: "rendezvous/round.rs",
        edits: &[("self.word.load(Acquire)", "{ let _ = Acquire; self.word.load(Relaxed) }")],
        model: "stop_rendezvous::two_cpus",
    },
    // The rendezvous: who is counted, and when.
    // The rendezvous: who is left when the others were stopped for good.
    Mutant {
        name: "condemn_spares_the_job",
        file: "rendezvous/round.rs",
        edits: &[(
            "if !matches!(seen.stage, Stage::Idle | Stage::Aborted) {
            // A plain store",
            "if !matches!(seen.stage, Stage::Idle | Stage::Aborted | Stage::Run) {
            // A plain store",
        )],
        model: "stop_rendezvous::left_by_its_initiator_each",
    },
    Mutant {
        name: "alone_waits_for_the_others",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "Fields { others: 0, ..Fields::from_bits(self.seen) }.enter(stage)",
            "Fields::from_bits(self.seen).enter(stage)",
        )],
        model: "stop_rendezvous::left_by_its_participant_each",
    },
    Mutant {
        name: "alone_without_the_job",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "Leading::Gathering | Leading::Masking => Stage::MaskActive,",
            "Leading::Gathering | Leading::Masking => Stage::Idle,",
        )],
        model: "stop_rendezvous::left_by_its_participant_one",
    },
    Mutant {
        name: "abort_by_store",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "match self.rendezvous.word.compare_exchange(self.seen, aborted, Relaxed, Relaxed) {",
            "self.rendezvous.word.store(aborted, Relaxed);
             match Ok(0) {",
        )],
        model: "stop_rendezvous::abort_in_mask_inactive",
    },
    Mutant {
        name: "acknowledge_by_store",
        file: "rendezvous/round.rs",
        edits: &[(
            "match self.word.compare_exchange(now, acknowledged(now), Release, Relaxed) {",
            "self.word.store(acknowledged(now), Release);
             match Ok(0) {",
        )],
        model: "stop_rendezvous::abort_in_mask_inactive",
    },
    Mutant {
        name: "join_by_store",
        file: "rendezvous/participant.rs",
        edits: &[(
            "match self.word.compare_exchange(word, acknowledged(word), Relaxed, Relaxed) {",
            "self.word.store(acknowledged(word), Relaxed);
             match Ok(0) {",
        )],
        model: "stop_rendezvous::from_prepare",
    },
    Mutant {
        name: "acknowledge_whatever_the_round",
        file: "rendezvous/round.rs",
        edits: &[(
            "while same_stage(now, seen) {",
            "while same_stage(now, seen) || (Stage::Prepare..=Stage::MaskActive).contains(&super::word::stage_of(now)) {",
        )],
        model: "stop_rendezvous::latecomer",
    },
    Mutant {
        name: "stay_whatever_the_round",
        file: "rendezvous/participant.rs",
        edits: &[("_ if round_of(seen) != self.round => ", "_ if round_of(seen) > self.round + 1 => ")],
        model: "stop_rendezvous::latecomer",
    },
    Mutant {
        name: "join_a_dead_round",
        file: "rendezvous/participant.rs",
        edits: &[(
            "if stage_of(word) != Stage::Prepare || ",
            "if !matches!(stage_of(word), Stage::Prepare | Stage::Aborted) || ",
        )],
        model: "stop_rendezvous::abort_in_prepare",
    },
    Mutant {
        name: "join_in_spite_of_failure",
        file: "rendezvous/participant.rs",
        edits: &[(
            "Ok(_) => {
                    mark.set(round",
            "Ok(_) | Err(_) => {
                    mark.set(round",
        )],
        model: "stop_rendezvous::abort_in_prepare",
    },
    Mutant {
        name: "join_ones_own_round",
        file: "rendezvous/participant.rs",
        edits: &[(" || mark.is_in(round) {", " {")],
        model: "stop_rendezvous::two_initiators",
    },
    Mutant {
        name: "round_not_counted_up",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "let round = (round_of(word) + 1) & ROUND_MASK;",
            "let round = round_of(word).max(1) & ROUND_MASK;",
        )],
        model: "stop_rendezvous::latecomer",
    },
    Mutant {
        name: "begin_by_store",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "match self.word.compare_exchange(word, first, Relaxed, Relaxed) {",
            "self.word.store(first, Relaxed);
             match Ok(0) {",
        )],
        model: "stop_rendezvous::begin_against_begin",
    },
    Mutant {
        name: "refused_with_a_mark",
        file: "rendezvous/initiator.rs",
        edits: &[("mark.restore(before);", "let _ = (before, Mark::<A>::restore);")],
        model: "stop_rendezvous::begin_against_begin",
    },
    Mutant {
        name: "everyone_advances",
        file: "rendezvous/word.rs",
        edits: &[("if word & COUNT_MASK > 1 {", "if word & COUNT_MASK > 1024 {")],
        model: "stop_rendezvous::from_mask_inactive",
    },
    Mutant {
        name: "nobody_advances",
        file: "rendezvous/word.rs",
        edits: &[("if word & COUNT_MASK > 1 {", "if word & COUNT_MASK > 0 {")],
        model: "stop_rendezvous::from_mask_inactive",
    },
    Mutant {
        name: "run_does_not_await_the_last",
        file: "rendezvous/word.rs",
        edits: &[("Stage::Run => self.others + 1,", "Stage::Run => self.others,")],
        model: "stop_rendezvous::two_cpus_each",
    },
    // The rendezvous: what comes before what.
    Mutant {
        name: "job_read_on_joining",
        file: "rendezvous/participant.rs",
        edits: &[(
            "(Place::Joined, Stage::Prepare) => (Place::Open, Action::OpenInterrupts),",
            "(Place::Joined, Stage::Prepare) => (Place::Open, Action::RunJob),",
        )],
        model: "stop_rendezvous::from_prepare",
    },
    Mutant {
        name: "job_read_when_masked",
        file: "rendezvous/participant.rs",
        edits: &[(
            "(Place::Masked, Stage::Run) if is_each",
            "(Place::Masked, Stage::MaskActive | Stage::Run) if is_each",
        )],
        model: "stop_rendezvous::abort_in_mask_active",
    },
    Mutant {
        name: "initiator_masks_with_the_others",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "if stage_of(self.seen) != Stage::MaskActive {",
            "if !matches!(stage_of(self.seen), Stage::MaskInactive | Stage::MaskActive) {",
        )],
        model: "stop_calls::served_while_gathering",
    },
    Mutant {
        name: "initiator_masks_first",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "if stage_of(self.seen) != Stage::MaskActive {",
            "if stage_of(self.seen) == Stage::Aborted {",
        )],
        model: "stop_rendezvous::two_cpus",
    },
    Mutant {
        name: "participant_masks_late",
        file: "rendezvous/participant.rs",
        edits: &[
            (
                "(Place::Joined | Place::Open, Stage::MaskInactive) => (Place::Masking, Action::Mask),",
                "(Place::Joined | Place::Open, Stage::MaskInactive) => {
                     let _ = self.rendezvous.acknowledge(seen);
                     (Place::Masking, Action::Mask)
                 }",
            ),
            ("(Place::Masking, Stage::MaskInactive) => {", "(Place::Masking, _) => {"),
            ("if self.rendezvous.acknowledge(seen).is_err() {", "if stage_of(seen) == Stage::Aborted {"),
        ],
        model: "stop_rendezvous::two_cpus",
    },
    Mutant {
        name: "initiator_leaves_ungathered",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "if stage_of(self.seen) != Stage::MaskActive {",
            "if stage_of(self.seen) != Stage::MaskActive {
                 self.go_on(Stage::MaskActive, Relaxed);
             }
             if stage_of(self.seen) == Stage::Aborted {",
        )],
        model: "stop_calls::down_against_call",
    },
    Mutant {
        name: "initiator_runs_at_once",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "self.place = Leading::Masking;
                Action::Mask",
            "self.place = Leading::Running;
                Action::RunJob",
        )],
        model: "stop_rendezvous::two_cpus",
    },
    Mutant {
        name: "initiator_leaves_during_the_job",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "if stage_of(self.seen) != Stage::Idle {",
            "if !matches!(stage_of(self.seen), Stage::Run | Stage::Idle) {",
        )],
        model: "stop_rendezvous::two_cpus_each",
    },
    Mutant {
        name: "participant_leaves_after_its_job",
        file: "rendezvous/participant.rs",
        edits: &[(
            "(Place::Masked | Place::Ran, Stage::Idle) =>",
            "(Place::Ran, Stage::Run) => return self.leave(Ending::Done),
             (Place::Masked | Place::Ran, Stage::Idle) =>",
        )],
        model: "stop_rendezvous::two_cpus_each",
    },
    Mutant {
        name: "abort_after_run",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "Leading::Gathering | Leading::Masking if now >=",
            "Leading::Gathering | Leading::Masking | Leading::Running | Leading::Ran if now >=",
        )],
        model: "stop_rendezvous::late_in_run",
    },
    Mutant {
        name: "abort_in_prepare_only",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "if now >= self.deadline =>",
            "if now >= self.deadline && stage_of(self.rendezvous.load()) == Stage::Prepare =>",
        )],
        model: "stop_rendezvous::abort_in_mask_inactive",
    },
    Mutant {
        name: "abort_not_when_all_have_masked",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "if now >= self.deadline =>",
            "if now >= self.deadline && stage_of(self.rendezvous.load()) != Stage::MaskActive =>",
        )],
        model: "stop_rendezvous::abort_in_mask_active",
    },
    // The rendezvous: who is named.
    Mutant {
        name: "mark_before_acknowledgement",
        file: "rendezvous/participant.rs",
        edits: &[(
            "if self.rendezvous.acknowledge(seen).is_err() {",
            "self.mark.set(self.round, Stage::MaskActive);
             if self.rendezvous.acknowledge(seen).is_err() {",
        )],
        model: "stop_rendezvous::abort_in_mask_inactive",
    },
    Mutant {
        name: "mark_forgotten",
        file: "rendezvous/participant.rs",
        edits: &[(
            "                    mark.set(round, Stage::Prepare);
",
            "",
        )],
        model: "stop_rendezvous::abort_in_prepare",
    },
    // The lifecycle lock.
    Mutant {
        name: "attend_looks_before_it_masks",
        file: "rendezvous/attend.rs",
        edits: &[(
            "        let mut mask = cpu.mask();
        let mut round = rendezvous.join(&self.mark);",
            "        let mut round = rendezvous.join(&self.mark);
        let mut mask = cpu.mask();",
        )],
        model: "stop_attend::on_its_heels",
    },
    Mutant {
        name: "attend_opens_behind_the_last_look",
        file: "rendezvous/attend.rs",
        edits: &[(
            "        cpu.close(mask);
",
            "        cpu.unmask(mask);
",
        )],
        model: "stop_attend::on_its_heels",
    },
    Mutant {
        name: "attend_once_for_all",
        file: "rendezvous/attend.rs",
        edits: &[(
            "        self.attends.store(if is_last { cpu.rest() } else { Self::IDLE }, Relaxed);\n",
            "",
        )],
        model: "stop_attend::on_its_heels",
    },
    Mutant {
        name: "attend_twice_at_once",
        file: "rendezvous/attend.rs",
        edits: &[("if state != Self::IDLE &&", "if state == 9 &&")],
        model: "stop_attend::on_its_heels",
    },
    Mutant {
        name: "attend_never_tired",
        file: "rendezvous/attend.rs",
        edits: &[("            if is_last {\n                break;\n            }\n", "")],
        model: "stop_attend::tired",
    },
    Mutant {
        name: "attend_no_rest",
        file: "rendezvous/attend.rs",
        edits: &[("state != Self::ATTENDS && cpu.has_rested(state)", "state != Self::ATTENDS")],
        model: "stop_attend::tired",
    },
    Mutant {
        name: "attend_rests_for_ever",
        file: "rendezvous/attend.rs",
        edits: &[("state != Self::ATTENDS && cpu.has_rested(state)", "false")],
        model: "stop_attend::tired",
    },
    Mutant {
        name: "attend_without_masking",
        file: "rendezvous/attend.rs",
        edits: &[("if mask.is_none() {", "if mask.is_some() {")],
        model: "stop_attend::on_its_heels",
    },
    Mutant {
        name: "attend_opens_before_the_job_counts",
        file: "rendezvous/attend.rs",
        edits: &[(
            "            cpu.synchronise();
",
            "            cpu.unmask(mask);
            cpu.synchronise();
            mask = cpu.mask();
",
        )],
        model: "stop_attend::on_its_heels_each",
    },
    Mutant {
        name: "lifecycle_acquire_relaxed",
        file: "lifecycle.rs",
        edits: &[(
            "compare_exchange(word, me.to_bits(), Acquire, Relaxed)",
            "compare_exchange(word, me.to_bits(), { let _ = Acquire; Relaxed }, Relaxed)",
        )],
        model: "stop_lifecycle::one_at_a_time",
    },
    Mutant {
        name: "lifecycle_release_relaxed",
        file: "lifecycle.rs",
        edits: &[("FREE, Release)", "FREE, { let _ = Release; Relaxed })")],
        model: "stop_lifecycle::one_at_a_time",
    },
    Mutant {
        name: "take_over_by_store",
        file: "lifecycle.rs",
        edits: &[(
            "_ => {}\n            }\n        }",
            "_ => {
             self.word.store(me.to_bits(), Relaxed);
             return Ok(Tenure { lock: self });
         }\n            }\n        }",
        )],
        model: "stop_lifecycle::take_over",
    },
    Mutant {
        name: "take_over_from_the_dying",
        file: "lifecycle.rs",
        edits: &[("matches!(slot.state, State::Gone)", "matches!(slot.state, State::Dying | State::Gone)")],
        model: "stop_lifecycle::take_over",
    },
    Mutant {
        name: "take_over_whatever_the_generation",
        file: "lifecycle.rs",
        edits: &[("slot.generation == self.generation && ", "")],
        model: "stop_lifecycle::take_over_too_late",
    },
    Mutant {
        name: "no_take_over",
        file: "lifecycle.rs",
        edits: &[("matches!(slot.state, State::Gone)", "matches!(slot.state, State::Offline)")],
        model: "stop_lifecycle::take_over",
    },
    Mutant {
        name: "kept_is_given_back",
        file: "lifecycle.rs",
        edits: &[("mem::forget(self);", "let _ = mem::size_of::<Self>();")],
        model: "stop_lifecycle::take_over",
    },
    // The request to leave.
    Mutant {
        name: "ask_relaxed",
        file: "hotplug.rs",
        edits: &[(
            "word(round, 0, WRITING), Acquire, Relaxed)",
            "word(round, 0, WRITING), Relaxed, Relaxed)",
        )],
        model: "stop_request::answer_against_drop",
    },
    Mutant {
        name: "ask_without_writing",
        file: "hotplug.rs",
        edits: &[(
            "word(round, 0, WRITING), Acquire, Relaxed)",
            "word(round, 0, REQUESTED), Acquire, Relaxed)",
        )],
        model: "stop_request::accept_against_withdraw",
    },
    Mutant {
        name: "asked_relaxed",
        file: "hotplug.rs",
        edits: &[("word(round, 0, REQUESTED), Release)", "word(round, 0, REQUESTED), Relaxed)")],
        model: "stop_request::accept_against_withdraw",
    },
    Mutant {
        name: "ask_by_store",
        file: "hotplug.rs",
        edits: &[(
            "if self.word.compare_exchange(seen, word(round, 0, WRITING), Acquire, Relaxed).is_err() {
            return Err(AlreadyAsked);
        }",
            "self.word.store(word(round, 0, WRITING), Relaxed);",
        )],
        model: "stop_request::two_ask",
    },
    Mutant {
        name: "accept_relaxed",
        file: "hotplug.rs",
        edits: &[(
            "word(round, 0, ACCEPTED), Acquire, Relaxed)",
            "word(round, 0, ACCEPTED), Relaxed, Relaxed)",
        )],
        model: "stop_request::accept_against_withdraw",
    },
    Mutant {
        name: "accept_by_store",
        file: "hotplug.rs",
        edits: &[(
            "self.word.compare_exchange(seen, word(round, 0, ACCEPTED), Acquire, Relaxed).ok()?;",
            "self.word.store(word(round, 0, ACCEPTED), Relaxed);",
        )],
        model: "stop_request::accept_against_withdraw",
    },
    Mutant {
        name: "withdraw_by_store",
        file: "hotplug.rs",
        edits: &[(
            "match self.request.word.compare_exchange(requested, word(self.round, 0, IDLE), Relaxed, Acquire) {",
            "self.request.word.store(word(self.round, 0, IDLE), Relaxed);
             match Ok(requested) {",
        )],
        model: "stop_request::accept_against_withdraw",
    },
    Mutant {
        name: "refused_withdrawal_relaxed",
        file: "hotplug.rs",
        edits: &[(
            "word(self.round, 0, IDLE), Relaxed, Acquire)",
            "word(self.round, 0, IDLE), Relaxed, Relaxed)",
        )],
        model: "stop_request::accept_against_withdraw",
    },
    Mutant {
        name: "poll_relaxed",
        file: "hotplug.rs",
        edits: &[(
            "self.read(self.request.word.load(Acquire))",
            "self.read(self.request.word.load(Relaxed))",
        )],
        model: "stop_request::accept_against_withdraw",
    },
    Mutant {
        name: "answer_relaxed",
        file: "hotplug.rs",
        edits: &[(
            "word(self.round, why, answer), Release, Relaxed)",
            "word(self.round, why, answer), Relaxed, Relaxed)",
        )],
        model: "stop_request::accept_against_withdraw",
    },
    Mutant {
        name: "answer_without_the_asker",
        file: "hotplug.rs",
        edits: &[("ACCEPTED => word(self.round, 0, ABANDONED),", "ACCEPTED => word(self.round, 0, IDLE),")],
        model: "stop_request::answer_against_drop",
    },
    Mutant {
        name: "left_without_the_asker",
        file: "hotplug.rs",
        edits: &[("return false;\n        }\n        true", "return true;\n        }\n        true")],
        model: "stop_request::left_against_abandon",
    },
    Mutant {
        name: "abandoned_relaxed",
        file: "hotplug.rs",
        edits: &[(
            "self.request.word.store(word(self.round, 0, IDLE), Release);",
            "self.request.word.store(word(self.round, 0, IDLE), Relaxed);",
        )],
        model: "stop_request::answer_against_drop",
    },
    Mutant {
        name: "clearing_relaxed",
        file: "hotplug.rs",
        edits: &[(
            "compare_exchange(seen, next, AcqRel, Acquire)",
            "compare_exchange(seen, next, { let _ = AcqRel; Acquire }, Acquire)",
        )],
        model: "stop_request::two_ask",
    },
    Mutant {
        name: "abandon_sees_nothing",
        file: "hotplug.rs",
        edits: &[(
            "compare_exchange(seen, next, AcqRel, Acquire)",
            "compare_exchange(seen, next, { let _ = AcqRel; Release }, Relaxed)",
        )],
        model: "stop_request::left_against_abandon",
    },
    Mutant {
        name: "request_not_counted_up",
        file: "hotplug.rs",
        edits: &[("let round = (round(seen) + 1) & ROUND_MASK;", "let round = round(seen) & ROUND_MASK;")],
        model: "stop_request::accept_one_of_two",
    },
];
