//! The ring of a CPU's trace: whoever has something to note never waits, and whoever reads never takes halves of two records for one.
//!
//! ```text
//!   note:   number = head++             one read-modify-write; beyond the limit: dropped, and counted by that
//!           four words to slot number % SLOTS, in any order, each with a stamp of the number
//!
//!   read:   head, then slot by slot: a record counts if all four stamps are those of its number
//! ```
//!
//! Most of the time a ring has one writer, its CPU; but that may be interrupted between any two of its steps by a handler that notes too,
//! and a thread may be moved while it is in the middle. So a number is given out once, and a record is written by whoever has its number and
//! by nobody else. What was interrupted for so long that the ring has gone round writes into a slot that has another record by then: that
//! one is lost, and found to be, as its stamps differ. No access orders another: that a word is of a certain record is said by the word.
//!
//! ```text
//!   number, as `head` counts it:   63     lap     32 31     slot    22 21      0
//!   word 0                         time + (number << 16)
//!   word 1                         low half of the value  | lap
//!   word 2                         low half of the site   | lap
//!   word 3                         lap                    | high half of the value
//! ```
//!
//! The layout is one that AArch64 makes of number and payload by an instruction for each word.

use core::marker::PhantomData;
use core::sync::atomic::Ordering::Relaxed;

use crate::{Arch, Word};

/// A record, as it lies in memory.
pub type TraceWords = [u64; 4];

/// What was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRecord {
    /// When, ticks of the counter.
    pub time: u64,
    /// Where: the low half of an address.
    pub site: u32,
    /// What with.
    pub value: u64,
}

/// What becomes of what is noted when the ring is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceMode {
    /// It takes the place of the oldest.
    Overwrite,
    /// It is dropped.
    Drop,
}

/// How many records there are, of a ring that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceCount {
    /// Noted since the ring was opened: all of the below.
    pub noted: u64,
    /// Read.
    pub read: u64,
    /// Dropped, because the ring was full.
    pub dropped: u64,
    /// Overwritten by younger ones.
    pub overwritten: u64,
    /// Half written as they were looked at, or written into by one that was interrupted for a whole lap.
    pub unfinished: u64,
}

/// Where the slots of a ring are, and beside that its limit.
pub trait TraceMemory {
    /// Where the slots are.
    type Slots;
    /// The first number that is dropped, and where the slots are: both at once.
    fn find(&self) -> (u64, Self::Slots);
    /// From now on this is the first number that is dropped.
    fn set_limit(&self, limit: u64);
    /// Writes the words of a slot, each by one access and in any order: the slot of this number.
    fn put(slots: Self::Slots, number: u64, words: TraceWords);
    /// Reads them.
    fn get(slots: Self::Slots, number: u64) -> TraceWords;
}

/// Where a number is counted: below are the bits that are always 0.
const SLOT_SHIFT: u32 = 32;

/// The ring of one CPU, of `1 << LOG` slots.
#[repr(C)]
pub struct TraceRing<A: Arch, M: TraceMemory, const LOG: u32> {
    /// The next number. First, where the writer finds it without an addition.
    head: A::Word,
    memory: M,
    /// The number with which the ring was opened.
    first: A::Word,
    arch: PhantomData<fn() -> A>,
}

// Relaxed throughout: see above. Whoever opens a ring has seen to it that nothing is being noted but by those that were interrupted in the
// middle, and those keep to their old numbers or come in with new ones.
impl<A: Arch, M: TraceMemory, const LOG: u32> TraceRing<A, M, LOG> {
    /// What the head of a ring moves on by with each record.
    pub const STEP: u64 = 1 << (SLOT_SHIFT - LOG);
    /// A lap of it.
    const LAP: u64 = 1 << SLOT_SHIFT;
    /// What `head` and the limit of a ring begin as: it drops all.
    pub const CLOSED: u64 = Self::LAP;

    /// Around two words and a memory whose limit are [`Self::CLOSED`]. For statics.
    pub const fn from_parts(head: A::Word, memory: M, first: A::Word) -> Self {
        const { assert!(LOG >= 1 && LOG <= 16) };
        Self { head, memory, first, arch: PhantomData }
    }

