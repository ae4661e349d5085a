//! Models of the locks: one holder at a time, how often a waiter is passed, claims of those that do not run, CPUs that are stopped while they
//! wait, and interrupts.

#![cfg(not(target_os = "none"))]

use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;

use loom::sync::atomic::{Ordering, fence};
use reveille_models::steps::{self, StepLockWord, between};
use reveille_models::{Choices, LoomLockWord, Model, Payload, Tally, thread};
use reveille_protocol::{Fairness, Held, Owner, Seen, Turnstile, Waiter};

/// The CPU of a scenario, and another one. Their numbers share a bit, and have more than a byte has room for.
const ME: Owner = Owner::of(0x102);
const OTHER: Owner = Owner::of(0x206);
/// A claim is made at once, and others have all patience with it.
const CLAIMS: Fairness = Fairness { overtakings: 0, patience: u32::MAX };
/// The same after one turn of another.
const LATER: Fairness = Fairness { overtakings: 1, ..CLAIMS };
/// No claims, nor patience with those of others.
const STRIKES: Fairness = Fairness { overtakings: u32::MAX, patience: 0 };

/// A lock, and what it guards.
struct World {
    lock: Turnstile<LoomLockWord>,
    guarded: Payload,
}

impl World {
    fn new() -> Rc<Self> {
        Rc::new(Self { lock: Turnstile::new(), guarded: Payload::new(0) })
    }

    fn spawn<T: 'static>(self: &Rc<Self>, f: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let world = Rc::clone(self);
        thread::spawn(move || f(&world))
    }

    /// Waits for the lock. With it, whether it had to.
    fn lock(&self, fairness: Fairness) -> (Held<&Turnstile<LoomLockWord>, ()>, bool) {
        self.lock_as(ME, fairness)
    }

    /// The same by a CPU that it matters to be.
    fn lock_as(&self, me: Owner, fairness: Fairness) -> (Held<&Turnstile<LoomLockWord>, ()>, bool) {
        let mut waited = false;
        let held = Held::take(&self.lock, (), me, || {
            self.lock.wait(me, fairness, |_| {
                waited = true;
                thread::yield_now();
                true
            })
        });
        (held.expect("waits until it comes"), waited)
    }

    /// Something that only the holder of the lock may do. How often it was done before.
    fn count(&self) -> u64 {
        let count = self.guarded.read();
        self.guarded.write(count + 1);
        count
    }

    /// How often the lock was held, which it is not any more.
    fn counted(&self) -> u64 {
        assert!(Held::take(&self.lock, (), ME, || false).is_some(), "nobody can have the lock again");
        self.guarded.read()
    }
}

/// Two CPUs lock, one of them twice: each has the lock alone, whoever makes claims.
///
/// Not three: of two that wait loom would let each wait for the other's next look, again and again.
#[test]
fn one_at_a_time() {
    Model::new("locks/one_at_a_time", &["at once", "waited"]).preemptions(3).check(|tally| {
        let world = World::new();
        let locks = |world: &World, fairness| {
            let (_held, waited) = world.lock(fairness);
            world.count();
            waited
        };
        let other = world.spawn(move |world| locks(world, CLAIMS));
        locks(&world, CLAIMS);
        locks(&world, LATER);
        tally.hit(if other.join().unwrap() { "waited" } else { "at once" });
        assert_eq!(world.counted(), 3);
    });
}

/// A CPU that waits makes a claim after one turn, while another takes the lock again and again: from its claim on nobody passes it.
#[test]
fn nobody_passes_a_claim() {
    Model::new("locks/nobody_passes_a_claim", &["no claim", "claim"]).preemptions(2).check(|tally| {
        let world = World::new();
        let other = world.spawn(|world| {
            let mut waiter = world.lock.waiter(LATER);
            // The turn that was under way when it made its claim.
            let mut current = None;
            loop {
                match world.lock.look(&mut waiter, ME) {
                    Seen::Taken => break,
                    _ if waiter.has_claim() && current.is_none() => {
                        // Who held the lock then has seen the turn before end, and handed that over with the word.
                        fence(Ordering::Acquire);
                        current = Some(world.lock.turns());
                    }
                    _ => thread::yield_now(),
                }
            }
            let turn = world.lock.turns();
            world.count();
            world.lock.give_back();
            if let Some(current) = current {
                assert!(turn <= current + 1, "passed {} times", turn - current - 1);
            }
            current.is_some()
        });
        for _ in 0..3 {
            let (_held, _) = world.lock(Fairness { overtakings: u32::MAX, ..CLAIMS });
            world.count();
        }
        tally.hit(if other.join().unwrap() { "claim" } else { "no claim" });
        assert_eq!(world.counted(), 4);
    });
}

