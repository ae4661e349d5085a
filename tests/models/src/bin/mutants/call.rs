//! Bugs in the cross-calls: the queue, the pool, and the calls that are waited for.

use super::Mutant;

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "post_relaxed",
        file: "queue.rs",
        edits: &[(
            "compare_exchange(seen, pushed, AcqRel, Relaxed)",
            "compare_exchange(seen, pushed, Acquire, Relaxed)",
        )],
        model: "call_queue::order",
    },
    Mutant {
        name: "call_relaxed",
        file: "queue.rs",
        edits: &[("self.head.fetch_or(caller.bit, AcqRel)", "self.head.fetch_or(caller.bit, Acquire)")],
        model: "call_queue::order",
    },
    Mutant {
        name: "post_does_not_acquire",
        file: "queue.rs",
        edits: &[(
            "compare_exchange(seen, pushed, AcqRel, Relaxed)",
            "compare_exchange(seen, pushed, Release, Relaxed)",
        )],
        model: "call_queue::open_against_push",
    },
    Mutant {
        name: "call_does_not_acquire",
        file: "queue.rs",
        edits: &[("self.head.fetch_or(caller.bit, AcqRel)", "self.head.fetch_or(caller.bit, Release)")],
        model: "call_queue::open_against_push",
    },
    Mutant {
        name: "open_relaxed",
        file: "queue.rs",
        edits: &[("self.head.store(0, Release);", "self.head.store(0, Relaxed);")],
        model: "call_queue::open_against_push",
    },
    Mutant {
        name: "post_check_then_store",
        file: "queue.rs",
        edits: &[
            ("self.try_post(link, node, 0)", "self.try_post(link, node, self.head.load(Relaxed))"),
            (
                "self.head.compare_exchange(seen, pushed, AcqRel, Relaxed).map(",
                "let held = if seen & CLOSED != 0 { Err(seen) } else { Ok(self.head.swap(pushed, AcqRel)) };
                 held.map(",
            ),
        ],
        model: "call_queue::order",
    },
    Mutant {
        name: "call_check_then_store",
        file: "queue.rs",
        edits: &[(
            "self.head.fetch_or(caller.bit, AcqRel)",
            "self.head.load(Acquire);
             self.head.store(seen | caller.bit, Release)",
        )],
        model: "call_queue::order",
    },
    Mutant {
        name: "post_links_to_stale_head",
        file: "queue.rs",
        edits: &[("link.store(seen, Relaxed);", "if seen == 0 { link.store(seen, Relaxed); }")],
        model: "call_queue::order",
    },
    Mutant {
        name: "post_after_close",
        file: "queue.rs",
        edits: &[("Err(now) if now & CLOSED != 0 => return Err(Closed),", "")],
        model: "call_queue::close_against_push",
    },
    Mutant {
        name: "call_after_close",
        file: "queue.rs",
        edits: &[(
            "if seen & CLOSED != 0 {\n            return Err(Closed);",
            "if seen == CLOSED | LIST {\n            return Err(Closed);",
        )],
        model: "call_queue::close_against_push",
    },
    Mutant {
        name: "post_forgets_calls",
        file: "queue.rs",
        edits: &[("(seen & !LIST) | (u64::from(node) + 1) << CALLERS", "(u64::from(node) + 1) << CALLERS")],
        model: "call_queue::wake_up",
    },
    Mutant {
        name: "first_post_tells_nobody",
        file: "queue.rs",
        edits: &[("map(|_| Pushed { first: seen == 0 })", "map(|_| Pushed { first: false })")],
        model: "call_queue::wake_up",
    },
    Mutant {
        name: "first_call_from_stale_head",
        file: "queue.rs",
        edits: &[
            (
                "let seen = self.head.fetch_or(caller.bit, AcqRel);",
                "let stale = self.head.load(Relaxed);\n        let seen = self.head.fetch_or(caller.bit, AcqRel);",
            ),
            ("Ok(Pushed { first: seen == 0 })\n    }", "Ok(Pushed { first: stale == 0 })\n    }"),
        ],
        model: "call_queue::wake_up",
    },
    Mutant {
        name: "first_call_tells_nobody",
        file: "queue.rs",
        edits: &[("Ok(Pushed { first: seen == 0 })\n    }", "Ok(Pushed { first: false })\n    }")],
        model: "call_queue::wake_up",
    },
    Mutant {
        name: "first_of_three_is_stale",
        file: "queue.rs",
        edits: &[
            (
                "let seen = self.head.fetch_or(caller.bit, AcqRel);",
                "let stale = self.head.load(Relaxed);\n        let seen = self.head.fetch_or(caller.bit, AcqRel);",
            ),
            ("Ok(Pushed { first: seen == 0 })\n    }", "Ok(Pushed { first: stale == 0 })\n    }"),
        ],
        model: "call_queue::wake_up_by_three",
    },
    Mutant {
        name: "refused_call_is_taken",
        file: "queue.rs",
        edits: &[("self.word.cast_signed() <= 0", "self.word & !CLOSED == 0")],
        model: "call_queue::refused_call",
    },
    Mutant {
        name: "refused_call_stays",
        file: "queue.rs",
        edits: &[("self.head.store(0, Release);", "self.head.fetch_and(!CLOSED, Release);")],
        model: "call_queue::refused_call",
    },
    Mutant {
        name: "take_relaxed",
        file: "queue.rs",
        edits: &[("self.head.fetch_and(CLOSED, Acquire)", "self.head.fetch_and(CLOSED, Relaxed)")],
        model: "call_queue::order",
    },
    Mutant {
        name: "take_load_then_store",
        file: "queue.rs",
        edits: &[(
            "Taken { word: self.head.fetch_and(CLOSED, Acquire) }",
            "let word = self.head.load(Acquire);
             self.head.store(word & CLOSED, Relaxed);
             Taken { word }",
        )],
        model: "call_queue::order",
    },
    Mutant {
        name: "take_opens_closed",
        file: "queue.rs",
        edits: &[("self.head.fetch_and(CLOSED, Acquire)", "self.head.swap(0, Acquire)")],
        model: "call_queue::close_against_push",
    },
    Mutant {
        name: "only_call_of_two",
        file: "queue.rs",
        edits: &[("lowest < CALLERS && self.word.wrapping_shr(lowest) == 1", "lowest < CALLERS")],
        model: "call_queue::single_call",
    },
    Mutant {
        name: "only_call_ignores_posts",
        file: "queue.rs",
        edits: &[
            (
                "let lowest = self.word.trailing_zeros();",
                "let lowest = (self.word & !LIST).trailing_zeros();",
            ),
            ("self.word.wrapping_shr(lowest) == 1)", "(self.word & !LIST).wrapping_shr(lowest) == 1)"),
        ],
        model: "call_queue::single_call",
    },
    Mutant {
        name: "batch_newest_first",
        file: "queue.rs",
        edits: &[(
            "while newest != 0 {",
            "if newest != 0 {
                 newer = newest;
                 newest = 0;
             }
             while newest != 0 {",
        )],
        model: "call_queue::order",
    },
    Mutant {
        name: "batch_calls_first",
        file: "queue.rs",
        edits: &[("calls &= link;", "let _ = link;")],
        model: "call_queue::order",
    },
    Mutant {
        name: "batch_posts_first",
        file: "queue.rs",
        edits: &[("calls &= link;", "calls = 0;")],
        model: "call_queue::order",
    },
    Mutant {
        name: "batch_reversal_forgets_calls",
        file: "queue.rs",
        edits: &[("link.store(before & !LIST | newer, Relaxed);", "link.store(newer, Relaxed);")],
        model: "call_queue::order",
    },
    Mutant {
        name: "batch_order_across_senders",
        file: "queue.rs",
        edits: &[("calls &= link;", "calls &= link & 1;")],
        model: "call_queue::order_of_two",
    },
    Mutant {
        name: "batch_runs_call_twice",
        file: "queue.rs",
        edits: &[(
            "self.calls &= !(1 << caller);",
            "if self.next == 0 { self.calls &= !(1 << caller); } else { self.next = 0; }",
        )],
        model: "call_queue::order",
    },
    Mutant {
        name: "link_read_after_release",
        file: "queue.rs",
        edits: &[
            (
                "let mut calls = self.calls;",
                "if self.next & CLOSED != 0 {
                     self.next = self.links[index_of(self.next & LIST)].load(Relaxed) & LIST;
                 }
                 let mut calls = self.calls;",
            ),
            (
                "let node = index_of(mem::replace(&mut self.next, link & LIST));",
                "let node = index_of(self.next);
                 self.next |= CLOSED;",
            ),
        ],
        model: "call_pool::recycle_two",
    },
    Mutant {
        name: "flush_then_close",
        file: "queue.rs",
        edits: &[(
            "Taken { word: self.head.swap(CLOSED, Acquire) }",
            "let kept = self.take();
             self.head.swap(CLOSED, Relaxed);
             kept",
        )],
        model: "call_queue::close_against_push",
    },
    Mutant {
        name: "close_then_flush",
        file: "queue.rs",
        edits: &[(
            "Taken { word: self.head.swap(CLOSED, Acquire) }",
            "let held = self.head.load(Relaxed);
             self.head.store(CLOSED, Relaxed);
             let _ = held;
             self.take()",
        )],
        model: "call_queue::close_against_push",
    },
    Mutant {
        name: "close_relaxed",
        file: "queue.rs",
        edits: &[("self.head.swap(CLOSED, Acquire)", "self.head.swap(CLOSED, Relaxed)")],
        model: "call_queue::close_against_push",
    },
    Mutant {
        name: "open_does_nothing",
        file: "queue.rs",
        edits: &[("self.head.store(0, Release);", "")],
        model: "call_queue::reopen_against_push",
    },
    Mutant {
        name: "release_relaxed",
        file: "pool.rs",
        edits: &[("fetch_add(1 << node, Release)", "fetch_add(1 << node, Relaxed)")],
        model: "call_pool::recycle_one",
    },
    Mutant {
        name: "release_load_then_store",
        file: "pool.rs",
        edits: &[(
            "let returned = self.returned.0.fetch_add(1 << node, Release);",
            "let returned = self.returned.0.load(Relaxed);
             self.returned.0.store(returned | 1 << node, Release);",
        )],
        model: "call_pool::two_receivers",
    },
    Mutant {
        name: "acquire_relaxed",
        file: "pool.rs",
        edits: &[("swap(Self::NONE, Acquire)", "swap(Self::NONE, Relaxed)")],
        model: "call_pool::recycle_one",
    },
    Mutant {
        name: "acquire_load_then_store",
        file: "pool.rs",
        edits: &[(
            "free = self.returned.0.swap(Self::NONE, Acquire);",
            "free = self.returned.0.load(Acquire);
             self.returned.0.store(Self::NONE, Relaxed);",
        )],
        model: "call_pool::two_receivers",
    },
    Mutant {
        name: "acquire_leaves_node",
        file: "pool.rs",
        edits: &[("self.free.store(free & (free - 1), Relaxed);", "self.free.store(free, Relaxed);")],
        model: "call_pool::recycle_one",
    },
    Mutant {
        name: "acquire_loses_rest",
        file: "pool.rs",
        edits: &[("self.free.store(free & (free - 1), Relaxed);", "self.free.store(0, Relaxed);")],
        model: "call_pool::recycle_two",
    },
    Mutant {
        name: "put_back_loses_node",
        file: "pool.rs",
        edits: &[("self.free.store(free | 1 << node, Relaxed);", "")],
        model: "call_pool::refused",
    },
    Mutant {
        name: "finish_relaxed",
        file: "sync_call.rs",
        edits: &[("fetch_add(u64::MAX, Release)", "fetch_add(u64::MAX, Relaxed)")],
        model: "call_sync::broadcast",
    },
    Mutant {
        name: "finish_only_relaxed",
        file: "sync_call.rs",
        edits: &[("self.left.store(Self::IDLE, Release);", "self.left.store(Self::IDLE, Relaxed);")],
        model: "call_sync::hand_back",
    },
    Mutant {
        name: "finish_of_one_relaxed",
        file: "sync_call.rs",
        edits: &[(
            "let left = self.left.fetch_add(u64::MAX, Release);",
            "let last = self.left.load(Relaxed) == 1;
             let left = self.left.fetch_add(u64::MAX, if last { Release } else { Relaxed });",
        )],
        model: "call_sync::broadcast",
    },
    Mutant {
        name: "finish_load_then_store",
        file: "sync_call.rs",
        edits: &[(
            "let left = self.left.fetch_add(u64::MAX, Release);",
            "let left = self.left.load(Relaxed);
             self.left.store(left - 1, Release);",
        )],
        model: "call_sync::broadcast",
    },
    Mutant {
        name: "take_back_load_then_store",
        file: "sync_call.rs",
        edits: &[(
            "self.call.left.fetch_add(u64::from(targets).wrapping_neg(), Relaxed);",
            "self.call.left.store(self.call.left.load(Relaxed) - u64::from(targets), Relaxed);",
        )],
        model: "call_sync::broadcast_against_close",
    },
    Mutant {
        name: "take_back_all",
        file: "sync_call.rs",
        edits: &[(
            "self.call.left.fetch_add(u64::from(targets).wrapping_neg(), Relaxed);",
            "let _ = targets;
             self.call.left.swap(0, Relaxed);",
        )],
        model: "call_sync::broadcast_against_close",
    },
    Mutant {
        name: "done_relaxed",
        file: "sync_call.rs",
        edits: &[("self.call.left.load(Acquire)", "self.call.left.load(Relaxed)")],
        model: "call_sync::hand_back",
    },
    Mutant {
        name: "done_while_one_is_left",
        file: "sync_call.rs",
        edits: &[(
            "self.call.left.load(Acquire) == SyncCall::<A>::IDLE",
            "self.call.left.load(Acquire) <= 1",
        )],
        model: "call_sync::broadcast",
    },
    Mutant {
        name: "calling_dropped_without_wait",
        file: "sync_call.rs",
        edits: &[("while !self.is_done() {\n            A::relax();\n        }", "")],
        model: "call_sync::broadcast_against_close",
    },
    Mutant {
        name: "cancel_check_then_store",
        file: "deadline_call.rs",
        edits: &[(
            "match self.call.word.compare_exchange(queued, self.ticket.0 | OVER, Relaxed, Relaxed) {",
            "let seen = self.call.word.load(Relaxed);
             if seen == queued {
                 self.call.word.store(self.ticket.0 | OVER, Relaxed);
             }
             match if seen == queued { Ok(seen) } else { Err(seen) } {",
        )],
        model: "call_sync::cancel_against_start",
    },
    Mutant {
        name: "cancel_always",
        file: "deadline_call.rs",
        edits: &[(
            "match self.call.word.compare_exchange(queued, self.ticket.0 | OVER, Relaxed, Relaxed) {",
            "match Ok::<u64, u64>(self.call.word.swap(self.ticket.0 | OVER & queued, Relaxed)) {",
        )],
        model: "call_sync::cancel_against_start",
    },
    Mutant {
        name: "cancel_never",
        file: "deadline_call.rs",
        edits: &[(
            "match self.call.word.compare_exchange(queued, self.ticket.0 | OVER, Relaxed, Relaxed) {",
            "match Err::<u64, u64>(queued) {",
        )],
        model: "call_sync::cancel_against_start",
    },
    Mutant {
        name: "start_check_then_store",
        file: "deadline_call.rs",
        edits: &[(
            ".compare_exchange(ticket.0 | QUEUED, ticket.0 | RUNNING, Relaxed, Relaxed)
            .ok()",
            ".load(Relaxed)
            .eq(&(ticket.0 | QUEUED))
            .then(|| self.word.store(ticket.0 | RUNNING, Relaxed))",
        )],
        model: "call_sync::cancel_against_start",
    },
    Mutant {
        name: "start_ignores_ticket",
        file: "deadline_call.rs",
        edits: &[(
            ".compare_exchange(ticket.0 | QUEUED, ticket.0 | RUNNING, Relaxed, Relaxed)",
            ".compare_exchange(
                self.word.load(Relaxed) & !STATE | QUEUED,
                self.word.load(Relaxed) & !STATE | RUNNING,
                Relaxed,
                Relaxed,
            )",
        )],
        model: "call_sync::stale_ticket",
    },
    Mutant {
        name: "ticket_used_twice",
        file: "deadline_call.rs",
        edits: &[("Ticket(last.wrapping_add(TICKET))", "Ticket(last | TICKET)")],
        model: "call_sync::stale_ticket",
    },
    Mutant {
        name: "deadline_finish_relaxed",
        file: "deadline_call.rs",
        edits: &[(
            "self.call.word.store(self.ticket.0 | OVER, Release);",
            "self.call.word.store(self.ticket.0 | OVER, Relaxed);",
        )],
        model: "call_sync::cancel_against_start",
    },
    Mutant {
        name: "deadline_state_relaxed",
        file: "deadline_call.rs",
        edits: &[("self.call.word.load(Acquire)", "self.call.word.load(Relaxed)")],
        model: "call_sync::cancel_against_start",
    },
    Mutant {
        name: "queue_condemned_is_open",
        file: "queue.rs",
        edits: &[("let lost = self.close();", "let lost = Taken { word: self.head.swap(0, Acquire) };")],
        model: "call_queue::condemn_against_push",
    },
    Mutant {
        name: "queue_condemned_forgets",
        file: "queue.rs",
        edits: &[("(!lost.is_empty()).then_some(", "(!lost.is_empty() && lost.word & LIST == 0).then_some(")],
        model: "call_queue::condemn_against_push",
    },
];
