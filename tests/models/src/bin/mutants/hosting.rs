//! Bugs in who runs the work of a CPU that any may run, and in those who ask.

use super::Mutant;

/// The hosts and the waker, as they are in the model.
const CALLERS: &str = "../../tests/models/tests/hosting.rs";

/// The table.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "host_read_relaxed",
        file: "hosting.rs",
        edits: &[("host_of(self.word.load(Acquire))", "host_of(self.word.load(Relaxed))")],
        model: "hosting::hand_over",
    },
    Mutant {
        name: "work_given_relaxed",
        file: "hosting.rs",
        edits: &[("pack(next, None), Release, Relaxed)", "pack(next, None), Relaxed, Relaxed)")],
        model: "hosting::hand_over",
    },
    Mutant {
        name: "work_given_in_two_steps",
        file: "hosting.rs",
        edits: &[(
            "            match self.word.compare_exchange(word, pack(next, None), Release, Relaxed) {
                Ok(_) => return Some(next),
                Err(now) => word = now,
            }",
            "            if self.word.load(Relaxed) == word {
                self.word.store(pack(next, None), Release);
                return Some(next);
            }
            word = self.word.load(Relaxed);",
        )],
        model: "hosting::wanted_of_one_that_leaves",
    },
    Mutant {
        name: "work_given_to_who_does_not_want_it",
        file: "hosting.rs",
        edits: &[("wanted_by(word).or(to)?", "to.or(wanted_by(word))?")],
        model: "hosting::wanted_of_one_that_leaves",
    },
    Mutant {
        name: "work_given_by_who_has_it_no_more",
        file: "hosting.rs",
        edits: &[("            if host_of(word) != own {\n                return None;\n            }\n", "            let _ = own;\n")],
        model: "hosting::hand_over",
    },
    Mutant {
        name: "work_wanted_for_ever",
        file: "hosting.rs",
        edits: &[("pack(next, None), Release", "pack(next, wanted_by(word)), Release")],
        model: "hosting::forgone",
    },
    Mutant {
        name: "work_wanted_in_two_steps",
        file: "hosting.rs",
        edits: &[(
            "            match self.word.compare_exchange(word, pack(host, Some(cpu)), Relaxed, Relaxed) {
                Ok(_) => return Some(host),
                Err(now) => word = now,
            }",
            "            if self.word.load(Relaxed) == word {
                self.word.store(pack(host, Some(cpu)), Relaxed);
                return Some(host);
            }
            word = self.word.load(Relaxed);",
        )],
        model: "hosting::wanted_of_one_that_leaves",
    },
    Mutant {
        name: "work_wanted_of_who_had_it",
        file: "hosting.rs",
        edits: &[(
            "                Ok(_) => return Some(host),",
            "                Ok(_) => return Some(first),",
        ), (
            "    pub fn want(&self, cpu: u32) -> Option<u32> {
",
            "    pub fn want(&self, cpu: u32) -> Option<u32> {
        let first = host_of(self.word.load(Relaxed));
",
        )],
        model: "hosting::wanted_of_one_that_leaves",
    },
    Mutant {
        name: "work_forgone_in_two_steps",
        file: "hosting.rs",
        edits: &[(
            "            match self.word.compare_exchange(word, pack(host_of(word), None), Relaxed, Relaxed) {
                Ok(_) => return false,
                Err(now) => word = now,
            }",
            "            if self.word.load(Relaxed) == word {
                self.word.store(pack(host_of(word), None), Relaxed);
                return false;
            }
            word = self.word.load(Relaxed);",
        )],
        model: "hosting::forgone",
    },
    Mutant {
        name: "work_forgone_by_its_host",
        file: "hosting.rs",
        edits: &[("            if host_of(word) == cpu {\n                return true;\n            }\n", "")],
        model: "hosting::forgone",
    },
    Mutant {
        name: "work_forgone_and_wanted",
        file: "hosting.rs",
        edits: &[(
            "self.word.compare_exchange(word, pack(host_of(word), None), Relaxed, Relaxed)",
            "self.word.compare_exchange(word, word, Relaxed, Relaxed)",
        )],
        model: "hosting::forgone",
    },
    Mutant {
        name: "host_looked_for_before_the_task_is_queued",
        file: CALLERS,
        edits: &[(
            "        if self.ready.fetch_or(1 << task, AcqRel) == 0 {
            self.tell(self.hosting.host(), READY);
        }",
            "        let host = self.hosting.host();
        if self.ready.fetch_or(1 << task, AcqRel) == 0 {
            self.tell(host, READY);
        }",
        )],
        model: "hosting::hand_over",
    },
    Mutant {
        name: "task_queued_without_acquire",
        file: CALLERS,
        edits: &[(
            "self.ready.fetch_or(1 << task, AcqRel)",
            "self.ready.fetch_or(1 << task, std::sync::atomic::Ordering::Release)",
        )],
        model: "hosting::hand_over",
    },
    Mutant {
        name: "tasks_taken_without_release",
        file: CALLERS,
        edits: &[(
            "        let ready = self.ready.swap(0, AcqRel);
",
            "        let ready = self.ready.swap(0, std::sync::atomic::Ordering::Acquire);
",
        )],
        model: "hosting::hand_over",
    },
    Mutant {
        name: "new_host_not_told",
        file: CALLERS,
        edits: &[("        self.tell(new, READY);\n", "")],
        model: "hosting::handed_on",
    },
    Mutant {
        name: "new_host_told_before_it_is",
        file: CALLERS,
        edits: &[(
            "        let new = self.hosting.give(own, to)?;
",
            "        if let Some(new) = to {
            self.tell(new, READY);
            return self.hosting.give(own, to);
        }
        let new = self.hosting.give(own, to)?;
",
        )],
        model: "hosting::hand_over",
    },
    Mutant {
        name: "polled_by_who_is_not_the_host",
        file: CALLERS,
        edits: &[("bits & READY != 0 && self.hosting.host() == own", "bits & READY != 0")],
        model: "hosting::hand_over",
    },
    Mutant {
        name: "host_not_told_that_it_is_wanted",
        file: CALLERS,
        edits: &[("self.tell(host, HANDBACK)", "let _ = host")],
        model: "hosting::hand_back",
    },
    Mutant {
        name: "work_left_behind",
        file: CALLERS,
        edits: &[("            if world.hosting.forgo(OWNER) {", "            if world.hosting.forgo(OWNER) && false {")],
        model: "hosting::forgone",
    },
    Mutant {
        name: "given_in_the_middle_of_a_round",
        file: CALLERS,
        edits: &[(
            "        world.poll(OWNER, || world.wake(1));
        assert_eq!(world.give(OWNER, Some(FIRST)), Some(FIRST));",
            "        world.poll(OWNER, || {
            world.wake(1);
            assert_eq!(world.give(OWNER, Some(FIRST)), Some(FIRST));
        });",
        )],
        model: "hosting::hand_over",
    },
];
