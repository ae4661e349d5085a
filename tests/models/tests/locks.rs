//! Models of the locks: tickets and their wrap, the word for thread context, and CPUs that are stopped while they wait.

#![cfg(not(target_os = "none"))]

use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;

use reveille_models::steps::{self, StepLockWord, Steps, between};
use reveille_models::{Choices, LoomArch, LoomLockWord, Model, Payload, Tally, thread};
use reveille_protocol::{Held, LockWord, MutexWord, Tickets, Waiter};

/// The next ticket to be drawn is the last before 0: both halves wrap.
const LAST: u32 = 0xffff_ffff;

/// A lock, and what it guards.
struct World {
    lock: Tickets<LoomLockWord>,
    mutex: MutexWord<LoomLockWord>,
    waiter: Waiter<LoomArch>,
    guarded: Payload,
}

impl World {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            lock: Tickets::from_parts(LoomLockWord::new(LAST)),
            mutex: MutexWord::new(),
            waiter: Waiter::new(),
            guarded: Payload::new(0),
        })
    }

    fn spawn<T: 'static>(self: &Rc<Self>, f: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let world = Rc::clone(self);
        thread::spawn(move || f(&world))
    }

    /// Waits for the lock. With it the ticket, if it had to.
    fn lock(&self) -> (Held<&Tickets<LoomLockWord>, ()>, Option<u16>) {
        let mut ticket = None;
        let held = Held::lock(&self.lock, (), |mine| {
            ticket = Some(mine);
            self.lock.wait::<LoomArch>(None, mine, || {
                thread::yield_now();
                true
            })
        });
        (held.expect("waits until it comes"), ticket)
    }

    /// Something that only the holder of the lock may do. How often it was done before.
    fn count(&self) -> u64 {
        let count = self.guarded.read();
        self.guarded.write(count + 1);
        count
    }

    /// How often the lock was held, which it is not any more.
    fn counted(&self) -> u64 {
        assert!(Held::try_lock(&self.lock, (), || false).is_some(), "nobody can have the lock again");
        self.guarded.read()
    }
}

/// Two CPUs lock, one of them twice: each has the lock alone, and one that waits has it before whoever asks later.
///
/// Not three: of two that wait loom would let each wait for the other's next look, again and again.
#[test]
fn in_order() {
    Model::new("locks/in_order", &["at once", "waited"]).preemptions(3).check(|tally| {
        let world = World::new();
        let locks = |world: &World| {
            let (_held, ticket) = world.lock();
            let count = world.count();
            if let Some(ticket) = ticket {
                assert_eq!(u64::from(ticket.wrapping_sub(LAST as u16)), count, "not its turn");
            }
            ticket.is_some()
        };
        let other = world.spawn(locks);
        locks(&world);
        locks(&world);
        tally.hit(if other.join().unwrap() { "waited" } else { "at once" });
        assert_eq!(world.counted(), 3);
    });
}

/// A CPU takes the lock only if it is free, while another waits for it.
#[test]
fn try_against_lock() {
    Model::new("locks/try_against_lock", &["taken", "refused"]).check(|tally| {
        let world = World::new();
        let other = world.spawn(|world| {
            let (_held, _) = world.lock();
            world.count();
        });
        let taken = Held::try_lock(&world.lock, (), || false).map(|_held| world.count()).is_some();
        other.join().unwrap();
        assert_eq!(world.counted(), 1 + u64::from(taken));
        tally.hit(if taken { "taken" } else { "refused" });
    });
}

/// A CPU was stopped while it waited for the lock. The one that stopped it gives the lock back, and takes it again, while another
/// that could not be stopped takes it too: the turn of the stopped one is passed over, and no other.
#[test]
fn stopped_in_the_wait() {
    const STOPPED: u64 = 7;
    Model::new("locks/stopped_in_the_wait", &["first", "second"]).preemptions(3).check(|tally| {
        let world = World::new();
        let (held, _) = world.lock();
        let parks =
            || world.lock.wait(Some((&world.waiter, STOPPED)), 0, || panic::resume_unwind(Box::new(())));
        let waits = || Held::lock(&world.lock, (), |ticket| ticket == 0 && parks());
        assert!(panic::catch_unwind(AssertUnwindSafe(waits)).is_err(), "it parks in the wait");
        let other = world.spawn(|world| {
            let (_held, _) = world.lock();
            world.count()
        });
        drop(held);
        let held = Held::lock(&world.lock, (), |mine| {
            world.lock.wait::<LoomArch>(None, mine, || {
                if !world.lock.pass_over(|ticket| world.waiter.waits_for(STOPPED, ticket)) {
                    thread::yield_now();
                }
                true
            })
        });
        let count = world.count();
        drop(held);
        assert_eq!(other.join().unwrap(), 1 - count);
        assert_eq!(world.counted(), 2);
        tally.hit(if count == 0 { "first" } else { "second" });
    });
}

