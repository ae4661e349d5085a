//! Models of the launch slot.

#![cfg(not(target_os = "none"))]

use std::cell::RefCell;
use std::rc::Rc;

use reveille_models::{LoomArch, Model, Payload, thread};
use reveille_protocol::{LaunchRefusal, LaunchSlot, LaunchState};

struct Launch {
    slot: LaunchSlot<LoomArch>,
    closure: Payload,
    ran: RefCell<Vec<u64>>,
}

impl Launch {
    fn open() -> Rc<Self> {
        let launch = Self { slot: LaunchSlot::new(), closure: Payload::new(0), ran: RefCell::default() };
        assert!(launch.slot.reopen());
        Rc::new(launch)
    }

    fn launch(&self, closure: u64) -> Result<(), LaunchRefusal> {
        let filling = self.slot.fill()?;
        self.closure.write(closure);
        filling.publish();
        Ok(())
    }

    /// The idle CPU looks once. The payload is emptied before it is given back.
    fn run_one(&self) -> bool {
        let Some(running) = self.slot.take() else { return false };
        let closure = self.closure.read();
        self.closure.write(0);
        self.ran.borrow_mut().push(closure);
        drop(running);
        true
    }
}

/// Two launchers and the CPU: what was accepted runs once, what was refused never.
#[test]
fn exactly_once() {
    Model::new("launch/exactly_once", &["both", "one"]).check(|tally| {
        let launch = Launch::open();
        let launcher = |closure| {
            let launch = Rc::clone(&launch);
            thread::spawn(move || launch.launch(closure))
        };
        let (one, two) = (launcher(1), launcher(2));
        launch.run_one();
        launch.run_one();
        let accepted = [one.join().unwrap(), two.join().unwrap()];
        launch.run_one();
        assert_eq!(launch.slot.state(), LaunchState::Empty);

        let mut expected = Vec::new();
        for (result, closure) in accepted.into_iter().zip(1..) {
            match result {
                Ok(()) => expected.push(closure),
                Err(refusal) => assert_eq!(refusal, LaunchRefusal::Busy),
            }
        }
        launch.ran.borrow_mut().sort_unstable();
        assert_eq!(*launch.ran.borrow(), expected);
        tally.hit(if expected.len() == 2 { "both" } else { "one" });
    });
}

/// The CPU leaves, clears its payload while it is away, and returns, against a launcher.
#[test]
fn close_against_fill() {
    Model::new("launch/close_against_fill", &["left_first", "launched_first", "launched_after"]).check(
        |tally| {
            let launch = Launch::open();
            let launcher = thread::spawn({
                let launch = Rc::clone(&launch);
                move || launch.launch(1)
            });
            let left = launch.slot.close();
            match left {
                Ok(()) => {
                    assert_eq!(launch.slot.take().map(drop), None, "ran a closure while away");
                    launch.closure.write(0);
                    assert!(launch.slot.reopen());
                }
                // A closure is on its way, and nobody else will run it: the CPU stays for it.
                Err(state) => {
                    assert_ne!(state, LaunchState::Closed);
                    while !launch.run_one() {
                        thread::yield_now();
                    }
                }
            }
            let accepted = launcher.join().unwrap();
            launch.run_one();
            assert_eq!(launch.ran.borrow().len(), usize::from(accepted.is_ok()));
            tally.hit(match (left, accepted) {
                (Ok(()), Err(refusal)) => {
                    assert_eq!(refusal, LaunchRefusal::Closed);
                    "left_first"
                }
                (Ok(()), Ok(())) => "launched_after",
                (Err(_), Ok(())) => "launched_first",
                (Err(_), Err(_)) => unreachable!("the CPU stayed for nothing"),
            });
        },
    );
}

/// The CPU was stopped for good, and whoever did that says so in its slot: nobody launches anything any more, whatever becomes
/// of a closure that is just on its way.
#[test]
fn condemn_against_fill() {
    Model::new("launch/condemn_against_fill", &["refused", "accepted"]).check(|tally| {
        let launch = Launch::open();
        let launcher = thread::spawn({
            let launch = Rc::clone(&launch);
            move || launch.launch(1)
        });
        launch.slot.condemn();
        assert!(launch.launch(2).is_err());
        let accepted = launcher.join().unwrap();
        assert!(launch.launch(3).is_err());
        tally.hit(if accepted.is_ok() { "accepted" } else { "refused" });
    });
}

/// A launcher that changes its mind leaves the slot as it found it.
#[test]
fn filling_dropped() {
    Model::new("launch/filling_dropped", &["before", "during", "after"]).check(|tally| {
        let launch = Launch::open();
        let fickle = thread::spawn({
            let launch = Rc::clone(&launch);
            move || {
                let filling = launch.slot.fill().ok()?;
                launch.closure.write(7);
                launch.closure.write(0);
                drop(filling);
                Some(())
            }
        });
        let accepted = launch.launch(1);
        let dropped = fickle.join().unwrap();
        launch.run_one();
        tally.hit(match (accepted, dropped) {
            (Ok(()), None) => "before",
            (Err(LaunchRefusal::Busy), Some(())) => "during",
            (Ok(()), Some(())) => "after",
            other => unreachable!("{other:?}"),
        });
        assert_eq!(*launch.ran.borrow(), vec![1; usize::from(accepted.is_ok())]);
    });
}