/// Two CPUs lock, with claims and without, while a third looks on: who has the lock finds its own number in the word as long as it has it, and who
/// has not never does; and no look finds a number that is nobody's.
#[test]
fn holder_is_known() {
    Model::new("locks/holder_is_known", &["free", "me", "other"]).preemptions(2).check(|tally| {
        let world = World::new();
        let locks = |world: &World, me: Owner, fairness| {
            assert_ne!(world.lock.holder(), Some(me), "not yet");
            let (held, _) = world.lock_as(me, fairness);
            assert_eq!(world.lock.holder(), Some(me), "while it has the lock");
            world.count();
            drop(held);
            assert_ne!(world.lock.holder(), Some(me), "no longer");
        };
        let other = world.spawn(move |world| locks(world, OTHER, CLAIMS));
        let looks_on = world.spawn(|world| world.lock.holder());
        locks(&world, ME, CLAIMS);
        other.join().unwrap();
        tally.hit(match looks_on.join().unwrap() {
            None => "free",
            Some(ME) => "me",
            Some(OTHER) => "other",
            Some(nobody) => panic!("there is no {nobody:?}"),
        });
        assert_eq!(world.counted(), 2);
    });
}

/// Two claims: the first is served first, and a third CPU that takes the lock if it is free passes neither.
#[test]
fn claims_in_their_order() {
    Model::new("locks/claims_in_their_order", &["taken", "refused"]).preemptions(2).check(|tally| {
        let world = World::new();
        let (held, _) = world.lock(CLAIMS);
        let [mut first, mut second] = [(); 2].map(|()| {
            let mut waiter = world.lock.waiter(CLAIMS);
            assert_eq!(world.lock.look(&mut waiter, ME), Seen::Again);
            assert!(waiter.has_claim());
            waiter
        });
        let turn = |world: &World, waiter: &mut Waiter| {
            while world.lock.look(waiter, ME) != Seen::Taken {
                thread::yield_now();
            }
            let count = world.count();
            world.lock.give_back();
            count
        };
        let other = world.spawn(move |world| turn(world, &mut second));
        let tries = world.spawn(|world| {
            let held = Held::take(&world.lock, (), ME, || false);
            held.is_some().then(|| world.count())
        });
        drop(held);
        assert_eq!(turn(&world, &mut first), 0, "the first claim");
        assert_eq!(other.join().unwrap(), 1, "the second");
        let tried = tries.join().unwrap();
        assert!(tried.is_none_or(|count| count == 2), "passes a claim");
        tally.hit(if tried.is_some() { "taken" } else { "refused" });
        assert_eq!(world.counted(), 2 + u64::from(tried.is_some()));
    });
}

/// A CPU takes the lock only if it is free, while another waits for it.
#[test]
fn try_against_lock() {
    Model::new("locks/try_against_lock", &["taken", "refused"]).check(|tally| {
        let world = World::new();
        let other = world.spawn(|world| {
            let (_held, _) = world.lock(CLAIMS);
            world.count();
        });
        let taken = Held::take(&world.lock, (), ME, || false).map(|_held| world.count()).is_some();
        other.join().unwrap();
        assert_eq!(world.counted(), 1 + u64::from(taken));
        tally.hit(if taken { "taken" } else { "refused" });
    });
}

/// A CPU has stopped after it made a claim. Another strikes that off and takes the lock, while a third takes it too; and the stopped one goes on
/// just then, and has the lock in the end like any other.
#[test]
fn struck_off() {
    Model::new("locks/struck_off", &["passed", "in time"]).preemptions(3).check(|tally| {
        let world = World::new();
        let (held, _) = world.lock(CLAIMS);
        let mut stopped = world.lock.waiter(CLAIMS);
        assert_eq!(world.lock.look(&mut stopped, ME), Seen::Again);
        drop(held);
        let other = world.spawn(|world| {
            let (_held, _) = world.lock(STRIKES);
            world.count()
        });
        while world.lock.look(&mut stopped, ME) != Seen::Taken {
            thread::yield_now();
        }
        let count = world.count();
        world.lock.give_back();
        assert_eq!(other.join().unwrap(), 1 - count);
        tally.hit(if count == 0 { "in time" } else { "passed" });
        assert_eq!(world.counted(), 2);
    });
}

/// One CPU, step by step.
struct Cpu {
    lock: Turnstile<StepLockWord>,
    /// Guards that hold interrupts back.
    masks: Cell<u32>,
    /// Interrupts that may still come.
    interrupts: Cell<u32>,
    /// Another CPU, which had the lock, has given it back.
    is_given_back: Cell<bool>,
    choices: RefCell<Choices>,
}

