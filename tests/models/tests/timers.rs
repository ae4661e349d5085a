//! Models of timers, which other CPUs stop while their own lets them run, and uses their entries again.

#![cfg(not(target_os = "none"))]

use std::cell::Cell;
use std::rc::Rc;

use reveille_models::{LoomArch, Model, Payload, thread};
use reveille_protocol::{TimerTable, TimerUse};

/// One CPU with one timer.
struct World {
    table: TimerTable<LoomArch, 1>,
    /// What the entry stands for: the number of its use, 0 when it has been taken out.
    closure: Payload,
}

impl World {
    fn new() -> Rc<Self> {
        Rc::new(Self { table: TimerTable::new(), closure: Payload::new(0) })
    }

    fn spawn<T: 'static>(self: &Rc<Self>, f: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let world = Rc::clone(self);
        thread::spawn(move || f(&world))
    }

    fn set(&self, number: u64) -> Option<TimerUse> {
        let timer = self.table.set(10)?;
        assert_eq!(self.closure.read(), 0, "set over another");
        self.closure.write(number);
        Some(timer)
    }

    fn take_out(&self) -> u64 {
        let number = self.closure.read();
        assert_ne!(number, 0, "taken out twice");
        self.closure.write(0);
        number
    }

    /// Lets the timer run, if it is set. Which use it was.
    fn run(&self) -> Option<u64> {
        self.table.take_due(10).map(|_| self.take_out())
    }

    fn cancel(&self, timer: TimerUse, number: u64) -> bool {
        self.table.cancel(timer, || assert_eq!(self.take_out(), number, "stopped what another has set"))
    }
}

/// Another CPU stops a timer as it is due, and its own CPU sets the next one: the first runs or is stopped, and the second runs.
#[test]
fn cancel_against_run() {
    Model::new("timers/cancel_against_run", &["ran", "stopped", "stopped, and no room"]).check(|tally| {
        let world = World::new();
        let timer = world.set(1).unwrap();
        let stopper = world.spawn(move |world| world.cancel(timer, 1));
        let ran = world.run();
        let second = world.set(2);
        let ran_again = world.run();
        let stopped = stopper.join().unwrap();
        assert_eq!((ran, stopped), if stopped { (None, true) } else { (Some(1), false) });
        assert_eq!(ran_again, second.map(|_| 2));
        assert!(!world.table.are_running());
        tally.hit(match (stopped, second.is_some()) {
            (false, _) => "ran",
            (true, true) => "stopped",
            (true, false) => "stopped, and no room",
        });
        assert!(world.set(3).is_some() && world.run() == Some(3), "an entry is lost");
    });
}

/// Another CPU stops a timer while its own drops all: it is done away with once, and the entry is free in the end.
#[test]
fn cancel_against_clear() {
    Model::new("timers/cancel_against_clear", &["dropped", "stopped"]).check(|tally| {
        let world = World::new();
        let timer = world.set(1).unwrap();
        let stopper = world.spawn(move |world| world.cancel(timer, 1));
        let dropped = Cell::new(false);
        world.table.clear(|_| {
            dropped.set(true);
            assert!(world.table.set(10).is_none(), "set by what is dropped");
            // An entry that is free has nothing in it.
            if world.closure.read() != 0 {
                world.take_out();
            }
        });
        let stopped = stopper.join().unwrap();
        assert!(stopped || dropped.get());
        assert!(!world.table.are_running());
        assert!(world.set(2).is_some() && world.run() == Some(2), "an entry is lost");
        tally.hit(if stopped { "stopped" } else { "dropped" });
    });
}