/// Two CPUs, and a lock for thread context.
#[test]
fn mutex() {
    Model::new("locks/mutex", &["at_once", "waited"]).check(|tally| {
        let world = World::new();
        let locks = |world: &World| {
            let mut waited = false;
            while !world.mutex.try_take() {
                waited = true;
                thread::yield_now();
            }
            world.count();
            world.mutex.give_back();
            waited
        };
        let other = world.spawn(locks);
        let waited = locks(&world);
        other.join().unwrap();
        assert_eq!(world.counted(), 2);
        tally.hit(if waited { "waited" } else { "at_once" });
    });
}

/// One CPU, step by step.
struct Cpu {
    lock: Tickets<StepLockWord>,
    waiter: Waiter<Steps>,
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
            lock: Tickets::new(),
            waiter: Waiter::new(),
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
        drop(Held::lock(&self.lock, Mask::new(self), |_| panic!("waits for what it has interrupted")));
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
            drop(Held::lock(&cpu.lock, Mask::new(&cpu), |_| panic!("waits for itself")));
            let held = Held::try_lock(&cpu.lock, Mask::new(&cpu), || false);
            assert!(held.is_some(), "refused by itself");
            drop(held);
        });
        tally.hit(["two", "one", "none"][cpu.interrupts.get() as usize]);
        *choices = cpu.choices.take();
    };
    Model::new("locks/free_before_interrupts_open", &["none", "one", "two"]).check_choices(scenario);
}

/// A CPU waits for the lock of another one, which gives it back or does not, and is stopped at any point. The CPU that has
/// stopped it takes the lock, unless one of the two has it; or nobody can, where it was stopped before it was marked.
#[test]
fn stopped_anywhere() {
    const LOCK: u64 = 7;
    const OUTCOMES: &[&str] = &["passed over", "not asked", "asked", "held", "held by the other"];
    let scenario = |choices: &mut Choices, tally: &Tally| {
        let cpu = Cpu::new(choices, 0);
        mem::forget(Held::lock(&cpu.lock, (), |_| unreachable!("free")));
        let (has_asked, has_entered) = (Cell::new(false), Cell::new(false));
        let waits = |ticket| {
            has_asked.set(true);
            cpu.lock.wait(Some((&cpu.waiter, LOCK)), ticket, || {
                if !cpu.is_given_back.get() {
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
            mem::forget(Held::lock(&cpu.lock, (), waits));
            has_entered.set(true);
        };
        let stopped = panic::catch_unwind(AssertUnwindSafe(|| cpu.armed(Cpu::give_back_or_stop, runs)));
        assert!(stopped.is_err() || has_entered.get());
        let passes = Cell::new(0);
        let pass_over = || {
            let passed = cpu.lock.pass_over(|ticket| cpu.waiter.waits_for(LOCK, ticket));
            passes.set(passes.get() + u32::from(passed));
            passed
        };
        let taken = Held::try_lock(&cpu.lock, (), pass_over).is_some();
        let has_turn = cpu.is_given_back.get() && has_asked.get() && !has_entered.get();
        assert!(passes.get() <= u32::from(has_turn), "passes over who has it");
        tally.hit(match (taken, cpu.is_given_back.get(), has_entered.get()) {
            (true, true, false) => {
                if has_asked.get() {
                    "passed over"
                } else {
                    "not asked"
                }
            }
            (false, true, false) => "asked",
            (false, true, true) => "held",
            (false, false, false) => "held by the other",
            other => panic!("two have it: {other:?}"),
        });
        *choices = cpu.choices.take();
    };
    Model::new("locks/stopped_anywhere", OUTCOMES).check_choices(scenario);
}
