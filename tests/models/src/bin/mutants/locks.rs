//! Bugs in the locks.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "ticket_given_back_relaxed",
        file: "tickets.rs",
        edits: &[(
            "self.word.add(serve_next(seen), Release);",
            "self.word.add(serve_next(seen), { let _ = Release; Relaxed });",
        )],
        model: "locks::in_order",
    },
    Mutant {
        name: "ticket_given_back_by_store",
        file: "tickets.rs",
        edits: &[(
            "self.word.add(serve_next(seen), Release);",
            "self.word.store(seen.wrapping_add(serve_next(seen)), Release);",
        )],
        model: "locks::in_order",
    },
    Mutant {
        name: "ticket_served_with_a_carry",
        file: "tickets.rs",
        edits: &[("(next as u32).wrapping_sub(served(word) as u32)", "next as u32 * 0 + 1")],
        model: "locks::in_order",
    },
    Mutant {
        name: "ticket_lock_without_fence",
        file: "tickets.rs",
        edits: &[("P::Word::fence(Acquire);", "let _ = Acquire;")],
        model: "locks::in_order",
    },
    Mutant {
        name: "ticket_that_does_not_wait",
        file: "tickets.rs",
        edits: &[(
            "if served(drawn) != mine && !comes(mine) {",
            "if served(drawn) == mine.wrapping_add(9) && !comes(mine) {",
        )],
        model: "locks::in_order",
    },
    Mutant {
        name: "try_lock_draws_in_any_case",
        file: "tickets.rs",
        edits: &[(
            "if !word.replace(seen, seen.wrapping_add(NEXT)) {",
            "if word.add(NEXT, Relaxed) != seen {",
        )],
        model: "locks::try_against_lock",
    },
    Mutant {
        name: "try_lock_of_a_held_lock",
        file: "tickets.rs",
        edits: &[(
            "while next(seen) != served(seen) {",
            "while next(seen) == served(seen).wrapping_add(9) {",
        )],
        model: "locks::try_against_lock",
    },
    Mutant {
        name: "passed_over_by_store",
        file: "tickets.rs",
        edits: &[(
            "self.word.add_beside_any(serve_next(seen));",
            "self.word.store(seen.wrapping_add(serve_next(seen)), Relaxed);",
        )],
        model: "locks::stopped_in_the_wait",
    },
    Mutant {
        name: "passed_over_whoever_it_is",
        file: "tickets.rs",
        edits: &[(
            "let stopped = is_stopped(served(seen));",
            "let stopped = is_stopped(served(seen)) || next(seen) != served(seen);",
        )],
        model: "locks::stopped_in_the_wait",
    },
    Mutant {
        name: "waiter_marked_by_its_lock_first",
        file: "tickets.rs",
        edits: &[(
            "        self.ticket.store(u64::from(ticket), Relaxed);
        self.lock.store(lock, Relaxed);",
            "        self.lock.store(lock, Relaxed);
        self.ticket.store(u64::from(ticket), Relaxed);",
        )],
        model: "locks::stopped_anywhere",
    },
    Mutant {
        name: "waiter_marked_for_ever",
        file: "tickets.rs",
        edits: &[("            waiter.end();", "            let _ = waiter;")],
        model: "locks::stopped_anywhere",
    },
    Mutant {
        name: "interrupts_open_before_the_lock_is_free",
        file: "tickets.rs",
        edits: &[(
            "    turn: Turn<P>,
    _mask: M,",
            "    _mask: M,
    turn: Turn<P>,",
        )],
        model: "locks::free_before_interrupts_open",
    },
    Mutant {
        name: "mutex_given_back_relaxed",
        file: "mutex.rs",
        edits: &[(
            "self.word.store(Self::FREE, Release);",
            "self.word.store(Self::FREE, { let _ = Release; core::sync::atomic::Ordering::Relaxed });",
        )],
        model: "locks::mutex",
    },
    Mutant {
        name: "mutex_without_fence",
        file: "mutex.rs",
        edits: &[("W::fence(Acquire);", "let _ = Acquire;")],
        model: "locks::mutex",
    },
    Mutant {
        name: "mutex_check_then_store",
        file: "mutex.rs",
        edits: &[(
            "if !self.word.replace(Self::FREE, HELD) {",
            "if self.word.load() == HELD {
             return false;
         }
         self.word.store(HELD, Release);
         if false {",
        )],
        model: "locks::mutex",
    },
];
