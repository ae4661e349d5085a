//! Models of the depth of masked sections: one CPU, whose thread takes and ends guards in every order, and which is interrupted between
//! any two of its steps, by handlers and at NMI level, where guards are taken, ended and forgotten as well; and two CPUs, whose threads are
//! preempted, and go on on the other one.

#![cfg(not(target_os = "none"))]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use reveille_models::steps::{self, Steps, between};
use reveille_models::{Choices, Model, Tally};
use reveille_protocol::MaskDepth;

/// Where the CPU is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Thread,
    Handler,
    Nmi,
}

/// The CPU: its word, its mask, and what is true.
struct Cpu {
    depth: MaskDepth<Steps>,
    /// Normal interrupts are held back.
    raised: Cell<bool>,
    level: Cell<Level>,
    /// Guards of the thread and of handlers that are alive; those of NMI level end there.
    alive: Cell<usize>,
    /// Interrupts that may still come.
    interrupts: Cell<usize>,
    nmis: Cell<usize>,
    choices: RefCell<Choices>,
    tally: Tally,
}

impl Cpu {
    fn raise(&self) {
        between();
        self.raised.set(true);
    }

    fn begin(&self) {
        MaskDepth::begin(|| self.raise(), || &self.depth);
        self.count(1);
    }

    fn begin_below_nmi(&self) -> bool {
        let counted = MaskDepth::begin_below_nmi(|| self.raise(), || &self.depth);
        if counted {
            self.count(1);
        }
        counted
    }

    fn begin_if_open(&self) -> bool {
        let counted = MaskDepth::begin_if_open(|| self.raise(), || &self.depth);
        if counted {
            self.count(1);
            // A handler that came in between may have left one: then it is none.
            assert_eq!(self.alive.get(), 1, "it was open");
            self.tally.hit("was open");
        }
        counted
    }

    fn end(&self) {
        self.count(-1);
        if self.depth.end().is_some() {
            between();
            self.raised.set(false);
        }
    }

    fn count(&self, more: isize) {
        if self.level.get() != Level::Nmi {
            self.alive.set(self.alive.get().checked_add_signed(more).expect("as many ends as beginnings"));
        }
    }

    /// Between two operations: masked exactly while one is alive.
    fn at_rest(&self) {
        assert_eq!(self.raised.get(), self.alive.get() != 0, "{} alive", self.alive.get());
        assert_eq!(self.depth.is_held(), self.alive.get() != 0);
        assert!(!self.depth.is_nmi());
    }

    fn pick(&self, of: usize) -> usize {
        self.choices.borrow_mut().pick(of)
    }

    /// Whatever may interrupt the CPU here does, or does not.
    fn interrupt(&self) {
        let level = self.level.get();
        let may_come = level == Level::Thread && !self.raised.get() && self.interrupts.get() != 0;
        let nmi_may_come = level != Level::Nmi && self.nmis.get() != 0;
        match self.pick(1 + usize::from(may_come) + usize::from(nmi_may_come)) {
            0 => return,
            1 if may_come => {
                self.interrupts.set(self.interrupts.get() - 1);
                self.level.set(Level::Handler);
                self.handle();
            }
            _ => {
                self.nmis.set(self.nmis.get() - 1);
                self.level.set(Level::Nmi);
                self.run_at_nmi_level();
            }
        }
        self.level.set(level);
    }

    /// As a handler: it can be interrupted itself, at NMI level.
    fn handle(&self) {
        self.armed(|| match self.pick(3) {
            0 => {
                self.begin();
                assert!(self.raised.get(), "a section of a handler");
                self.end();
                self.tally.hit("handled");
            }
            1 => {
                self.begin();
                self.begin();
                self.end();
                assert!(self.raised.get(), "one of two");
                self.end();
            }
            _ => {
                self.begin();
                self.tally.hit("forgotten in a handler");
            }
        });
    }

    fn run_at_nmi_level(&self) {
        let before = self.raised.get();
        let f = || {
            assert!(self.depth.is_nmi() && self.depth.is_held());
            match self.pick(3) {
                0 => {
                    self.begin();
                    self.begin();
                    self.end();
                    self.end();
                    self.tally.hit("at NMI level");
                }
                1 => self.begin(),
                _ => assert!(!self.begin_below_nmi(), "nothing at NMI level"),
            }
        };
        self.depth.at_nmi_level(|| self.raised.get(), |mask| self.raised.set(mask), f);
        assert_eq!(self.raised.get(), before, "the mask is as it was");
    }

    /// Runs what can be interrupted.
    fn armed(&self, f: impl FnOnce()) {
        // SAFETY: taken out again before this returns, and `self` outlives that.
        let own: &'static Self = unsafe { &*std::ptr::from_ref(self) };
        steps::armed(Rc::new(move || own.interrupt()), f);
    }
}