    /// Where its slots are.
    pub const fn memory(&self) -> &M {
        &self.memory
    }

    /// The same, while nobody else refers to the ring.
    pub const fn memory_mut(&mut self) -> &mut M {
        &mut self.memory
    }

    /// Notes that there was `value` at `site`, at `time`. From any context, and nothing is waited for.
    #[inline(always)]
    pub fn note(&self, time: u64, site: u64, value: u64) {
        let number = self.head.fetch_add(Self::STEP, Relaxed);
        let (limit, slots) = self.memory.find();
        // It has its number, and that counts it.
        if number >= limit {
            return;
        }
        M::put(slots, number, Self::words(number, time, site, value));
    }

    /// The four words of a record, each stamped.
    #[inline(always)]
    fn words(number: u64, time: u64, site: u64, value: u64) -> TraceWords {
        let lap = number >> SLOT_SHIFT;
        [
            time.wrapping_add(number << 16),
            value << 32 | lap,
            site << 32 | lap,
            lap << SLOT_SHIFT | value >> 32,
        ]
    }

    /// Opens the ring, empty. What was noted before is gone.
    pub fn open(&self, mode: TraceMode) {
        // The lap after the next: none of its numbers was given out, nor will be to one that was interrupted at the end of this lap; and words
        // that were never written are of lap 0.
        let head = self.head.load(Relaxed);
        // Far from the end of the numbers, which a session that drops would come to else.
        let lap = if head >> 63 == 0 { (head >> SLOT_SHIFT) + 2 } else { 1 };
        let first = lap << SLOT_SHIFT;
        self.first.store(first, Relaxed);
        self.memory.set_limit(match mode {
            TraceMode::Overwrite => u64::MAX,
            TraceMode::Drop => first + Self::LAP,
        });
        self.head.store(first, Relaxed);
    }

    /// Keeps what is in the ring: what is noted from here on is dropped. Until it is opened again.
    pub fn freeze(&self) {
        let head = self.head.load(Relaxed);
        if head < self.memory.find().0 {
            self.memory.set_limit(head);
        }
    }

    /// Reads what is in the ring, the oldest first. `now` is the time, ticks: later than any that was noted.
    ///
    /// Others may note meanwhile; what they overwrite is counted as that, or as unfinished.
    pub fn read(&self, now: u64, mut each: impl FnMut(TraceRecord)) -> TraceCount {
        let first = self.first.load(Relaxed);
        // Older than that where it is being opened.
        let head = self.head.load(Relaxed).max(first);
        let (limit, _) = self.memory.find();
        let end = head.min(limit.max(first));
        let begin = if end.wrapping_sub(first) > Self::LAP { end - Self::LAP } else { first };
        let count = |from: u64, to: u64| to.wrapping_sub(from) / Self::STEP;
        let mut counted = TraceCount {
            noted: count(first, head),
            dropped: count(end, head),
            overwritten: count(first, begin),
            ..TraceCount::default()
        };
        let mut number = begin;
        while number < end {
            let (_, slots) = self.memory.find();
            match record(number, M::get(slots, number), now) {
                Some(record) => {
                    counted.read += 1;
                    each(record);
                }
                None => counted.unfinished += 1,
            }
            number += Self::STEP;
        }
        counted
    }
}

/// The record of this number, if these are its words and no others. `now` is the time, ticks: later than any that was noted.
///
/// A time tells itself from one with another stamp as long as it is less than 2^48 ticks ago.
#[must_use]
pub fn trace_record(number: u64, words: TraceWords, now: u64) -> Option<TraceRecord> {
    record(number, words, now)
}

