//! Bugs in what the loop of an executor is told, and in those who tell it.

use super::Mutant;

/// The loop and the wakers, as they are in the model.
const CALLERS: &str = "../../tests/models/tests/doze.rs";

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "doze_raised_relaxed",
        file: "doze.rs",
        edits: &[(
            "self.word.fetch_or(u64::from(bits), Release)",
            "self.word.fetch_or(u64::from(bits), Relaxed)",
        )],
        model: "doze::two_queues",
    },
    Mutant {
        name: "doze_taken_relaxed",
        file: "doze.rs",
        edits: &[("self.word.swap(Self::AWAKE, Acquire)", "self.word.swap(Self::AWAKE, Relaxed)")],
        model: "doze::two_queues",
    },
    Mutant {
        name: "doze_not_written_where_it_is_raised",
        file: "doze.rs",
        edits: &[(
            "        // Release: pairs with the swap",
            "        if self.word.load(Relaxed) & u64::from(bits) != 0 {
            return false;
        }
        // Release: pairs with the swap",
        )],
        model: "doze::same_bit",
    },
    Mutant {
        name: "doze_raised_in_two_steps",
        file: "doze.rs",
        edits: &[(
            "        self.word.fetch_or(u64::from(bits), Release) == ASLEEP",
            "        let seen = self.word.load(Relaxed);
        self.word.store(seen | u64::from(bits), Release);
        seen == ASLEEP",
        )],
        model: "doze::two_queues",
    },
    Mutant {
        name: "doze_taken_in_two_steps",
        file: "doze.rs",
        edits: &[(
            "        self.word.swap(Self::AWAKE, Acquire) as u32",
            "        let seen = self.word.load(Acquire);
        self.word.store(Self::AWAKE, Relaxed);
        seen as u32",
        )],
        model: "doze::two_queues",
    },
    Mutant {
        name: "doze_everybody_wakes",
        file: "doze.rs",
        edits: &[("Release) == ASLEEP", "Release) & ASLEEP != 0")],
        model: "doze::two_queues",
    },
    Mutant {
        name: "doze_nobody_wakes",
        file: "doze.rs",
        edits: &[("Release) == ASLEEP", "Release) == ASLEEP | u64::from(bits)")],
        model: "doze::one_queue",
    },
    Mutant {
        name: "doze_woken_while_awake",
        file: "doze.rs",
        edits: &[("Release) == ASLEEP", "Release) & !ASLEEP == 0")],
        model: "doze::one_queue",
    },
    Mutant {
        name: "doze_stays_asleep",
        file: "doze.rs",
        edits: &[("self.word.swap(Self::AWAKE, Acquire)", "self.word.fetch_and(ASLEEP, Acquire)")],
        model: "doze::woken_by_something_else",
    },
    Mutant {
        name: "doze_forgets_what_was_raised_while_it_slept",
        file: "doze.rs",
        edits: &[(
            "        self.word.swap(Self::AWAKE, Acquire) as u32",
            "        match self.word.swap(Self::AWAKE, Acquire) {
            seen if seen & ASLEEP != 0 => 0,
            seen => seen as u32,
        }",
        )],
        model: "doze::sgi_lost",
    },
    Mutant {
        name: "doze_lies_down_without_a_look",
        file: "doze.rs",
        edits: &[(
            "self.word.compare_exchange(Self::AWAKE, ASLEEP, Relaxed, Relaxed).is_ok()",
            "self.word.swap(ASLEEP, Relaxed) != ASLEEP",
        )],
        model: "doze::one_queue",
    },
    Mutant {
        name: "doze_lies_down_in_two_steps",
        file: "doze.rs",
        edits: &[(
            "        self.word.compare_exchange(Self::AWAKE, ASLEEP, Relaxed, Relaxed).is_ok()",
            "        let awake = self.word.load(Relaxed) == Self::AWAKE;
        if awake {
            self.word.store(ASLEEP, Relaxed);
        }
        awake",
        )],
        model: "doze::interrupted_once",
    },
    Mutant {
        name: "doze_lies_down_beside_what_is_raised",
        file: "doze.rs",
        edits: &[(
            "self.word.compare_exchange(Self::AWAKE, ASLEEP, Relaxed, Relaxed).is_ok()",
            "self.word.fetch_or(ASLEEP, Relaxed) & ASLEEP == 0",
        )],
        model: "doze::one_queue",
    },
    Mutant {
        name: "doze_does_not_tell_that_it_lies",
        file: "doze.rs",
        edits: &[("compare_exchange(Self::AWAKE, ASLEEP,", "compare_exchange(Self::AWAKE, Self::AWAKE,")],
        model: "doze::two_queues",
    },
    Mutant {
        name: "task_queued_after_it_is_told",
        file: CALLERS,
        edits: &[(
            "        let first = self.ready[queue].fetch_or(1 << task, self.order) == 0;
        u64::from(first && self.doze.raise(1 << queue))",
            "        let wakes = self.doze.raise(1 << queue);
        let first = self.ready[queue].fetch_or(1 << task, self.order) == 0;
        u64::from(first && wakes)",
        )],
        model: "doze::two_queues",
    },
    Mutant {
        name: "doze_lies_down_with_interrupts_open",
        file: CALLERS,
        edits: &[(
            "                self.closed.set(true);
                if self.doze.lie_down() {
                    self.wait();
                }",
            "                let waits = self.doze.lie_down();
                between();
                self.closed.set(true);
                if waits {
                    self.wait();
                }",
        )],
        model: "doze::interrupted_once",
    },
    Mutant {
        name: "doze_nmi_level_sends_no_sgi",
        file: CALLERS,
        edits: &[(
            "                        if self.wake() {",
            "                        if self.wake() && false {",
        )],
        model: "doze::interrupted_again_and_again",
    },
];
