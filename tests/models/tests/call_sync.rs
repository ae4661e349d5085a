//! Models of synchronous calls, with and without a deadline.
//!
//! `stack` is what a caller lends to its callees. The caller writes it as soon as it has got it back, so a callee
//! that is not done with it fails the model.

#![cfg(not(target_os = "none"))]

use std::mem;
use std::rc::Rc;

use reveille_models::{LoomArch, LoomWord, Model, Payload, thread};
use reveille_protocol::{
    Calling, Closed, DeadlineCall, DeadlineState, Message, Pool, Queue, SyncCall, Taken, Ticket, Word,
};

/// One CPU: its queue, and what it needs to call others.
struct Cpu {
    queue: Queue<LoomArch>,
    call: SyncCall<LoomArch>,
    /// What is called, and where the rest is.
    payload: Payload,
    /// Whether there is one callee: part of what is called.
    alone: Payload,
    /// What the callees read, and what each of them writes.
    stack: Payload,
    results: [Payload; 3],
}

/// Looks after which a wait, with a yield between them, counts as endless.
const LOOKS: u32 = 30;

struct Machine(Vec<Cpu>);

impl Machine {
    fn new(cpus: usize) -> Rc<Self> {
        let cpu = |_| Cpu {
            queue: Queue::new(),
            call: SyncCall::new(),
            payload: Payload::new(0),
            alone: Payload::new(2),
            stack: Payload::new(0),
            results: [Payload::new(0), Payload::new(0), Payload::new(0)],
        };
        let machine = Self((0..cpus).map(cpu).collect());
        machine.0.iter().for_each(|cpu| cpu.queue.open());
        Rc::new(machine)
    }

    /// CPU `me` calls `targets`. `value` goes there; who refused is not waited for.
    fn begin(&self, me: usize, targets: &[usize], value: u64) -> (Calling<'_, LoomArch>, usize) {
        let cpu = &self.0[me];
        assert!(cpu.call.is_idle(), "has a call under way");
        let mut calling = cpu.call.begin(targets.len() as u32);
        cpu.payload.write(value);
        cpu.alone.write(u64::from(targets.len() == 1));
        cpu.stack.write(value);
        let refused =
            targets.iter().filter(|&&target| self.0[target].queue.call(me as u32) == Err(Closed)).count();
        if refused != 0 {
            calling.take_back(refused as u32);
        }
        (calling, refused)
    }

    /// Waits for the callees. A wait that does not end fails the model here, because in the drop it would go on.
    fn wait(calling: Calling<'_, LoomArch>) {
        let done = (0..LOOKS).any(|_| {
            let done = calling.is_done();
            if !done {
                thread::yield_now();
            }
            done
        });
        if done {
            calling.wait(|_| unreachable!("done, and then not"));
        } else {
            mem::forget(calling);
            panic!("waits for ever");
        }
    }

    /// The stack is the caller's again.
    fn end(&self, me: usize) {
        self.0[me].stack.write(0);
        self.0[me].payload.write(0);
        self.0[me].alone.write(2);
    }

    /// CPU `me` serves its queue once. How many calls it has run.
    fn serve(&self, me: usize) -> usize {
        let taken = self.0[me].queue.take();
        match taken.only_call() {
            Some(caller) => {
                self.run(me, caller);
                1
            }
            None => self.run_all(me, taken),
        }
    }

    fn run_all(&self, me: usize, taken: Taken) -> usize {
        taken.in_order::<LoomArch>(&[]).map(|message| self.run_message(me, message)).count()
    }

    fn run_message(&self, me: usize, message: Message) {
        let Message::Call(caller) = message else { unreachable!("nobody posts") };
        self.run(me, caller);
    }

    fn run(&self, me: usize, caller: u32) {
        let caller = &self.0[caller as usize];
        let value = caller.payload.read();
        assert_eq!(caller.stack.read(), value);
        caller.results[me].write(value + me as u64);
        if caller.alone.read() != 0 {
            caller.call.finish_only();
        } else {
            caller.call.finish();
        }
    }

    fn spawn<T: 'static>(self: &Rc<Self>, f: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let machine = Rc::clone(self);
        thread::spawn(move || f(&machine))
    }
}

