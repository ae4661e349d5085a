//! Models of the call queue.
//!
//! An SGI is a word that the sender raises and the receiver lowers before it takes what is there. As SGIs may
//! coalesce, get lost, or be overtaken by another interrupt, some receivers here take without having seen one.

#![cfg(not(target_os = "none"))]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use reveille_models::{LoomArch, LoomWord, Model, Payload, thread};
use reveille_protocol::{Closed, Message, Pushed, Queue, Taken, Word};

/// A receiver and what others send it. Node n and caller n carry what their payload says.
struct Target {
    queue: Queue<LoomArch>,
    links: Vec<LoomWord>,
    posts: Vec<Payload>,
    calls: Vec<Payload>,
    sgi: LoomWord,
    sgis: Cell<u32>,
    ran: RefCell<Vec<u64>>,
}

impl Target {
    fn open(nodes: usize, callers: usize) -> Rc<Self> {
        let target = Self::closed(nodes, callers);
        target.queue.open();
        target
    }

    fn closed(nodes: usize, callers: usize) -> Rc<Self> {
        let target = Self {
            queue: Queue::new(),
            links: (0..nodes).map(|_| LoomWord::new(0)).collect(),
            posts: (0..nodes).map(|_| Payload::new(0)).collect(),
            calls: (0..callers).map(|_| Payload::new(0)).collect(),
            sgi: LoomWord::new(0),
            sgis: Cell::new(0),
            ran: RefCell::default(),
        };
        Rc::new(target)
    }

    fn post(&self, node: u32, value: u64) -> bool {
        self.send(&self.posts[node as usize], value, || self.queue.post(&self.links, node))
    }

    fn call(&self, caller: u32, value: u64) -> bool {
        self.send(&self.calls[caller as usize], value, || self.queue.call(caller))
    }

    fn send(&self, payload: &Payload, value: u64, push: impl FnOnce() -> Result<Pushed, Closed>) -> bool {
        payload.write(value);
        match push() {
            Ok(pushed) => {
                if pushed.first {
                    self.sgis.set(self.sgis.get() + 1);
                    self.sgi.swap(1, Release);
                }
                true
            }
            Err(Closed) => {
                // It is still the sender's.
                payload.write(0);
                false
            }
        }
    }

    /// An SGI is taken, if one is there.
    fn interrupt(&self) -> bool {
        let signalled = self.sgi.swap(0, Acquire) != 0;
        if signalled {
            self.poll();
        }
        signalled
    }

    /// Takes without having seen an SGI.
    fn poll(&self) {
        self.run(self.queue.take());
    }

    fn run(&self, taken: Taken) {
        match taken.only_call() {
            Some(caller) => self.run_one(Message::Call(caller)),
            None => taken.in_order::<LoomArch>(&self.links).for_each(|message| self.run_one(message)),
        }
    }

    fn run_one(&self, message: Message) {
        let payload = match message {
            Message::Post(node) => &self.posts[node as usize],
            Message::Call(caller) => &self.calls[caller as usize],
        };
        self.ran.borrow_mut().push(payload.read());
        payload.write(0);
    }

    /// All senders have gone: only an SGI can make an idle CPU look again. Nothing may be left that it would not
    /// find.
    fn settle(&self) {
        while self.interrupt() {}
        assert!(self.queue.is_empty(), "a message that nobody will ever look for");
    }

    /// What ran, in order, of the values from..=to.
    fn ran(&self, from: u64, to: u64) -> Vec<u64> {
        self.ran.borrow().iter().copied().filter(|value| (from..=to).contains(value)).collect()
    }

    fn spawn<T: 'static>(self: &Rc<Self>, f: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let target = Rc::clone(self);
        thread::spawn(move || f(&target))
    }
}

/// Two senders, and a receiver that looks only when an SGI tells it to: nothing stays behind.
#[test]
fn wake_up() {
    Model::new("call_queue/wake_up", &["one_sgi", "two_sgis", "three_sgis"]).check(|tally| {
        let target = Target::open(2, 2);
        let one = target.spawn(|target| assert!(target.post(0, 1)));
        let two = target.spawn(|target| assert!(target.call(1, 2) && target.post(1, 3)));
        target.interrupt();
        target.interrupt();
        one.join().unwrap();
        two.join().unwrap();
        target.settle();
        assert_eq!(target.ran(1, 1), [1]);
        assert_eq!(target.ran(2, 3), [2, 3]);
        tally.hit(match target.sgis.get() {
            1 => "one_sgi",
            2 => "two_sgis",
            3 => "three_sgis",
            other => panic!("{other} SGIs"),
        });
    });
}

