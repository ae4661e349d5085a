//! Models of the lifecycle lock, and of a CPU that is brought up while it leaves.

#![cfg(not(target_os = "none"))]

use std::rc::Rc;

use reveille_models::{LoomArch, LoomWord, Model, Payload, thread};
use reveille_protocol::{Arch, Holder, LifecycleLock, Refusal, Slot, Snapshot, State, Tenure, Word};

/// A CPU that is online with generation 1, two others that never leave, and the lock.
struct World {
    lock: LifecycleLock<LoomArch>,
    slot: Slot<LoomArch>,
    /// What belongs to whoever holds the lock.
    cpus: Payload,
}

/// The number of the CPU that leaves.
const LEAVER: u32 = 2;

impl World {
    fn new() -> Rc<Self> {
        let online = Snapshot { generation: 1, reason: 0, state: State::Online };
        Rc::new(Self {
            lock: LifecycleLock::new(),
            slot: Slot::from_parts(LoomWord::new(online.to_bits())),
            cpus: Payload::new(0),
        })
    }

    fn try_acquire(&self, cpu: u32, generation: u32) -> Result<Tenure<'_, LoomArch>, Holder> {
        self.lock.try_acquire(Holder { cpu, generation }, |cpu| {
            if cpu == LEAVER {
                self.slot.read()
            } else {
                Snapshot { generation: 1, reason: 0, state: State::Online }
            }
        })
    }

    fn acquire(&self, cpu: u32) -> Tenure<'_, LoomArch> {
        loop {
            match self.try_acquire(cpu, 1) {
                Ok(tenure) => return tenure,
                Err(holder) => assert_ne!(holder.cpu, cpu, "refused by itself"),
            }
            LoomArch::relax();
        }
    }

    /// Something that only the holder of the lock may do. How often it was done before.
    fn count(&self) -> u64 {
        let count = self.cpus.read();
        self.cpus.write(count + 1);
        count
    }

    fn spawn<T: 'static>(self: &Rc<Self>, f: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let world = Rc::clone(self);
        thread::spawn(move || f(&world))
    }
}

/// Two CPUs want the lock: one has it after the other.
#[test]
fn one_at_a_time() {
    Model::new("lifecycle/one_at_a_time", &["first", "second"]).check(|tally| {
        let world = World::new();
        let rival = world.spawn(|world| {
            let _tenure = world.acquire(1);
            world.count()
        });
        let tenure = world.acquire(0);
        let mine = world.count();
        drop(tenure);
        assert_eq!(rival.join().unwrap(), 1 - mine);
        tally.hit(if mine == 0 { "first" } else { "second" });
    });
}

/// The holder leaves with the lock, while two others want it: each gets it, not before the holder has done with
/// it, and one after the other.
#[test]
fn take_over() {
    Model::new("lifecycle/take_over", &["both", "one", "none"]).preemptions(3).check(|tally| {
        let world = World::new();
        let tenure = world.try_acquire(LEAVER, 1).ok().unwrap();
        let once = |cpu| {
            move |world: &World| {
                for _ in 0..2 {
                    if let Ok(_tenure) = world.try_acquire(cpu, 1) {
                        assert_eq!(world.slot.read().state, State::Gone);
                        world.count();
                        return 1;
                    }
                }
                0
            }
        };
        let (one, two) = (world.spawn(once(0)), world.spawn(once(1)));
        assert!(world.slot.begin_leave(1));
        world.count();
        tenure.keep_to_the_end();
        assert!(world.slot.gone(1));
        let taken = one.join().unwrap() + two.join().unwrap();
        assert!(world.try_acquire(0, 1).is_ok(), "nobody can ever have the lock again");
        assert_eq!(world.cpus.read(), 1 + taken);
        tally.hit(["none", "one", "both"][taken as usize]);
    });
}

/// The holder leaves with the lock, is started anew, and takes the lock again. Somebody who found it gone in its
/// former life does not take the lock from it in its new one.
#[test]
fn take_over_too_late() {
    Model::new("lifecycle/take_over_too_late", &["in_between", "refused", "afterwards"]).check(|tally| {
        let world = World::new();
        world.try_acquire(LEAVER, 1).ok().unwrap().keep_to_the_end();
        assert!(world.slot.begin_leave(1) && world.slot.gone(1));
        let late = world.spawn(|world| {
            let _tenure = world.try_acquire(1, 1).ok()?;
            Some(world.count())
        });
        // Its booter takes the lock over, starts it, and gives the lock back; all in one go, as what matters is the
        // end of it.
        let tenure = world.acquire(0);
        let mut count = world.count();
        let kicked = world.slot.claim().ok().unwrap().kick();
        drop(tenure);
        if let Ok(_tenure) = world.try_acquire(LEAVER, 2) {
            count = world.count();
        }
        drop(kicked);
        tally.hit(match late.join().unwrap() {
            None => "refused",
            Some(late) if late > count => "afterwards",
            Some(_) => "in_between",
        });
    });
}

/// One CPU takes itself down while another brings it up: whoever has the lock first, the CPU is either found online
/// and left alone, or found gone, with all that it did in its life, and started anew.
#[test]
fn up_against_down() {
    Model::new("lifecycle/up_against_down", &["up_first", "down_first"]).check(|tally| {
        let world = World::new();
        let leaver = world.spawn(|world| {
            let tenure = world.acquire(LEAVER);
            assert!(world.slot.begin_leave(1));
            // Its stack, its per-CPU data.
            world.cpus.write(1);
            tenure.keep_to_the_end();
            assert!(world.slot.gone(1));
        });
        let tenure = world.acquire(0);
        let claim = world.slot.claim();
        if claim.is_ok() {
            assert_eq!(world.cpus.read(), 1);
            world.cpus.write(2);
        }
        drop(tenure);
        leaver.join().unwrap();
        tally.hit(match claim {
            Ok(claim) => {
                assert_eq!(claim.generation(), 2);
                "down_first"
            }
            Err(Refusal::Online { generation: 1 }) => "up_first",
            Err(other) => panic!("{other:?}"),
        });
    });
}
