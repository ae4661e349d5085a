//! Cross-calls between threads of the host: every thread is a CPU that calls and posts to the others while it
//! serves its own queue.
//!
//! Of use above all under Miri, which finds data races and tries weak memory:
//!
//! ```text
//! MIRIFLAGS=-Zmiri-many-seeds=0..64 \
//!     cargo +nightly miri test -p reveille-protocol --target x86_64-unknown-linux-gnu --test call_threads
//! ```
//!
//! Without it the same runs more often, on the machine's own memory model.

#![cfg(not(target_os = "none"))]

mod threads;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use reveille_protocol::{DeadlineCall, Message, Pool, Queue, SyncCall, Taken, Ticket};
use threads::{EndAll, Host, HostWord, Plain};

const CPUS: usize = 3;
const NODES: usize = 2;
/// Rounds of each CPU. In each it posts, calls, or calls with a deadline.
const ROUNDS: u64 = if cfg!(miri) { 12 } else { 20_000 };

/// What a node carries.
#[derive(Clone, Copy)]
enum Closure {
    Empty,
    /// The sender's count of what it has sent to this CPU.
    Post(u64),
    /// A call with a deadline, with the count.
    Deadline(Ticket, u64),
}

struct Cpu {
    queue: Queue<Host>,
    pool: Pool<Host>,
    call: SyncCall<Host>,
    deadline: DeadlineCall<Host>,
    /// Lent by the caller to its callees, one at a time or all at once: the argument, and a result from each.
    argument: Plain<u64>,
    results: [Plain<u64>; CPUS],
    /// By sender: the count of the message that ran last. This CPU's alone.
    last: [Plain<u64>; CPUS],
    ran: AtomicU32,
}

struct Machine {
    cpus: Vec<Cpu>,
    links: Vec<HostWord>,
    closures: Vec<Plain<Closure>>,
    over: AtomicBool,
}

impl Machine {
    fn new() -> Self {
        let cpu = |_| Cpu {
            queue: Queue::new(),
            pool: Pool::new(NODES as u32),
            call: SyncCall::new(),
            deadline: DeadlineCall::new(),
            argument: Plain::new(0),
            results: [const { Plain::new(0) }; CPUS],
            last: [const { Plain::new(0) }; CPUS],
            ran: AtomicU32::new(0),
        };
        Self {
            cpus: (0..CPUS).map(cpu).collect(),
            links: (0..CPUS * NODES).map(|_| HostWord::new(0)).collect(),
            closures: (0..CPUS * NODES).map(|_| Plain::new(Closure::Empty)).collect(),
            over: AtomicBool::new(false),
        }
    }

    /// CPU `me` has come to the message `count` of CPU `from`.
    fn ran(&self, me: usize, from: usize, count: u64) {
        let last = &self.cpus[me].last[from];
        assert!(last.read() < count, "out of order, or twice");
        last.write(count);
        self.cpus[me].ran.fetch_add(1, Ordering::Relaxed);
    }

    fn serve(&self, me: usize) {
        self.run_all(me, self.cpus[me].queue.take());
    }

    fn run_all(&self, me: usize, taken: Taken) {
        match taken.only_call() {
            Some(caller) => self.run(me, Message::Call(caller)),
            None => taken.in_order::<Host>(&self.links).for_each(|message| self.run(me, message)),
        }
    }

    fn run(&self, me: usize, message: Message) {
        match message {
            Message::Call(from) => {
                let from = from as usize;
                let caller = &self.cpus[from];
                let count = caller.argument.read();
                self.ran(me, from, count);
                caller.results[me].write(count + 1);
                caller.call.finish();
            }
            Message::Post(node) => {
                let (from, slot) = (node as usize / NODES, node as usize % NODES);
                let caller = &self.cpus[from];
                let closure = self.closures[node as usize].read();
                self.closures[node as usize].write(Closure::Empty);
                caller.pool.release(slot as u32);
                match closure {
                    Closure::Empty => panic!("an empty node"),
                    Closure::Post(count) => self.ran(me, from, count),
                    Closure::Deadline(ticket, count) => {
                        if let Some(started) = caller.deadline.start(ticket) {
                            assert_eq!(caller.argument.read(), count);
                            self.ran(me, from, count);
                            caller.results[me].write(count + 1);
                            drop(started);
                        }
                    }
                }
            }
        }
    }