/// One call, and another right after it: each finds what the other side wrote.
#[test]
fn hand_back() {
    Model::new("call_sync/hand_back", &["waited", "at_once"]).check(|tally| {
        let machine = Machine::new(2);
        let callee = machine.spawn(|machine| {
            let mut ran = 0;
            while ran < 2 {
                match machine.serve(1) {
                    0 => thread::yield_now(),
                    some => ran += some,
                }
            }
        });
        for value in [10, 20] {
            let (calling, refused) = machine.begin(0, &[1], value);
            assert_eq!(refused, 0);
            if value == 20 {
                tally.hit(if calling.is_done() { "at_once" } else { "waited" });
            }
            Machine::wait(calling);
            assert_eq!(machine.0[0].results[1].read(), value + 1);
            machine.end(0);
        }
        callee.join().unwrap();
    });
}

/// One call to two CPUs.
#[test]
fn broadcast() {
    Model::new("call_sync/broadcast", &["waited", "at_once"]).check(|tally| {
        let machine = Machine::new(3);
        let callee = |me: usize| {
            machine.spawn(move |machine| {
                while machine.serve(me) == 0 {
                    thread::yield_now();
                }
            })
        };
        let callees = [callee(1), callee(2)];
        let (calling, refused) = machine.begin(0, &[1, 2], 10);
        assert_eq!(refused, 0);
        tally.hit(if calling.is_done() { "at_once" } else { "waited" });
        Machine::wait(calling);
        assert_eq!((machine.0[0].results[1].read(), machine.0[0].results[2].read()), (11, 12));
        machine.end(0);
        callees.into_iter().for_each(|callee| callee.join().unwrap());
    });
}

/// One call to two CPUs, of which one may leave.
#[test]
fn broadcast_against_close() {
    Model::new("call_sync/broadcast_against_close", &["both", "one"]).check(|tally| {
        let machine = Machine::new(3);
        let stays = machine.spawn(|machine| {
            while machine.serve(1) == 0 {
                thread::yield_now();
            }
        });
        let leaves = machine.spawn(|machine| {
            let kept = machine.0[2].queue.close();
            machine.run_all(2, kept)
        });
        let (calling, refused) = machine.begin(0, &[1, 2], 10);
        // Dropped: waits.
        drop(calling);
        assert_eq!(machine.0[0].results[1].read(), 11);
        assert_eq!(machine.0[0].results[2].read(), if refused == 0 { 12 } else { 0 });
        machine.end(0);
        stays.join().unwrap();
        assert_eq!(leaves.join().unwrap(), 1 - refused);
        tally.hit(if refused == 0 { "both" } else { "one" });
    });
}

/// Two CPUs call each other, and serve while they wait.
#[test]
fn each_other() {
    Model::new("call_sync/each_other", &["served_while_waiting", "served_after"]).check(|tally| {
        fn member(machine: &Machine, me: usize) -> usize {
            let other = 1 - me;
            let (calling, refused) = machine.begin(me, &[other], 10);
            assert_eq!(refused, 0);
            let mut ran = 0;
            calling.wait(|_| {
                ran += machine.serve(me);
                thread::yield_now();
            });
            assert_eq!(machine.0[me].results[other].read(), 10 + other as u64);
            machine.end(me);
            let meanwhile = ran;
            while ran == 0 {
                ran += machine.serve(me);
                thread::yield_now();
            }
            assert_eq!(ran, 1);
            meanwhile
        }
        let machine = Machine::new(2);
        let other = machine.spawn(|machine| member(machine, 1));
        let meanwhile = member(&machine, 0);
        assert!(other.join().unwrap() + meanwhile >= 1, "both were served by someone who did not wait");
        tally.hit(if meanwhile == 1 { "served_while_waiting" } else { "served_after" });
    });
}

/// Three CPUs call each other in a ring. Each serves once while it waits, and the rest when all have begun to
/// wait: that ends every call.
#[test]
fn ring() {
    Model::new("call_sync/ring", &["some", "all"]).check(|tally| {
        const CPUS: usize = 3;
        fn member(machine: &Machine, me: usize) -> usize {
            let (calling, refused) = machine.begin(me, &[(me + 1) % CPUS], 10);
            assert_eq!(refused, 0);
            let ran = machine.serve(me);
            // The wait is not over; `main` waits on.
            mem::forget(calling);
            ran
        }
        let machine = Machine::new(CPUS);
        let others = [1, 2].map(|me| machine.spawn(move |machine| member(machine, me)));
        let mut early = member(&machine, 0);
        early += others.into_iter().map(|other| other.join().unwrap()).sum::<usize>();
        let late: usize = (0..CPUS).map(|me| machine.serve(me)).sum();
        assert_eq!(early + late, CPUS);
        for (me, cpu) in machine.0.iter().enumerate() {
            assert!(cpu.call.is_idle(), "still waits");
            let next = (me + 1) % CPUS;
            assert_eq!(cpu.results[next].read(), 10 + next as u64);
            machine.end(me);
        }
        // Whoever was told last, and then serves, finds it.
        assert_ne!(early, 0);
        tally.hit(if early == CPUS { "all" } else { "some" });
    });
}

