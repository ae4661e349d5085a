//! Bugs in the rendezvous, the lifecycle lock and the request to leave.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    // The rendezvous: what its word hands over.
    Mutant {
        name: "acknowledge_relaxed",
        file: "rendezvous/round.rs",
        edits: &[(
            "seen.acknowledged().to_bits(), Release, Relaxed)",
            "seen.acknowledged().to_bits(), Relaxed, Relaxed)",
        )],
        model: "stop_rendezvous::two_cpus",
    },
    Mutant {
        name: "run_relaxed",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "// Cannot fail: the stage waits for this CPU alone.
                let _ = self.rendezvous.acknowledge(seen);",
            "let _ = self.rendezvous.word.compare_exchange(seen.to_bits(), seen.acknowledged().to_bits(), Relaxed, Relaxed);",
        )],
        model: "stop_rendezvous::two_cpus_each",
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
        edits: &[("Fields { others: 0, ..seen }.enter(stage)", "seen.enter(stage)")],
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
            "match self.rendezvous.word.compare_exchange(seen.to_bits(), aborted, Relaxed, Relaxed) {",
            "self.rendezvous.word.store(aborted, Relaxed);
             match Ok(0) {",
        )],
        model: "stop_rendezvous::abort_in_mask_inactive",
    },
    Mutant {
        name: "acknowledge_by_store",
        file: "rendezvous/round.rs",
        edits: &[(
            "match self.word.compare_exchange(seen.to_bits(), seen.acknowledged().to_bits(), Release, Relaxed)",
            "self.word.store(seen.acknowledged().to_bits(), Release);
             match Ok(0)",
        )],
        model: "stop_rendezvous::abort_in_mask_inactive",
    },
    Mutant {
        name: "join_by_store",
        file: "rendezvous/participant.rs",
        edits: &[(
            "match self.word.compare_exchange(word, seen.acknowledged().to_bits(), Relaxed, Relaxed) {",
            "self.word.store(seen.acknowledged().to_bits(), Relaxed);
             match Ok(0) {",
        )],
        model: "stop_rendezvous::from_prepare",
    },
    Mutant {
        name: "acknowledge_whatever_the_round",
        file: "rendezvous/round.rs",
        edits: &[(
            "while (seen.round, seen.stage) == (round, stage) {",
            "while (seen.round, seen.stage) == (round, stage) || (Stage::Prepare..=Stage::MaskActive).contains(&seen.stage) {",
        )],
        model: "stop_rendezvous::latecomer",
    },
    Mutant {
        name: "stay_whatever_the_round",
        file: "rendezvous/participant.rs",
        edits: &[("_ if seen.round != self.round => ", "_ if seen.round > self.round + 1 => ")],
        model: "stop_rendezvous::latecomer",
    },
    Mutant {
        name: "join_a_dead_round",
        file: "rendezvous/participant.rs",
        edits: &[(
            "if seen.stage != Stage::Prepare || ",
            "if !matches!(seen.stage, Stage::Prepare | Stage::Aborted) || ",
        )],
        model: "stop_rendezvous::abort_in_prepare",
    },
    Mutant {
        name: "join_in_spite_of_failure",
        file: "rendezvous/participant.rs",
        edits: &[(
            "Ok(_) => {
                    mark.set(seen.round",
            "Ok(_) | Err(_) => {
                    mark.set(seen.round",
        )],
        model: "stop_rendezvous::abort_in_prepare",
    },
    Mutant {
        name: "join_ones_own_round",
        file: "rendezvous/participant.rs",
        edits: &[(" || mark.is_in(seen.round) {", " {")],
        model: "stop_rendezvous::two_initiators",
    },
    Mutant {
        name: "round_not_counted_up",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "let round = (last.round + 1) & ROUND_MASK;",
            "let round = last.round.max(1) & ROUND_MASK;",
        )],
        model: "stop_rendezvous::latecomer",
    },
    Mutant {
        name: "begin_by_store",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "match self.word.compare_exchange(word, first.to_bits(), Relaxed, Relaxed) {",
            "self.word.store(first.to_bits(), Relaxed);
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
        edits: &[("if self.left > 1 {", "if self.left > 1024 {")],
        model: "stop_rendezvous::from_mask_inactive",
    },
    Mutant {
        name: "nobody_advances",
        file: "rendezvous/word.rs",
        edits: &[("if self.left > 1 {", "if self.left > 0 {")],
        model: "stop_rendezvous::from_mask_inactive",
    },
    Mutant {
        name: "run_does_not_await_the_last",
        file: "rendezvous/word.rs",
        edits: &[("Job::Each => self.others + 1,", "Job::Each => self.others,")],
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
            "(Place::Masked, Stage::Run) if seen.job",
            "(Place::Masked, Stage::MaskActive | Stage::Run) if seen.job",
        )],
        model: "stop_rendezvous::abort_in_mask_active",
    },
    Mutant {
        name: "initiator_masks_with_the_others",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "(Leading::Gathering, Stage::MaskActive) =>",
            "(Leading::Gathering, Stage::MaskInactive | Stage::MaskActive) =>",
        )],
        model: "stop_calls::served_while_gathering",
    },
    Mutant {
        name: "initiator_masks_first",
        file: "rendezvous/initiator.rs",
        edits: &[("(Leading::Gathering, Stage::MaskActive) =>", "(Leading::Gathering, _) =>")],
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
            ("if self.rendezvous.acknowledge(seen).is_err() {", "if seen.stage == Stage::Aborted {"),
        ],
        model: "stop_rendezvous::two_cpus",
    },
    Mutant {
        name: "initiator_leaves_ungathered",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "(Leading::Gathering, Stage::MaskActive) => (Leading::Masking, Action::Mask),",
            "(Leading::Gathering, Stage::Prepare | Stage::MaskInactive) => {
                 self.rendezvous.word.store(Fields { stage: Stage::MaskActive, ..seen }.to_bits(), Relaxed);
                 (Leading::Masking, Action::Mask)
             }
             (Leading::Gathering, Stage::MaskActive) => (Leading::Masking, Action::Mask),",
        )],
        model: "stop_calls::down_against_call",
    },
    Mutant {
        name: "initiator_runs_at_once",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "(Leading::Masking, Stage::MaskActive) => {",
            "(Leading::Gathering, _) => (Leading::Running, Action::RunJob),
             (Leading::Masking, Stage::MaskActive) => {",
        )],
        model: "stop_rendezvous::two_cpus",
    },
    Mutant {
        name: "initiator_leaves_during_the_job",
        file: "rendezvous/initiator.rs",
        edits: &[
            (
                "(Leading::Ran, Stage::Exit | Stage::Idle) =>",
                "(Leading::Ran, Stage::Run | Stage::Exit | Stage::Idle) =>",
            ),
            ("(Leading::Free, Stage::Idle) =>", "(Leading::Free, _) =>"),
        ],
        model: "stop_rendezvous::two_cpus_each",
    },
    Mutant {
        name: "initiator_does_not_await_the_exit",
        file: "rendezvous/initiator.rs",
        edits: &[("(Leading::Free, Stage::Idle) =>", "(Leading::Free, Stage::Exit | Stage::Idle) =>")],
        model: "stop_rendezvous::back_to_back",
    },
    Mutant {
        name: "participant_leaves_after_its_job",
        file: "rendezvous/participant.rs",
        edits: &[(
            "(Place::Masked | Place::Ran, Stage::Exit) => {",
            "(Place::Ran, Stage::Run) => return self.leave(Ending::Done),
             (Place::Masked | Place::Ran, Stage::Exit) => {",
        )],
        model: "stop_rendezvous::two_cpus_each",
    },
    Mutant {
        name: "abort_after_run",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "matches!(self.place, Leading::Gathering | Leading::Masking)",
            "matches!(self.place, Leading::Gathering | Leading::Masking | Leading::Running | Leading::Ran)",
        )],
        model: "stop_rendezvous::late_in_run",
    },
    Mutant {
        name: "abort_in_prepare_only",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "if self.is_gathering() && now >= self.deadline {",
            "if self.is_gathering() && now >= self.deadline && seen.stage == Stage::Prepare {",
        )],
        model: "stop_rendezvous::abort_in_mask_inactive",
    },
    Mutant {
        name: "abort_not_when_all_have_masked",
        file: "rendezvous/initiator.rs",
        edits: &[(
            "if self.is_gathering() && now >= self.deadline {",
            "if self.is_gathering() && now >= self.deadline && seen.stage != Stage::MaskActive {",
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
            "                    mark.set(seen.round, Stage::Prepare);
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
            "            let mask = cpu.mask();
            let Some(mut round) = rendezvous.join(&self.mark) else {",
            "            let joined = rendezvous.join(&self.mark);
            let mask = cpu.mask();
            let Some(mut round) = joined else {",
        )],
        model: "stop_attend::on_its_heels",
    },
    Mutant {
        name: "attend_opens_behind_the_last_look",
        file: "rendezvous/attend.rs",
        edits: &[(
            "                cpu.close(mask);
",
            "                cpu.unmask(mask);
",
        )],
        model: "stop_attend::on_its_heels",
    },
    Mutant {
        name: "attend_once_for_all",
        file: "rendezvous/attend.rs",
        edits: &[("return self.attends.store(Self::IDLE, Relaxed);", "return;")],
        model: "stop_attend::on_its_heels",
    },
    Mutant {
        name: "attend_twice_at_once",
        file: "rendezvous/attend.rs",
        edits: &[("if self.attends.load(Relaxed) != Self::IDLE {", "if self.attends.load(Relaxed) == 9 {")],
        model: "stop_attend::on_its_heels",
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
            if let Some(mask) = mask {
                cpu.unmask(mask);
            }",
            "            if let Some(mask) = mask {
                cpu.unmask(mask);
            }
            cpu.synchronise();",
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
