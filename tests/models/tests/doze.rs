//! Models of the loop of an executor, which polls what is ready, and sleeps when nothing is; and of those who wake it.

#![cfg(not(target_os = "none"))]

use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::atomic::Ordering::{self, AcqRel, Relaxed};

use reveille_models::steps::{self, Steps, between};
use reveille_models::{Choices, LoomArch, LoomWord, Model, Payload, Tally, thread};
use reveille_protocol::{Doze, Word};

/// Two wakers, and the CPU whose loop they wake.
struct World {
    doze: Doze<LoomArch>,
    /// The tasks that are ready, by queue, a bit for each. To push, and to take all, is one read-modify-write, as on embassy's stack.
    ready: [LoomWord; 2],
    /// How these order memory: embassy's by `AcqRel`.
    order: Ordering,
    /// What each waker has for its task.
    tasks: [Payload; 2],
}

/// What becomes of the SGIs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sgis {
    /// Each ends a WFI.
    Arrive,
    /// Each is lost. When all is over, a timer ends the WFI once more.
    GetLost,
}

/// What ends the WFIs of the loop.
struct Wfi {
    /// How many something else ends, the first ones.
    strays: u32,
    sgis: Sgis,
    /// Wakers that are not known to be done. They are alike, so it does not matter which is the first to be.
    wakers: Vec<thread::JoinHandle<u64>>,
    /// How many SGIs were sent.
    sent: u64,
    /// How many of them ended a WFI.
    woken: u64,
    looked: bool,
}

impl Wfi {
    /// `false`: nothing ends it.
    fn wait(&mut self) -> bool {
        if self.strays != 0 {
            self.strays -= 1;
            return true;
        }
        while self.sgis == Sgis::GetLost || self.sent == self.woken {
            let Some(waker) = self.wakers.pop() else {
                return self.sgis == Sgis::GetLost && !mem::replace(&mut self.looked, true);
            };
            self.sent += waker.join().unwrap();
        }
        self.woken += 1;
        true
    }
}

/// What the loop has done.
struct Done {
    polled: [u32; 2],
    /// How often it lay down.
    sleeps: u64,
    /// How often there was nothing to take when a WFI had ended.
    in_vain: u64,
}

impl World {
    fn new(order: Ordering) -> Rc<Self> {
        Rc::new(Self {
            doze: Doze::new(),
            ready: [LoomWord::new(0), LoomWord::new(0)],
            order,
            tasks: [Payload::new(0), Payload::new(0)],
        })
    }

    /// Wakes this task, in that queue. How many SGIs it sends.
    fn wake(&self, task: usize, queue: usize) -> u64 {
        self.tasks[task].write(1);
        // Who finds others there leaves it to the first of them.
        let first = self.ready[queue].fetch_or(1 << task, self.order) == 0;
        u64::from(first && self.doze.raise(1 << queue))
    }

    /// The loop, until it would wait for ever.
    fn run(&self, wfi: &mut Wfi) -> Done {
        let mut done = Done { polled: [0; 2], sleeps: 0, in_vain: 0 };
        let mut slept = false;
        loop {
            let queues = self.doze.take();
            done.in_vain += u64::from(slept && queues == 0);
            slept = false;
            if queues != 0 {
                self.poll(queues, &mut done.polled);
            } else if self.doze.lie_down() {
                done.sleeps += 1;
                slept = wfi.wait();
                if !slept {
                    return done;
                }
            }
        }
    }

    fn poll(&self, queues: u32, polled: &mut [u32; 2]) {
        for queue in (0..2).filter(|queue| queues & 1 << queue != 0) {
            let ready = self.ready[queue].swap(0, self.order);
            for task in (0..2).filter(|task| ready & 1 << task != 0) {
                assert_eq!(self.tasks[task].read(), 1);
                polled[task] += 1;
            }
        }
    }
}

/// Two wake tasks in these queues: each is polled once, by a loop that then sleeps.
fn two(order: Ordering, queues: [usize; 2], sgis: Sgis, strays: u32) -> (Wfi, Done) {
    let world = World::new(order);
    let wakers = [0, 1].map(|task| {
        let world = Rc::clone(&world);
        thread::spawn(move || world.wake(task, queues[task]))
    });
    let mut wfi = Wfi { strays, sgis, wakers: wakers.into(), sent: 0, woken: 0, looked: false };
    let done = world.run(&mut wfi);
    assert_eq!(done.polled, [1, 1], "sleeps although something is ready");
    (wfi, done)
}

