//! Models of the news, and of the routes of interrupts, against CPUs that come and go.

#![cfg(not(target_os = "none"))]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use reveille_models::{LoomArch, LoomLockWord, LoomWord, Model, Payload, thread};
use reveille_protocol::{
    Applied, Entrance, Fairness, Gate, Held, News, NotOnline, Owner, Routes, Slot, Snapshot, State,
    Turnstile, Wanted, Word,
};

/// The interrupt that is registered.
const PPI: u32 = 27;
/// All are the same one to the lock, which does not look.
const ME: Owner = Owner::of(0);

/// Two CPUs: one that registers handlers, and one that enables what has a handler.
struct World {
    gate: Gate<LoomArch>,
    slot: Slot<LoomArch>,
    news: News<LoomArch>,
    wanted: Wanted<LoomArch>,
    applied: Applied<LoomArch>,
    /// What the handler needs.
    handler: Payload,
}

impl World {
    fn new(state: State) -> Rc<Self> {
        let slot = Snapshot { generation: 1, reason: 0, state };
        Rc::new(Self {
            gate: Gate::new(),
            slot: Slot::from_parts(LoomWord::new(slot.to_bits())),
            news: News::new(),
            wanted: Wanted::new(),
            applied: Applied::new(),
            handler: Payload::new(0),
        })
    }

    fn spawn<T: 'static>(self: &Rc<Self>, f: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let world = Rc::clone(self);
        thread::spawn(move || f(&world))
    }

    /// Registers the handler. Whether the other CPU was found online, and so is told.
    fn register(&self) -> bool {
        self.handler.write(1);
        self.wanted.add(PPI);
        let told = Cell::new(false);
        self.news.tell(|| told.set(self.slot.is_online()));
        told.get()
    }

    /// Enables what has a handler: it finds what that needs. Whether it does.
    fn apply(&self, enabled: &Cell<bool>) {
        for bit in self.wanted.all() {
            assert_eq!((bit, self.handler.read()), (PPI, 1));
            enabled.set(true);
        }
    }
}

/// A handler is registered while a CPU comes online: that one is told, or finds it.
#[test]
fn tell_against_online() {
    Model::new("news/tell_against_online", &["told", "found", "both"]).check(|tally| {
        let world = World::new(State::Alive);
        let comes = world.spawn(|world| {
            assert_eq!(world.slot.go_online(1, &world.gate, 1), Entrance::Online);
            let found = Cell::new(false);
            world.news.apply(&world.applied, || world.apply(&found));
            found.get()
        });
        let told = world.register();
        tally.hit(match (told, comes.join().unwrap()) {
            (true, false) => "told",
            (false, true) => "found",
            (true, true) => "both",
            (false, false) => panic!("neither told nor found"),
        });
    });
}

/// What a CPU is told may get lost. It looks for itself, once while a handler is registered, and later: what it has noted as applied it
/// has applied, so the later look misses nothing.
#[test]
fn tell_against_look() {
    Model::new("news/tell_against_look", &["first", "second", "both"]).check(|tally| {
        let world = World::new(State::Online);
        let looks = world.spawn(|world| {
            let first = Cell::new(false);
            world.news.apply(&world.applied, || world.apply(&first));
            first.get()
        });
        assert!(world.register());
        let first = looks.join().unwrap();
        let second = Cell::new(false);
        world.news.look(&world.applied, || world.apply(&second));
        tally.hit(match (first, second.get()) {
            (true, false) => "first",
            (false, true) => "second",
            (true, true) => "both",
            (false, false) => panic!("news that were never applied"),
        });
    });
}

/// The CPU finds the number of the news, and by it what was stored before, in another word.
#[test]
fn number_hands_over() {
    Model::new("news/number_hands_over", &["new", "not new"]).check(|tally| {
        let world = World::new(State::Online);
        let looks = world.spawn(|world| {
            let found = Cell::new(0);
            world.news.look(&world.applied, || found.set(world.handler.read()));
            found.get()
        });
        world.handler.write(1);
        world.news.tell(|| ());
        tally.hit(if looks.join().unwrap() == 1 { "new" } else { "not new" });
    });
}

