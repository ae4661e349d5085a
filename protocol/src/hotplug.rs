//! The request to leave: how one CPU asks another to go offline, and how it gets an answer or its request back.
//!
//! A CPU is never taken down; it goes, from a point where it holds nothing. So it has to be asked, may take its
//! time, and may be asked in vain. Each CPU has one [`LeaveRequest`], and each request a number.
//!
//! ```text
//!          ask                 accept                 left, stayed
//!   Idle ------> Requested -------------> Accepted ---------------> Left, Stayed(why)
//!    ^               | withdraw               | drop                     | drop
//!    +---------------+                        v        left, stayed      |
//!    +<----------------------------------- Abandoned <---+               |
//!    +<------------------------------------------------------------------+
//! ```
//!
//! The race is [`Accepted`](LeaveRequest::accept) against [`withdraw`](Asking::withdraw): a request that was taken
//! back is not acted upon, and one that was accepted is answered. Whoever asked may stop waiting for the answer
//! too, in a second race, [`left`](Leaving::left) against [`abandon`](Asking::abandon): either the CPU leaves while
//! somebody with the right to change which CPUs there are stands behind the request, or it stays, and clears the word.
//!
//! The word holds the number of the request in bits 63:24, the reason to stay in 23:8 and the state in 7:0.

use core::mem;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::{Arch, Word};

const ROUND_SHIFT: u32 = 24;
const WHY_SHIFT: u32 = 8;
const ROUND_MASK: u64 = u64::MAX >> ROUND_SHIFT;

const IDLE: u8 = 0;
const WRITING: u8 = 1;
const REQUESTED: u8 = 2;
const ACCEPTED: u8 = 3;
const LEFT: u8 = 4;
const STAYED: u8 = 5;
const ABANDONED: u8 = 6;

const fn word(round: u64, why: u16, state: u8) -> u64 {
    round << ROUND_SHIFT | (why as u64) << WHY_SHIFT | state as u64
}

const fn round(word: u64) -> u64 {
    word >> ROUND_SHIFT
}

const fn why(word: u64) -> u16 {
    (word >> WHY_SHIFT) as u16
}

const fn state(word: u64) -> u8 {
    word as u8
}

/// How a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    /// It was not accepted yet, and can be withdrawn.
    Asked,
    /// The CPU has accepted, and tries to leave.
    Accepted,
    /// The CPU is past the point of no return. It is not necessarily gone: its slot tells.
    Left,
    /// The CPU could not leave, for this reason, and goes on as before.
    Stayed(u16),
    /// It was withdrawn.
    Withdrawn,
}

/// Somebody else has asked this CPU to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyAsked;

/// The word through which one CPU is asked to leave.
pub struct LeaveRequest<A: Arch> {
    word: A::Word,
    deadline: A::Word,
}

impl<A: Arch> LeaveRequest<A> {
    /// Both of [`from_parts`](Self::from_parts)' words.
    pub const IDLE: u64 = 0;

    /// A request around two words that hold [`Self::IDLE`]. For statics.
    pub const fn from_parts(word: A::Word, deadline: A::Word) -> Self {
        Self { word, deadline }
    }

    /// No request.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::IDLE), A::Word::new(Self::IDLE))
    }

    /// Asks the CPU to leave by `deadline`. It has to be told to look.
    ///
    /// # Errors
    ///
    /// [`AlreadyAsked`]; that request goes on.
    pub fn ask(&self, deadline: u64) -> Result<Asking<'_, A>, AlreadyAsked> {
        let seen = self.word.load(Relaxed);
        if state(seen) != IDLE {
            return Err(AlreadyAsked);
        }
        let round = (round(seen) + 1) & ROUND_MASK;
        // Acquire: pairs with the Release of whatever made the word idle. The last request is over before this one
        // is written over it.
        if self.word.compare_exchange(seen, word(round, 0, WRITING), Acquire, Relaxed).is_err() {
            return Err(AlreadyAsked);
        }
        self.deadline.store(deadline, Relaxed);
        // A plain store: nobody else writes a request that is being written. Release: pairs with `accept`.
        self.word.store(word(round, 0, REQUESTED), Release);
        Ok(Asking { request: self, round })
    }

    /// Whether none is under way. From elsewhere good for a report.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        state(self.word.load(Relaxed)) == IDLE
    }

    /// Whether the CPU of this request is asked to leave. One load, for loops.
    #[inline]
    #[must_use]
    pub fn is_asked(&self) -> bool {
        state(self.word.load(Relaxed)) == REQUESTED
    }

    /// The CPU of this request, which holds nothing any more, agrees to leave.
    #[must_use = "a request that was accepted has to be answered"]
    pub fn accept(&self) -> Option<Leaving<'_, A>> {
        let seen = self.word.load(Relaxed);
        if state(seen) != REQUESTED {
            return None;
        }
        let round = round(seen);
        // Acquire: pairs with `ask`.
        self.word.compare_exchange(seen, word(round, 0, ACCEPTED), Acquire, Relaxed).ok()?;
        Some(Leaving { request: self, round, deadline: self.deadline.load(Relaxed) })
    }
}

