//! Models of preemption that is put off: one CPU with two threads, which is interrupted between any two of its steps; and of a context that goes
//! from CPU to CPU.

#![cfg(not(target_os = "none"))]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use reveille_models::steps::{self, Steps, between};
use reveille_models::{Choices, LoomWord, Model, Payload, Tally, thread};
use reveille_protocol::{Preemption, Word};

/// One CPU, of which there is one of something.
struct Cpu {
    preemption: Preemption<Steps>,
    /// Who uses what there is once.
    user: Cell<Option<usize>>,
    /// The thread that runs.
    running: Cell<usize>,
    interrupts: Cell<usize>,
    /// A preemption is owed.
    owed: Cell<bool>,
    choices: RefCell<Choices>,
    tally: Tally,
}

impl Cpu {
    fn interrupt(self: &Rc<Self>) {
        let me = self.running.get();
        if self.interrupts.get() == 0 || self.choices.borrow_mut().pick(2) == 0 {
            return;
        }
        self.interrupts.set(self.interrupts.get() - 1);
        if !self.preemption.may_preempt() {
            self.owed.set(true);
            self.tally.hit("put off");
            return;
        }
        self.owed.set(false);
        // Another thread runs until it has used the thing itself, and comes back.
        self.running.set(me + 1);
        self.armed(|| self.use_it());
        self.running.set(me);
        self.tally.hit("preempted");
    }

    fn use_it(self: &Rc<Self>) {
        let me = self.running.get();
        self.preemption.stay();
        assert_eq!(self.user.replace(Some(me)), None, "two use it");
        between();
        // Inside, once more.
        self.preemption.stay();
        between();
        let interrupted = self.preemption.let_go();
        assert!(!interrupted, "it still stays put");
        assert_eq!(self.user.replace(None), Some(me), "somebody else has used it");
        if self.preemption.let_go() {
            // It has the CPU interrupt itself, unless that was preempted meanwhile.
            self.tally.hit("caught up");
            between();
            let _ = self.preemption.may_preempt();
            self.owed.set(false);
        }
    }

    fn armed(self: &Rc<Self>, f: impl FnOnce()) {
        let own = Rc::clone(self);
        steps::armed(Rc::new(move || own.interrupt()), f);
    }
}

/// What there is once is used by one thread at a time, and no preemption is lost.
#[test]
fn one_user_at_a_time() {
    let run = |choices: &mut Choices, tally: &Tally| {
        let cpu = Rc::new(Cpu {
            preemption: Preemption::new(),
            user: Cell::new(None),
            running: Cell::new(0),
            interrupts: Cell::new(3),
            owed: Cell::new(false),
            choices: RefCell::new(std::mem::take(choices)),
            tally: tally.clone(),
        });
        cpu.armed(|| cpu.use_it());
        assert!(!cpu.owed.get(), "a preemption is lost");
        assert!(cpu.preemption.may_preempt());
        *choices = cpu.choices.take();
    };
    Model::new("preemption/one_user_at_a_time", &["put off", "preempted", "caught up"]).check_choices(run);
}

/// A context that switches on one CPU while another looks for something to run: what that resumes has been saved.
///
/// The right to resume goes through a word, as it does through the lock of a queue: stored with Release, taken with Acquire.
#[test]
fn handed_over() {
    struct Machine {
        ready: LoomWord,
        registers: Payload,
        stack: Payload,
    }
    Model::new("preemption/handed_over", &["resumed", "not yet"]).check(|tally| {
        let machine =
            Rc::new(Machine { ready: LoomWord::new(0), registers: Payload::new(0), stack: Payload::new(0) });
        let other = {
            let machine = Rc::clone(&machine);
            thread::spawn(move || {
                let took = machine.ready.swap(0, std::sync::atomic::Ordering::Acquire) == 1;
                if took {
                    assert_eq!(machine.registers.read(), 7, "not saved");
                    machine.stack.write(machine.stack.read() + 1);
                }
                took
            })
        };
        // The context runs here; then its registers are saved; then who has run it gives it away, and touches it no more.
        machine.stack.write(1);
        machine.registers.write(7);
        machine.ready.store(1, std::sync::atomic::Ordering::Release);
        let took = other.join().unwrap();
        assert_eq!(machine.stack.read(), if took { 2 } else { 1 });
        tally.hit(if took { "resumed" } else { "not yet" });
    });
}
