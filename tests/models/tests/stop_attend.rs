//! Models of the handler by which a CPU takes part in rounds: one CPU, step by step, with the interrupts that tell it of a round, and
//! the steps of the initiator, in between.

#![cfg(not(target_os = "none"))]

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;

use reveille_models::steps::{self, Steps, between};
use reveille_models::{Choices, Model, Tally};
use reveille_protocol::{Action, Attendance, Attendant, Ending, Initiator, Job, Mark, Rendezvous, Stage};

/// When the initiator gives up.
const DEADLINE: u64 = 10;

struct World {
    rendezvous: Rendezvous<Steps>,
    cpu: Attendance<Steps>,
    initiator_mark: Mark<Steps>,
    /// Guards that hold the CPU's interrupts back.
    masks: Cell<u32>,
    /// They are held back by `DAIF`.
    closed: Cell<bool>,
    /// The CPU was told of a round.
    told: Cell<bool>,
    /// Handlers on its stack that have opened interrupts.
    handlers: Cell<u32>,
    /// The job of the round was done, and the CPU has not left it yet.
    has_run: Cell<bool>,
    /// Steps that the initiator may still do out of turn.
    steps: Cell<u32>,
    /// Rounds that may still begin, and how those that have ended did.
    rounds: Cell<u32>,
    done: Cell<u32>,
    job: Job,
    /// One round on the heels of another is all that the CPU takes part in before it rests.
    tires: bool,
    /// The rounds that it has joined so in the handler that is under way.
    joined: Cell<u32>,
    rests: Cell<bool>,
    has_rested: Cell<bool>,
    /// The round of the initiator.
    leading: RefCell<Option<Initiator<'static, Steps>>>,
    choices: RefCell<Choices>,
}

impl World {
    fn pick(&self, of: usize) -> usize {
        self.choices.borrow_mut().pick(of)
    }

    /// The initiator does a step: begins a round, or goes on with it.
    fn lead(&'static self, now: u64) {
        // Nothing comes between its own steps.
        steps::armed(Rc::new(|| ()), || self.lead_on(now));
    }

    fn lead_on(&'static self, now: u64) {
        let leading = self.leading.take();
        self.leading.replace(match leading {
            None if self.rounds.get() == 0 => None,
            None => {
                self.rounds.set(self.rounds.get() - 1);
                let begun = self.rendezvous.begin(&self.initiator_mark, 1, self.job, DEADLINE);
                self.told.set(true);
                Some(begun.expect("there is no other round"))
            }
            Some(mut initiator) => match initiator.step(now) {
                Action::RunJob => {
                    assert!(self.is_masked(), "interrupts come while the job is done");
                    self.has_run.set(true);
                    Some(initiator)
                }
                Action::Leave(ending) => {
                    self.done.set(self.done.get() + u32::from(ending == Ending::Done));
                    None
                }
                _ => Some(initiator),
            },
        });
    }

    fn is_masked(&self) -> bool {
        self.masks.get() != 0 || self.closed.get()
    }

    /// Between two steps of the CPU: the initiator does one, or gives up, and the CPU is interrupted.
    fn come(&'static self) {
        if self.steps.get() != 0 {
            let picked = self.pick(3);
            if picked != 0 {
                self.steps.set(self.steps.get() - 1);
                self.lead(if picked == 1 { 0 } else { DEADLINE });
            }
        }
        self.take();
    }

    /// Takes the interrupt that tells of a round, unless interrupts are held back.
    fn take(&'static self) {
        while self.told.get() && !self.is_masked() {
            self.told.set(false);
            self.closed.set(true);
            self.armed(|| self.cpu.attend(&self.rendezvous, &mut Cpu(self)));
            self.closed.set(false);
        }
    }

    fn armed(&'static self, f: impl FnOnce()) {
        steps::armed(Rc::new(move || self.come()), f);
    }
}

