//! Models of a CPU that leaves while others send to it.
//!
//! The sender looks whether the CPU is online, sends to it and tells it so, all with interrupts masked. The CPU
//! leaves in a round in which it masks last. What it was sent before it runs; what comes later is refused; and
//! nobody tells it anything once its interrupt controller is quiet, which is what the mail of 2014 was about.

#![cfg(not(target_os = "none"))]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering::{Acquire, Release};

use reveille_models::{LoomArch, LoomWord, Model, Payload, thread};
use reveille_protocol::{
    Action, Arch, Closed, Ending, Job, Mark, Message, Participant, Queue, Rendezvous, Slot, Snapshot, State,
    Taken, Word,
};

const POSTS: usize = 3;

/// CPU 0 leaves, CPU 1 sends, CPU 2 is just there.
struct World {
    rendezvous: Rendezvous<LoomArch>,
    marks: [Mark<LoomArch>; 3],
    slot: Slot<LoomArch>,
    queue: Queue<LoomArch>,
    links: Vec<LoomWord>,
    /// The closures, a node each.
    posts: Vec<Payload>,
    /// Whether it has run, for a sender that waits.
    done: Vec<LoomWord>,
    /// The interrupt controller's part of CPU 0: read by who sends it an SGI, written when it is quieted.
    controller: Payload,
    ran: RefCell<Vec<u64>>,
}

impl World {
    fn new() -> Rc<Self> {
        let online = Snapshot { generation: 1, reason: 0, state: State::Online };
        let world = Self {
            rendezvous: Rendezvous::new(),
            marks: [Mark::new(), Mark::new(), Mark::new()],
            slot: Slot::from_parts(LoomWord::new(online.to_bits())),
            queue: Queue::new(),
            links: (0..POSTS).map(|_| LoomWord::new(0)).collect(),
            posts: (0..POSTS).map(|_| Payload::new(0)).collect(),
            done: (0..POSTS).map(|_| LoomWord::new(0)).collect(),
            controller: Payload::new(1),
            ran: RefCell::default(),
        };
        world.queue.open();
        Rc::new(world)
    }

    /// Sends closure `node`, with interrupts masked. Whether it was accepted.
    fn send(&self, node: usize) -> bool {
        if self.slot.read().state != State::Online {
            return false;
        }
        self.posts[node].write(node as u64 + 1);
        match self.queue.post(&self.links, node as u32) {
            Ok(pushed) => {
                if pushed.first {
                    assert_eq!(self.controller.read(), 1, "an SGI to a CPU that has left");
                }
                true
            }
            Err(Closed) => panic!("online, and yet closed"),
        }
    }

    fn run(&self, taken: Taken) {
        for message in taken.in_order::<LoomArch>(&self.links) {
            let Message::Post(node) = message else { panic!("{message:?}") };
            self.ran.borrow_mut().push(self.posts[node as usize].read());
            self.done[node as usize].store(1, Release);
        }
    }

    /// CPU 0 takes itself down. CPU 2 takes part in that, in the same thread: it comes late. `serve` is what CPU 0 does
    /// while it waits with its interrupts open.
    fn leave(&self, serve: impl Fn(&Self)) {
        let mut bystander = None;
        let mut round = self.rendezvous.begin(&self.marks[0], 2, Job::Initiator, u64::MAX).ok().unwrap();
        let mut masked = false;
        let mut kept = None;
        loop {
            match round.step(0) {
                // It stays masked, and serves no interrupt any more.
                Action::OpenInterrupts => {}
                Action::Wait => {
                    if !masked {
                        serve(self);
                    }
                    match &mut bystander {
                        None => bystander = self.rendezvous.join(&self.marks[2]),
                        Some(bystander) => {
                            if matches!(bystander.step(), Action::Wait | Action::Leave(_)) {
                                LoomArch::relax();
                            }
                        }
                    }
                }
                Action::Mask => {
                    self.take();
                    masked = true;
                }
                Action::RunJob => {
                    assert!(self.slot.begin_leave(1));
                    kept = Some(self.queue.close());
                }
                Action::Leave(ending) => {
                    assert_eq!(ending, Ending::Done);
                    break;
                }
            }
        }
        self.run(kept.unwrap());
        self.controller.write(0);
        assert!(self.slot.gone(1));
    }

