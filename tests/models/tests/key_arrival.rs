//! Models of a static key that is switched while CPUs come and go: the forms of the runtime's locks (one CPU, several),
//! and a key that the arriving CPU passes on its way.
//!
//! A site is ordinary memory here: a fetch of it that is not ordered against the patch fails the model. What makes a
//! fetch see a store at all (cache maintenance, `isb`) is outside of it; docs/memory-model.md has the argument.

#![cfg(not(target_os = "none"))]

use std::rc::Rc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use reveille_models::{LoomArch, LoomWord, Model, Payload, Signal, thread};
use reveille_protocol::{
    Action, Arch, Arrival, Ending, Entrance, Gate, Job, Mark, Rendezvous, Slot, Snapshot, State, Survey, Word,
};

/// A site of code: what stands there.
const OFF: u64 = 0;
const ON: u64 = 1;

struct World {
    gate: Gate<LoomArch>,
    /// The boot CPU's, and that of the CPU that comes and goes.
    slots: [Slot<LoomArch>; 2],
    reset: Signal,
    /// The instruction that a key decides about. Of the locks: `ON` is the form for one CPU.
    site: Payload,
    /// The word of a lock, and what it guards.
    lock: LoomWord,
    guarded: Payload,
    rendezvous: Rendezvous<LoomArch>,
    marks: [Mark<LoomArch>; 2],
}

impl World {
    fn new(site: u64, other: Snapshot) -> Rc<Self> {
        Rc::new(Self {
            gate: Gate::new(),
            slots: [
                Slot::from_parts(LoomWord::new(Slot::<LoomArch>::BOOT)),
                Slot::from_parts(LoomWord::new(other.to_bits())),
            ],
            reset: Signal::low(),
            site: Payload::new(site),
            lock: LoomWord::new(0),
            guarded: Payload::new(0),
            rendezvous: Rendezvous::new(),
            marks: [Mark::new(), Mark::new()],
        })
    }

    fn spawn<T: 'static>(self: &Rc<Self>, f: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let world = Rc::clone(self);
        thread::spawn(move || f(&world))
    }

    fn survey(&self) -> Survey {
        Survey::of(self.slots.iter().map(Slot::read))
    }

    /// As `sync::Mutex` does it: the word is taken with interrupts masked from before the site to after the variant.
    fn lock(&self) {
        loop {
            let taken = if self.site.read() == ON {
                let free = self.lock.load(Relaxed) == 0;
                if free {
                    self.lock.store(1, Relaxed);
                }
                free
            } else {
                self.lock.compare_exchange(0, 1, Relaxed, Relaxed).is_ok()
            };
            if taken {
                LoomArch::fence(Acquire);
                return;
            }
            LoomArch::relax();
        }
    }

    fn unlock(&self) {
        self.lock.store(0, Release);
    }

    fn count(&self) {
        self.guarded.write(self.guarded.read() + 1);
    }

    fn locked_count(&self) {
        self.lock();
        self.count();
        self.unlock();
    }
}

const OFFLINE: Snapshot = Snapshot { generation: 0, reason: 0, state: State::Offline };

/// The boot CPU holds a lock that it took in the form for one CPU, and brings another up, which uses the lock and leaves.
/// Whatever the boot CPU finds then, it goes on with the form that is right.
#[test]
fn lock_form() {
    const OUTCOMES: &[&str] = &["revoked", "alone_again", "several", "busy"];
    Model::new("key_arrival/lock_form", OUTCOMES).preemptions(5).check(|tally| {
        let world = World::new(ON, OFFLINE);
        let other = world.spawn(|world| {
            world.reset.wait();
            let slot = &world.slots[1];
            if slot.arrive(1) != Arrival::Won {
                return false;
            }
            assert_eq!(world.site.read(), OFF, "a second CPU runs the form for one");
            assert_eq!(slot.go_online(1, &world.gate, 1), Entrance::Online);
            world.locked_count();
            assert!(slot.begin_leave(1));
            world.locked_count();
            assert!(slot.gone(1));
            true
        });
        world.lock();
        world.count();
        // Nobody else can be executing it.
        assert_eq!(world.survey(), Survey::Alone);
        world.site.write(OFF);
        let kicked = world.slots[1].claim().ok().unwrap().kick();
        world.reset.raise(1);
        world.count();
        world.unlock();
        let revoked = kicked.revoke().is_ok();
        world.locked_count();
        let survey = world.survey();
        if survey == Survey::Alone {
            world.site.write(ON);
        }
        world.locked_count();
        let arrived = other.join().unwrap();
        assert_eq!(arrived, !revoked);
        assert_eq!(world.guarded.read(), if arrived { 6 } else { 4 });
        tally.hit(match survey {
            Survey::Alone if revoked => "revoked",
            Survey::Alone => "alone_again",
            Survey::Several => "several",
            Survey::Busy(1) => "busy",
            Survey::Busy(cpu) => panic!("CPU {cpu} is online"),
        });
    });
}