/// Up to three guards, taken and ended in any order, some of them never.
fn thread(guards: usize, interrupts: usize, nmis: usize) -> impl FnMut(&mut Choices, &Tally) {
    move |choices, tally| {
        let cpu = Cpu {
            depth: MaskDepth::new(),
            raised: Cell::new(false),
            level: Cell::new(Level::Thread),
            alive: Cell::new(0),
            interrupts: Cell::new(interrupts),
            nmis: Cell::new(nmis),
            choices: RefCell::new(std::mem::take(choices)),
            tally: tally.clone(),
        };
        let (mut taken, mut own) = (0, 0);
        loop {
            // Which of those alive ends makes no difference to the count: they look the same from here.
            let may_take = usize::from(taken < guards);
            let may_end = usize::from(own != 0);
            match cpu.pick(1 + may_take + may_end) {
                // No more: whatever is alive stays so.
                0 => break,
                1 if may_take != 0 => {
                    cpu.armed(|| match taken {
                        // None if a handler has left one.
                        0 => own += usize::from(cpu.begin_if_open()),
                        1 => {
                            assert!(cpu.begin_below_nmi());
                            own += 1;
                        }
                        _ => {
                            cpu.begin();
                            own += 1;
                        }
                    });
                    taken += 1;
                }
                _ => {
                    cpu.armed(|| cpu.end());
                    own -= 1;
                }
            }
            cpu.at_rest();
        }
        tally.hit(match (cpu.alive.get(), own) {
            (0, 0) => "open",
            (_, 0) => "masked by a handler",
            _ => "masked",
        });
        *choices = cpu.choices.into_inner();
    }
}

const OUTCOMES: &[&str] = &[
    "open",
    "masked",
    "masked by a handler",
    "handled",
    "forgotten in a handler",
    "at NMI level",
    "was open",
];

/// One interrupt and one at NMI level, at any two points, the second in the handler of the first too.
#[test]
fn masked_while_one_is_alive() {
    Model::new("masking/masked_while_one_is_alive", OUTCOMES).check_choices(thread(3, 1, 1));
}

/// Two of each around two guards.
#[test]
fn often_interrupted() {
    Model::new("masking/often_interrupted", OUTCOMES).check_choices(thread(2, 2, 2));
}

/// Two CPUs, and a thread that is on one of them.
struct Two {
    depths: [MaskDepth<Steps>; 2],
    raised: [Cell<bool>; 2],
    /// Where the thread is.
    on: Cell<usize>,
    /// What the other CPU runs is in a masked section.
    other_is_masked: Cell<bool>,
    moves: Cell<usize>,
    choices: RefCell<Choices>,
    tally: Tally,
}

impl Two {
    fn begin(&self, how: impl FnOnce(&Self) -> bool) {
        let counted = how(self);
        let on = self.on.get();
        assert!(counted, "the thread was open");
        assert!(self.raised[on].get() && self.depths[on].is_held(), "masked where it is");
        assert_eq!(self.depths[1 - on].is_held(), self.other_is_masked.get(), "and there alone");
    }

    /// Raises the mask of the CPU on which the thread is.
    fn raise(&self) {
        between();
        self.raised[self.on.get()].set(true);
    }

    /// Says which that is.
    fn here(&self) -> &MaskDepth<Steps> {
        between();
        &self.depths[self.on.get()]
    }

    fn end(&self) {
        let on = self.on.get();
        if self.depths[on].end().is_some() {
            between();
            assert_eq!(self.on.get(), on, "it has not moved");
            self.raised[on].set(false);
        }
    }

    /// Preempts the thread, if its CPU lets that happen: it goes on on the other one, and its old CPU runs something else, masked or not.
    fn interrupt(&self) {
        let on = self.on.get();
        if self.raised[on].get() || self.moves.get() == 0 || self.choices.borrow_mut().pick(2) == 0 {
            return;
        }
        self.moves.set(self.moves.get() - 1);
        // What ran on the other one is open when it is preempted, too.
        if self.other_is_masked.replace(false) && self.depths[1 - on].end().is_some() {
            self.raised[1 - on].set(false);
        }
        self.on.set(1 - on);
        if self.choices.borrow_mut().pick(2) == 1 {
            MaskDepth::begin(|| self.raised[on].set(true), || &self.depths[on]);
            self.other_is_masked.set(true);
            self.tally.hit("the other is masked");
        }
        self.tally.hit("moved");
    }
}

/// A thread that is moved between CPUs holds interrupts back on the one where it is, and on no other.
#[test]
fn masked_where_it_is() {
    let run = |choices: &mut Choices, tally: &Tally| {
        let two = Rc::new(Two {
            depths: [MaskDepth::new(), MaskDepth::new()],
            raised: [Cell::new(false), Cell::new(false)],
            on: Cell::new(0),
            other_is_masked: Cell::new(false),
            moves: Cell::new(3),
            choices: RefCell::new(std::mem::take(choices)),
            tally: tally.clone(),
        });
        let how: [fn(&Two) -> bool; 3] = [
            |two| MaskDepth::begin(|| two.raise(), || two.here()),
            |two| MaskDepth::begin_below_nmi(|| two.raise(), || two.here()),
            |two| MaskDepth::begin_if_open(|| two.raise(), || two.here()),
        ];
        let come = Rc::clone(&two);
        steps::armed(Rc::new(move || come.interrupt()), || {
            for how in how {
                two.begin(how);
                two.end();
            }
        });
        *choices = two.choices.take();
    };
    Model::new("masking/masked_where_it_is", &["moved", "the other is masked"]).check_choices(run);
}