    /// `false`: busy, or the target has left.
    fn post(&self, me: usize, to: usize, closure: Closure) -> bool {
        let Some(slot) = self.cpus[me].pool.acquire() else { return false };
        let node = me * NODES + slot as usize;
        self.closures[node].write(closure);
        let sent = self.cpus[to].queue.post(&self.links, node as u32).is_ok();
        if !sent {
            self.closures[node].write(Closure::Empty);
            self.cpus[me].pool.put_back(slot);
        }
        sent
    }

    /// Calls all the others. How many.
    fn call_all(&self, me: usize, count: u64) -> u32 {
        let cpu = &self.cpus[me];
        let mut calling = cpu.call.begin(CPUS as u32);
        cpu.argument.write(count);
        let told: Vec<usize> =
            (0..CPUS).filter(|&to| to != me && self.cpus[to].queue.call(me as u32).is_ok()).collect();
        calling.take_back((CPUS - told.len()) as u32);
        calling.wait(|_| {
            self.serve(me);
            thread::yield_now();
        });
        for &to in &told {
            assert_eq!(cpu.results[to].read(), count + 1);
        }
        cpu.argument.write(0);
        told.len() as u32
    }

    /// Calls one, with little patience. Whether it ran.
    fn call_for_a_while(&self, me: usize, to: usize, count: u64) -> bool {
        let cpu = &self.cpus[me];
        let pending = cpu.deadline.begin().unwrap();
        cpu.argument.write(count);
        let sent = self.post(me, to, Closure::Deadline(pending.ticket(), count));
        if sent && count.is_multiple_of(2) {
            thread::yield_now();
        }
        match pending.cancel() {
            Ok(()) => {
                cpu.argument.write(0);
                false
            }
            Err(running) => {
                running.wait(|_| {
                    self.serve(me);
                    thread::yield_now();
                });
                assert_eq!(cpu.results[to].read(), count + 1);
                cpu.argument.write(0);
                true
            }
        }
    }

    /// One CPU's life. How many messages of its own were accepted, or ran if that is the question.
    fn live(&self, me: usize, start: &Barrier) -> u32 {
        self.cpus[me].queue.open();
        start.wait();
        let mut sent = 0;
        for count in 1..=ROUNDS {
            let to = (me + 1 + count as usize % (CPUS - 1)) % CPUS;
            sent += match count % 3 {
                0 => self.call_all(me, count),
                1 => u32::from(self.post(me, to, Closure::Post(count))),
                _ => u32::from(self.call_for_a_while(me, to, count)),
            };
            self.serve(me);
        }
        sent
    }
}

/// All CPUs call and post at once, and leave one after the other: whatever was accepted ran exactly once, in the
/// order of each sender.
#[test]
fn everyone_calls_everyone() {
    let machine = Machine::new();
    let start = Barrier::new(CPUS);
    let left = AtomicU32::new(CPUS as u32);
    let sent: u32 = thread::scope(|scope| {
        let threads: Vec<_> = (0..CPUS)
            .map(|me| {
                let (machine, start, left) = (&machine, &start, &left);
                scope.spawn(move || {
                    let _end = EndAll;
                    let sent = machine.live(me, start);
                    if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                        machine.over.store(true, Ordering::Relaxed);
                    }
                    // The first CPU leaves early, while the others may still send.
                    while me != 0 && !machine.over.load(Ordering::Relaxed) {
                        machine.serve(me);
                        thread::yield_now();
                    }
                    machine.run_all(me, machine.cpus[me].queue.close());
                    sent
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let ran: u32 = machine.cpus.iter().map(|cpu| cpu.ran.load(Ordering::Relaxed)).sum();
    assert_eq!(ran, sent);
    for cpu in &machine.cpus {
        let nodes = std::iter::from_fn(|| cpu.pool.acquire()).count();
        assert_eq!(nodes, NODES, "a node was lost");
    }
}

/// All but the last CPU post to it, and nothing flows back to them but nodes.
#[test]
fn posts_alone() {
    const TO: usize = CPUS - 1;
    let machine = Machine::new();
    machine.cpus[TO].queue.open();
    let senders = AtomicU32::new(TO as u32);
    thread::scope(|scope| {
        for me in 0..TO {
            let (machine, senders) = (&machine, &senders);
            scope.spawn(move || {
                let _end = EndAll;
                for count in 1..=ROUNDS {
                    while !machine.post(me, TO, Closure::Post(count)) {
                        thread::yield_now();
                    }
                }
                senders.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let _end = EndAll;
        while senders.load(Ordering::Relaxed) != 0 {
            machine.serve(TO);
            thread::yield_now();
        }
    });
    machine.serve(TO);
    assert_eq!(u64::from(machine.cpus[TO].ran.load(Ordering::Relaxed)), TO as u64 * ROUNDS);
}
