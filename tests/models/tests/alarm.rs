//! A model of alarms: one CPU, whose thread sets its alarm and takes it away while the timer's interrupt comes between any two of its
//! steps, and stays pending where interrupts are masked.

#![cfg(not(target_os = "none"))]

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;

use reveille_models::steps::{self, Steps, between};
use reveille_models::{Choices, Model};
use reveille_protocol::AlarmDue;

struct Cpu {
    alarm: AlarmDue<Steps>,
    /// What it is set for, as whoever used it last believes.
    believed: Cell<Option<u64>>,
    /// Ticks, which pass where an interrupt comes.
    now: Cell<u64>,
    masked: Cell<bool>,
    pending: Cell<bool>,
    /// Interrupts that may still come.
    left: Cell<u32>,
    runs: Cell<u32>,
    choices: RefCell<Choices>,
}

impl Cpu {
    fn pick(&self, of: usize) -> usize {
        self.choices.borrow_mut().pick(of)
    }

    /// The timer's interrupt comes here, or does not.
    fn come(&self) {
        if self.left.get() != 0 && self.pick(2) == 1 {
            self.left.set(self.left.get() - 1);
            self.now.set(self.now.get() + 1);
            self.pending.set(true);
        }
        self.take();
    }

    fn take(&self) {
        while !self.masked.get() && self.pending.take() {
            self.masked(|| self.interrupt());
        }
    }

    fn masked<R>(&self, f: impl FnOnce() -> R) -> R {
        let was = self.masked.replace(true);
        let result = f();
        self.masked.set(was);
        result
    }

    /// Sets it, or takes it away.
    fn use_it(&self) {
        match self.pick(3) {
            0 => {
                assert_eq!(self.alarm.cancel(), self.believed.take().is_some());
            }
            ticks => {
                let due = self.now.get() + ticks as u64;
                self.alarm.set(due);
                self.believed.set(Some(due));
            }
        }
    }

    fn interrupt(&self) {
        let now = self.now.get();
        let ran = self.alarm.fire(now, || {
            assert!(self.believed.take().is_some_and(|due| due <= now), "runs for what it is not set for");
            self.runs.set(self.runs.get() + 1);
            self.use_it();
        });
        assert!(ran || self.believed.get().is_none_or(|due| due > now), "due, and does not run");
    }
}

/// Set, set anew and taken away by the thread and by its handler, against the interrupt.
#[test]
fn set_against_fire() {
    Model::new("alarm/set_against_fire", &["never ran", "ran", "ran again"]).check_choices(
        |choices, tally| {
            let cpu = Rc::new(Cpu {
                alarm: AlarmDue::new(),
                believed: Cell::new(None),
                now: Cell::new(0),
                masked: Cell::new(false),
                pending: Cell::new(false),
                left: Cell::new(2),
                runs: Cell::new(0),
                choices: RefCell::new(mem::take(choices)),
            });
            let own = Rc::clone(&cpu);
            steps::armed(Rc::new(move || own.come()), || {
                for _ in 0..2 {
                    between();
                    cpu.masked(|| cpu.use_it());
                }
                between();
            });
            cpu.take();
            assert_eq!(cpu.alarm.due(), cpu.believed.get().unwrap_or(AlarmDue::<Steps>::NEVER));
            tally.hit(match cpu.runs.get() {
                0 => "never ran",
                1 => "ran",
                _ => "ran again",
            });
            *choices = cpu.choices.take();
        },
    );
}
