//! Rounds, step by step.

extern crate std;

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use std::vec::Vec;

use super::word::{Fields, ROUND_MASK, ROUND_SHIFT, STAGE_SHIFT};
use super::*;
use crate::testing::Host;

const NEVER: u64 = u64::MAX;

fn fields(stage: Stage, left: u16) -> Fields {
    Fields { round: 0x12_3456_789a, job: Job::Each, stage, others: 511, left }
}

#[test]
fn the_numbers_of_rounds_wrap() {
    let last = AtomicU64::new(ROUND_MASK << ROUND_SHIFT);
    let (rendezvous, own, one) = (Rendezvous::<Host>::from_parts(last), Mark::new(), Mark::new());
    let initiator = rendezvous.begin(&own, 1, Job::Initiator, NEVER).unwrap();
    assert_eq!(initiator.standing().round, 0);
    assert!(initiator.standing().lacks(&one), "counted without having come");
    assert!(rendezvous.join(&one).is_some(), "a CPU that never was in a round is in this one already");
    assert!(rendezvous.join(&own).is_none(), "joined its own round");
}

#[test]
fn words_read_back() {
    for stage in
        [Stage::Idle, Stage::Prepare, Stage::MaskInactive, Stage::MaskActive, Stage::Run, Stage::Aborted]
    {
        for left in [0, 1, 512, Rendezvous::<Host>::MAX_OTHERS + 1] {
            let fields = fields(stage, left);
            assert_eq!(Fields::from_bits(fields.to_bits()), fields);
        }
    }
    assert_eq!(fields(Stage::Run, 3).to_bits(), 0x1234_5678_9ac7_fc03);
}

#[test]
fn a_round_of_the_greatest_size() {
    let rendezvous = Rendezvous::<Host>::new();
    let own = Mark::new();
    let others: [Mark<Host>; 1022] = core::array::from_fn(|_| Mark::new());
    let mut initiator = rendezvous.begin(&own, Rendezvous::<Host>::MAX_OTHERS, Job::Each, NEVER).unwrap();
    let mut runs = 0;
    let mut parts: [_; 1022] = core::array::from_fn(|cpu| rendezvous.join(&others[cpu]).unwrap());
    for _ in 0..5 {
        for part in &mut parts {
            runs += usize::from(part.step() == Action::RunJob);
        }
        runs += usize::from(initiator.step(0) == Action::RunJob);
    }
    assert_eq!(runs, 1023);
    assert!(parts.iter_mut().all(|part| part.step() == Action::Leave(Ending::Done)));
    while initiator.step(0) != Action::Leave(Ending::Done) {}
    assert_eq!(rendezvous.standing().stage, Stage::Idle);
}

#[test]
fn alone() {
    for job in [Job::Initiator, Job::Each] {
        let rendezvous = Rendezvous::<Host>::new();
        let mark = Mark::new();
        let mut initiator = rendezvous.begin(&mark, 0, job, NEVER).unwrap();
        assert_eq!(initiator.step(0), Action::Mask);
        assert_eq!(initiator.step(0), Action::RunJob);
        if job == Job::Each {
            assert_eq!(initiator.step(0), Action::Wait);
        }
        assert_eq!(initiator.step(0), Action::Leave(Ending::Done));
        assert_eq!(initiator.step(NEVER), Action::Leave(Ending::Done));
    }
}