/// How the boot CPU fared that wanted to switch the key on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switched {
    /// Nobody else runs.
    Alone,
    /// The other CPU was gathered.
    Gathered,
    /// It was not gathered in time.
    Aborted,
    /// It may run, and cannot be gathered.
    Refused,
}

impl World {
    /// The boot CPU switches the key on, as `patch::Batch` does: it gathers whoever is online, and looks at all slots
    /// again inside the round.
    fn switch_on(&self, patience: u64) -> Switched {
        let others = u16::from(self.slots[1].read().state == State::Online);
        let mut round = self.rendezvous.begin(&self.marks[0], others, Job::Initiator, 1).unwrap();
        let mut switched = Switched::Refused;
        let mut steps = 0;
        loop {
            steps += 1;
            match round.step(u64::from(steps > patience)) {
                Action::Leave(Ending::Aborted) => return Switched::Aborted,
                Action::Leave(_) => return switched,
                // Once all are gathered, the end depends on nothing but their going on.
                Action::Wait if steps > patience => LoomArch::relax(),
                Action::Wait | Action::OpenInterrupts | Action::Mask => {}
                Action::RunJob => match self.survey() {
                    Survey::Busy(cpu) => assert_eq!(cpu, 1),
                    Survey::Alone => {
                        self.site.write(ON);
                        switched = Switched::Alone;
                    }
                    Survey::Several => {
                        assert_eq!(others, 1, "a CPU that was not gathered");
                        self.site.write(ON);
                        switched = Switched::Gathered;
                    }
                },
            }
        }
    }

    /// CPU 1, online, takes part in a round if it finds one.
    fn attend(&self) -> Option<Ending> {
        let mut part = self.rendezvous.join(&self.marks[1])?;
        loop {
            match part.step() {
                Action::Wait => LoomArch::relax(),
                Action::OpenInterrupts | Action::Mask => {}
                Action::RunJob => unreachable!("the job is the initiator's"),
                Action::Leave(ending) => return Some(ending),
            }
        }
    }
}

/// The boot CPU brings another up, gives it up at some point, and then switches a key that the other passes on its way,
/// and passes again and again.
#[test]
fn key_against_arrival() {
    const OUTCOMES: &[&str] = &["revoked", "wedged", "gathered", "aborted"];
    Model::new("key_arrival/key_against_arrival", OUTCOMES).preemptions(5).check(|tally| {
        let world = World::new(OFF, OFFLINE);
        let other = world.spawn(|world| {
            world.reset.wait();
            let slot = &world.slots[1];
            if slot.arrive(1) != Arrival::Won {
                return;
            }
            assert_eq!(world.site.read(), OFF);
            if slot.go_online(1, &world.gate, 1) != Entrance::Online {
                // It parks in text that is never patched.
                return;
            }
            for _ in 0..2 {
                assert_eq!(world.site.read(), OFF);
                match world.attend() {
                    None => {}
                    Some(Ending::Aborted) => assert_eq!(world.site.read(), OFF),
                    Some(Ending::Overtaken) => unreachable!("there is one round"),
                    Some(Ending::Done) => {
                        assert_eq!(world.site.read(), ON, "the old branch after the switch");
                        return;
                    }
                }
            }
        });
        let kicked = world.slots[1].claim().ok().unwrap().kick();
        world.reset.raise(1);
        let revoked = kicked.revoke().is_ok();
        let wedged = !revoked && kicked.wedge().is_ok();
        let switched = world.switch_on(3);
        tally.hit(match (revoked, wedged, switched) {
            (true, false, Switched::Alone) => "revoked",
            (false, true, Switched::Refused) => "wedged",
            (false, false, Switched::Gathered) => "gathered",
            (false, false, Switched::Aborted) => "aborted",
            other => panic!("{other:?}"),
        });
        drop(kicked);
        other.join().unwrap();
        assert_eq!(
            world.site.read(),
            if matches!(switched, Switched::Alone | Switched::Gathered) { ON } else { OFF }
        );
    });
}

/// A CPU leaves, and whoever asked it to has stopped waiting: the key is not switched before it is gone.
#[test]
fn key_against_leaver() {
    Model::new("key_arrival/key_against_leaver", &["refused", "switched"]).check(|tally| {
        let dying = Snapshot { generation: 1, reason: 0, state: State::Dying };
        let world = World::new(OFF, dying);
        let other = world.spawn(|world| {
            assert_eq!(world.site.read(), OFF);
            assert_eq!(world.site.read(), OFF);
            assert!(world.slots[1].gone(1));
        });
        let switched = world.switch_on(u64::MAX);
        other.join().unwrap();
        tally.hit(match switched {
            Switched::Alone => "switched",
            Switched::Refused => "refused",
            other => panic!("{other:?}"),
        });
    });
}
