//! Models of the rendezvous.
//!
//! A participant is never sent anything here that would order memory: it looks by itself, at any time, as one
//! does that was told of an earlier round. All that orders is the word of the rendezvous.

#![cfg(not(target_os = "none"))]

use std::cell::RefCell;
use std::rc::Rc;

use loom::thread;
use reveille_models::{LoomArch, Model, Payload};
use reveille_protocol::{
    Action, Arch, Ending, Holder, Initiator, Job, LifecycleLock, Mark, Rendezvous, Snapshot, Stage, Standing,
    State,
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

impl World {
    fn new(cpus: usize) -> Rc<Self> {
        let payloads = || (0..cpus).map(|_| Payload::new(0)).collect();
        Rc::new(Self {
            rendezvous: Rendezvous::new(),
            marks: (0..cpus).map(|_| Mark::new()).collect(),
            job: Payload::new(0),
            own: payloads(),
            result: payloads(),
            events: RefCell::default(),
        })
    }

    fn others(&self) -> u16 {
        u16::try_from(self.marks.len() - 1).unwrap()
    }

    fn begin(&self, cpu: usize, job: Job, deadline: u64) -> Initiator<'_, LoomArch> {
        let begun = self.rendezvous.begin(&self.marks[cpu], self.others(), job, deadline);
        begun.unwrap_or_else(|standing| panic!("{standing:?}"))
    }

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

    /// After the job: what it left behind is seen.
    fn check_results(&self, cpus: impl Iterator<Item = usize>, round: u64) {
        for cpu in cpus {
            assert_eq!(self.result[cpu].read(), round);
        }
    }

    /// Sees one round through as a participant, if there is one to join. How often the job was run here, and the
    /// ending.
    fn participate(&self, cpu: usize) -> Option<(u32, Ending)> {
        // Written in what the stop interrupts: the job will see it.
        let mut participant = self.rendezvous.join(&self.marks[cpu])?;
        let mut runs = 0;
        loop {
            match participant.step() {
                Action::OpenInterrupts => {}
                Action::Wait => LoomArch::relax(),
                Action::Mask => self.event(Event::Mask(cpu)),
                Action::RunJob => {
                    self.run(cpu, participant.round());
                    runs += 1;
                }
                Action::Leave(ending) => return Some((runs, ending)),
            }
        }
    }

    /// Waits for a round and sees it through; `None` if `is_over` says that there is none to wait for.
    fn attend(&self, cpu: usize, is_over: impl Fn(Standing) -> bool) -> Option<(u32, Ending)> {
        loop {
            // What is seen now will not change if there is nothing to join.
            let standing = self.rendezvous.standing();
            if let Some(part) = self.participate(cpu) {
                return Some(part);
            }
            if is_over(standing) {
                return None;
            }
            LoomArch::relax();
        }
    }

    /// Sees a round through as its initiator, with the time that `clock` tells.
    fn lead(
        &self,
        cpu: usize,
        round: u64,
        mut initiator: Initiator<'_, LoomArch>,
        mut clock: impl FnMut() -> u64,
        relax: impl Fn(),
    ) -> (Ending, Standing) {
        loop {
            match initiator.step(clock()) {
                Action::OpenInterrupts => {}
                Action::Wait => relax(),
                Action::Mask => self.event(Event::Mask(cpu)),
                Action::RunJob => self.run(cpu, round),
                Action::Leave(ending) => return (ending, initiator.standing()),
            }
        }
    }

    /// Everyone masked before the initiator, and nothing ran before that.
    fn check_order(&self, initiator: usize) {
        let events = self.events.borrow();
        let masked = events.iter().position(|event| *event == Event::Mask(initiator)).unwrap();
        for cpu in 0..self.marks.len() {
            assert!(events[..=masked].contains(&Event::Mask(cpu)), "{cpu} masked after the initiator");
        }
        assert!(
            events[..masked].iter().all(|event| matches!(event, Event::Mask(_))),
            "ran before all masked"
        );
    }
}

/// A round without a deadline: everyone is gathered, masked in the right order and released; the job runs once
/// on each CPU that is to run it, sees what everyone wrote before, and what it writes is seen by everyone after.
fn gather(name: &'static str, cpus: usize, job: Job, preemptions: Option<usize>) {
    let mut model = Model::new(name, &["done"]);
    if let Some(bound) = preemptions {
        model = model.preemptions(bound);
    }
    model.check(move |tally| {
        let world = World::new(cpus);
        let ran = move |cpu| cpu == 0 || job == Job::Each;
        let participants: Vec<_> = (1..cpus)
            .map(|cpu| {
                let world = Rc::clone(&world);
                thread::spawn(move || {
                    world.own[cpu].write(1);
                    let (runs, ending) = world.attend(cpu, |_| false).unwrap();
                    assert_eq!((runs, ending), (u32::from(ran(cpu)), Ending::Done));
                    world.check_results((0..cpus).filter(|cpu| ran(*cpu)), 1);
                })
            })
            .collect();
        world.job.write(1);
        let initiator = world.begin(0, job, NEVER);
        // An interrupt handler that runs while the others are gathered: the job sees what it wrote.
        world.own[0].write(1);
        let (ending, standing) = world.lead(0, 1, initiator, || 0, LoomArch::relax);
        assert_eq!((ending, standing.stage), (Ending::Done, Stage::Idle));
        world.job.write(0);
        world.check_results((0..cpus).filter(|cpu| ran(*cpu)), 1);
        for participant in participants {
            participant.join().unwrap();
        }
        world.check_order(0);
        tally.hit("done");
    });
}

/// Two CPUs, the job on one.
#[test]
fn gather_two() {
    gather("rendezvous/gather_two", 2, Job::Initiator, Some(3));
}

/// Two CPUs, the job on both.
#[test]
fn gather_two_each() {
    gather("rendezvous/gather_two_each", 2, Job::Each, Some(3));
}

/// Three CPUs, the job on one.
#[test]
fn gather_three() {
    gather("rendezvous/gather_three", 3, Job::Initiator, Some(2));
}

/// Three CPUs, the job on all.
#[test]
fn gather_three_each() {
    gather("rendezvous/gather_three_each", 3, Job::Each, Some(2));
}
