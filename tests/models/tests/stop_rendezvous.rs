//! Models of the rendezvous.
//!
//! A participant is never sent anything here that would order memory: it looks by itself, at any time, as one
//! does that was told of an earlier round. All that orders is the word of the rendezvous.

#![cfg(not(target_os = "none"))]

use std::cell::RefCell;

use loom::thread;
use reveille_models::{LoomArch, Model, Payload};
use reveille_protocol::{
    Action, Arch, Ending, Initiator, Job, Mark, Participant, Rendezvous, Stage, Standing,
};

const NEVER: u64 = u64::MAX;

/// What happens to whom, in the order in which it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Mask(usize),
    Run(usize),
}

struct World {
    rendezvous: Rendezvous<LoomArch>,
    marks: Vec<Mark<LoomArch>>,
    /// What the job is: memory of the initiator, reused as soon as the round is over.
    job: Payload,
    /// What each CPU wrote in the course of what it did otherwise.
    own: Vec<Payload>,
    /// What the job leaves behind on each CPU.
    result: Vec<Payload>,
    events: RefCell<Vec<Event>>,
}

/// A world that CPUs can take along from one thread to another. Lives until the end of the execution.
#[derive(Clone, Copy)]
struct Ground(&'static World);

impl std::ops::Deref for Ground {
    type Target = World;

    fn deref(&self) -> &'static World {
        self.0
    }
}

impl Ground {
    fn new(cpus: usize) -> Self {
        let payloads = || (0..cpus).map(|_| Payload::new(0)).collect();
        Self(Box::leak(Box::new(World {
            rendezvous: Rendezvous::new(),
            marks: (0..cpus).map(|_| Mark::new()).collect(),
            job: Payload::new(0),
            own: payloads(),
            result: payloads(),
            events: RefCell::default(),
        })))
    }

    /// The end of the execution.
    ///
    /// # Safety
    ///
    /// Nobody has the world, or anything that borrows from it, any more.
    unsafe fn clear(self) {
        // SAFETY: it came from a `Box`, and is not used again (the caller's).
        drop(unsafe { Box::from_raw(std::ptr::from_ref(self.0).cast_mut()) });
    }

    fn begin(self, cpu: usize, job: Job, deadline: u64) -> Leader {
        let others = u16::try_from(self.marks.len() - 1).unwrap();
        let begun = self.0.rendezvous.begin(&self.0.marks[cpu], others, job, deadline);
        let initiator = begun.unwrap_or_else(|standing| panic!("{standing:?}"));
        let round = initiator.standing().round;
        Leader { world: self, cpu, initiator, round, ending: None }
    }

    fn attend(self, cpu: usize) -> Attendant {
        Attendant { world: self, cpu, part: None, parts: Vec::new() }
    }
}

impl World {
    fn event(&self, event: Event) {
        self.events.borrow_mut().push(event);
    }

    /// The job of round `round`, on `cpu`: it sees what all CPUs have written.
    fn run(&self, cpu: usize, round: u64) {
        assert_eq!(self.job.read(), round);
        for own in &self.own {
            assert_eq!(own.read(), round);
        }
        self.result[cpu].write(round);
        self.event(Event::Run(cpu));
    }

    /// After the job: what it left behind on each CPU that had to do it is seen.
    fn check_results(&self, job: Job, round: u64) {
        let cpus = if job == Job::Each { self.marks.len() } else { 1 };
        for result in &self.result[..cpus] {
            assert_eq!(result.read(), round);
        }
    }

    /// Everyone masked before the initiator, CPU 0, and nothing ran before that.
    fn check_order(&self) {
        let events = self.events.borrow();
        let last = events.iter().position(|event| *event == Event::Mask(0)).unwrap();
        for cpu in 0..self.marks.len() {
            assert!(events[..=last].contains(&Event::Mask(cpu)), "{cpu} masked after the initiator");
        }
        assert!(events[..last].iter().all(|event| matches!(event, Event::Mask(_))), "ran before all masked");
    }
}

/// How a CPU waits: so many times, and then it stops where it is, to go on when all others have stopped too.
#[derive(Clone, Copy)]
struct Waits {
    left: u32,
    relax: bool,
}

impl Waits {
    /// Until there is nothing to wait for: only for two CPUs. Three can make loom let two of them wait for the third
    /// for ever.
    const ENDLESS: Self = Self::upto(u32::MAX);
    const NONE: Self = Self::upto(0);

    const fn upto(left: u32) -> Self {
        Self { left, relax: true }
    }

    /// Without letting others go on, who may do so all the same.
    const fn busy(left: u32) -> Self {
        Self { left, relax: false }
    }

    fn wait(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        if self.relax {
            LoomArch::relax();
        }
        true
    }
}

/// A participant's part in a round: which, how often it ran the job, how far it came, how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    round: u64,
    runs: u32,
    masked: bool,
    ending: Ending,
}

