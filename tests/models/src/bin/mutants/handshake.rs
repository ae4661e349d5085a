//! Bugs in the bring-up handshake.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "claim_relaxed",
        file: "handshake/start.rs",
        edits: &[(
            "compare_exchange(word, claimed, Acquire, Relaxed)",
            "compare_exchange(word, claimed, Relaxed, Relaxed)",
        )],
        model: "handshake::leave_and_reclaim",
    },
    Mutant {
        name: "claim_check_then_store",
        file: "handshake/start.rs",
        edits: &[(
            "match self.word.compare_exchange(word, claimed, Acquire, Relaxed) {",
            "match Ok::<u64, u64>(self.word.swap(claimed, Acquire)) {",
        )],
        model: "handshake::claim_against_claim",
    },
    Mutant {
        name: "generation_not_bumped",
        file: "handshake/start.rs",
        edits: &[("generation.checked_add(1)", "generation.checked_add(u32::from(generation == 0))")],
        model: "handshake::stale_arrival",
    },
    Mutant {
        name: "claim_of_restarted",
        file: "handshake/start.rs",
        edits: &[("State::Failed if seen.reason == RESTARTED =>", "State::Failed if seen.reason == 1 =>")],
        model: "handshake::restarted",
    },
    Mutant {
        name: "abandon_relaxed",
        file: "handshake/start.rs",
        edits: &[(
            "Snapshot::new(self.generation, 0, State::Revoked).to_bits(), Release)",
            "Snapshot::new(self.generation, 0, State::Revoked).to_bits(), Relaxed)",
        )],
        model: "handshake::claim_against_claim",
    },
    Mutant {
        name: "kick_relaxed",
        file: "handshake/start.rs",
        edits: &[(
            "Snapshot::new(generation, 0, State::Kicked).to_bits(), Release)",
            "Snapshot::new(generation, 0, State::Kicked).to_bits(), Relaxed)",
        )],
        model: "handshake::arrive_against_revoke",
    },
    Mutant {
        name: "kick_does_nothing",
        file: "handshake/start.rs",
        edits: &[("slot.word.store(Snapshot::new(generation, 0, State::Kicked).to_bits(), Release);", "")],
        model: "handshake::early_arrival",
    },
    Mutant {
        name: "arrive_relaxed",
        file: "handshake/life.rs",
        edits: &[(
            "compare_exchange(kicked, alive, Acquire, Relaxed)",
            "compare_exchange(kicked, alive, Relaxed, Relaxed)",
        )],
        model: "handshake::arrive_against_revoke",
    },
    Mutant {
        name: "arrive_check_then_store",
        file: "handshake/life.rs",
        edits: &[(
            "let Err(mut word) = self.word.compare_exchange(kicked, alive, Acquire, Relaxed) else {",
            "let mut word = self.word.load(Acquire);
             if word == kicked {
                 self.word.store(alive, Relaxed);",
        )],
        model: "handshake::arrive_against_revoke",
    },
    Mutant {
        name: "arrive_ignores_generation",
        file: "handshake/life.rs",
        edits: &[(
            "let kicked = Snapshot::new(generation, 0, State::Kicked).to_bits();",
            "let kicked = Snapshot::new(self.read().generation, 0, State::Kicked).to_bits();",
        )],
        model: "handshake::stale_arrival",
    },
    Mutant {
        name: "arrive_never_wins",
        file: "handshake/life.rs",
        edits: &[("return Arrival::Won;", "return Arrival::Lost;")],
        model: "handshake::stale_arrival",
    },
    Mutant {
        name: "early_is_lost",
        file: "handshake/life.rs",
        edits: &[(
            "if early { Arrival::Early } else { Arrival::Lost }",
            "if early { Arrival::Lost } else { Arrival::Lost }",
        )],
        model: "handshake::early_arrival",
    },
    Mutant {
        name: "restart_unnoticed",
        file: "handshake/life.rs",
        edits: &[(
            "if !found.state.is_live() {",
            "if !found.state.is_live() || found.state == State::Wedged {",
        )],
        model: "handshake::restarted",
    },
    Mutant {
        name: "restart_check_then_store",
        file: "handshake/life.rs",
        edits: &[(
            "match self.word.compare_exchange(word, failed, Relaxed, Relaxed) {",
            "match Ok::<u64, u64>(self.word.swap(failed, Relaxed)) {",
        )],
        model: "handshake::restarted",
    },
    Mutant {
        name: "revoke_without_check",
        file: "handshake/slot.rs",
        edits: &[(
            "self.pass(State::Kicked, Snapshot::new(generation, 0, State::Revoked), Release, Acquire)",
            "self.word.store(Snapshot::new(generation, 0, State::Revoked).to_bits(), Release);
             Ok(())",
        )],
        model: "handshake::arrive_against_revoke",
    },
    Mutant {
        name: "revoke_check_then_store",
        file: "handshake/slot.rs",
        edits: &[(
            "self.pass(State::Kicked, Snapshot::new(generation, 0, State::Revoked), Release, Acquire)",
            "let seen = self.read();
             if seen.state != State::Kicked || seen.generation != generation {
                 return Err(seen);
             }
             self.word.store(Snapshot::new(generation, 0, State::Revoked).to_bits(), Release);
             Ok(())",
        )],
        model: "handshake::arrive_against_revoke",
    },
    Mutant {
        name: "revoke_relaxed",
        file: "handshake/slot.rs",
        edits: &[("State::Revoked), Release, Acquire)", "State::Revoked), Ordering::Relaxed, Acquire)")],
        model: "handshake::revoke_and_reclaim",
    },
    Mutant {
        name: "lost_revoke_relaxed",
        file: "handshake/slot.rs",
        edits: &[("State::Revoked), Release, Acquire)", "State::Revoked), Release, Ordering::Relaxed)")],
        model: "handshake::booter_of_refused_cpu",
    },
    Mutant {
        name: "transition_ignores_generation",
        file: "handshake/slot.rs",
        edits: &[(
            "let from = Snapshot::new(to.generation, 0, from);",
            "let from = Snapshot::new(self.read().generation, 0, from);",
        )],
        model: "handshake::late_revoke",
    },
    Mutant {
        name: "drop_leaves_the_start_open",
        file: "handshake/start.rs",
        edits: &[("let _ = self.revoke();", "")],
        model: "handshake::arrive_against_drop_and_reporter",
    },
    Mutant {
        name: "reporter_takes_first_look",
        file: "handshake/slot.rs",
        edits: &[("if seen.state != State::Kicked {", "if seen.state != State::Wedged {")],
        model: "handshake::arrive_against_drop_and_reporter",
    },
    Mutant {
        name: "wedge_without_check",
        file: "handshake/start.rs",
        edits: &[(
            "self.slot.pass(State::Alive, Snapshot::new(self.generation, 0, State::Wedged), Relaxed, Acquire)",
            "self.slot.word.store(Snapshot::new(self.generation, 0, State::Wedged).to_bits(), Relaxed);
             Ok(())",
        )],
        model: "handshake::online_against_wedge",
    },
    Mutant {
        name: "lost_wedge_relaxed",
        file: "handshake/start.rs",
        edits: &[("State::Wedged), Relaxed, Acquire)", "State::Wedged), Relaxed, Relaxed)")],
        model: "handshake::online_against_wedge",
    },
    Mutant {
        name: "online_relaxed",
        file: "handshake/life.rs",
        edits: &[(
            "State::Online), Release, Relaxed).is_err()",
            "State::Online), Relaxed, Relaxed).is_err()",
        )],
        model: "handshake::online_is_complete",
    },
    Mutant {
        name: "read_relaxed",
        file: "handshake/slot.rs",
        edits: &[(
            "Snapshot::from_bits(self.word.load(Acquire))",
            "Snapshot::from_bits(self.word.load(Ordering::Relaxed))",
        )],
        model: "handshake::online_is_complete",
    },
    Mutant {
        name: "online_without_check",
        file: "handshake/life.rs",
        edits: &[(
            "if self.pass(State::Alive, Snapshot::new(generation, 0, State::Online), Release, Relaxed).is_err()",
            "self.word.store(Snapshot::new(generation, 0, State::Online).to_bits(), Release);
             if false",
        )],
        model: "handshake::online_against_wedge",
    },
    Mutant {
        name: "online_without_fence",
        file: "handshake/life.rs",
        edits: &[("A::fence(SeqCst);", "let _ = SeqCst;")],
        model: "gate::online_against_scan",
    },
    Mutant {
        name: "online_with_weak_fence",
        file: "handshake/life.rs",
        edits: &[("A::fence(SeqCst);", "let _ = SeqCst; A::fence(core::sync::atomic::Ordering::AcqRel);")],
        model: "gate::online_against_scan",
    },
    Mutant {
        name: "gate_checked_before_online",
        file: "handshake/life.rs",
        edits: &[
            ("me: u32) -> Entrance {", "me: u32) -> Entrance { let taken = gate.is_taken_by_other(me);"),
            ("if gate.is_taken_by_other(me) { Entrance::Stop }", "if taken { Entrance::Stop }"),
        ],
        model: "gate::panic_against_bring_up",
    },
    Mutant {
        name: "fail_relaxed",
        file: "handshake/life.rs",
        edits: &[("State::Failed), Release, Relaxed).is_ok()", "State::Failed), Relaxed, Relaxed).is_ok()")],
        model: "handshake::fail_against_wedge",
    },
    Mutant {
        name: "fail_without_check",
        file: "handshake/life.rs",
        edits: &[(
            "self.pass(State::Alive, Snapshot::new(generation, reason, State::Failed), Release, Relaxed).is_ok()",
            "self.word.store(Snapshot::new(generation, reason, State::Failed).to_bits(), Release);
             true",
        )],
        model: "handshake::fail_against_wedge",
    },
    Mutant {
        name: "gone_relaxed",
        file: "handshake/life.rs",
        edits: &[("State::Gone), Release, Relaxed).is_ok()", "State::Gone), Relaxed, Relaxed).is_ok()")],
        model: "handshake::leave_and_reclaim",
    },
    Mutant {
        name: "cancel_leave_relaxed",
        file: "handshake/life.rs",
        edits: &[("State::Online), Release, Relaxed).is_ok()", "State::Online), Relaxed, Relaxed).is_ok()")],
        model: "handshake::leave_and_stay",
    },
    Mutant {
        name: "booter_ignores_lost_revoke",
        file: "handshake/booter.rs",
        edits: &[(
            "Ok(()) => self.called_off(),
                        Err(winner) => {
                            seen = winner;
                            continue;
                        }",
            "_ => self.called_off(),",
        )],
        model: "handshake::booter",
    },
    Mutant {
        name: "booter_ignores_lost_wedge",
        file: "handshake/booter.rs",
        edits: &[(
            "Ok(()) => Verdict::Wedged,
                        Err(winner) => {
                            seen = winner;
                            continue;
                        }",
            "_ => Verdict::Wedged,",
        )],
        model: "handshake::booter_of_failing_cpu",
    },
    Mutant {
        name: "booter_believes_firmware",
        file: "handshake/booter.rs",
        edits: &[(
            "Err(winner) => self.look(winner, now),",
            "Err(_) => self.settle(Verdict::Refused(code), now),",
        )],
        model: "handshake::booter_of_refused_cpu",
    },
    Mutant {
        name: "booter_forgets_deferral",
        file: "handshake/booter.rs",
        edits: &[(
            "pub fn deferred(&mut self, code: i32) {
        self.refusal = Some(code);",
            "pub fn deferred(&mut self, _code: i32) {",
        )],
        model: "handshake::booter_of_deferred_cpu",
    },
    Mutant {
        name: "booter_waits_for_ever",
        file: "handshake/booter.rs",
        edits: &[(
            "let alive_at = *self.alive_at.get_or_insert(now);",
            "let alive_at = *self.alive_at.insert(now);",
        )],
        model: "handshake::booter",
    },
];
