//! Models of summonses.

#![cfg(not(target_os = "none"))]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use reveille_models::{LoomArch, LoomWord, Model, Payload, thread};
use reveille_protocol::{Arch, Summons, SummonsProgress as Progress, Word};

struct World {
    summons: Summons<LoomArch>,
    /// What those who ask have prepared, by number.
    prepared: [Payload; 2],
    /// What has been made of it.
    results: [Payload; 2],
    ran: RefCell<Vec<u32>>,
}

impl World {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            summons: Summons::new(),
            prepared: [Payload::new(0), Payload::new(0)],
            results: [Payload::new(0), Payload::new(0)],
            ran: RefCell::default(),
        })
    }

    /// The NMI-class handler.
    fn handle(&self) -> bool {
        let Some(answering) = self.summons.take() else { return false };
        let number = answering.what() as usize;
        self.results[number].write(self.prepared[number].read() + 10);
        self.ran.borrow_mut().push(answering.what());
        drop(answering);
        true
    }

    /// Whether it ran; `None`: the CPU was busy with the other's.
    fn ask(&self, number: u32) -> Option<bool> {
        let index = number as usize;
        self.prepared[index].write(u64::from(number) + 1);
        // As who asks many at once, and keeps the number alone.
        let serial = self.summons.ask(number)?.into_serial();
        let mut asked = self.summons.asked(serial, number);
        if asked.progress() != Progress::Done {
            match asked.withdraw() {
                Ok(()) => return Some(false),
                Err(taken) => asked = taken,
            }
        }
        while asked.progress() != Progress::Done {
            thread::yield_now();
        }
        assert_eq!(self.results[index].read(), u64::from(number) + 11, "done, but not to be seen");
        Some(true)
    }
}

/// One asks and gives up at once; the other CPU looks meanwhile: it ran once, or never, and both know which.
#[test]
fn taken_or_withdrawn() {
    Model::new("summons/taken_or_withdrawn", &["taken", "withdrawn"]).check(|tally| {
        let world = World::new();
        let target = thread::spawn({
            let world = Rc::clone(&world);
            move || world.handle()
        });
        let ran = world.ask(0).expect("nobody else asks");
        assert_eq!(target.join().unwrap(), ran);
        assert_eq!(world.ran.borrow().len(), usize::from(ran));
        assert!(!world.handle(), "it was taken back and stayed");
        tally.hit(if ran { "taken" } else { "withdrawn" });
    });
}

/// Two ask at the same time: each is told what became of its own.
#[test]
fn two_ask() {
    const OUTCOMES: &[&str] = &["both", "one", "none", "busy"];
    Model::new("summons/two_ask", OUTCOMES).preemptions(4).check(|tally| {
        let world = World::new();
        let target = thread::spawn({
            let world = Rc::clone(&world);
            move || {
                world.handle();
                world.handle();
            }
        });
        let other = thread::spawn({
            let world = Rc::clone(&world);
            move || world.ask(1)
        });
        let outcomes = [world.ask(0), other.join().unwrap()];
        target.join().unwrap();
        assert!(!world.handle());
        let expected: Vec<u32> = (0..2).filter(|&number| outcomes[number as usize] == Some(true)).collect();
        world.ran.borrow_mut().sort_unstable();
        assert_eq!(*world.ran.borrow(), expected);
        tally.hit(match (outcomes.contains(&None), expected.len()) {
            (true, _) => "busy",
            (false, 2) => "both",
            (false, 1) => "one",
            (false, _) => "none",
        });
    });
}

/// A CPU takes up what it was asked for, and goes by old code as long as there is any, with what belongs to that. Another changes the code meanwhile,
/// waits for what has begun, and takes the rest away. The fences are what makes the code new for all, and what comes before a function.
#[test]
fn code_changed_under_way() {
    Model::new("summons/code_changed_under_way", &["old", "new", "not_yet"]).check(|tally| {
        struct World {
            summons: Summons<LoomArch>,
            code: LoomWord,
            rest: Payload,
        }
        let world = Rc::new(World { summons: Summons::new(), code: LoomWord::new(0), rest: Payload::new(1) });
        let _ = world.summons.ask(0).expect("nobody else asks").into_serial();
        let target = thread::spawn({
            let world = Rc::clone(&world);
            move || {
                let answering = world.summons.take().expect("asked");
                LoomArch::fence(SeqCst);
                let old = world.code.load(Relaxed) == 0;
                if old {
                    assert_eq!(world.rest.read(), 1);
                }
                drop(answering);
                old
            }
        });
        world.code.store(1, Relaxed);
        LoomArch::fence(SeqCst);
        let begun = world.summons.running();
        let waits = begun.is_some();
        if let Some(asked) = begun {
            while asked.progress() == Progress::Running {
                thread::yield_now();
            }
        }
        world.rest.write(0);
        let old = target.join().unwrap();
        tally.hit(match (old, waits) {
            (true, _) => "old",
            (false, true) => "new",
            (false, false) => "not_yet",
        });
    });
}