#[test]
fn step_by_step() {
    let rendezvous = Rendezvous::<Host>::new();
    let (own, one, two) = (Mark::new(), Mark::new(), Mark::new());
    let lacks = || {
        let standing = rendezvous.standing();
        [standing.lacks(&own), standing.lacks(&one), standing.lacks(&two)]
    };
    assert!(rendezvous.join(&one).is_none());
    let mut initiator = rendezvous.begin(&own, 2, Job::Each, NEVER).unwrap();
    assert!(rendezvous.join(&own).is_none(), "joined its own round");
    assert_eq!(lacks(), [false, true, true]);
    let mut first = rendezvous.join(&one).unwrap();
    assert!(rendezvous.join(&one).is_none(), "joined twice");
    assert_eq!(first.step(), Action::OpenInterrupts);
    assert_eq!(first.step(), Action::Wait);
    assert_eq!(initiator.step(0), Action::Wait);
    assert_eq!((lacks(), rendezvous.standing().left), ([false, false, true], 1));
    let mut second = rendezvous.join(&two).unwrap();
    // The last to come never opens its interrupts.
    assert_eq!(second.step(), Action::Mask);
    assert_eq!(second.step(), Action::Wait);
    assert_eq!(lacks(), [false, true, false]);
    assert_eq!(initiator.step(0), Action::Wait);
    assert_eq!(first.step(), Action::Mask);
    assert_eq!(rendezvous.standing().stage, Stage::MaskInactive);
    assert_eq!(first.step(), Action::Wait);
    assert_eq!((lacks(), rendezvous.standing().stage), ([true, false, false], Stage::MaskActive));
    assert_eq!(initiator.step(0), Action::Mask);
    assert_eq!(first.step(), Action::Wait);
    assert_eq!(initiator.step(0), Action::RunJob);
    assert_eq!((lacks(), initiator.standing().stage), ([true, true, true], Stage::Run));
    // The time is over, but it does not count any more.
    assert_eq!(initiator.step(NEVER), Action::Wait);
    assert_eq!(first.step(), Action::RunJob);
    assert_eq!(first.step(), Action::Wait);
    assert_eq!(lacks(), [false, false, true]);
    assert_eq!(initiator.step(NEVER), Action::Wait);
    assert_eq!(second.step(), Action::RunJob);
    assert_eq!(second.step(), Action::Wait);
    assert_eq!(second.step(), Action::Leave(Ending::Done));
    assert_eq!((lacks(), rendezvous.standing().left), ([false, false, false], 0));
    assert!(rendezvous.join(&two).is_none());
    assert_eq!(first.step(), Action::Leave(Ending::Done));
    assert_eq!(first.step(), Action::Leave(Ending::Done));
    assert_eq!(initiator.step(NEVER), Action::Leave(Ending::Done));
    assert_eq!((lacks(), rendezvous.standing().stage), ([false, false, false], Stage::Idle));
}

#[test]
fn the_job_of_one() {
    let rendezvous = Rendezvous::<Host>::new();
    let (own, other) = (Mark::new(), Mark::new());
    let mut initiator = rendezvous.begin(&own, 1, Job::Initiator, NEVER).unwrap();
    let mut participant = rendezvous.join(&other).unwrap();
    assert_eq!(participant.step(), Action::Mask);
    assert_eq!(participant.step(), Action::Wait);
    assert_eq!(initiator.step(0), Action::Mask);
    assert_eq!(initiator.step(0), Action::RunJob);
    assert_eq!(participant.step(), Action::Wait);
    assert!(!initiator.standing().lacks(&other));
    // It waits for nobody any more.
    assert_eq!(initiator.step(NEVER), Action::Leave(Ending::Done));
    assert!(!rendezvous.standing().lacks(&other));
    assert_eq!(participant.step(), Action::Leave(Ending::Done));
}

#[test]
fn a_round_at_the_heels_of_another() {
    for (job, ending) in [(Job::Initiator, Ending::Overtaken), (Job::Each, Ending::Done)] {
        let rendezvous = Rendezvous::<Host>::new();
        let (own, other) = (Mark::new(), Mark::new());
        let mut initiator = rendezvous.begin(&own, 1, job, NEVER).unwrap();
        let mut participant = rendezvous.join(&other).unwrap();
        while initiator.step(0) != Action::RunJob {
            assert!(!matches!(participant.step(), Action::RunJob | Action::Leave(_)));
        }
        if job == Job::Each {
            assert_eq!((participant.step(), participant.step()), (Action::RunJob, Action::Wait));
        }
        while initiator.step(0) != Action::Leave(Ending::Done) {}
        // It has not seen yet that the first one is over.
        let mut next = rendezvous.begin(&own, 1, job, NEVER).unwrap();
        assert_eq!(next.step(0), Action::Wait);
        assert_eq!(participant.step(), Action::Leave(ending));
        assert!(rendezvous.join(&other).is_some());
    }
}