/// The CPU, as its handler sees it.
struct Cpu(&'static World);

impl Attendant for Cpu {
    type Mask = ();

    fn mask(&mut self) {
        between();
        self.0.masks.set(self.0.masks.get() + 1);
        assert_eq!(self.0.masks.get(), 1, "masked twice");
    }

    fn unmask(&mut self, (): ()) {
        self.0.masks.set(self.0.masks.get() - 1);
        between();
    }

    fn open(&mut self) {
        self.0.handlers.set(self.0.handlers.get() + 1);
        assert_eq!(self.0.handlers.get(), 1, "one handler on top of another");
        assert!(!self.0.rests.get(), "its thread is interrupted again");
        self.0.joined.set(0);
        self.0.closed.set(false);
        between();
    }

    fn close(&mut self, (): ()) {
        self.0.closed.set(true);
        between();
        self.0.masks.set(self.0.masks.get() - 1);
        self.0.handlers.set(self.0.handlers.get() - 1);
        between();
    }

    fn run_job(&mut self) {
        assert!(self.0.job == Job::Each && self.0.is_masked(), "does the job with interrupts open");
    }

    fn wait(&mut self) {
        // It is the initiator's turn.
        self.0.lead(0);
        self.0.take();
    }

    fn synchronise(&mut self) {
        assert!(self.0.is_masked() || !self.0.has_run.take(), "interrupts come before the job counts");
        self.0.has_run.set(false);
        between();
    }

    fn is_tired(&mut self) -> bool {
        self.0.joined.set(self.0.joined.get() + 1);
        assert!(!self.0.tires || self.0.joined.get() == 1, "it goes on, though it is tired");
        self.0.tires
    }

    fn rest(&mut self) -> u64 {
        assert!(self.0.is_masked(), "it does not come to its rest");
        self.0.rests.set(true);
        self.0.has_rested.set(true);
        7
    }

    fn has_rested(&mut self, until: u64) -> bool {
        assert_eq!(until, 7);
        if self.0.pick(2) == 0 {
            self.0.rests.set(false);
        }
        !self.0.rests.get()
    }
}

/// Rounds of another CPU, one on the heels of the other; some are called off. The CPU joins each of which it is told, by one
/// handler at a time, and in the end its interrupts are open. Where it tires of them its thread has its turn, and then it comes when it is told
/// again.
fn rounds(job: Job, rounds: u32, steps: u32, tires: bool) -> impl FnMut(&mut Choices, &Tally) {
    move |choices, tally| {
        // Never freed, as the initiator borrows from it: it is small.
        let world: &'static World = Box::leak(Box::new(World {
            rendezvous: Rendezvous::new(),
            cpu: Attendance::new(),
            initiator_mark: Mark::new(),
            masks: Cell::new(0),
            closed: Cell::new(false),
            told: Cell::new(false),
            handlers: Cell::new(0),
            has_run: Cell::new(false),
            steps: Cell::new(steps),
            rounds: Cell::new(rounds),
            done: Cell::new(0),
            job,
            tires,
            joined: Cell::new(0),
            rests: Cell::new(false),
            has_rested: Cell::new(false),
            leading: RefCell::new(None),
            choices: RefCell::new(mem::take(choices)),
        }));
        loop {
            // In thread context: whatever the initiator does, the CPU follows.
            world.lead(0);
            let waits_for_it = world.rendezvous.standing().stage == Stage::Prepare && !world.told.get();
            if waits_for_it {
                assert!(world.rests.take(), "the CPU was told of a round, and does not come");
                world.told.set(true);
            }
            world.take();
            assert!(!world.is_masked() && world.handlers.get() == 0, "not as it was");
            if world.rounds.get() == 0 && world.leading.borrow().is_none() {
                break;
            }
        }
        assert!(!world.told.get());
        if world.has_rested.get() {
            tally.hit("rested");
        }
        tally.hit(match world.done.get() {
            done if done == rounds => "all done",
            0 => "none done",
            _ => "some done",
        });
        *choices = world.choices.take();
    }
}

const OUTCOMES: &[&str] = &["all done", "some done", "none done"];

/// Two rounds in which the initiator alone does the job.
#[test]
fn on_its_heels() {
    Model::new("stop_attend/on_its_heels", OUTCOMES).check_choices(rounds(Job::Initiator, 2, 3, false));
}

/// Two in which every CPU does.
#[test]
fn on_its_heels_each() {
    Model::new("stop_attend/on_its_heels_each", OUTCOMES).check_choices(rounds(Job::Each, 2, 3, false));
}

/// Three rounds, of which the CPU takes part in two at a stretch and then rests.
#[test]
fn tired() {
    let outcomes = &["all done", "some done", "none done", "rested"];
    Model::new("stop_attend/tired", outcomes).check_choices(rounds(Job::Initiator, 3, 3, true));
}
