//! Models of the ring of a trace: writers that interrupt each other, a thread that was moved, a reader beside them.

#![cfg(not(target_os = "none"))]

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use reveille_models::steps::{self, Steps};
use reveille_models::{Choices, LoomArch, Model, Tally, thread};
use reveille_protocol::{Arch, TraceCount, TraceMemory, TraceMode, TraceRecord, TraceRing, TraceWords, Word};

/// Slots of `W`s, and the limit.
struct Memory<W: Word, const LOG: u32> {
    limit: W,
    slots: Rc<Vec<[W; 4]>>,
}

impl<W: Word, const LOG: u32> Memory<W, LOG> {
    fn new() -> Self {
        let slot = || [(); 4].map(|()| W::new(0));
        Self { limit: W::new(1 << 32), slots: Rc::new((0..1 << LOG).map(|_| slot()).collect()) }
    }

    fn place(number: u64) -> usize {
        (number >> (32 - LOG)) as usize & ((1 << LOG) - 1)
    }
}

impl<W: Word, const LOG: u32> TraceMemory for Memory<W, LOG> {
    type Slots = Rc<Vec<[W; 4]>>;

    fn find(&self) -> (u64, Self::Slots) {
        (self.limit.load(Relaxed), Rc::clone(&self.slots))
    }

    fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
    }

    fn put(slots: Self::Slots, number: u64, words: TraceWords) {
        for (word, value) in slots[Self::place(number)].iter().zip(words) {
            word.store(value, Relaxed);
        }
    }

    fn get(slots: Self::Slots, number: u64) -> TraceWords {
        slots[Self::place(number)].each_ref().map(|word| word.load(Relaxed))
    }
}

type Ring<A, const LOG: u32> = TraceRing<A, Memory<<A as Arch>::Word, LOG>, LOG>;

fn ring<A: Arch, const LOG: u32>(mode: TraceMode) -> Rc<Ring<A, LOG>> {
    let closed = || A::Word::new(Ring::<A, LOG>::CLOSED);
    let ring = Ring::<A, LOG>::from_parts(closed(), Memory::new(), closed());
    ring.open(mode);
    Rc::new(ring)
}

/// No time is later.
const NOW: u64 = 1000;

/// Notes record `which`: every part of it tells which.
fn note<A: Arch, const LOG: u32>(ring: &Ring<A, LOG>, which: u64) {
    ring.note(100 + which, 0x4020_0000 + which, which << 32 | which);
}

/// Reads the ring: which records are there. Each is one that was noted, as a whole, and none is there twice; and all are accounted for.
fn read<A: Arch, const LOG: u32>(ring: &Ring<A, LOG>) -> (Vec<u64>, TraceCount) {
    let mut found = Vec::new();
    let counted = ring.read(NOW, |record| {
        let which = record.time.wrapping_sub(100);
        let whole =
            TraceRecord { time: 100 + which, site: 0x4020_0000 + which as u32, value: which << 32 | which };
        assert_eq!(record, whole, "made of two");
        assert!(!found.contains(&which), "twice");
        found.push(which);
    });
    assert_eq!(counted.read, found.len() as u64);
    let TraceCount { noted, read, dropped, overwritten, unfinished } = counted;
    assert_eq!(noted, read + dropped + overwritten + unfinished, "not accounted for");
    (found, counted)
}

/// A reader beside a writer whose ring goes round.
#[test]
fn read_meanwhile() {
    let outcomes = &["all", "some", "nothing", "unfinished"];
    Model::new("trace/read_meanwhile", outcomes).preemptions(3).check(|tally| {
        let ring = ring::<LoomArch, 1>(TraceMode::Overwrite);
        let writer = thread::spawn({
            let ring = Rc::clone(&ring);
            move || (1..=3).for_each(|which| note(&ring, which))
        });
        let (found, counted) = read(&ring);
        assert!(found.is_sorted());
        writer.join().unwrap();
        let (last, in_the_end) = read(&ring);
        assert_eq!((last, in_the_end.noted, in_the_end.overwritten), (vec![2, 3], 3, 1));
        tally.hit(match (counted.unfinished, found.len()) {
            (0, 0) => "nothing",
            (0, 1) => "some",
            (0, _) => "all",
            _ => "unfinished",
        });
    });
}

/// The same where what does not fit is dropped.
#[test]
fn dropped() {
    Model::new("trace/dropped", &["before", "after", "unfinished"]).preemptions(3).check(|tally| {
        let ring = ring::<LoomArch, 1>(TraceMode::Drop);
        let writer = thread::spawn({
            let ring = Rc::clone(&ring);
            move || (1..=4).for_each(|which| note(&ring, which))
        });
        let (found, counted) = read(&ring);
        assert!(found.iter().all(|which| *which <= 2), "dropped, and there");
        writer.join().unwrap();
        let (last, in_the_end) = read(&ring);
        assert_eq!((last, in_the_end.dropped, in_the_end.overwritten), (vec![1, 2], 2, 0));
        tally.hit(match counted {
            TraceCount { unfinished: 1.., .. } => "unfinished",
            TraceCount { dropped: 0, .. } => "before",
            _ => "after",
        });
    });
}

