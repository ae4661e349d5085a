//! Stop-machine and hotplug between threads of the host: every thread is a CPU that gathers the others, takes itself
//! down, brings others up, and takes part in what the others do.
//!
//! Of use above all under Miri, which finds data races and tries weak memory:
//!
//! ```text
//! MIRIFLAGS=-Zmiri-many-seeds=0..64 \
//!     cargo +nightly miri test -p reveille-protocol --target x86_64-unknown-linux-gnu --test stop_threads
//! ```
//!
//! Without it the same runs more often, on the machine's own memory model.

#![cfg(not(target_os = "none"))]

mod threads;

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use reveille_protocol::{
    Action, Arrival, Ending, Entrance, Gate, Holder, Job, LifecycleLock, Mark, Rendezvous, Slot, Snapshot,
    State, Tenure,
};
use threads::{EndAll, Host, HostWord, Plain};

fn add(plain: &Plain<u64>, value: u64) {
    plain.write(plain.read() + value);
}

const CPUS: usize = 4;
/// Deeds of each CPU.
const DEEDS: u64 = if cfg!(miri) { 8 } else { 2_000 };

struct Cpu {
    slot: Slot<Host>,
    mark: Mark<Host>,
    /// What it does when it is not gathered. Its own; read by every job.
    work: Plain<u64>,
    /// How often it did the job of a round for each. Its own in that; read by everyone after that.
    jobs: Plain<u64>,
    /// Its stack and per-CPU data: its own in its life, its booter's in between.
    life: Plain<u64>,
}

struct Machine {
    cpus: [Cpu; CPUS],
    rendezvous: Rendezvous<Host>,
    lock: LifecycleLock<Host>,
    gate: Gate<Host>,
    /// What only the holder of the lock may touch.
    tenures: Plain<u64>,
    /// How often a job for each was done by anyone. The lock holder's.
    jobs: Plain<u64>,
    done: AtomicU32,
    aborted: AtomicU32,
    downs: AtomicU32,
    ups: AtomicU32,
    /// CPUs that have still something to do.
    busy: AtomicU32,
}

/// A CPU in one of its lives.
struct Life<'a> {
    machine: &'a Machine,
    me: usize,
    generation: u32,
    seed: u64,
}

impl Machine {
    fn new() -> Self {
        let online = Snapshot { generation: 0, reason: 0, state: State::Online }.to_bits();
        let cpu = |_| Cpu {
            slot: Slot::from_parts(HostWord::new(online)),
            mark: Mark::new(),
            work: Plain::new(0),
            jobs: Plain::new(0),
            life: Plain::new(0),
        };
        Self {
            cpus: std::array::from_fn(cpu),
            rendezvous: Rendezvous::new(),
            lock: LifecycleLock::new(),
            gate: Gate::new(),
            tenures: Plain::new(0),
            jobs: Plain::new(0),
            done: AtomicU32::new(0),
            aborted: AtomicU32::new(0),
            downs: AtomicU32::new(0),
            ups: AtomicU32::new(0),
            busy: AtomicU32::new(CPUS as u32),
        }
    }

    fn others_online(&self, me: usize) -> u16 {
        (0..CPUS).filter(|&cpu| cpu != me && self.cpus[cpu].slot.read().state == State::Online).count() as u16
    }
}

impl<'a> Life<'a> {
    fn own(&self) -> &'a Cpu {
        &self.machine.cpus[self.me]
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    fn work(&self) {
        add(&self.own().work, 1);
    }

    /// The job of a round: nobody works meanwhile.
    fn job(&self, job: Job) {
        let work = || self.machine.cpus.iter().map(|cpu| cpu.work.read());
        let before: Vec<u64> = work().collect();
        if job == Job::Each {
            add(&self.own().jobs, 1);
        }
        thread::yield_now();
        assert!(work().eq(before));
    }

    /// Takes part in a round, if there is one: the interrupt handler.
    fn serve(&self) {
        while let Some(mut participant) = self.machine.rendezvous.join(&self.own().mark) {
            let mut masked = false;
            loop {
                match participant.step() {
                    // It serves calls meanwhile.
                    Action::OpenInterrupts => self.work(),
                    Action::Wait => thread::yield_now(),
                    Action::Mask => masked = true,
                    Action::RunJob => {
                        assert!(masked);
                        self.job(Job::Each);
                    }
                    Action::Leave(_) => break,
                }
            }
        }
        self.work();
    }

    fn pause(&self) {
        self.serve();
        thread::yield_now();
    }

