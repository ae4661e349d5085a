//! Models of the turns at a lock: a mark comes back however the wait ends, and whoever had the lock last lets others go first.

#![cfg(not(target_os = "none"))]

use std::rc::Rc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use reveille_models::{LoomArch, LoomWord, Model, Payload, thread};
use reveille_protocol::{Awaited, TurnMark, Turns, Word};

struct World {
    turns: Turns<LoomArch>,
    marks: [TurnMark<LoomArch>; 3],
    /// The lock: 1 if it is held.
    lock: LoomWord,
    /// What belongs to its holder: who had it, in turn.
    had: Payload,
}

impl World {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            turns: Turns::new(),
            marks: [TurnMark::new(), TurnMark::new(), TurnMark::new()],
            lock: LoomWord::new(0),
            had: Payload::new(0),
        })
    }

    fn spawn<T: 'static>(self: &Rc<Self>, f: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let world = Rc::clone(self);
        thread::spawn(move || f(&world))
    }

    /// CPU `me` tries for the lock, as long as `go_on` says, and lets others go first for as long as they want to.
    fn take(&self, me: u32, go_on: impl FnMut(Awaited) -> bool) -> bool {
        let try_take = || self.lock.compare_exchange(0, 1, Acquire, Relaxed).ok().map(drop);
        self.turns.take(me, &self.marks[me as usize], || false, go_on, try_take).is_some()
    }

    fn give_back(&self, me: u32) {
        self.had.write(self.had.read() * 10 + u64::from(me) + 1);
        self.lock.store(0, Release);
    }

    /// Whether nobody is marked: then CPU 0, which had the lock last, has it again at once.
    fn nobody_waits(&self) -> bool {
        for _ in 0..2 {
            if !self.take(0, |_| false) {
                return false;
            }
            self.give_back(0);
        }
        true
    }
}

/// A CPU has the lock while two others want it. One gives up at its deadline, or leaves in the middle of its wait; the other waits
/// until it has it. In the end nobody is marked.
fn a_mark_comes_back(name: &'static str, leaves: bool) {
    Model::new(name, &["taken", "given up"]).preemptions(3).check(move |tally| {
        let world = World::new();
        assert!(world.take(0, |_| unreachable!("free")));
        let gives_up = world.spawn(move |world| {
            let mut looks = 0;
            let taken = world.take(1, |awaited| {
                assert_eq!(awaited, Awaited::Lock, "it had it never");
                looks += 1;
                if looks == 2 && leaves {
                    // It has agreed to leave, and does so from here, or stays.
                    world.turns.set_waiting(&world.marks[1], false);
                }
                looks < 2
            });
            if taken {
                world.give_back(1);
            }
            taken
        });
        let waits = world.spawn(|world| {
            assert!(world.take(2, |awaited| {
                assert_eq!(awaited, Awaited::Lock, "it had it never");
                thread::yield_now();
                true
            }));
            world.give_back(2);
        });
        world.give_back(0);
        let taken = gives_up.join().unwrap();
        waits.join().unwrap();
        assert!(world.nobody_waits(), "a mark is left");
        tally.hit(if taken { "taken" } else { "given up" });
    });
}

/// At its deadline.
#[test]
fn given_up() {
    a_mark_comes_back("turns/given_up", false);
}

/// Because it leaves.
#[test]
fn left() {
    a_mark_comes_back("turns/left", true);
}

/// A CPU takes the lock again and again, and finds that another waits: that one has it next.
#[test]
fn others_go_first() {
    Model::new("turns/others_go_first", &["let go first", "came later"]).preemptions(3).check(|tally| {
        let world = World::new();
        assert!(world.take(0, |_| unreachable!("free")));
        let other = world.spawn(|world| {
            assert!(world.take(1, |awaited| {
                assert_eq!(awaited, Awaited::Lock, "it had it never");
                thread::yield_now();
                true
            }));
            world.give_back(1);
        });
        world.give_back(0);
        let mut lets = false;
        assert!(world.take(0, |awaited| {
            lets |= awaited == Awaited::Others;
            thread::yield_now();
            true
        }));
        let had = world.had.read();
        assert!(!lets || had == 12, "does not let others go first");
        world.give_back(0);
        other.join().unwrap();
        assert!(world.nobody_waits(), "a mark is left");
        tally.hit(if lets { "let go first" } else { "came later" });
    });
}
