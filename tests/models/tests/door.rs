//! Models of the door: those who come in to stay, and the CPU that closes it to leave.

#![cfg(not(target_os = "none"))]

use std::rc::Rc;

use reveille_models::{LoomArch, Model, Payload, thread};
use reveille_protocol::Door;

/// A place with a door.
struct World {
    door: Door<LoomArch>,
    /// What is there: for one who is inside alone, in these models, and for who has closed the door.
    inside: Payload,
}

impl World {
    fn new() -> Rc<Self> {
        Rc::new(Self { door: Door::new(), inside: Payload::new(0) })
    }

    /// Comes in, does something, and goes. Whether it got in.
    fn visit(&self) -> bool {
        let entered = self.door.enter().is_ok();
        if entered {
            self.inside.write(self.inside.read() + 1);
            self.door.leave();
        }
        entered
    }

    /// Closes the door, if nobody is inside: then what they did is over, and what it does itself nobody sees half done.
    fn close(&self) -> bool {
        let closed = self.door.close().is_ok();
        if closed {
            self.inside.write(self.inside.read() + 10);
        }
        closed
    }
}

/// The door is closed while somebody comes: either was first, or the door stays open, and nobody is inside behind a closed door.
#[test]
fn close_against_enter() {
    Model::new("door/close_against_enter", &["in before", "kept open", "kept out"]).check(|tally| {
        let world = World::new();
        let own = Rc::clone(&world);
        let visitor = thread::spawn(move || own.visit());
        let closed = world.close();
        let entered = visitor.join().unwrap();
        assert_eq!(world.door.inside(), 0);
        assert_eq!(world.door.is_closed(), closed);
        assert_eq!(world.inside.read(), 10 * u64::from(closed) + u64::from(entered));
        tally.hit(match (closed, entered) {
            (true, true) => "in before",
            (false, true) => "kept open",
            (true, false) => "kept out",
            (false, false) => panic!("neither closed nor entered"),
        });
    });
}

/// The door is opened again while somebody comes: who gets in finds what was set up.
#[test]
fn open_against_enter() {
    Model::new("door/open_against_enter", &["in", "kept out"]).check(|tally| {
        let world = World::new();
        assert!(world.close());
        let own = Rc::clone(&world);
        let visitor = thread::spawn(move || {
            let entered = own.door.enter().is_ok();
            if entered {
                assert_eq!(own.inside.read(), 11);
            }
            entered
        });
        world.inside.write(world.inside.read() + 1);
        world.door.open();
        let entered = visitor.join().unwrap();
        assert_eq!(world.door.inside(), u64::from(entered));
        tally.hit(if entered { "in" } else { "kept out" });
    });
}

/// Two come at once, one of them let in by somebody else: both count, and keep the door open until both have gone.
#[test]
fn two_inside() {
    Model::new("door/two_inside", &["closed", "kept open"]).check(|tally| {
        let world = World::new();
        world.door.enter().unwrap();
        let own = Rc::clone(&world);
        let added = thread::spawn(move || own.door.add());
        let own = Rc::clone(&world);
        let left = thread::spawn(move || own.door.leave());
        let closed = world.door.close().is_ok();
        added.join().unwrap();
        left.join().unwrap();
        assert_eq!(world.door.inside(), 1, "the one who was let in whatever the door says");
        assert_eq!(world.door.is_closed(), closed);
        tally.hit(if closed { "closed" } else { "kept open" });
    });
}

/// The door is opened while one comes in whatever it says: it counts.
#[test]
fn open_against_add() {
    Model::new("door/open_against_add", &["added"]).check(|tally| {
        let world = World::new();
        assert!(world.close());
        let own = Rc::clone(&world);
        let added = thread::spawn(move || own.door.add());
        world.door.open();
        added.join().unwrap();
        assert_eq!((world.door.inside(), world.door.is_closed()), (1, false));
        tally.hit("added");
    });
}
