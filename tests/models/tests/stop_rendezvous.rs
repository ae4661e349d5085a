//! Models of the rendezvous.
//!
//! A participant is never sent anything here that would order memory: it looks by itself, at any time, as one
//! does that was told of an earlier round. All that orders is the word of the rendezvous.

#![cfg(not(target_os = "none"))]

use std::cell::Cell;
use std::rc::Rc;

use reveille_models::{LoomArch, Model, Payload, thread};
use reveille_protocol::{
    Action, Arch, Ending, Holder, Initiator, Job, LifecycleLock, Mark, Participant, Rendezvous, Snapshot,
    Stage, State,
};

const NEVER: u64 = u64::MAX;

struct World {
    rendezvous: Rendezvous<LoomArch>,
    marks: Vec<Mark<LoomArch>>,
    /// What the job is: memory of the initiator, reused as soon as the round is over.
    job: Payload,
    /// What each CPU wrote in the course of what it did otherwise: for the how-manieth job.
    own: Vec<Payload>,
    jobs: Cell<u64>,
    /// The round for which each CPU has masked its interrupts: as others see it, and in truth.
    masked: Vec<(Payload, Cell<u64>)>,
    /// What the job leaves behind on each CPU.
    result: Vec<Payload>,
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
            jobs: Cell::new(1),
            masked: (0..cpus).map(|_| (Payload::new(0), Cell::new(0))).collect(),
            result: payloads(),
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

    /// CPU `cpu` begins a round, having prepared its job.
    fn begin(self, cpu: usize, job: Job, deadline: u64) -> Leader {
        self.job.write(self.rendezvous.standing().round + 1);
        let others = u16::try_from(self.marks.len() - 1).unwrap();
        let begun = self.0.rendezvous.begin(&self.0.marks[cpu], others, job, deadline);
        let initiator = begun.unwrap_or_else(|standing| panic!("{standing:?}"));
        let round = initiator.standing().round;
        Leader { world: self, cpu, initiator, job, round, runs: 0, ending: None }
    }

    fn attend(self, cpu: usize) -> Attendant {
        Attendant { world: self, cpu, participant: None, parts: Vec::new() }
    }
}

impl World {
    /// `cpu` masks its interrupts.
    fn mask(&self, cpu: usize, round: u64) {
        let (seen, truth) = &self.masked[cpu];
        seen.write(round);
        truth.set(round);
    }

    /// The job of round `round`, on `cpu`: it sees what all CPUs have written, and all have masked.
    fn run(&self, cpu: usize, round: u64) {
        assert_eq!(self.job.read(), round);
        for (own, (masked, _)) in self.own.iter().zip(&self.masked) {
            assert_eq!(own.read(), self.jobs.get());
            assert_eq!(masked.read(), round);
        }
        self.result[cpu].write(round);
    }

    /// After the job of round `round`, begun by `cpu`: what it left behind on each CPU that had to do it is seen.
    fn check_results(&self, cpu: usize, job: Job, round: u64) {
        for (other, result) in self.result.iter().enumerate() {
            if other == cpu || job == Job::Each {
                assert_eq!(result.read(), round);
            }
        }
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
    const NONE: Self = Self::busy(0);

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

/// A participant's part in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    round: u64,
    /// How often it ran the job.
    runs: u32,
    masked: bool,
    /// The last stage that it knows it has acknowledged.
    counted: Stage,
    ending: Ending,
}

impl Part {
    /// A part in a round that was seen through.
    fn done(round: u64, job: Job) -> Self {
        let runs = u32::from(job == Job::Each);
        Self { round, runs, masked: true, counted: Stage::Run, ending: Ending::Done }
    }
}

/// A CPU that takes part in rounds.
struct Attendant {
    world: Ground,
    cpu: usize,
    participant: Option<Participant<'static, LoomArch>>,
    parts: Vec<Part>,
}

impl Attendant {
    /// Goes on until the rounds that it has taken part in are `enough`, or `waits` runs out. Whether they are.
    fn go(&mut self, enough: impl Fn(&[Part]) -> bool, mut waits: Waits) -> bool {
        while self.participant.is_some() || !enough(&self.parts) {
            if !self.step() && !waits.wait() {
                return false;
            }
        }
        true
    }