/// Each SGI was sent to a loop that slept, and woke it to do something.
fn none_in_vain((wfi, done): (Wfi, Done), tally: &Tally) {
    assert_eq!((wfi.sent, wfi.woken), (done.sleeps - 1, done.sleeps - 1), "SGIs that woke nobody");
    assert_eq!(done.in_vain, 0, "woken in vain");
    tally.hit(match wfi.sent {
        0 => "awake",
        1 => "woken once",
        _ => "woken twice",
    });
}

/// There was at most one SGI for each time that the loop lay down, but for the last, from which it never woke.
fn few((wfi, done): (Wfi, Done), tally: &Tally) {
    assert!(wfi.sent < done.sleeps, "more SGIs than sleeps");
    tally.hit(match wfi.sent {
        0 => "none",
        1 => "one",
        _ => "two",
    });
}

/// Both tasks are in one queue.
#[test]
fn one_queue() {
    Model::new("doze/one_queue", &["awake", "woken once", "woken twice"])
        .check(|tally| none_in_vain(two(AcqRel, [0, 0], Sgis::Arrive, 0), tally));
}

/// Each is in a queue of its own, which orders nothing: the bit hands the task over.
#[test]
fn two_queues() {
    Model::new("doze/two_queues", &["awake", "woken once", "woken twice"])
        .check(|tally| none_in_vain(two(Relaxed, [0, 1], Sgis::Arrive, 0), tally));
}

/// Something else ends a WFI too. Then an SGI may be late.
#[test]
fn woken_by_something_else() {
    Model::new("doze/woken_by_something_else", &["none", "one", "two"])
        .check(|tally| few(two(AcqRel, [0, 0], Sgis::Arrive, 1), tally));
}

/// No SGI arrives: when the loop looks around, it finds everything.
#[test]
fn sgi_lost() {
    Model::new("doze/sgi_lost", &["none", "one", "two"])
        .check(|tally| few(two(Relaxed, [0, 1], Sgis::GetLost, 1), tally));
}

/// Two raise the same bit, each for work of its own that no queue hands over: for each there is a look that sees it.
#[test]
fn same_bit() {
    Model::new("doze/same_bit", &["one look", "two looks"]).check(|tally| {
        struct World {
            doze: Doze<LoomArch>,
            work: [LoomWord; 2],
        }
        let world = Rc::new(World { doze: Doze::new(), work: [LoomWord::new(0), LoomWord::new(0)] });
        let wakers = [0, 1].map(|waker| {
            let world = Rc::clone(&world);
            thread::spawn(move || {
                world.work[waker].store(1, Relaxed);
                assert!(!world.doze.raise(1 << 31), "nobody sleeps");
            })
        });
        let mut seen = [0; 2];
        let mut look = || {
            let raised = world.doze.take() != 0;
            if raised {
                seen = [0, 1].map(|waker| world.work[waker].load(Relaxed));
            }
            raised
        };
        let in_between = look();
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        let in_the_end = look();
        assert_eq!(seen, [1, 1], "raised, and not seen");
        tally.hit(if in_between && in_the_end { "two looks" } else { "one look" });
    });
}

/// What interrupts the one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interrupt {
    /// A handler wakes a task.
    Handler,
    /// So does something at NMI level, or another CPU. They send SGIs.
    Nmi,
    /// Something else, such as the SGI.
    Stray,
}

const ALL: [Interrupt; 3] = [Interrupt::Handler, Interrupt::Nmi, Interrupt::Stray];

/// One CPU, whose loop is interrupted between any two of its steps.
struct Cpu {
    doze: Doze<Steps>,
    /// How many tasks are ready.
    ready: Cell<u32>,
    polled: Cell<u32>,
    /// How many were woken.
    woken: Cell<u32>,
    closed: Cell<bool>,
    /// Handlers on the stack.
    handlers: Cell<u32>,
    pending: RefCell<Vec<Interrupt>>,
    /// Interrupts that may still come.
    left: Cell<u32>,
    sleeps: Cell<u32>,
    choices: RefCell<Choices>,
}