#[test]
fn called_off() {
    let rendezvous = Rendezvous::<Host>::new();
    let (own, one, two) = (Mark::new(), Mark::new(), Mark::new());
    let mut initiator = rendezvous.begin(&own, 2, Job::Each, 10).unwrap();
    let mut first = rendezvous.join(&one).unwrap();
    assert_eq!(initiator.step(9), Action::Wait);
    assert_eq!(initiator.step(10), Action::Leave(Ending::Aborted));
    assert_eq!(initiator.step(0), Action::Leave(Ending::Aborted));
    let standing = initiator.standing();
    assert_eq!((standing.round, standing.stage, standing.left), (1, Stage::Prepare, 1));
    assert!(!standing.lacks(&one) && standing.lacks(&two));
    assert!(rendezvous.join(&two).is_none());
    // The next round begins before the first CPU has noticed.
    let mut initiator = rendezvous.begin(&own, 2, Job::Each, 10).unwrap();
    assert_eq!(first.step(), Action::Leave(Ending::Aborted));
    assert!(initiator.standing().left == 2 && initiator.standing().lacks(&one));
    let mut first = rendezvous.join(&one).unwrap();
    let mut second = rendezvous.join(&two).unwrap();
    assert_eq!(initiator.standing().round, 2);
    assert_eq!((first.step(), second.step()), (Action::Mask, Action::Mask));
    assert_eq!(first.step(), Action::Wait);
    // The round is called off between its look and its acknowledgement.
    assert_eq!(initiator.step(10), Action::Leave(Ending::Aborted));
    let standing = initiator.standing();
    assert_eq!((standing.stage, standing.left), (Stage::MaskInactive, 1));
    assert!(!standing.lacks(&own) && !standing.lacks(&one) && standing.lacks(&two));
    assert_eq!(
        (first.step(), second.step()),
        (Action::Leave(Ending::Aborted), Action::Leave(Ending::Aborted))
    );
}

#[test]
fn the_initiator_itself_may_be_late() {
    let rendezvous = Rendezvous::<Host>::new();
    let (own, other) = (Mark::new(), Mark::new());
    let mut initiator = rendezvous.begin(&own, 1, Job::Initiator, 10).unwrap();
    let mut participant = rendezvous.join(&other).unwrap();
    assert_eq!((participant.step(), participant.step()), (Action::Mask, Action::Wait));
    assert_eq!(initiator.step(9), Action::Mask);
    assert_eq!(initiator.step(10), Action::Leave(Ending::Aborted));
    let standing = initiator.standing();
    assert_eq!((standing.stage, standing.left), (Stage::MaskActive, 1));
    assert!(standing.lacks(&own) && !standing.lacks(&other));
    assert_eq!(participant.step(), Action::Leave(Ending::Aborted));
}

#[test]
fn a_round_that_is_dropped_is_called_off() {
    let rendezvous = Rendezvous::<Host>::new();
    let (own, other) = (Mark::new(), Mark::new());
    drop(rendezvous.begin(&own, 1, Job::Initiator, NEVER));
    assert_eq!(rendezvous.standing().stage, Stage::Aborted);
    let initiator = rendezvous.begin(&own, 1, Job::Initiator, NEVER).unwrap();
    let refused = rendezvous.begin(&other, 1, Job::Initiator, NEVER).err().unwrap();
    assert_eq!((refused.round, refused.stage), (2, Stage::Prepare));
    let mut participant = rendezvous.join(&other).unwrap();
    drop(initiator);
    assert_eq!(participant.step(), Action::Leave(Ending::Aborted));
}

#[test]
fn who_is_left_alone_goes_on() {
    for job in [Job::Initiator, Job::Each] {
        // The others stop for good after so many steps of everyone.
        for steps in 0..6 {
            let rendezvous = Rendezvous::<Host>::new();
            let (own, one) = (Mark::new(), Mark::new());
            let mut initiator = rendezvous.begin(&own, 2, job, NEVER).unwrap();
            let mut participant = rendezvous.join(&one).unwrap();
            let mut runs = 0;
            for _ in 0..steps {
                runs += u32::from(initiator.step(0) == Action::RunJob);
                let _ = participant.step();
            }
            initiator.go_on_alone();
            assert_eq!(rendezvous.standing().left, u16::from(rendezvous.standing().stage != Stage::Idle));
            for _ in 0..6 {
                runs += u32::from(initiator.step(0) == Action::RunJob);
            }
            assert_eq!((runs, initiator.step(0)), (1, Action::Leave(Ending::Done)));
            assert_eq!(rendezvous.standing().stage, Stage::Idle);
        }
    }
}