/// Three senders.
#[test]
fn wake_up_by_three() {
    Model::new("call_queue/wake_up_by_three", &["one_sgi", "two_sgis", "three_sgis"]).preemptions(3).check(
        |tally| {
            let target = Target::open(2, 3);
            let one = target.spawn(|target| assert!(target.post(0, 1)));
            let two = target.spawn(|target| assert!(target.post(1, 2)));
            let three = target.spawn(|target| assert!(target.call(2, 3)));
            target.interrupt();
            target.interrupt();
            one.join().unwrap();
            two.join().unwrap();
            three.join().unwrap();
            target.settle();
            let mut ran = target.ran(0, u64::MAX);
            ran.sort_unstable();
            assert_eq!(ran, [1, 2, 3]);
            tally.hit(match target.sgis.get() {
                1 => "one_sgi",
                2 => "two_sgis",
                3 => "three_sgis",
                other => panic!("{other} SGIs"),
            });
        },
    );
}

/// A receiver takes while two senders send, without having seen their SGIs: it finds what they wrote, and each
/// sender's messages in the order of sending, calls among posts.
#[test]
fn order() {
    Model::new("call_queue/order", &["none", "some", "all"]).check(|tally| {
        let target = Target::open(3, 2);
        let one = target.spawn(|target| {
            // The last comes from an interrupt handler, while the call waits.
            assert!(target.post(0, 1) && target.call(0, 2) && target.post(1, 3));
        });
        let two = target.spawn(|target| assert!(target.post(2, 4)));
        target.poll();
        tally.hit(match target.ran.borrow().len() {
            0 => "none",
            4 => "all",
            _ => "some",
        });
        one.join().unwrap();
        two.join().unwrap();
        target.settle();
        assert_eq!(target.ran(1, 3), [1, 2, 3]);
        assert_eq!(target.ran(4, 4), [4]);
    });
}

/// Two senders call and post while the receiver takes twice: a batch runs nothing that is younger than what it
/// leaves behind.
#[test]
fn order_of_two() {
    Model::new("call_queue/order_of_two", &["none", "some", "all"]).preemptions(3).check(|tally| {
        let target = Target::open(2, 2);
        let one = target.spawn(|target| assert!(target.post(0, 1) && target.call(0, 2)));
        let two = target.spawn(|target| assert!(target.call(1, 3) && target.post(1, 4)));
        target.poll();
        tally.hit(match target.ran.borrow().len() {
            0 => "none",
            4 => "all",
            _ => "some",
        });
        target.poll();
        one.join().unwrap();
        two.join().unwrap();
        target.settle();
        assert_eq!(target.ran(1, 2), [1, 2]);
        assert_eq!(target.ran(3, 4), [3, 4]);
    });
}

/// A receiver takes while two senders send, one of them first a call and then a post: what it finds is one call, or more, or nothing.
#[test]
fn single_call() {
    Model::new("call_queue/single_call", &["none", "call", "more"]).check(|tally| {
        let target = Target::open(1, 2);
        let one = target.spawn(|target| assert!(target.call(0, 1) && target.post(0, 2)));
        let two = target.spawn(|target| assert!(target.call(1, 3)));
        let taken = target.queue.take();
        tally.hit(match taken.only_call() {
            Some(_) => "call",
            None if taken.is_empty() => "none",
            None => "more",
        });
        target.run(taken);
        one.join().unwrap();
        two.join().unwrap();
        // An SGI was sent for what is left, or before what was taken.
        target.settle();
        assert_eq!(target.ran(1, 2), [1, 2]);
        assert_eq!(target.ran(3, 3), [3]);
        assert!(target.queue.take().is_empty());
    });
}