/// A CPU that takes part in rounds.
struct Attendant {
    world: Ground,
    cpu: usize,
    part: Option<(Participant<'static, LoomArch>, Part)>,
    parts: Vec<Part>,
}

impl Attendant {
    /// Takes part, until it has taken part in `rounds` or `waits` runs out. Whether it has.
    fn go(&mut self, rounds: usize, mut waits: Waits) -> bool {
        while self.parts.len() < rounds {
            let Some((participant, part)) = &mut self.part else {
                match self.world.0.rendezvous.join(&self.world.0.marks[self.cpu]) {
                    Some(participant) => {
                        let round = participant.round();
                        let part = Part { round, runs: 0, masked: false, ending: Ending::Aborted };
                        self.part = Some((participant, part));
                    }
                    None if waits.wait() => {}
                    None => return false,
                }
                continue;
            };
            match participant.step() {
                Action::OpenInterrupts => assert!(!part.masked),
                Action::Wait if waits.wait() => {}
                Action::Wait => return false,
                Action::Mask => {
                    assert!(!part.masked);
                    part.masked = true;
                    self.world.event(Event::Mask(self.cpu));
                }
                Action::RunJob => {
                    assert!(part.masked);
                    part.runs += 1;
                    self.world.run(self.cpu, part.round);
                }
                Action::Leave(ending) => {
                    part.ending = ending;
                    self.parts.push(*part);
                    self.part = None;
                }
            }
        }
        true
    }
}

/// The CPU that began a round.
struct Leader {
    world: Ground,
    cpu: usize,
    initiator: Initiator<'static, LoomArch>,
    round: u64,
    ending: Option<Ending>,
}

impl Leader {
    /// Goes on, at the times that `clock` tells, until the round is over or `waits` runs out.
    fn go(&mut self, mut clock: impl FnMut() -> u64, mut waits: Waits) -> Option<Ending> {
        while self.ending.is_none() {
            match self.initiator.step(clock()) {
                Action::OpenInterrupts => {}
                Action::Wait if waits.wait() => {}
                Action::Wait => break,
                Action::Mask => self.world.event(Event::Mask(self.cpu)),
                Action::RunJob => self.world.run(self.cpu, self.round),
                Action::Leave(ending) => self.ending = Some(ending),
            }
        }
        self.ending
    }
}

/// All CPUs have stopped where they were. One after the other they go on now, to the end of the round: nobody can
/// be left waiting.
fn settle(leader: &mut Leader, attendants: &mut [Attendant], rounds: usize) {
    for _ in 0..8 {
        leader.go(|| 0, Waits::NONE);
        for attendant in &mut *attendants {
            attendant.go(rounds, Waits::NONE);
        }
    }
    assert!(leader.ending.is_some(), "the initiator waits for ever");
    assert!(attendants.iter().all(|attendant| attendant.part.is_none()), "a participant waits for ever");
}

/// A round without a deadline: everyone is gathered, masked in the right order and released; the job runs once
/// on each CPU that is to run it, sees what everyone wrote before, and what it writes is seen by everyone after.
fn gather(model: Model, cpus: usize, job: Job, waits: Waits) {
    model.check(move |tally| {
        let world = Ground::new(cpus);
        let threads: Vec<_> = (1..cpus)
            .map(|cpu| {
                thread::spawn(move || {
                    let mut attendant = world.attend(cpu);
                    world.own[cpu].write(1);
                    if attendant.go(1, waits) {
                        world.check_results(job, 1);
                    }
                    attendant
                })
            })
            .collect();
        world.job.write(1);
        let mut leader = world.begin(0, job, NEVER);
        // As an interrupt handler does that runs while the others are gathered: the job sees it.
        world.own[0].write(1);
        let alone = leader.go(|| 0, waits).is_some();
        if alone {
            world.job.write(0);
            world.check_results(job, 1);
        }
        let mut attendants: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        settle(&mut leader, &mut attendants, 1);
        for attendant in &attendants {
            let runs = u32::from(job == Job::Each);
            assert_eq!(attendant.parts, [Part { round: 1, runs, masked: true, ending: Ending::Done }]);
        }
        assert_eq!((leader.ending, leader.initiator.standing().stage), (Some(Ending::Done), Stage::Idle));
        world.check_results(job, 1);
        world.check_order();
        tally.hit(if alone { "done" } else { "settled" });
        drop((leader, attendants));
        // SAFETY: the other threads have ended, and all that was left is dropped.
        unsafe { world.clear() };
    });
}

/// Two CPUs, the job on one.
#[test]
fn gather_two() {
    let model = Model::new("rendezvous/gather_two", &["done"]).preemptions(3);
    gather(model, 2, Job::Initiator, Waits::ENDLESS);
}

/// Two CPUs, the job on both.
#[test]
fn gather_two_each() {
    let model = Model::new("rendezvous/gather_two_each", &["done"]).preemptions(3);
    gather(model, 2, Job::Each, Waits::ENDLESS);
}

/// Three CPUs, the job on one.
#[test]
fn gather_three() {
    let model = Model::new("rendezvous/gather_three", &["done", "settled"]).preemptions(2);
    gather(model, 3, Job::Initiator, Waits::upto(2));
}

/// Three CPUs, the job on all.
#[test]
fn gather_three_each() {
    let model = Model::new("rendezvous/gather_three_each", &["done", "settled"]).preemptions(2);
    gather(model, 3, Job::Each, Waits::upto(3));
}