    /// Whether there was anything to do.
    fn step(&mut self) -> bool {
        let Some(participant) = &mut self.participant else {
            self.participant = self.world.0.rendezvous.join(&self.world.0.marks[self.cpu]);
            if let Some(participant) = &self.participant {
                self.parts.push(Part {
                    round: participant.round(),
                    runs: 0,
                    masked: false,
                    counted: Stage::Prepare,
                    ending: Ending::Aborted,
                });
            }
            return self.participant.is_some();
        };
        let part = self.parts.last_mut().unwrap();
        match participant.step() {
            Action::OpenInterrupts => assert!(!part.masked),
            Action::Wait => {
                part.counted = match part {
                    Part { masked: false, .. } => Stage::Prepare,
                    Part { runs: 0, .. } => Stage::MaskInactive,
                    _ => Stage::Run,
                };
                return false;
            }
            Action::Mask => {
                assert!(!part.masked);
                part.masked = true;
                self.world.mask(self.cpu, part.round);
            }
            Action::RunJob => {
                assert!(part.masked);
                part.runs += 1;
                self.world.run(self.cpu, part.round);
            }
            Action::Leave(ending) => {
                if ending != Ending::Aborted {
                    part.counted = Stage::Run;
                }
                part.ending = ending;
                self.participant = None;
            }
        }
        true
    }

    /// The last stage of `round` that this CPU has acknowledged.
    fn counted(&self, round: u64) -> Stage {
        self.parts.iter().find(|part| part.round == round).map_or(Stage::Idle, |part| part.counted)
    }
}

/// The CPU that began a round.
struct Leader {
    world: Ground,
    cpu: usize,
    initiator: Initiator<'static, LoomArch>,
    job: Job,
    round: u64,
    /// How often it ran the job.
    runs: u32,
    ending: Option<Ending>,
}

impl Leader {
    /// Goes on, at the times that `clock` tells, until the round is over or `waits` runs out. Whether it is over.
    fn go(&mut self, mut clock: impl FnMut() -> u64, mut waits: Waits) -> bool {
        while self.ending.is_none() {
            if !self.step(clock()) && !waits.wait() {
                return false;
            }
        }
        true
    }