impl<A: Arch> Default for LeaveRequest<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// The side that asks. Dropping it withdraws the request, or does without the answer.
#[must_use = "a request that is dropped is withdrawn"]
pub struct Asking<'a, A: Arch> {
    request: &'a LeaveRequest<A>,
    round: u64,
}

impl<A: Arch> Asking<'_, A> {
    /// How the request stands.
    #[must_use]
    pub fn poll(&self) -> Progress {
        // Acquire: pairs with the Release of the answer. What the CPU did before it answered is seen.
        self.read(self.request.word.load(Acquire))
    }

    /// Takes the request back. After `Ok` the CPU does not leave for it.
    ///
    /// # Errors
    ///
    /// How the request stands, if the CPU has accepted it.
    pub fn withdraw(&self) -> Result<(), Progress> {
        let requested = word(self.round, 0, REQUESTED);
        // Relaxed: being a read-modify-write it passes the Release of `ask` on to the next one. Acquire: as in `poll`.
        match self.request.word.compare_exchange(requested, word(self.round, 0, IDLE), Relaxed, Acquire) {
            Ok(_) => Ok(()),
            Err(seen) => match self.read(seen) {
                Progress::Withdrawn => Ok(()),
                progress => Err(progress),
            },
        }
    }

    /// Stops waiting, for good, and says how the request stood.
    ///
    /// After anything but [`Progress::Left`] the CPU does not leave for it.
    pub fn abandon(self) -> Progress {
        let stood = self.release();
        mem::forget(self);
        stood
    }

    /// Withdraws the request, does without the answer, or clears it away.
    fn release(&self) -> Progress {
        let mut seen = word(self.round, 0, REQUESTED);
        loop {
            let next = match state(seen) {
                REQUESTED | LEFT | STAYED => word(self.round, 0, IDLE),
                ACCEPTED => word(self.round, 0, ABANDONED),
                _ => return Progress::Withdrawn,
            };
            // Release: pairs with the next `ask`. Acquire: as in `poll`.
            match self.request.word.compare_exchange(seen, next, AcqRel, Acquire) {
                Ok(_) => return self.read(seen),
                // Withdrawn before, and by now it may be another's.
                Err(now) if round(now) != self.round => return Progress::Withdrawn,
                // The CPU has accepted, or answered: each happens once.
                Err(now) => seen = now,
            }
        }
    }

    fn read(&self, seen: u64) -> Progress {
        if round(seen) != self.round {
            return Progress::Withdrawn;
        }
        match state(seen) {
            REQUESTED => Progress::Asked,
            ACCEPTED => Progress::Accepted,
            LEFT => Progress::Left,
            STAYED => Progress::Stayed(why(seen)),
            // Idle; or memory gone bad.
            _ => Progress::Withdrawn,
        }
    }
}

impl<A: Arch> Drop for Asking<'_, A> {
    fn drop(&mut self) {
        self.release();
    }
}

/// The side that leaves. Dropping it answers that it stayed, for reason 0.
#[must_use = "a request that was accepted has to be answered"]
pub struct Leaving<'a, A: Arch> {
    request: &'a LeaveRequest<A>,
    round: u64,
    deadline: u64,
}