#[inline(always)]
fn record(number: u64, [time, low, site, high]: TraceWords, now: u64) -> Option<TraceRecord> {
    let lap = number >> SLOT_SHIFT;
    let time = time.wrapping_sub(number << 16);
    let whole = [low as u32, site as u32, (high >> 32) as u32].iter().all(|stamp| u64::from(*stamp) == lap);
    let timely = now.wrapping_sub(time) < 1 << 48;
    (whole && timely).then_some(TraceRecord {
        time,
        site: (site >> 32) as u32,
        value: high << 32 | low >> 32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_frozen_stays() {
        use core::sync::atomic::AtomicU64;
        struct Slots {
            limit: AtomicU64,
            words: [[AtomicU64; 4]; 4],
        }
        impl TraceMemory for &'static Slots {
            type Slots = &'static Slots;
            fn find(&self) -> (u64, Self::Slots) {
                (self.limit.load(Relaxed), self)
            }
            fn set_limit(&self, limit: u64) {
                self.limit.store(limit, Relaxed);
            }
            fn put(slots: Self::Slots, number: u64, words: TraceWords) {
                let slot = &slots.words[(number >> 30 & 3) as usize];
                slot.iter().zip(words).for_each(|(word, value)| word.store(value, Relaxed));
            }
            fn get(slots: Self::Slots, number: u64) -> TraceWords {
                core::array::from_fn(|at| slots.words[(number >> 30 & 3) as usize][at].load(Relaxed))
            }
        }
        type Ring = TraceRing<crate::testing::Host, &'static Slots, 2>;
        static SLOTS: Slots = Slots {
            limit: AtomicU64::new(Ring::CLOSED),
            words: [const { [const { AtomicU64::new(0) }; 4] }; 4],
        };
        let ring = Ring::from_parts(AtomicU64::new(Ring::CLOSED), &SLOTS, AtomicU64::new(Ring::CLOSED));
        let values = || {
            let mut values = [0; 4];
            let mut at = 0;
            let count = ring.read(1 << 40, |record| {
                values[at] = record.value;
                at += 1;
            });
            (values, count)
        };
        ring.open(TraceMode::Overwrite);
        (1..=6).for_each(|value| ring.note(value, 7, value));
        ring.freeze();
        ring.note(7, 7, 7);
        ring.freeze();
        ring.note(8, 7, 8);
        let count = TraceCount { noted: 8, read: 4, dropped: 2, overwritten: 2, unfinished: 0 };
        assert_eq!(values(), ([3, 4, 5, 6], count));
        ring.open(TraceMode::Drop);
        (1..=2).for_each(|value| ring.note(value, 7, value));
        ring.freeze();
        ring.note(3, 7, 3);
        assert_eq!(values().0, [1, 2, 0, 0]);
    }

    #[test]
    fn a_word_of_another_lap_is_found() {
        use core::sync::atomic::AtomicU64;
        struct NoMemory;
        impl TraceMemory for NoMemory {
            type Slots = ();
            fn find(&self) -> (u64, ()) {
                (0, ())
            }
            fn set_limit(&self, _: u64) {}
            fn put((): (), _: u64, _: TraceWords) {}
            fn get((): (), _: u64) -> TraceWords {
                [0; 4]
            }
        }
        enum Host {}
        impl Arch for Host {
            type Word = AtomicU64;
            fn now() -> u64 {
                0
            }
            fn relax() {}
            fn fence(_: core::sync::atomic::Ordering) {}
        }
        type Ring = TraceRing<Host, NoMemory, 10>;
        let number = 7 << 32 | 5 << 22;
        let now = 1 << 40;
        let words = Ring::words(number, now - 3, 0x4020_1234, u64::MAX - 1);
        let record = TraceRecord { time: now - 3, site: 0x4020_1234, value: u64::MAX - 1 };
        assert_eq!(trace_record(number, words, now), Some(record));
        for lap in [0, 6, 8, 7 + (1 << 15)] {
            let others = Ring::words(lap << 32 | 5 << 22, now - 3, 0x4020_1234, u64::MAX - 1);
            for word in 0..4 {
                let mut mixed = words;
                mixed[word] = others[word];
                assert_eq!(trace_record(number, mixed, now), None, "word {word} of lap {lap}");
            }
        }
        for word in 0..4 {
            let mut mixed = words;
            mixed[word] = 0;
            assert_eq!(trace_record(number, mixed, now), None, "word {word} never written");
        }
    }
}