/// The receiver leaves while two senders send. Each message either was accepted and ran, or was refused and did
/// not, and none is refused before one of the same sender that is accepted.
#[test]
fn close_against_push() {
    const OUTCOMES: &[&str] = &["none", "post", "call", "post_and_call", "all"];
    Model::new("call_queue/close_against_push", OUTCOMES).check(|tally| {
        let target = Target::open(2, 2);
        let one = target.spawn(|target| (target.post(0, 1), target.post(1, 2)));
        let two = target.spawn(|target| target.call(1, 3));
        target.interrupt();
        target.run(target.queue.close());
        // What still comes is refused, and what is drained by habit is nothing.
        target.poll();
        let (first, second) = one.join().unwrap();
        let call = two.join().unwrap();
        assert!(target.queue.is_empty());
        assert!(target.queue.take().is_empty());

        assert!(first || !second);
        let posts: Vec<u64> = [(first, 1), (second, 2)].into_iter().filter(|p| p.0).map(|p| p.1).collect();
        assert_eq!(target.ran(1, 2), posts);
        assert_eq!(target.ran(3, 3).len(), usize::from(call));
        tally.hit(match (posts.len(), call) {
            (0, false) => "none",
            (0, true) => "call",
            (1 | 2, false) => "post",
            (1, true) => "post_and_call",
            _ => "all",
        });
    });
}

/// The receiver was stopped for good while a sender sends: from some message on all are refused.
#[test]
fn condemn_against_push() {
    Model::new("call_queue/condemn_against_push", &["none", "one", "both"]).check(|tally| {
        let target = Target::open(2, 1);
        let sender = target.spawn(|target| (target.post(0, 1), target.call(0, 2)));
        let lost = target.queue.condemn().map_or(0, |lost| lost.in_order::<LoomArch>(&target.links).count());
        assert!(!target.post(1, 3));
        let (first, second) = sender.join().unwrap();
        assert!(first || !second, "refused, and then accepted");
        assert_eq!(lost, usize::from(first) + usize::from(second), "a node that nobody has");
        assert!(target.queue.is_closed() && target.queue.take().is_empty());
        tally.hit(match (first, second) {
            (false, _) => "none",
            (true, false) => "one",
            (true, true) => "both",
        });
    });
}

/// The receiver goes and comes back while a sender sends.
#[test]
fn reopen_against_push() {
    const OUTCOMES: &[&str] = &["before", "between", "after", "never"];
    Model::new("call_queue/reopen_against_push", OUTCOMES).check(|tally| {
        let target = Target::open(1, 1);
        let sender = target.spawn(|target| (target.call(0, 1), target.post(0, 2)));
        target.run(target.queue.close());
        let before = target.ran(1, 2).len();
        target.queue.open();
        let (call, post) = sender.join().unwrap();
        target.settle();
        let sent: Vec<u64> = [(call, 1), (post, 2)].into_iter().filter(|m| m.0).map(|m| m.1).collect();
        assert_eq!(target.ran(1, 2), sent);
        tally.hit(match (sent.len(), before) {
            (0, _) => "never",
            (_, 0) => "after",
            (sent, ran) if sent == ran => "before",
            _ => "between",
        });
    });
}

/// A CPU comes up and says how it is interrupted. Whose message it accepts finds that.
#[test]
fn open_against_push() {
    Model::new("call_queue/open_against_push", &["accepted", "refused"]).check(|tally| {
        let target = Target::closed(1, 1);
        let bell = Rc::new(LoomWord::new(0));
        let sender = {
            let bell = Rc::clone(&bell);
            target.spawn(move |target| {
                let heard = |accepted: bool| {
                    assert!(!accepted || bell.load(Relaxed) == 1, "accepted, and then nobody to ring for");
                    accepted
                };
                [heard(target.call(0, 1)), heard(target.post(0, 2))]
            })
        };
        bell.store(1, Relaxed);
        target.queue.open();
        let accepted = sender.join().unwrap();
        target.settle();
        assert_eq!(target.ran(1, 2).len(), accepted.iter().filter(|accepted| **accepted).count());
        tally.hit(if accepted == [false; 2] { "refused" } else { "accepted" });
    });
}

/// A call that may be refused, while the CPU looks into its closed queue, opens it, and looks again: refused, it has left nothing behind.
#[test]
fn refused_call() {
    Model::new("call_queue/refused_call", &["accepted", "refused"]).check(|tally| {
        let target = Target::closed(1, 1);
        let sender = target.spawn(|target| target.call(0, 1));
        target.poll();
        target.run(target.queue.close());
        target.queue.open();
        target.poll();
        let accepted = sender.join().unwrap();
        target.settle();
        assert!(!target.queue.is_waiting(0));
        assert_eq!(target.ran(0, u64::MAX).len(), usize::from(accepted));
        tally.hit(if accepted { "accepted" } else { "refused" });
    });
}
