//! Models of the request to leave.

#![cfg(not(target_os = "none"))]

use std::rc::Rc;

use reveille_models::{LoomArch, Model, Payload, thread};
use reveille_protocol::{AlreadyAsked, Arch, LeaveRequest, Progress};

struct World {
    request: LeaveRequest<LoomArch>,
    /// What goes along with the request, and comes back with the answer.
    letter: Payload,
}

impl World {
    fn new() -> Rc<Self> {
        Rc::new(Self { request: LeaveRequest::new(), letter: Payload::new(0) })
    }

    /// The CPU looks once, and if it is asked to leave it answers that it stays, with twice the deadline as the
    /// reason.
    fn look(&self) -> Option<u64> {
        let leaving = self.request.accept()?;
        let deadline = leaving.deadline();
        self.letter.write(deadline);
        leaving.stayed(2 * deadline as u16);
        Some(deadline)
    }

    fn spawn<T: 'static>(self: &Rc<Self>, f: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let world = Rc::clone(self);
        thread::spawn(move || f(&world))
    }
}

/// A CPU agrees to leave just when it is no longer asked to: one or the other.
#[test]
fn accept_against_withdraw() {
    Model::new("request/accept_against_withdraw", &["accepted", "withdrawn"]).check(|tally| {
        let world = World::new();
        let target = world.spawn(World::look);
        let asking = world.request.ask(7).unwrap();
        let withdrawn = asking.withdraw();
        match withdrawn {
            // The CPU does not act on it any more.
            Ok(()) => {
                world.letter.write(1);
                assert_eq!(asking.poll(), Progress::Withdrawn);
            }
            Err(Progress::Accepted) => {
                while asking.poll() == Progress::Accepted {
                    LoomArch::relax();
                }
                assert_eq!(asking.poll(), Progress::Stayed(14));
                assert_eq!(world.letter.read(), 7);
            }
            Err(progress) => {
                assert_eq!(progress, Progress::Stayed(14));
                assert_eq!(world.letter.read(), 7);
            }
        }
        tally.hit(match (withdrawn, target.join().unwrap()) {
            (Ok(()), None) => "withdrawn",
            (Err(Progress::Accepted | Progress::Stayed(14)), Some(7)) => "accepted",
            other => panic!("{other:?}"),
        });
        drop(asking);
        assert!(!world.request.is_asked());
        drop(world.request.ask(1).unwrap());
    });
}

/// A request is withdrawn and another made, while the CPU agrees to one of them: that one is answered, and the CPU
/// keeps to its deadline.
#[test]
fn accept_one_of_two() {
    Model::new("request/accept_one_of_two", &["first", "second", "neither"]).check(|tally| {
        let world = World::new();
        let target = world.spawn(World::look);
        let first = world.request.ask(1).unwrap();
        let accepted = if first.withdraw().is_ok() {
            let second = world.request.ask(2).unwrap();
            assert_eq!(first.poll(), Progress::Withdrawn);
            // Does nothing to the second.
            drop(first);
            let withdrawn = second.withdraw();
            let accepted = target.join().unwrap();
            assert_eq!(withdrawn.is_ok(), accepted.is_none());
            assert!(withdrawn.is_ok() || second.poll() == Progress::Stayed(4));
            accepted
        } else {
            let accepted = target.join().unwrap();
            assert_eq!(first.poll(), Progress::Stayed(2));
            accepted
        };
        tally.hit(match accepted {
            Some(1) => "first",
            Some(2) => "second",
            None => "neither",
            other => panic!("{other:?}"),
        });
    });
}

/// A CPU is about to leave just when whoever asked gives up: it leaves and the other knows, or it stays.
#[test]
fn left_against_abandon() {
    const OUTCOMES: &[&str] = &["left", "stayed", "not_accepted"];
    Model::new("request/left_against_abandon", OUTCOMES).check(|tally| {
        let world = World::new();
        let target = world.spawn(|world| {
            let leaving = world.request.accept()?;
            world.letter.write(1);
            Some(leaving.left())
        });
        let stood = world.request.ask(1).unwrap().abandon();
        if stood == Progress::Left {
            assert_eq!(world.letter.read(), 1);
        }
        tally.hit(match (stood, target.join().unwrap()) {
            (Progress::Left, Some(true)) => "left",
            (Progress::Accepted, Some(false)) => "stayed",
            (Progress::Asked, None) => "not_accepted",
            other => panic!("{other:?}"),
        });
        drop(world.request.ask(2).unwrap());
        assert!(!world.request.is_asked());
    });
}

/// Whoever asked walks away while the CPU agrees and answers; however that ends, the next request is a new one, and
/// all that belongs to the last is over.
#[test]
fn answer_against_drop() {
    Model::new("request/answer_against_drop", &["answered", "unheard", "too_early"]).check(|tally| {
        let world = World::new();
        let target = world.spawn(World::look);
        drop(world.request.ask(1).unwrap());
        let next = world.request.ask(2);
        if let Ok(next) = &next
            && next.withdraw().is_ok()
        {
            world.letter.write(0);
        }
        let refused = next.map(drop);
        tally.hit(match (target.join().unwrap(), refused) {
            (None, Ok(())) => "too_early",
            (Some(1), Err(AlreadyAsked)) => "unheard",
            (Some(1 | 2), Ok(())) => "answered",
            other => panic!("{other:?}"),
        });
        drop(world.request.ask(3).unwrap());
    });
}

/// Two CPUs ask the same one: it is asked by one at a time, each knows by whom, and nothing gets mixed up.
#[test]
fn two_ask() {
    Model::new("request/two_ask", &["one", "both"]).check(|tally| {
        fn ask(world: &World, deadline: u64) -> bool {
            let Ok(asking) = world.request.ask(deadline) else { return false };
            // The CPU would read the deadline, and so it would be wrong if the other's were there.
            let leaving = world.request.accept().unwrap();
            assert_eq!(leaving.deadline(), deadline);
            world.letter.write(deadline);
            assert!(leaving.left());
            assert_eq!(asking.poll(), Progress::Left);
            assert_eq!(world.letter.read(), deadline);
            true
        }
        let world = World::new();
        let other = world.spawn(|world| ask(world, 1));
        let mine = ask(&world, 2);
        tally.hit(match (mine, other.join().unwrap()) {
            (true, true) => "both",
            (false, false) => panic!("nobody has asked"),
            _ => "one",
        });
        assert!(!world.request.is_asked());
    });
}