impl Cpu {
    /// Whatever may interrupt the CPU here does, or does not.
    fn come(self: &Rc<Self>) {
        if self.left.get() != 0 {
            let picked = self.choices.borrow_mut().pick(1 + ALL.len());
            if picked != 0 {
                self.left.set(self.left.get() - 1);
                match ALL[picked - 1] {
                    // At once, whatever is closed.
                    Interrupt::Nmi => {
                        if self.wake() {
                            self.pending.borrow_mut().push(Interrupt::Stray);
                        }
                    }
                    interrupt => self.pending.borrow_mut().push(interrupt),
                }
            }
        }
        self.take();
    }

    /// Takes what is pending, unless interrupts are closed.
    fn take(self: &Rc<Self>) {
        while !self.closed.get() {
            let Some(interrupt) = self.pending.borrow_mut().pop() else { break };
            if interrupt == Interrupt::Handler {
                let own = Rc::clone(self);
                self.handlers.set(self.handlers.get() + 1);
                // Another one may come in its middle. It sends no SGI, whether the loop sleeps or not.
                steps::armed(Rc::new(move || own.come()), || self.wake());
                self.handlers.set(self.handlers.get() - 1);
            }
        }
    }

    /// Wakes a task. Whether the loop is to be woken.
    fn wake(&self) -> bool {
        self.woken.set(self.woken.get() + 1);
        between();
        let first = self.ready.replace(self.ready.get() + 1) == 0;
        between();
        first && self.doze.raise(1)
    }

    /// The loop, until it waits for ever.
    fn run(self: &Rc<Self>) {
        for _ in 0..16 {
            if self.doze.take() != 0 {
                between();
                self.polled.set(self.polled.get() + self.ready.take());
                between();
            } else {
                between();
                self.closed.set(true);
                if self.doze.lie_down() {
                    self.wait();
                }
                self.closed.set(false);
                self.take();
            }
        }
        panic!("neither sleeps nor has anything to do");
    }

    /// A WFI, which an interrupt ends that is pending, or comes.
    fn wait(self: &Rc<Self>) {
        assert!(self.closed.get() && self.handlers.get() == 0);
        self.come();
        if self.pending.borrow().is_empty() {
            assert_eq!(self.ready.get(), 0, "waits although something is ready");
            // And for ever, as nothing comes any more in this execution, or only later.
            panic::resume_unwind(Box::new(Asleep));
        }
        self.sleeps.set(self.sleeps.get() + 1);
    }
}

/// The CPU waits.
struct Asleep;

fn interrupted(interrupts: u32) -> impl FnMut(&mut Choices, &Tally) {
    move |choices, tally| {
        let cpu = Rc::new(Cpu {
            doze: Doze::new(),
            ready: Cell::new(0),
            polled: Cell::new(0),
            woken: Cell::new(0),
            closed: Cell::new(false),
            handlers: Cell::new(0),
            pending: RefCell::new(Vec::new()),
            left: Cell::new(interrupts),
            sleeps: Cell::new(0),
            choices: RefCell::new(mem::take(choices)),
        });
        let own = Rc::clone(&cpu);
        let end = panic::catch_unwind(AssertUnwindSafe(|| {
            steps::armed(Rc::new(move || own.come()), || cpu.run());
        }));
        match end {
            Err(end) if end.is::<Asleep>() => {}
            Err(end) => panic::resume_unwind(end),
            Ok(()) => unreachable!("the loop ends by a panic"),
        }
        assert_eq!(cpu.polled.get(), cpu.woken.get());
        tally.hit(match (cpu.woken.get(), cpu.sleeps.get()) {
            (0, 0) => "nothing came",
            (0, _) => "woken in vain",
            (_, 0) => "polled before it slept",
            _ => "slept and polled",
        });
        *choices = cpu.choices.take();
    }
}

const OUTCOMES: &[&str] = &["nothing came", "woken in vain", "polled before it slept", "slept and polled"];

/// One interrupt, anywhere.
#[test]
fn interrupted_once() {
    Model::new("doze/interrupted_once", OUTCOMES).check_choices(interrupted(1));
}

/// Three, one in the handler of another too.
#[test]
fn interrupted_again_and_again() {
    Model::new("doze/interrupted_again_and_again", OUTCOMES).check_choices(interrupted(3));
}