#[test]
fn a_round_whose_initiator_was_stopped_is_called_off() {
    for job in [Job::Initiator, Job::Each] {
        for steps in 0..6 {
            let rendezvous = Rendezvous::<Host>::new();
            let (own, one) = (Mark::new(), Mark::new());
            let mut initiator = rendezvous.begin(&own, 1, job, NEVER).unwrap();
            let mut participant = rendezvous.join(&one).unwrap();
            for _ in 0..steps {
                let _ = initiator.step(0);
                let _ = participant.step();
            }
            core::mem::forget(initiator);
            rendezvous.condemn();
            assert!(matches!(participant.step(), Action::Leave(_)));
            assert!(matches!(rendezvous.standing().stage, Stage::Idle | Stage::Aborted));
            assert!(rendezvous.join(&one).is_none());
            assert!(rendezvous.begin(&one, 0, job, NEVER).is_ok());
        }
    }
    let idle = Rendezvous::<Host>::new();
    idle.condemn();
    assert_eq!(idle.standing().stage, Stage::Idle);
}

#[test]
fn numbers_wrap() {
    let last = Fields { round: ROUND_MASK, ..fields(Stage::Aborted, 7) };
    let rendezvous = Rendezvous::<Host>::from_parts(AtomicU64::new(last.to_bits()));
    let mark = Mark::new();
    let initiator = rendezvous.begin(&mark, 1, Job::Initiator, NEVER).unwrap();
    assert_eq!(initiator.standing().round, 0);
}

#[test]
fn a_corrupt_word_lets_everyone_go() {
    let rendezvous = Rendezvous::<Host>::new();
    let (own, other) = (Mark::new(), Mark::new());
    let initiator = rendezvous.begin(&own, 1, Job::Initiator, NEVER).unwrap();
    let mut participant = rendezvous.join(&other).unwrap();
    core::mem::forget(initiator);
    rendezvous.word.store(7 << STAGE_SHIFT, Relaxed);
    assert!(rendezvous.join(&own).is_none());
    assert_eq!(participant.step(), Action::Leave(Ending::Aborted));
}

/// A CPU in its handler, and two others that go on whenever it waits: the initiator, and one that joins late.
struct Here<'a> {
    rendezvous: &'a Rendezvous<Host>,
    attendance: &'a Attendance<Host>,
    initiator: Option<Initiator<'a, Host>>,
    late: Option<&'a Mark<Host>>,
    other: Option<Participant<'a, Host>>,
    /// The mark of the initiator, if it begins another round as soon as this one is over, and how often.
    again: Option<&'a Mark<Host>>,
    times: u32,
    /// How many rounds on each other's heels it takes part in until it is tired; and whether it has rested.
    until_tired: u32,
    has_rested: bool,
    log: Vec<&'static str>,
}

impl Attendant for Here<'_> {
    type Mask = ();

    fn mask(&mut self) {
        self.log.push("mask");
    }

    fn unmask(&mut self, (): ()) {
        self.log.push("unmask");
    }

    fn open(&mut self) {
        self.log.push("open");
    }

    fn close(&mut self, (): ()) {
        self.log.push("close");
    }

    fn run_job(&mut self) {
        self.log.push("run");
    }

    fn wait(&mut self) {
        // Told again in the middle.
        let mut nested = Here::new(self.rendezvous, self.attendance);
        self.attendance.attend(self.rendezvous, &mut nested);
        assert!(nested.log.is_empty(), "one handler on top of another");
        if self.initiator.as_mut().unwrap().step(0) == Action::Leave(Ending::Done)
            && let Some(mark) = self.again
        {
            self.times -= 1;
            self.again = self.again.filter(|_| self.times != 0);
            self.initiator = self.rendezvous.begin(mark, 1, Job::Initiator, NEVER).ok();
        }
        if let Some(mark) = self.late.take() {
            self.other = self.rendezvous.join(mark);
        } else if let Some(other) = &mut self.other {
            let _ = other.step();
        }
    }

    fn synchronise(&mut self) {
        self.log.push("synchronise");
    }

    fn is_tired(&mut self) -> bool {
        self.until_tired -= 1;
        self.until_tired == 0
    }

    fn rest(&mut self) -> u64 {
        self.log.push("rest");
        7
    }

    fn has_rested(&mut self, until: u64) -> bool {
        assert_eq!(until, 7);
        self.has_rested
    }
}

