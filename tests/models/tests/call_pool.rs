//! Models of the node pool, together with the queues that its nodes travel through.

#![cfg(not(target_os = "none"))]

use std::cell::RefCell;
use std::rc::Rc;

use reveille_models::{LoomArch, LoomWord, Model, Payload, Signal, thread};
use reveille_protocol::{Message, Pool, Queue, Word};

/// One sender with its pool, and receivers, each with its queue.
struct World {
    pool: Pool<LoomArch>,
    links: Vec<LoomWord>,
    closures: Vec<Payload>,
    queues: Vec<Queue<LoomArch>>,
    /// What ran, per receiver.
    ran: Vec<RefCell<Vec<u64>>>,
    gate: Signal,
}

/// A closure that waits until its sender opens the gate.
const WAITS: u64 = 99;

impl World {
    fn new(nodes: u32, receivers: usize) -> Rc<Self> {
        let world = Self {
            pool: Pool::new(nodes),
            links: (0..nodes).map(|_| LoomWord::new(0)).collect(),
            closures: (0..nodes).map(|_| Payload::new(0)).collect(),
            queues: (0..receivers).map(|_| Queue::new()).collect(),
            ran: (0..receivers).map(|_| RefCell::default()).collect(),
            gate: Signal::low(),
        };
        world.queues.iter().for_each(Queue::open);
        Rc::new(world)
    }

    /// `None`: busy.
    fn post(&self, to: usize, value: u64) -> Option<()> {
        let node = self.pool.acquire()?;
        self.closures[node as usize].write(value);
        match self.queues[to].post(&self.links, node) {
            Ok(_) => {}
            Err(_) => self.pool.put_back(node),
        }
        Some(())
    }

    /// Receiver `me` takes once: copies, releases, runs. How many ran.
    fn poll(&self, me: usize) -> usize {
        let mut count = 0;
        for message in self.queues[me].take().in_order::<LoomArch>(&self.links) {
            let Message::Post(node) = message else { unreachable!("nobody calls") };
            let closure = self.closures[node as usize].read();
            self.closures[node as usize].write(0);
            self.pool.release(node);
            if closure == WAITS {
                self.gate.wait();
            }
            self.ran[me].borrow_mut().push(closure);
            count += 1;
        }
        count
    }

    fn spawn<T: 'static>(self: &Rc<Self>, f: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let world = Rc::clone(self);
        thread::spawn(move || f(&world))
    }

    /// All is quiet: every node is back, once.
    fn assert_whole(&self) {
        let mut nodes: Vec<u32> = std::iter::from_fn(|| self.pool.acquire()).take(99).collect();
        nodes.sort_unstable();
        assert!(nodes.iter().copied().eq(0..self.links.len() as u32), "lost or twice: {nodes:?}");
    }
}

/// A sender sends more than it has nodes for: what is accepted runs once and in order, what is not is refused
/// at once, and no node is written while the receiver still reads it.
fn recycle(name: &'static str, nodes: u32, posts: u64) {
    Model::new(name, &["all", "busy"]).check(move |tally| {
        let world = World::new(nodes, 1);
        let receiver = world.spawn(|world| {
            world.poll(0);
            world.poll(0);
        });
        let accepted: Vec<u64> = (1..=posts).filter(|&value| world.post(0, value).is_some()).collect();
        receiver.join().unwrap();
        world.poll(0);
        assert!(accepted.len() >= nodes as usize, "busy with a node to spare");
        assert_eq!(*world.ran[0].borrow(), accepted);
        tally.hit(if accepted.len() as u64 == posts { "all" } else { "busy" });
        world.assert_whole();
    });
}

/// One node, used again.
#[test]
fn recycle_one() {
    recycle("call_pool/recycle_one", 1, 2);
}

/// Two nodes: while the receiver goes through a batch of them, the first is sent again.
#[test]
fn recycle_two() {
    recycle("call_pool/recycle_two", 2, 3);
}

/// Two receivers give nodes back while the sender looks for one.
#[test]
fn two_receivers() {
    Model::new("call_pool/two_receivers", &["accepted", "busy"]).check(|tally| {
        let world = World::new(2, 2);
        assert!(world.post(0, 1).is_some() && world.post(1, 2).is_some());
        let one = world.spawn(|world| world.poll(0));
        let two = world.spawn(|world| world.poll(1));
        let third = world.post(0, 3).is_some();
        one.join().unwrap();
        two.join().unwrap();
        world.poll(0);
        assert_eq!(*world.ran[0].borrow(), if third { vec![1, 3] } else { vec![1] });
        assert_eq!(*world.ran[1].borrow(), [2]);
        tally.hit(if third { "accepted" } else { "busy" });
        world.assert_whole();
    });
}

/// A sender whose target has left keeps its node.
#[test]
fn refused() {
    Model::new("call_pool/refused", &["ran", "refused"]).check(|tally| {
        let world = World::new(1, 1);
        let receiver = world.spawn(|world| {
            let kept = world.queues[0].close().in_order::<LoomArch>(&world.links).count();
            assert!(kept <= 1);
            if kept == 1 {
                assert_eq!(world.closures[0].read(), 1);
                world.pool.release(0);
            }
            kept
        });
        assert!(world.post(0, 1).is_some());
        tally.hit(if receiver.join().unwrap() == 1 { "ran" } else { "refused" });
        world.assert_whole();
    });
}

/// A closure waits for its sender, which needs the node that brought it: they do not wait for each other.
#[test]
fn gate() {
    Model::new("call_pool/gate", &["opened"]).check(|tally| {
        let world = World::new(1, 2);
        let waits = world.spawn(|world| {
            while world.poll(0) == 0 {
                thread::yield_now();
            }
        });
        world.post(0, WAITS).unwrap();
        while world.post(1, 2).is_none() {
            thread::yield_now();
        }
        world.gate.raise(1);
        waits.join().unwrap();
        world.poll(1);
        assert_eq!(
            (world.ran[0].borrow()[..].to_vec(), world.ran[1].borrow()[..].to_vec()),
            (vec![WAITS], vec![2])
        );
        tally.hit("opened");
        world.assert_whole();
    });
}