/// A thread that was moved notes into the ring of the CPU that it has left.
#[test]
fn two_writers() {
    Model::new("trace/two_writers", &["one first", "mixed"]).preemptions(4).check(|tally| {
        let ring = ring::<LoomArch, 2>(TraceMode::Overwrite);
        let moved = thread::spawn({
            let ring = Rc::clone(&ring);
            move || (1..=2).for_each(|which| note(&ring, which))
        });
        (3..=4).for_each(|which| note(&ring, which));
        moved.join().unwrap();
        let (found, counted) = read(&ring);
        assert_eq!((found.len(), counted.noted), (4, 4), "lost");
        let before = |a: u64, b: u64| {
            found.iter().position(|which| *which == a) < found.iter().position(|which| *which == b)
        };
        assert!(before(1, 2) && before(3, 4));
        tally.hit(if before(2, 3) || before(4, 1) { "one first" } else { "mixed" });
    });
}

/// The same where the ring goes round below them.
#[test]
fn two_writers_go_round() {
    Model::new("trace/two_writers_go_round", &["both", "written into"]).preemptions(3).check(|tally| {
        let ring = ring::<LoomArch, 1>(TraceMode::Overwrite);
        let moved = thread::spawn({
            let ring = Rc::clone(&ring);
            move || note(&ring, 1)
        });
        (2..=3).for_each(|which| note(&ring, which));
        moved.join().unwrap();
        let (found, counted) = read(&ring);
        assert_eq!((counted.noted, counted.overwritten), (3, 1));
        tally.hit(if found.len() == 2 { "both" } else { "written into" });
    });
}

/// One CPU, which interrupts may come to between any two of its steps.
struct Cpu<const LOG: u32> {
    ring: Rc<Ring<Steps, LOG>>,
    /// How many records interrupts may still note.
    left: Cell<u64>,
    next: Cell<u64>,
    choices: RefCell<Choices>,
}

impl<const LOG: u32> Cpu<LOG> {
    fn new(mode: TraceMode, interrupts: u64, choices: &mut Choices) -> Rc<Self> {
        let (left, next) = (Cell::new(interrupts), Cell::new(0));
        Rc::new(Self { ring: ring(mode), left, next, choices: RefCell::new(mem::take(choices)) })
    }

    fn note(&self) {
        self.next.set(self.next.get() + 1);
        note(&self.ring, self.next.get());
    }

    /// A handler comes here, and notes so many, and may be interrupted itself; or none comes.
    fn come(self: &Rc<Self>) {
        let count = self.choices.borrow_mut().pick(1 + self.left.get() as usize) as u64;
        self.left.set(self.left.get() - count);
        if count != 0 {
            let own = Rc::clone(self);
            steps::armed(Rc::new(move || own.come()), || (0..count).for_each(|_| self.note()));
        }
    }

    /// Runs `f`, with interrupts.
    fn run(self: &Rc<Self>, f: impl FnOnce()) {
        let own = Rc::clone(self);
        steps::armed(Rc::new(move || own.come()), f);
    }
}

/// What an interrupt comes into is whole all the same; and what it comes into for a whole lap is lost, and is known to be.
#[test]
fn interrupted() {
    let outcomes = &["whole", "written into"];
    Model::new("trace/interrupted", outcomes).check_choices(|choices: &mut Choices, tally: &Tally| {
        let cpu = Cpu::<1>::new(TraceMode::Overwrite, 3, choices);
        cpu.run(|| (0..2).for_each(|_| cpu.note()));
        let (found, counted) = read(&cpu.ring);
        assert_eq!(counted.noted, cpu.next.get());
        assert_eq!(counted.read + counted.unfinished, counted.noted.min(2));
        tally.hit(if found.len() == 2 { "whole" } else { "written into" });
        *choices = cpu.choices.take();
    });
}

/// Where what does not fit is dropped, nothing is ever written into.
#[test]
fn interrupted_and_dropped() {
    let outcomes = &["full", "not full"];
    Model::new("trace/interrupted_and_dropped", outcomes).check_choices(
        |choices: &mut Choices, tally: &Tally| {
            let cpu = Cpu::<2>::new(TraceMode::Drop, 4, choices);
            cpu.run(|| (0..2).for_each(|_| cpu.note()));
            let (found, counted) = read(&cpu.ring);
            assert_eq!((counted.noted, counted.unfinished, counted.overwritten), (cpu.next.get(), 0, 0));
            assert_eq!(found.len() as u64, counted.noted.min(4));
            tally.hit(if counted.dropped == 0 { "not full" } else { "full" });
            *choices = cpu.choices.take();
        },
    );
}

/// The ring is opened anew while a thread is in the middle of a record, and goes on with it.
#[test]
fn opened_anew() {
    let outcomes = &["before", "in the middle"];
    Model::new("trace/opened_anew", outcomes).check_choices(|choices: &mut Choices, tally: &Tally| {
        let ring = ring::<Steps, 1>(TraceMode::Drop);
        // At which of its steps; and how many are noted then.
        let (at, count) = (Cell::new(choices.pick(7)), choices.pick(3) as u64);
        let mut numbers_of_old = 0;
        let own = Rc::clone(&ring);
        let come = move || {
            if at.get() == 0 {
                own.open(TraceMode::Drop);
                (2..2 + count).for_each(|which| note(&own, which));
            }
            at.set(at.get().wrapping_sub(1));
        };
        steps::armed(Rc::new(come), || note(&ring, 1));
        let (found, counted) = read(&ring);
        if found.contains(&1) || counted.noted > count {
            numbers_of_old += 1;
        }
        assert!(found.len() as u64 + counted.unfinished + counted.dropped == counted.noted);
        assert!(counted.noted <= count + numbers_of_old);
        // It came with a number of the old session, and has written over one of the new at most.
        assert!(counted.unfinished <= 1);
        tally.hit(if numbers_of_old == 0 { "in the middle" } else { "before" });
    });
}