    fn lock(&self) -> Tenure<'a, Host> {
        let me = Holder { cpu: self.me as u32, generation: self.generation };
        loop {
            let slot = |cpu: u32| self.machine.cpus[cpu as usize].slot.read();
            if let Ok(tenure) = self.machine.lock.try_acquire(me, slot) {
                add(&self.machine.tenures, 1);
                return tenure;
            }
            self.pause();
        }
    }

    /// Gathers the others, with the lock. Whether `job` ran.
    fn round(&mut self, kind: Job, job: impl Fn(&Self)) -> bool {
        let machine = self.machine;
        let others = machine.others_online(self.me);
        let deadline = if self.random(2) == 0 { u64::MAX } else { self.random(20) };
        let Ok(mut initiator) = machine.rendezvous.begin(&self.own().mark, others, kind, deadline) else {
            panic!("a round is under way, although this CPU has the lock");
        };
        let mut masked = false;
        for time in 0.. {
            match initiator.step(time) {
                Action::OpenInterrupts => panic!("they are open"),
                Action::Wait => {
                    if !masked {
                        // An interrupt that comes late.
                        assert!(machine.rendezvous.join(&self.own().mark).is_none());
                        self.work();
                    }
                    thread::yield_now();
                }
                Action::Mask => masked = true,
                Action::RunJob => {
                    self.job(kind);
                    job(self);
                }
                Action::Leave(Ending::Done | Ending::Overtaken) => {
                    if kind == Job::Each {
                        add(&machine.jobs, u64::from(others) + 1);
                    }
                    assert_eq!(
                        machine.cpus.iter().map(|cpu| cpu.jobs.read()).sum::<u64>(),
                        machine.jobs.read()
                    );
                    machine.done.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                Action::Leave(Ending::Aborted) => break,
            }
        }
        machine.aborted.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// Takes itself down. Whether it has.
    fn down(&mut self) -> bool {
        let tenure = self.lock();
        if self.machine.others_online(self.me) == 0 {
            return false;
        }
        let leaves = self.round(Job::Initiator, |life| assert!(life.own().slot.begin_leave(life.generation)));
        if leaves {
            tenure.keep_to_the_end();
            add(&self.own().life, 1);
            self.machine.downs.fetch_add(1, Ordering::Relaxed);
            assert!(self.own().slot.gone(self.generation));
        }
        leaves
    }

    /// Brings one up that is down, if any is.
    fn up(&self) {
        let _tenure = self.lock();
        let Some(cpu) = self.machine.cpus.iter().find(|cpu| cpu.slot.read().state == State::Gone) else {
            return;
        };
        let claim = cpu.slot.claim().ok().unwrap();
        add(&cpu.life, 1);
        let kicked = claim.kick();
        while kicked.poll().state != State::Online {
            thread::yield_now();
        }
        self.machine.ups.fetch_add(1, Ordering::Relaxed);
    }

    /// From coming online to going down, or to the end of its `deeds`.
    fn live(&mut self, deeds: &mut u64) {
        while *deeds > 0 {
            *deeds -= 1;
            match self.random(5) {
                0 if *deeds > 0 => {
                    if self.down() {
                        return;
                    }
                }
                0 | 1 => self.up(),
                deed => {
                    let _tenure = self.lock();
                    self.round(if deed == 2 { Job::Initiator } else { Job::Each }, |_| ());
                }
            }
            self.pause();
        }
    }
}

/// A CPU, over all its lives.
fn run(machine: &Machine, me: usize) {
    let mut deeds = DEEDS;
    let mut life = Life { machine, me, generation: 0, seed: me as u64 };
    loop {
        life.live(&mut deeds);
        if deeds == 0 {
            break;
        }
        // Off; somebody brings it back.
        let slot = &life.own().slot;
        life.generation = loop {
            match slot.read() {
                Snapshot { state: State::Kicked, generation, .. } => break generation,
                _ => thread::yield_now(),
            }
        };
        assert_eq!(slot.arrive(life.generation), Arrival::Won);
        add(&life.own().life, 1);
        assert_eq!(slot.go_online(life.generation, &machine.gate, me as u32), Entrance::Online);
    }
    machine.busy.fetch_sub(1, Ordering::Relaxed);
    while machine.busy.load(Ordering::Relaxed) > 0 {
        life.up();
        life.pause();
    }
}

/// Everyone stops everyone, and comes and goes.
#[test]
fn everyone_stops_everyone() {
    let machine = Machine::new();
    thread::scope(|scope| {
        for me in 0..CPUS {
            let machine = &machine;
            scope.spawn(move || {
                let _end = EndAll;
                run(machine, me);
            });
        }
    });
    let count = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
    assert_eq!(count(&machine.downs), count(&machine.ups));
    println!(
        "{} rounds done, {} called off, {} CPUs down and up",
        count(&machine.done),
        count(&machine.aborted),
        count(&machine.downs)
    );
    if !cfg!(miri) {
        assert!(count(&machine.done) > 0 && count(&machine.aborted) > 0 && count(&machine.downs) > 0);
    }
}
