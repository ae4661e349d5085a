//! Models of the work of one CPU that any may run: who runs it, while that changes.

#![cfg(not(target_os = "none"))]

use std::rc::Rc;
use std::sync::atomic::Ordering::AcqRel;

use reveille_models::{LoomArch, LoomWord, Model, Payload, thread};
use reveille_protocol::{Doze, Hosting, Word};

/// Bits of a [`Doze`]: something is ready, or may be.
const READY: u32 = 1;
/// Somebody wants to be the host.
const HANDBACK: u32 = 2;

/// The CPUs. The work is that of the second one.
const FIRST: u32 = 0;
const OWNER: u32 = 1;
const LAST: u32 = 2;
const CPUS: usize = 3;

struct World {
    hosting: Hosting<LoomArch>,
    /// What each CPU is told. Whether it sleeps is a model of its own.
    dozes: [Doze<LoomArch>; CPUS],
    /// The tasks that are ready, a bit for each, as on embassy's stack: to push, and to take all, is one read-modify-write.
    ready: LoomWord,
    /// What whoever polls changes.
    executor: Payload,
    /// How often each task was polled.
    polled: [Payload; 2],
    /// Who polled the first task last.
    by: Payload,
}

impl World {
    fn hosted_by(cpu: u32) -> Rc<Self> {
        Rc::new(Self {
            hosting: Hosting::new(cpu),
            dozes: std::array::from_fn(|_| Doze::new()),
            ready: LoomWord::new(0),
            executor: Payload::new(0),
            polled: [Payload::new(0), Payload::new(0)],
            by: Payload::new(0),
        })
    }

    fn spawn(self: &Rc<Self>, f: impl FnOnce(&Self) + 'static) -> thread::JoinHandle<()> {
        let world = Rc::clone(self);
        thread::spawn(move || f(&world))
    }

    fn tell(&self, cpu: u32, bits: u32) {
        // Nobody sleeps.
        assert!(!self.dozes[cpu as usize].raise(bits));
    }

    /// Wakes a task.
    fn wake(&self, task: usize) {
        // Who finds others there leaves it to the first of them.
        if self.ready.fetch_or(1 << task, AcqRel) == 0 {
            self.tell(self.hosting.host(), READY);
        }
    }

    /// A round of the loop of this CPU. `false`: it was told nothing.
    fn round(&self, own: u32) -> bool {
        let bits = self.dozes[own as usize].take();
        if bits & HANDBACK != 0 {
            self.give(own, None);
        }
        if bits & READY != 0 && self.hosting.host() == own {
            self.poll(own, || {});
        }
        bits != 0
    }

    /// One round of polls, in which a task does something.
    fn poll(&self, own: u32, task_does: impl Fn()) {
        self.executor.write(self.executor.read() + 1);
        let ready = self.ready.swap(0, AcqRel);
        task_does();
        for task in (0..2).filter(|task| ready & 1 << task != 0) {
            self.polled[task].write(self.polled[task].read() + 1);
            if task == 0 {
                self.by.write(u64::from(own));
            }
        }
        self.executor.write(self.executor.read() + 1);
    }

    fn give(&self, own: u32, to: Option<u32>) -> Option<u32> {
        let new = self.hosting.give(own, to)?;
        // Always: what was queued before may have been told to somebody who is not the host any more.
        self.tell(new, READY);
        Some(new)
    }

    /// Its CPU comes, and wants it.
    fn want(&self, own: u32) {
        if let Some(host) = self.hosting.want(own) {
            self.tell(host, HANDBACK);
        }
    }

    /// All is over, but for what these CPUs have been told. Each task is polled once.
    fn end(&self, cpus: &[u32], tasks: usize) {
        while cpus.iter().any(|cpu| self.round(*cpu)) {}
        assert_eq!(self.ready.swap(0, AcqRel), 0, "ready, and not polled");
        for polled in &self.polled[..tasks] {
            assert_eq!(polled.read(), 1, "not polled exactly once");
        }
        assert!(cpus.contains(&self.hosting.host()), "hosted by a CPU that left");
    }
}