/// A caller with deadlines and its target. Each closure carries its ticket and its number, by which it knows its
/// part of the caller's stack.
struct Deadlines {
    call: DeadlineCall<LoomArch>,
    pool: Pool<LoomArch>,
    links: Vec<LoomWord>,
    closures: Vec<loom::cell::Cell<Option<(Ticket, usize)>>>,
    queue: Queue<LoomArch>,
    stack: Vec<Payload>,
}

impl Deadlines {
    fn new(calls: usize) -> Rc<Self> {
        let deadlines = Self {
            call: DeadlineCall::new(),
            pool: Pool::new(2),
            links: (0..2).map(|_| LoomWord::new(0)).collect(),
            closures: (0..2).map(|_| loom::cell::Cell::new(None)).collect(),
            queue: Queue::new(),
            stack: (0..calls).map(|_| Payload::new(0)).collect(),
        };
        deadlines.queue.open();
        Rc::new(deadlines)
    }

    /// Makes call `number`, and awaits it only as long as `patience` looks. `true`: it ran.
    fn call(&self, number: usize, patience: u32) -> bool {
        let mut pending = self.call.begin().expect("has a call under way");
        self.stack[number].write(10);
        let node = self.pool.acquire().expect("busy");
        self.closures[node as usize].set(Some((pending.ticket(), number)));
        assert!(self.queue.post(&self.links, node).is_ok());
        let mut ran = false;
        for _ in 0..patience {
            ran = ran || pending.state() == DeadlineState::Done;
        }
        if !ran {
            match pending.cancel() {
                Ok(()) => {
                    assert_eq!(self.stack[number].read(), 10);
                    self.stack[number].write(30);
                    return false;
                }
                Err(running) => pending = running,
            }
        }
        pending.wait(|_| thread::yield_now());
        assert_eq!(self.stack[number].read(), 20);
        self.stack[number].write(30);
        true
    }

    /// The target looks once. How many came, and how many of them it ran.
    fn serve(&self) -> (usize, usize) {
        let (mut came, mut ran) = (0, 0);
        for message in self.queue.take().in_order::<LoomArch>(&self.links) {
            let Message::Post(node) = message else { unreachable!("nobody calls without a deadline") };
            let (ticket, number) = self.closures[node as usize].take().expect("an empty node");
            self.pool.release(node);
            came += 1;
            if let Some(started) = self.call.start(ticket) {
                assert_eq!(self.stack[number].read(), 10);
                self.stack[number].write(20);
                drop(started);
                ran += 1;
            }
        }
        (came, ran)
    }

    fn spawn<T: 'static>(self: &Rc<Self>, f: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let deadlines = Rc::clone(self);
        thread::spawn(move || f(&deadlines))
    }
}

/// The deadline passes while the callee comes to the call: it ran, and its result is there, or it never touched
/// the caller's stack.
#[test]
fn cancel_against_start() {
    Model::new("call_sync/cancel_against_start", &["ran", "cancelled"]).check(|tally| {
        let deadlines = Deadlines::new(1);
        let callee = deadlines.spawn(|deadlines| {
            loop {
                match deadlines.serve() {
                    (0, _) => thread::yield_now(),
                    (came, ran) => {
                        assert_eq!(came, 1);
                        return ran == 1;
                    }
                }
            }
        });
        let ran = deadlines.call(0, 1);
        assert_eq!(callee.join().unwrap(), ran);
        tally.hit(if ran { "ran" } else { "cancelled" });
    });
}

/// A caller loses patience and calls again, while the callee comes to the first call: it never takes one call
/// for the other.
#[test]
fn stale_ticket() {
    Model::new("call_sync/stale_ticket", &["both", "first", "second", "neither"]).check(|tally| {
        let deadlines = Deadlines::new(2);
        let callee = deadlines.spawn(|deadlines| {
            let (mut came, mut ran) = (0, 0);
            while came < 2 {
                let served = deadlines.serve();
                if served.0 == 0 {
                    thread::yield_now();
                }
                came += served.0;
                ran += served.1;
            }
            ran
        });
        let first = deadlines.call(0, 0);
        let second = deadlines.call(1, 0);
        assert_eq!(callee.join().unwrap(), usize::from(first) + usize::from(second));
        tally.hit(match (first, second) {
            (true, true) => "both",
            (true, false) => "first",
            (false, true) => "second",
            (false, false) => "neither",
        });
    });
}