    /// Whether there was anything to do.
    fn step(&mut self, now: u64) -> bool {
        match self.initiator.step(now) {
            Action::OpenInterrupts => {}
            Action::Wait => return false,
            Action::Mask => {
                // Last of all.
                for (cpu, (_, masked)) in self.world.masked.iter().enumerate() {
                    assert!(cpu == self.cpu || masked.get() == self.round, "{cpu} masks after the initiator");
                }
                self.world.mask(self.cpu, self.round);
            }
            Action::RunJob => {
                self.runs += 1;
                self.world.run(self.cpu, self.round);
            }
            Action::Leave(ending) => self.ending = Some(ending),
        }
        // The job is gone when the round is over, and the results are used.
        match self.ending {
            Some(Ending::Done) => {
                self.world.job.write(0);
                self.world.check_results(self.cpu, self.job, self.round);
            }
            Some(Ending::Aborted) => self.world.job.write(0),
            Some(Ending::Overtaken) => panic!("its own round"),
            None => {}
        }
        true
    }
}

/// All CPUs go on, one after the other, until `stage` begins.
fn bring_to(stage: Stage, leader: &mut Leader, attendants: &mut [Attendant]) {
    for cpu in (0..=attendants.len()).cycle() {
        if leader.world.rendezvous.standing().stage >= stage {
            return;
        }
        match cpu {
            0 => leader.step(0),
            cpu => attendants[cpu - 1].step(),
        };
    }
}

/// All CPUs have stopped where they were. One after the other they go on now, to the end of the round: nobody can
/// be left waiting.
fn settle(leader: &mut Leader, attendants: &mut [Attendant]) {
    for _ in 0..8 {
        leader.go(|| 0, Waits::NONE);
        for attendant in &mut *attendants {
            while attendant.step() {}
        }
    }
    assert!(leader.ending.is_some(), "the initiator waits for ever");
    assert!(
        attendants.iter().all(|attendant| attendant.participant.is_none()),
        "a participant waits for ever"
    );
}

fn once(parts: &[Part]) -> bool {
    parts.len() == 1
}

/// The initiator is stopped for good wherever it happens to be, by its participant, which has the machine to itself then: that
/// one leaves, whatever it had acknowledged, and can gather in its own right.
fn left_by_its_initiator(name: &'static str, job: Job) {
    Model::new(name, &["before", "after"]).check(move |tally| {
        let world = Ground::new(2);
        world.own[1].write(1);
        let thread = thread::spawn(move || {
            world.own[0].write(1);
            let mut leader = world.begin(0, job, NEVER);
            leader.go(|| 0, Waits::busy(1));
            leader
        });
        let mut attendant = world.attend(1);
        attendant.go(once, Waits::busy(1));
        // Of one that has parked everything is seen.
        let leader = thread.join().unwrap();
        let ran = leader.runs;
        std::mem::forget(leader.initiator);
        world.rendezvous.condemn();
        while attendant.step() {}
        assert!(attendant.participant.is_none(), "waits for a CPU that was stopped");
        assert!(attendant.parts.iter().all(|part| part.runs <= 1));
        let mut alone = world.0.rendezvous.begin(&world.0.marks[1], 0, job, NEVER).expect("its own round");
        while alone.step(0) != Action::Leave(Ending::Done) {}
        tally.hit(if ran == 0 { "before" } else { "after" });
        drop((alone, attendant));
        // SAFETY: the other thread has ended, and nothing here borrows from it any more.
        unsafe { world.clear() };
    });
}

#[test]
fn left_by_its_initiator_one() {
    left_by_its_initiator("stop_rendezvous/left_by_its_initiator_one", Job::Initiator);
}

#[test]
fn left_by_its_initiator_each() {
    left_by_its_initiator("stop_rendezvous/left_by_its_initiator_each", Job::Each);
}

/// The participant is stopped for good wherever it happens to be, by the initiator: which does its job, once, and goes on.
fn left_by_its_participant(name: &'static str, job: Job) {
    Model::new(name, &["before", "after"]).check(move |tally| {
        let world = Ground::new(2);
        world.own[0].write(1);
        let mut leader = world.begin(0, job, NEVER);
        let thread = thread::spawn(move || {
            world.own[1].write(1);
            let mut attendant = world.attend(1);
            attendant.go(once, Waits::busy(1));
            attendant
        });
        leader.go(|| 0, Waits::busy(1));
        let attendant = thread.join().unwrap();
        let ran = leader.runs;
        leader.initiator.go_on_alone();
        let mut runs = ran;
        loop {
            match leader.initiator.step(0) {
                Action::RunJob => runs += 1,
                Action::Leave(ending) => break assert_eq!(ending, Ending::Done),
                _ => {}
            }
        }
        assert_eq!(runs, 1, "the job");
        assert_eq!(world.rendezvous.standing().stage, Stage::Idle);
        tally.hit(if ran == 0 { "before" } else { "after" });
        drop(attendant);
        drop(leader.initiator);
        // SAFETY: the other thread has ended, and nothing here borrows from it any more.
        unsafe { world.clear() };
    });
}

#[test]
fn left_by_its_participant_one() {
    left_by_its_participant("stop_rendezvous/left_by_its_participant_one", Job::Initiator);
}

#[test]
fn left_by_its_participant_each() {
    left_by_its_participant("stop_rendezvous/left_by_its_participant_each", Job::Each);
}

/// A round of two CPUs without a deadline, from beginning to end: the other one is gathered, masked first and
/// released; the job runs once on each CPU that is to run it, sees what both wrote before, and what it writes is
/// seen by both after.
fn gather_two(model: Model, job: Job) {
    model.check(move |tally| {
        let world = Ground::new(2);
        let thread = thread::spawn(move || {
            world.own[1].write(1);
            let mut attendant = world.attend(1);
            attendant.go(once, Waits::ENDLESS);
            world.check_results(0, job, 1);
            attendant
        });
        let mut leader = world.begin(0, job, NEVER);
        // As an interrupt handler does that runs while the other is gathered: the job sees it.
        world.own[0].write(1);
        leader.go(|| 0, Waits::ENDLESS);
        let attendant = thread.join().unwrap();
        assert_eq!(attendant.parts, [Part::done(1, job)]);
        assert_eq!((leader.ending, leader.initiator.standing().stage), (Some(Ending::Done), Stage::Idle));
        tally.hit("done");
        drop((leader, attendant));
        // SAFETY: the other thread has ended, and all that was left is dropped.
        unsafe { world.clear() };
    });
}

/// The job on one.
#[test]
fn two_cpus() {
    gather_two(Model::new("rendezvous/two_cpus", &["done"]).preemptions(3), Job::Initiator);
}

/// The job on both.
#[test]
fn two_cpus_each() {
    gather_two(Model::new("rendezvous/two_cpus_each", &["done"]).preemptions(3), Job::Each);
}

/// A round of three CPUs, with `stage` about to begin; from there they go on at the same time, the participants as
/// long as `waits` lasts, and then to the end one after the other. The deadline passes when the initiator has taken
/// `patience` steps.
///
/// Whatever happens, the round is either done by all or called off by all; a CPU that was counted when it was
/// called off is not named, and one that was not counted is.
fn from(model: Model, stage: Stage, job: Job, patience: u64, waits: Waits) {
    model.check(move |tally| {
        let world = Ground::new(3);
        let write = move |cpu: usize| world.own[cpu].write(1);
        // What is written now, or later but before the CPU masks: the job sees both.
        (0..3).for_each(write);
        let mut attendants = vec![world.attend(1), world.attend(2)];
        let mut leader = world.begin(0, job, 1);
        bring_to(stage, &mut leader, &mut attendants);

        let threads: Vec<_> = attendants
            .into_iter()
            .map(|mut attendant| {
                thread::spawn(move || {
                    if stage < Stage::MaskActive {
                        write(attendant.cpu);
                    }
                    if attendant.go(once, waits) && attendant.parts[0].ending == Ending::Done {
                        world.check_results(0, job, 1);
                    }
                    attendant
                })
            })
            .collect();
        if stage < Stage::Run {
            write(0);
        }
        let mut steps = 0;
        let clock = || {
            steps += 1;
            u64::from(steps > patience)
        };
        leader.go(clock, if waits.relax { waits } else { Waits::busy(2) });
        let missing = |leader: &Leader| -> Vec<usize> {
            let standing = leader.initiator.standing();
            (0..3).filter(|cpu| standing.lacks(&world.0.marks[*cpu])).collect()
        };
        let early = missing(&leader);
        let mut attendants: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();

        if leader.ending == Some(Ending::Aborted) {
            let standing = leader.initiator.standing();
            assert_eq!(standing.round, 1);
            let named = missing(&leader);
            assert_eq!(named.len(), usize::from(standing.left), "{standing:?}");
            for attendant in &attendants {
                let counted = attendant.counted(1) >= standing.stage.min(Stage::MaskInactive);
                assert_eq!(!counted, named.contains(&attendant.cpu), "{standing:?} {named:?}");
            }
            assert!(named.iter().all(|cpu| early.contains(cpu)), "named too late");
            assert!(early.len() > named.len() || early == named);
            tally.hit(match standing.stage {
                Stage::Prepare => "aborted_in_prepare",
                Stage::MaskInactive => "aborted_in_mask_inactive",
                Stage::MaskActive => "aborted_in_mask_active",
                stage => panic!("called off in {stage:?}"),
            });
            settle(&mut leader, &mut attendants);
            for attendant in &attendants {
                let expected = attendant.parts.first().map(|part| (part.runs, part.ending));
                assert!(expected.is_none_or(|part| part == (0, Ending::Aborted)));
            }
        } else {
            tally.hit(if leader.ending.is_some() { "done" } else { "settled" });
            settle(&mut leader, &mut attendants);
            assert_eq!((leader.ending, leader.initiator.standing().stage), (Some(Ending::Done), Stage::Idle));
            for attendant in &attendants {
                assert_eq!(attendant.parts, [Part::done(1, job)]);
            }
            world.check_results(0, job, 1);
        }
        drop((leader, attendants));
        // SAFETY: the other threads have ended, and all that was left is dropped.
        unsafe { world.clear() };
    });
}

/// From beginning to end, each CPU interrupted by nothing but its own waits.
#[test]
fn three_cpus() {
    let model = Model::new("rendezvous/three_cpus", &["done", "settled"]).preemptions(0);
    from(model, Stage::Prepare, Job::Each, NEVER, Waits::upto(4));
}

/// The participants join.
#[test]
fn from_prepare() {
    let model = Model::new("rendezvous/from_prepare", &["settled"]).preemptions(2);
    from(model, Stage::Prepare, Job::Each, NEVER, Waits::NONE);
}

/// The participants mask.
#[test]
fn from_mask_inactive() {
    let model = Model::new("rendezvous/from_mask_inactive", &["settled"]).preemptions(3);
    from(model, Stage::MaskInactive, Job::Each, NEVER, Waits::NONE);
}

/// All do the job.
#[test]
fn from_run_each() {
    let model = Model::new("rendezvous/from_run_each", &["done", "settled"]).preemptions(2);
    from(model, Stage::Run, Job::Each, NEVER, Waits::NONE);
}

/// The initiator does the job, and the participants leave.
#[test]
fn from_mask_active() {
    let model = Model::new("rendezvous/from_mask_active", &["done"]).preemptions(3);
    from(model, Stage::MaskActive, Job::Initiator, NEVER, Waits::NONE);
}

/// The deadline passes while the participants join.
#[test]
fn abort_in_prepare() {
    const OUTCOMES: &[&str] = &["aborted_in_prepare", "aborted_in_mask_inactive"];
    let model = Model::new("rendezvous/abort_in_prepare", OUTCOMES).preemptions(2);
    from(model, Stage::Prepare, Job::Each, 0, Waits::NONE);
}

/// The deadline passes while the participants mask.
#[test]
fn abort_in_mask_inactive() {
    const OUTCOMES: &[&str] = &["aborted_in_mask_inactive", "aborted_in_mask_active", "settled"];
    let model = Model::new("rendezvous/abort_in_mask_inactive", OUTCOMES).preemptions(3);
    from(model, Stage::MaskInactive, Job::Each, 2, Waits::NONE);
}

/// The deadline passes while the initiator masks.
#[test]
fn abort_in_mask_active() {
    const OUTCOMES: &[&str] = &["aborted_in_mask_active"];
    let model = Model::new("rendezvous/abort_in_mask_active", OUTCOMES).preemptions(3);
    from(model, Stage::MaskActive, Job::Each, 1, Waits::NONE);
}

/// The deadline passes when all have masked: it does not count any more.
#[test]
fn late_in_run() {
    let model = Model::new("rendezvous/late_in_run", &["done", "settled"]).preemptions(2);
    from(model, Stage::MaskActive, Job::Each, 2, Waits::NONE);
}

/// A round that is called off early, and another at its heels: a CPU that comes late to the first is counted in the
/// second once, when it joins that, and does its job, and not that of the first.
#[test]
fn latecomer() {
    const OUTCOMES: &[&str] = &["joined_both", "masked_in_both", "missed_the_first"];
    Model::new("rendezvous/latecomer", OUTCOMES).preemptions(2).check(|tally| {
        let world = Ground::new(2);
        let thread = thread::spawn(move || {
            world.own[1].write(1);
            let mut attendant = world.attend(1);
            attendant.go(|parts| parts.last().is_some_and(|part| part.round == 2), Waits::ENDLESS);
            attendant
        });
        world.own[0].write(1);
        let mut first = world.begin(0, Job::Each, 1);
        let mut time = 0..;
        assert!(first.go(|| time.next().unwrap(), Waits::busy(1)));
        assert_eq!(first.ending, Some(Ending::Aborted));
        let mut second = world.begin(0, Job::Each, NEVER);
        assert!(second.go(|| 0, Waits::ENDLESS));
        assert_eq!(second.ending, Some(Ending::Done));

        let attendant = thread.join().unwrap();
        assert_eq!(attendant.parts.last(), Some(&Part::done(2, Job::Each)));
        tally.hit(match attendant.parts[..] {
            [first, _] => {
                assert_eq!((first.round, first.runs), (1, 0));
                assert!(first.ending == Ending::Aborted || first.masked && first.ending == Ending::Overtaken);
                if first.masked { "masked_in_both" } else { "joined_both" }
            }
            [_] => "missed_the_first",
            _ => panic!("{:?}", attendant.parts),
        });
        drop((first, second, attendant));
        // SAFETY: the other thread has ended, and all that was left is dropped.
        unsafe { world.clear() };
    });
}

/// One round after the other: nobody is counted twice, or runs the job of the other round; what each does between the rounds comes
/// between the jobs; and a CPU that goes on from the first sees what its job has left behind, though the second have begun.
fn back_to_back(model: Model, job: Job) {
    model.preemptions(2).check(move |tally| {
        let world = Ground::new(2);
        world.own[0].write(1);
        world.own[1].write(1);
        let mut attendants = vec![world.attend(1)];
        let mut first = world.begin(0, job, NEVER);
        bring_to(Stage::MaskActive, &mut first, &mut attendants);
        let thread = thread::spawn(move || {
            let mut attendant = attendants.pop().unwrap();
            attendant.go(|parts| parts.len() == 1, Waits::ENDLESS);
            world.check_results(0, job, 1);
            world.own[1].write(2);
            attendant.go(|parts| parts.len() == 2, Waits::ENDLESS);
            attendant
        });
        first.go(|| 0, Waits::ENDLESS);
        world.jobs.set(2);
        world.own[0].write(2);
        let mut second = world.begin(0, job, NEVER);
        second.go(|| 0, Waits::ENDLESS);
        assert_eq!((first.ending, second.ending), (Some(Ending::Done), Some(Ending::Done)));
        let attendant = thread.join().unwrap();
        let overtaken = attendant.parts[0].ending == Ending::Overtaken;
        let ending = if overtaken { Ending::Overtaken } else { Ending::Done };
        assert_eq!(attendant.parts, [Part { ending, ..Part::done(1, job) }, Part::done(2, job)]);
        tally.hit(if overtaken { "overtaken" } else { "done" });
        drop((first, second, attendant));
        // SAFETY: the other thread has ended, and all that was left is dropped.
        unsafe { world.clear() };
    });
}

#[test]
fn back_to_back_one() {
    back_to_back(Model::new("rendezvous/back_to_back_one", &["done", "overtaken"]), Job::Initiator);
}

#[test]
fn back_to_back_each() {
    back_to_back(Model::new("rendezvous/back_to_back_each", &["done"]), Job::Each);
}

/// Two CPUs both want a round, and take part in that of the other while they wait for the right to it: both get
/// theirs, one after the other.
#[test]
fn two_initiators() {
    Model::new("rendezvous/two_initiators", &["first", "second"]).preemptions(2).check(|tally| {
        fn both(world: Ground, lock: &LifecycleLock<LoomArch>, cpu: usize) -> u64 {
            let me = Holder { cpu: cpu as u32, generation: 1 };
            let slot = |_| Snapshot { generation: 1, reason: 0, state: State::Online };
            world.own[cpu].write(1);
            let mut attendant = world.attend(cpu);
            let mut led = None;
            while led.is_none() || attendant.parts.is_empty() || attendant.participant.is_some() {
                // Out of the handler, which goes on to the end of a round.
                if led.is_none()
                    && attendant.participant.is_none()
                    && let Ok(tenure) = lock.try_acquire(me, slot)
                {
                    let mut leader = world.begin(cpu, Job::Initiator, NEVER);
                    // An interrupt that is late asks the initiator to take part: it is not counted in its own round.
                    assert!(!attendant.step());
                    leader.go(|| 0, Waits::ENDLESS);
                    assert_eq!(leader.ending, Some(Ending::Done));
                    led = Some(leader.round);
                    drop(tenure);
                } else {
                    while attendant.step() {}
                    LoomArch::relax();
                }
            }
            assert_eq!(attendant.parts, [Part::done(3 - led.unwrap(), Job::Initiator)]);
            led.unwrap()
        }
        let world = Ground::new(2);
        let lock = Rc::new(LifecycleLock::new());
        let thread = thread::spawn({
            let lock = Rc::clone(&lock);
            move || both(world, &lock, 1)
        });
        let mine = both(world, &lock, 0);
        assert_eq!(thread.join().unwrap(), 3 - mine);
        tally.hit(if mine == 1 { "first" } else { "second" });
        // SAFETY: the other thread has ended, and nothing is left that borrows from the world.
        unsafe { world.clear() };
    });
}

/// Two CPUs begin a round without regard to each other: one is refused, and can take part in that of the other.
#[test]
fn begin_against_begin() {
    Model::new("rendezvous/begin_against_begin", &["first", "second"]).check(|tally| {
        let world = Ground::new(2);
        let begin = move |cpu: usize| {
            let begun = world.0.rendezvous.begin(&world.0.marks[cpu], 1, Job::Initiator, NEVER);
            begun.map_err(|standing| {
                assert_eq!((standing.round, standing.stage, standing.left), (1, Stage::Prepare, 1));
                assert!(world.0.rendezvous.join(&world.0.marks[cpu]).is_some());
            })
        };
        let thread = thread::spawn(move || begin(1));
        let (mine, other) = (begin(0), thread.join().unwrap());
        assert!(mine.is_ok() != other.is_ok());
        assert_eq!(world.rendezvous.standing().stage, Stage::MaskInactive);
        tally.hit(if mine.is_ok() { "first" } else { "second" });
        drop((mine, other));
        // SAFETY: the other thread has ended, and nothing is left that borrows from the world.
        unsafe { world.clear() };
    });
}