/// The host leaves, while somebody wakes a task; so did a task of its own in its last round, of which it was told alone. What
/// it is told later it takes no notice of.
#[test]
fn hand_over() {
    Model::new("hosting/hand_over", &["by the old host", "by the new host"]).check(|tally| {
        let world = World::hosted_by(OWNER);
        let waker = world.spawn(|world| world.wake(0));
        let heir = world.spawn(|world| {
            world.round(FIRST);
            world.round(FIRST);
        });
        world.poll(OWNER, || world.wake(1));
        assert_eq!(world.give(OWNER, Some(FIRST)), Some(FIRST));
        assert_eq!(world.give(OWNER, Some(LAST)), None, "given away twice");
        world.round(OWNER);
        waker.join().unwrap();
        heir.join().unwrap();
        world.end(&[FIRST], 2);
        tally.hit(if world.by.read() == u64::from(OWNER) { "by the old host" } else { "by the new host" });
    });
}

/// The host leaves, and the next one after it.
#[test]
fn handed_on() {
    Model::new("hosting/handed_on", &["by the first", "by the second", "by the third"]).check(|tally| {
        let world = World::hosted_by(OWNER);
        let waker = world.spawn(|world| world.wake(0));
        let heir = world.spawn(|world| {
            world.round(FIRST);
            world.give(FIRST, Some(LAST));
        });
        world.round(OWNER);
        world.give(OWNER, Some(FIRST));
        waker.join().unwrap();
        heir.join().unwrap();
        world.end(&[FIRST, LAST], 1);
        tally.hit(match world.by.read() as u32 {
            OWNER => "by the first",
            FIRST => "by the second",
            _ => "by the third",
        });
    });
}

/// The CPU whose work it is comes back, while somebody wakes a task.
#[test]
fn hand_back() {
    Model::new("hosting/hand_back", &["by the old host", "by the new host"]).check(|tally| {
        let world = World::hosted_by(FIRST);
        let waker = world.spawn(|world| world.wake(0));
        let owner = world.spawn(|world| {
            world.want(OWNER);
            world.round(OWNER);
        });
        world.round(FIRST);
        waker.join().unwrap();
        owner.join().unwrap();
        world.end(&[FIRST, OWNER], 1);
        assert_eq!(world.hosting.host(), OWNER);
        tally.hit(if world.by.read() == u64::from(FIRST) { "by the old host" } else { "by the new host" });
    });
}

/// It leaves again, before it got what it wants, or just after. A task was woken in a round of the old host, which alone was told.
#[test]
fn forgone() {
    Model::new("hosting/forgone", &["not given", "given, and given away"]).check(|tally| {
        let world = World::hosted_by(FIRST);
        let owner = world.spawn(|world| {
            world.want(OWNER);
            if world.hosting.forgo(OWNER) {
                assert_eq!(world.give(OWNER, Some(LAST)), Some(LAST));
            }
        });
        let heir = world.spawn(|world| _ = world.round(LAST));
        world.poll(FIRST, || world.wake(0));
        world.round(FIRST);
        owner.join().unwrap();
        heir.join().unwrap();
        world.end(&[FIRST, LAST], 1);
        tally.hit(if world.hosting.host() == FIRST { "not given" } else { "given, and given away" });
    });
}

/// The host leaves as the owner comes back: that gets what it wants, from the old host or from the new one. A task was woken in the last
/// round of the old one, of which it was told alone.
#[test]
fn wanted_of_one_that_leaves() {
    Model::new("hosting/wanted_of_one_that_leaves", &["from the old host", "from the new host"]).check(
        |tally| {
            let world = World::hosted_by(FIRST);
            let owner = world.spawn(|world| {
                world.want(OWNER);
                world.round(OWNER);
            });
            let heir = world.spawn(|world| _ = world.round(LAST));
            world.poll(FIRST, || world.wake(0));
            let to = world.give(FIRST, Some(LAST));
            owner.join().unwrap();
            heir.join().unwrap();
            world.end(&[LAST, OWNER], 1);
            assert_eq!(world.hosting.host(), OWNER, "wanted, and not given");
            tally.hit(if to == Some(LAST) { "from the new host" } else { "from the old host" });
        },
    );
}
