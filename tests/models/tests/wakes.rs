//! Models of idle: one CPU, whose thread waits for a condition, and is interrupted between any two of its steps by what makes it
//! true.

#![cfg(not(target_os = "none"))]

use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;

use reveille_models::steps::{self, Steps, between};
use reveille_models::{Choices, Model, Tally};
use reveille_protocol::Wakes;

/// What an interrupt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interrupt {
    /// A handler makes the condition true.
    Handler,
    /// A call does.
    Call,
    /// Work was left, which the thread finds; the handler does nothing.
    Work,
    /// Something else.
    Stray,
}

const ALL: [Interrupt; 4] = [Interrupt::Handler, Interrupt::Call, Interrupt::Work, Interrupt::Stray];

struct Cpu {
    wakes: Wakes<Steps>,
    /// How many calls were taken.
    calls: Cell<u64>,
    /// What the thread waits for.
    condition: Cell<bool>,
    /// What the thread finds to do.
    work: Cell<bool>,
    closed: Cell<bool>,
    /// Handlers on the stack.
    handlers: Cell<u32>,
    pending: RefCell<Vec<Interrupt>>,
    /// Interrupts that may still come.
    left: Cell<u32>,
    choices: RefCell<Choices>,
}

impl Cpu {
    fn pick(&self, of: usize) -> usize {
        self.choices.borrow_mut().pick(of)
    }

    /// Whatever may interrupt the CPU here does, or does not.
    fn come(self: &Rc<Self>) {
        if self.left.get() != 0 {
            let picked = self.pick(1 + ALL.len());
            if picked != 0 {
                self.left.set(self.left.get() - 1);
                let interrupt = ALL[picked - 1];
                // Before its interrupt: that is how it is sent.
                if interrupt == Interrupt::Work {
                    self.work.set(true);
                }
                self.pending.borrow_mut().push(interrupt);
            }
        }
        self.take();
    }

    /// Takes what is pending, unless interrupts are closed.
    fn take(self: &Rc<Self>) {
        while !self.closed.get() {
            let Some(interrupt) = self.pending.borrow_mut().pop() else { break };
            let own = Rc::clone(self);
            self.handlers.set(self.handlers.get() + 1);
            match interrupt {
                Interrupt::Call => {
                    self.calls.set(self.calls.get() + 1);
                    self.condition.set(true);
                }
                // Another one may come in its middle.
                Interrupt::Handler => steps::armed(Rc::new(move || own.come()), || {
                    self.wakes.count();
                    between();
                    self.condition.set(true);
                }),
                Interrupt::Work | Interrupt::Stray => self.wakes.count(),
            }
            self.handlers.set(self.handlers.get() - 1);
        }
    }

    fn idle(self: &Rc<Self>) {
        // What it looks for before it waits: as a launched closure does, this makes the condition true.
        if self.work.take() {
            self.condition.set(true);
            return;
        }
        between();
        self.wakes.idle(
            || {
                between();
                self.calls.get()
            },
            || {
                self.closed.set(true);
            },
            || self.work.get(),
            || self.wait(),
            |()| {
                self.closed.set(false);
                self.take();
            },
        );
    }

    /// A WFI, which an interrupt ends that is pending, or comes.
    fn wait(self: &Rc<Self>) {
        assert!(self.closed.get() && self.handlers.get() == 0);
        self.come();
        if self.pending.borrow().is_empty() {
            assert!(!self.condition.get() && !self.work.get(), "waits although it need not");
            // And for ever, as nothing comes any more in this execution, or only later.
            panic::resume_unwind(Box::new(Asleep));
        }
    }
}

/// The CPU waits.
struct Asleep;

fn thread(interrupts: u32) -> impl FnMut(&mut Choices, &Tally) {
    move |choices, tally| {
        let cpu = Rc::new(Cpu {
            wakes: Wakes::new(),
            calls: Cell::new(0),
            condition: Cell::new(false),
            work: Cell::new(false),
            closed: Cell::new(false),
            handlers: Cell::new(0),
            pending: RefCell::new(Vec::new()),
            left: Cell::new(interrupts),
            choices: RefCell::new(mem::take(choices)),
        });
        let own = Rc::clone(&cpu);
        let looks = || {
            let mut looks = 0;
            while !cpu.condition.get() {
                assert!(looks < 8, "neither waits nor goes on");
                looks += 1;
                between();
                cpu.idle();
            }
            looks
        };
        let end = panic::catch_unwind(AssertUnwindSafe(|| {
            steps::armed(Rc::new(move || own.come()), || {
                between();
                looks()
            })
        }));
        tally.hit(match end {
            Ok(0) => "before the first look",
            Ok(1) => "at once",
            Ok(_) => "in the end",
            Err(end) if end.is::<Asleep>() => "asleep",
            Err(end) => panic::resume_unwind(end),
        });
        *choices = cpu.choices.take();
    }
}

const OUTCOMES: &[&str] = &["before the first look", "at once", "in the end", "asleep"];

/// One interrupt, anywhere.
#[test]
fn woken_once() {
    Model::new("wakes/woken_once", OUTCOMES).check_choices(thread(1));
}

/// Three, one in the handler of another too.
#[test]
fn woken_again_and_again() {
    Model::new("wakes/woken_again_and_again", OUTCOMES).check_choices(thread(3));
}