impl<A: Arch> Leaving<'_, A> {
    /// By when the CPU is to have left.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    /// The CPU comes to the point of no return, and may pass it. Said before its slot says that it leaves.
    ///
    /// `false`: nobody waits for it any more, and so it has to stay. Everything that changes which CPUs there are is
    /// done under the right of whoever asked, who may have given that to another by now.
    pub fn left(self) -> bool {
        let left = self.answer(0, LEFT);
        mem::forget(self);
        left
    }

    /// The CPU could not leave, for reason `why`.
    pub fn stayed(self, why: u16) {
        self.answer(why, STAYED);
        mem::forget(self);
    }

    /// Whether anybody wanted the answer.
    fn answer(&self, why: u16, answer: u8) -> bool {
        let accepted = word(self.round, 0, ACCEPTED);
        // Release: pairs with `Asking::poll`. What this CPU did before it answered is seen.
        if self
            .request
            .word
            .compare_exchange(accepted, word(self.round, why, answer), Release, Relaxed)
            .is_err()
        {
            // Abandoned. A plain store: that is this CPU's alone to clear. Release: pairs with the next `ask`.
            self.request.word.store(word(self.round, 0, IDLE), Release);
            return false;
        }
        true
    }
}

impl<A: Arch> Drop for Leaving<'_, A> {
    fn drop(&mut self) {
        self.answer(0, STAYED);
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;
    use crate::testing::Host;

    #[test]
    fn asked_and_answered() {
        let request = LeaveRequest::<Host>::new();
        assert!(!request.is_asked());
        assert!(request.accept().is_none());
        for (answer, expected) in [(None, Progress::Left), (Some(u16::MAX), Progress::Stayed(u16::MAX))] {
            let asking = request.ask(77).unwrap();
            assert!(request.is_asked());
            assert_eq!(request.ask(78).err(), Some(AlreadyAsked));
            assert_eq!(asking.poll(), Progress::Asked);
            let leaving = request.accept().unwrap();
            assert_eq!(leaving.deadline(), 77);
            assert!(request.accept().is_none());
            assert_eq!((asking.poll(), asking.withdraw()), (Progress::Accepted, Err(Progress::Accepted)));
            match answer {
                None => assert!(leaving.left()),
                Some(why) => leaving.stayed(why),
            }
            assert_eq!((asking.poll(), asking.withdraw()), (expected, Err(expected)));
            // The answer is kept for whoever asked.
            assert_eq!(request.ask(78).err(), Some(AlreadyAsked));
        }
    }

    #[test]
    fn withdrawn() {
        let request = LeaveRequest::<Host>::new();
        let first = request.ask(1).unwrap();
        assert_eq!(first.withdraw(), Ok(()));
        assert_eq!((first.poll(), first.withdraw()), (Progress::Withdrawn, Ok(())));
        assert!(request.accept().is_none());
        let second = request.ask(2).unwrap();
        assert_eq!((first.poll(), first.withdraw()), (Progress::Withdrawn, Ok(())));
        drop(first);
        assert_eq!(second.poll(), Progress::Asked);
        drop(second);
        assert!(!request.is_asked());
    }

    #[test]
    fn abandoned() {
        let request = LeaveRequest::<Host>::new();
        drop(request.ask(1).unwrap());
        let asking = request.ask(2).unwrap();
        let leaving = request.accept().unwrap();
        assert_eq!(asking.abandon(), Progress::Accepted);
        assert_eq!(request.ask(3).err(), Some(AlreadyAsked));
        assert!(!leaving.left(), "leaves, and nobody waits for it");
        let asking = request.ask(3).unwrap();
        assert!(request.accept().unwrap().left());
        assert_eq!(asking.abandon(), Progress::Left);
        assert_eq!(request.ask(4).unwrap().abandon(), Progress::Asked);
        assert!(!request.is_asked());
    }

    #[test]
    fn an_answer_that_is_forgotten_is_no() {
        let request = LeaveRequest::<Host>::new();
        let asking = request.ask(1).unwrap();
        drop(request.accept().unwrap());
        assert_eq!(asking.poll(), Progress::Stayed(0));
    }

    #[test]
    fn numbers_wrap() {
        let last = AtomicU64::new(word(ROUND_MASK, 5, IDLE));
        let request = LeaveRequest::<Host>::from_parts(last, AtomicU64::new(0));
        let asking = request.ask(1).unwrap();
        assert_eq!(asking.round, 0);
        assert!(request.accept().is_some());
    }

    #[test]
    fn a_corrupt_word_asks_for_nothing() {
        let request = LeaveRequest::<Host>::from_parts(AtomicU64::new(99), AtomicU64::new(0));
        assert!(!request.is_asked());
        assert_eq!(request.ask(1).err(), Some(AlreadyAsked));
        assert!(request.accept().is_none());
    }
}