    fn take(&self) {
        self.run(self.queue.take());
    }

    /// CPU 1 waits until it can join.
    fn join(&self) -> Participant<'_, LoomArch> {
        loop {
            if let Some(participant) = self.rendezvous.join(&self.marks[1]) {
                return participant;
            }
            LoomArch::relax();
        }
    }

    /// CPU 1 is in a round, until it may serve interrupts in it, or the round is over.
    fn take_part(&self, participant: &mut Participant<'_, LoomArch>) -> Action {
        loop {
            match participant.step() {
                Action::Wait => LoomArch::relax(),
                Action::Mask => {}
                Action::RunJob => panic!("not its job"),
                action => return action,
            }
        }
    }
}

/// A CPU takes itself down while another sends to it, before it is gathered, while it serves interrupts in the
/// round, and afterwards: what was accepted has run, once, and in order; what was not has not.
#[test]
fn down_against_call() {
    const OUTCOMES: &[&str] = &["accepted_before", "accepted_in_the_round"];
    Model::new("stop_calls/down_against_call", OUTCOMES).preemptions(2).check(|tally| {
        let world = World::new();
        let sender = thread::spawn({
            let world = Rc::clone(&world);
            move || {
                let mut accepted = vec![world.send(0)];
                let mut participant = world.join();
                let mut action = world.take_part(&mut participant);
                if action == Action::OpenInterrupts {
                    accepted.push(world.send(1));
                    action = world.take_part(&mut participant);
                } else {
                    accepted.push(false);
                }
                assert_eq!(action, Action::Leave(Ending::Done));
                accepted.push(world.send(2));
                accepted
            }
        });
        world.leave(|_| {});
        let accepted = sender.join().unwrap();
        assert!(!accepted[2], "accepted by a CPU that has left");
        let expected: Vec<u64> =
            (0..POSTS).filter(|node| accepted[*node]).map(|node| node as u64 + 1).collect();
        assert_eq!(*world.ran.borrow(), expected);
        tally.hit(if accepted[1] { "accepted_in_the_round" } else { "accepted_before" });
    });
}

/// A handler that runs on a CPU which has joined waits for something that the CPU which leaves has to do. That one
/// serves it, because it masks last; otherwise neither would ever go on.
#[test]
fn served_while_gathering() {
    Model::new("stop_calls/served_while_gathering", &["served", "came_last"]).preemptions(2).check(|tally| {
        let world = World::new();
        let sender = thread::spawn({
            let world = Rc::clone(&world);
            move || {
                let mut participant = world.join();
                let mut action = world.take_part(&mut participant);
                let opened = action == Action::OpenInterrupts;
                if opened {
                    assert!(world.send(0));
                    while world.done[0].load(Acquire) == 0 {
                        LoomArch::relax();
                    }
                    action = world.take_part(&mut participant);
                }
                assert_eq!(action, Action::Leave(Ending::Done));
                opened
            }
        });
        world.leave(World::take);
        tally.hit(if sender.join().unwrap() { "served" } else { "came_last" });
    });
}

/// A sender that does not look whether the CPU is online, and is never gathered: the queue alone decides, and
/// everything accepted has run all the same.
#[test]
fn close_against_push() {
    Model::new("stop_calls/close_against_push", &["accepted", "refused", "one_of_two"]).check(|tally| {
        let world = World::new();
        let sender = thread::spawn({
            let world = Rc::clone(&world);
            move || {
                let push = |node: usize| {
                    world.posts[node].write(node as u64 + 1);
                    world.queue.post(&world.links, node as u32).is_ok()
                };
                [push(0), push(1)]
            }
        });
        world.take();
        let kept = world.queue.close();
        world.run(kept);
        let accepted = sender.join().unwrap();
        tally.hit(match accepted {
            [true, true] => "accepted",
            [true, false] => "one_of_two",
            [false, false] => "refused",
            [false, true] => panic!("accepted by a closed queue"),
        });
        let expected: Vec<u64> = (0..2).filter(|node| accepted[*node]).map(|node| node as u64 + 1).collect();
        assert_eq!(*world.ran.borrow(), expected);
    });
}