impl Cpu {
    fn new(choices: &mut Choices, interrupts: u32) -> Rc<Self> {
        Rc::new(Self {
            lock: Turnstile::new(),
            masks: Cell::new(0),
            interrupts: Cell::new(interrupts),
            is_given_back: Cell::new(false),
            choices: RefCell::new(mem::take(choices)),
        })
    }

    fn pick(&self, of: usize) -> usize {
        self.choices.borrow_mut().pick(of)
    }

    /// Runs `f`, with `come` between its steps.
    fn armed<R>(self: &Rc<Self>, come: fn(&Rc<Self>), f: impl FnOnce() -> R) -> R {
        let own = Rc::clone(self);
        steps::armed(Rc::new(move || come(&own)), f)
    }

    /// An interrupt, whose handler wants the lock.
    fn interrupt(self: &Rc<Self>) {
        if self.masks.get() != 0 || self.interrupts.get() == 0 || self.pick(2) == 0 {
            return;
        }
        self.interrupts.set(self.interrupts.get() - 1);
        drop(Held::take(&self.lock, Mask::new(self), ME, || panic!("waits for what it has interrupted")));
    }

    /// Another CPU gives the lock back, or this one is stopped.
    fn give_back_or_stop(self: &Rc<Self>) {
        match self.pick(2 + usize::from(!self.is_given_back.get())) {
            0 => {}
            1 => panic::resume_unwind(Box::new(())),
            _ => self.give_back(),
        }
    }

    /// The other CPU gives the lock back.
    fn give_back(&self) {
        self.is_given_back.set(true);
        self.lock.give_back();
    }
}

/// Interrupts held back on one CPU.
struct Mask(Rc<Cpu>);

impl Mask {
    fn new(cpu: &Rc<Cpu>) -> Self {
        between();
        cpu.masks.set(cpu.masks.get() + 1);
        Self(Rc::clone(cpu))
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        self.0.masks.set(self.0.masks.get() - 1);
        between();
    }
}

/// Interrupts come wherever they are open, and their handlers want the lock that was interrupted: each has it at once.
#[test]
fn free_before_interrupts_open() {
    let scenario = |choices: &mut Choices, tally: &Tally| {
        let cpu = Cpu::new(choices, 2);
        cpu.armed(Cpu::interrupt, || {
            for _ in 0..2 {
                drop(Held::take(&cpu.lock, Mask::new(&cpu), ME, || panic!("waits for itself")));
            }
        });
        tally.hit(["two", "one", "none"][cpu.interrupts.get() as usize]);
        *choices = cpu.choices.take();
    };
    Model::new("locks/free_before_interrupts_open", &["none", "one", "two"]).check_choices(scenario);
}

/// A CPU waits for the lock of another one, which gives it back or does not, and is stopped at any point. The CPU that has
/// stopped it takes the lock, unless one of the two has it.
#[test]
fn stopped_anywhere() {
    const OUTCOMES: &[&str] = &["free", "held", "held by the other"];
    let scenario = |choices: &mut Choices, tally: &Tally| {
        let cpu = Cpu::new(choices, 0);
        mem::forget(Held::take(&cpu.lock, (), OTHER, || unreachable!("free")));
        let has_entered = Cell::new(false);
        let waits = || {
            cpu.lock.wait(ME, CLAIMS, |seen| {
                if seen == Seen::Held && !cpu.is_given_back.get() {
                    match cpu.pick(2) {
                        0 => cpu.give_back(),
                        _ => panic::resume_unwind(Box::new(())),
                    }
                }
                true
            })
        };
        let runs = || {
            between();
            mem::forget(Held::take(&cpu.lock, (), ME, waits));
            has_entered.set(true);
        };
        let stopped = panic::catch_unwind(AssertUnwindSafe(|| cpu.armed(Cpu::give_back_or_stop, runs)));
        assert!(stopped.is_err() || has_entered.get());
        let mut looks = 0;
        let taken = Held::take(&cpu.lock, (), OTHER, || {
            cpu.lock.wait(OTHER, STRIKES, |seen| {
                looks += 1;
                assert!(looks < 4, "waits for the stopped");
                seen == Seen::Again
            })
        });
        tally.hit(match (taken.is_some(), cpu.is_given_back.get(), cpu.lock.is_held()) {
            (true, true, true) => "free",
            // It may have been stopped between the exchange and the guard.
            (false, true, true) => "held",
            (false, false, true) => "held by the other",
            other => panic!("two have it, or nobody: {other:?}"),
        });
        *choices = cpu.choices.take();
    };
    Model::new("locks/stopped_anywhere", OUTCOMES).check_choices(scenario);
}