/// A handler is taken away while a CPU handles its interrupt. Once that CPU is found to have applied the news it handles it no more:
/// what the handler wrote is there, and what it used can go.
#[test]
fn taken_away() {
    Model::new("news/taken_away", &["handled", "gone", "not certain"]).check(|tally| {
        let world = World::new(State::Online);
        assert!(world.register());
        let handles = world.spawn(|world| {
            // An interrupt comes, the CPU looks for news, and another one comes.
            let handle = || {
                let found = world.wanted.all().next().is_some();
                if found {
                    world.handler.write(2);
                }
                found
            };
            let first = handle();
            world.news.look(&world.applied, || ());
            (first, handle())
        });
        world.wanted.remove(PPI);
        let number = world.news.tell(|| ());
        let certain = world.applied.has(number);
        if certain {
            // Nobody reads or writes it at the same time: the payload would tell.
            world.handler.write(3);
        }
        let (first, second) = handles.join().unwrap();
        tally.hit(match (certain, first) {
            (true, _) if second => panic!("handled after it was certain that it would not be"),
            (true, true) => "handled",
            (true, false) => "gone",
            (false, _) => "not certain",
        });
    });
}

/// The table of routes in its lock, and the slots of three CPUs.
struct Table {
    lock: Turnstile<LoomLockWord>,
    routes: RefCell<Routes<4>>,
    /// Where the controller sends each: written with the lock held.
    controller: [Payload; 4],
    slots: [Slot<LoomArch>; 3],
}

impl Table {
    fn new() -> Rc<Self> {
        let online = Snapshot { generation: 1, reason: 0, state: State::Online };
        Rc::new(Self {
            lock: Turnstile::new(),
            routes: RefCell::new(Routes::new()),
            controller: [(); 4].map(|()| Payload::new(0)),
            slots: [(); 3].map(|()| Slot::from_parts(LoomWord::new(online.to_bits()))),
        })
    }

    fn spawn<T: 'static>(self: &Rc<Self>, f: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let table = Rc::clone(self);
        thread::spawn(move || f(&table))
    }

    fn locked<R>(&self, f: impl FnOnce(&mut Routes<4>) -> R) -> R {
        let held = Held::take(&self.lock, (), ME, || {
            self.lock.wait(ME, Fairness::USUAL.without_claim(), |_| {
                thread::yield_now();
                true
            })
        });
        assert!(held.is_some());
        f(&mut self.routes.borrow_mut())
    }

    fn send(&self, interrupt: usize, cpu: u16) -> Result<(), NotOnline> {
        self.locked(|routes| {
            routes.send(interrupt, cpu, || self.slots[usize::from(cpu)].is_online())?;
            self.controller[interrupt].write(cpu.into());
            Ok(())
        })
    }

    /// `cpu` leaves.
    fn leave(&self, cpu: u16) {
        assert!(self.slots[usize::from(cpu)].begin_leave(1));
        self.locked(|routes| {
            let heir = || self.slots.iter().position(Slot::is_online).map(|cpu| cpu as u16);
            routes.move_away(cpu, heir, |interrupt, heir| self.controller[interrupt].write(heir.into()));
        });
        assert!(self.slots[usize::from(cpu)].gone(1));
    }
}

/// An interrupt is sent to a CPU that leaves: it is refused, or moved.
#[test]
fn affinity_against_leave() {
    Model::new("news/affinity_against_leave", &["refused", "moved"]).check(|tally| {
        let table = Table::new();
        assert_eq!(table.send(1, 1), Ok(()));
        assert_eq!(table.send(3, 2), Ok(()));
        let leaves = table.spawn(|table| table.leave(1));
        let sent = table.send(2, 1);
        leaves.join().unwrap();
        assert_eq!([1, 2, 3].map(|interrupt| table.controller[interrupt].read()), [0, 0, 2]);
        tally.hit(if sent.is_ok() { "moved" } else { "refused" });
    });
}

/// Two CPUs leave, and one inherits from the other, or both from the third: nothing goes to either in the end.
#[test]
fn two_leave() {
    Model::new("news/two_leave", &["done"]).check(|tally| {
        let table = Table::new();
        assert_eq!((table.send(2, 2), table.send(3, 0)), (Ok(()), Ok(())));
        let leaves = table.spawn(|table| table.leave(0));
        table.leave(2);
        leaves.join().unwrap();
        assert_eq!([2, 3].map(|interrupt| table.controller[interrupt].read()), [1, 1]);
        tally.hit("done");
    });
}