impl<'a> Here<'a> {
    fn new(rendezvous: &'a Rendezvous<Host>, attendance: &'a Attendance<Host>) -> Self {
        Self {
            rendezvous,
            attendance,
            initiator: None,
            late: None,
            other: None,
            again: None,
            times: 1,
            until_tired: u32::MAX,
            has_rested: false,
            log: Vec::new(),
        }
    }
}

#[test]
fn a_handler_takes_part_and_leaves_things_as_they_were() {
    let (rendezvous, attendance) = (Rendezvous::new(), Attendance::new());
    let (own, late) = (Mark::new(), Mark::new());
    let mut here = Here::new(&rendezvous, &attendance);
    attendance.attend(&rendezvous, &mut here);
    assert_eq!(here.log, ["open", "mask", "close"], "a round that there is not");
    here.log.clear();
    // The last to come never opens.
    here.initiator = rendezvous.begin(&own, 1, Job::Initiator, NEVER).ok();
    attendance.attend(&rendezvous, &mut here);
    assert_eq!(here.log, ["open", "mask", "synchronise", "close"]);
    assert!(!rendezvous.standing().lacks(attendance.mark()));
    here.log.clear();
    while here.initiator.as_mut().unwrap().step(0) != Action::Leave(Ending::Done) {}
    // What waits is let in between two rounds, though this CPU come last to both.
    here.initiator = rendezvous.begin(&own, 1, Job::Initiator, NEVER).ok();
    here.again = Some(&own);
    attendance.attend(&rendezvous, &mut here);
    let both = ["open", "mask", "synchronise", "unmask", "mask", "synchronise", "close"];
    assert!(here.again.is_none());
    assert_eq!(here.log, both);
    here.log.clear();
    while here.initiator.as_mut().unwrap().step(0) != Action::Leave(Ending::Done) {}
    here.initiator = rendezvous.begin(&own, 2, Job::Each, NEVER).ok();
    here.late = Some(&late);
    attendance.attend(&rendezvous, &mut here);
    let begins = ["open", "mask", "unmask", "mask", "run"];
    let ends = ["synchronise", "close"];
    assert_eq!(here.log, [begins.as_slice(), ends.as_slice()].concat());
}

#[test]
fn one_that_is_tired_of_rounds_rests() {
    let (rendezvous, attendance) = (Rendezvous::new(), Attendance::new());
    let own = Mark::new();
    let mut here = Here::new(&rendezvous, &attendance);
    here.initiator = rendezvous.begin(&own, 1, Job::Initiator, NEVER).ok();
    (here.again, here.times, here.until_tired) = (Some(&own), 9, 2);
    attendance.attend(&rendezvous, &mut here);
    let again = ["unmask", "mask", "synchronise"];
    assert_eq!(
        here.log,
        [&["open", "mask", "synchronise"], again.as_slice(), &again, &["close", "rest"]].concat()
    );
    assert_eq!(here.times, 6, "it was in three rounds, and another has begun");
    assert!(rendezvous.standing().lacks(attendance.mark()), "which it has not joined");
    // Until it has rested it does not come.
    here.log.clear();
    attendance.attend(&rendezvous, &mut here);
    assert!(here.log.is_empty());
    (here.has_rested, here.again) = (true, None);
    attendance.attend(&rendezvous, &mut here);
    assert_eq!(here.log, ["open", "mask", "synchronise", "close"]);
    assert!(!rendezvous.standing().lacks(attendance.mark()));
}
