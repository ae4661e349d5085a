//! The word of a lock, which lets one through at a time: whoever finds it free, but nobody past one that waits too often.
//!
//! ```text
//!   63 ............. 40   39 ............. 16   15 ........ 0
//!  +-------------------+--------------------+-------------+
//!  | next claim        | claim that is next | its holder  |    both claims equal: none; no holder: free
//!  +-------------------+--------------------+-------------+
//! ```
//!
//! A queue in which each has its turn stands still as soon as the one whose turn it is does not run, and under a hypervisor that
//! takes CPUs away that is most of the time. So here who runs takes what is free, which needs nobody else: a compare-exchange of a word
//! that is 0 for the number of the one that takes it. A second word counts the turns that ended. A waiter that has seen [`Fairness::overtakings`] of them end makes a claim, one
//! compare-exchange more, and from there on a lock that is given back is for the first of the claims: a word with a claim is
//! not 0. Claims are numbered as they are made, and wrap.
//!
//! A claim is only good for one that runs. Whoever finds a free lock claimed by another, and after [`Fairness::patience`] looks still
//! unchanged, strikes the claim off: it was made by a CPU that has stopped meanwhile, for a moment or for good, or by a thread that was interrupted.
//! That one makes another when it comes back. So no waiter holds up anybody, and claims order waiters, while the number of the holder alone excludes
//! them. It says who has the lock as well, to those that wait and to whoever makes a report: one that has not taken it, or has given it back, never
//! finds its own number there.
//!
//! To give a lock back is a store to the lowest half-word, which nobody else writes while it is held: claims that are made at that moment stay.
//!
//! Each operation but that is done with interrupts masked, for the sake of [`LockWord`]; a lock may be held, and waited for, with
//! interrupts open.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::LockWord;

/// The number of the holder, in a word.
const HOLDER: u64 = 0xffff;
/// Where the claim that is next, and the next to be made, begin in a word.
const SERVED: u32 = 16;
const NEXT: u32 = 40;
/// All the bits of either.
const CLAIM: u64 = 0xff_ffff;

const fn is_held(word: u64) -> bool {
    word & HOLDER != 0
}

/// The claim that is next, in a word.
const fn served(word: u64) -> u64 {
    word >> SERVED & CLAIM
}

/// The next claim to be made, in a word.
const fn next(word: u64) -> u64 {
    word >> NEXT
}

const fn has_claims(word: u64) -> bool {
    next(word) != served(word)
}

/// Whether the claim of this number has been made and is not over.
const fn is_open(word: u64, claim: u64) -> bool {
    claim.wrapping_sub(served(word)) & CLAIM < next(word).wrapping_sub(served(word)) & CLAIM
}

/// One claim more. Nothing is carried out of the word.
const fn with_claim(word: u64) -> u64 {
    word.wrapping_add(1 << NEXT)
}

/// The claims of a word without the first; 0 if no other is left.
const fn without_first(word: u64) -> u64 {
    let first = served(word).wrapping_add(1) & CLAIM;
    if first == next(word) { 0 } else { next(word) << NEXT | first << SERVED }
}

/// Who takes a lock: a CPU, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(u64);

impl Owner {
    /// The CPU of this number. The highest that there is would be taken for the one before it, by name.
    #[must_use]
    pub const fn of(cpu: u16) -> Self {
        Self(cpu.saturating_add(1) as u64)
    }

    /// The one in a word.
    const fn in_word(word: u64) -> Option<Self> {
        if is_held(word) { Some(Self(word & HOLDER)) } else { None }
    }

    /// The number of the CPU.
    #[must_use]
    pub const fn cpu(self) -> u16 {
        (self.0 - 1) as u16
    }
}

/// How long a waiter lets others go first.
#[derive(Clone, Copy, Debug)]
pub struct Fairness {
    /// Turns that end before it makes a claim.
    pub overtakings: u32,
    /// Looks at a lock that is free and claimed by another, before it strikes that claim off.
    pub patience: u32,
}

impl Fairness {
    /// Of the locks. Few enough turns that a waiter has not long to wait, many enough that a running CPU has a lock several times before
    /// the line moves; looks for a few microseconds, in which a CPU that runs comes out of a WFE and takes what is its own.
    pub const USUAL: Self = Self { overtakings: 16, patience: 256 };

    /// Of one that makes no claim.
    #[must_use]
    pub const fn without_claim(self) -> Self {
        Self { overtakings: u32::MAX, ..self }
    }
}

/// One that waits for a lock.
#[derive(Debug)]
pub struct Waiter {
    fairness: Fairness,
    /// The count of turns when it looked last.
    turns: u64,
    /// How many have ended while it waited.
    passed: u64,
    claim: Option<u64>,
    /// Looks at the lock since it was free for the claim `first`.
    looks: u32,
    first: u64,
}

impl Waiter {
    /// Whether it has a claim, as far as it knows.
    #[must_use]
    pub const fn has_claim(&self) -> bool {
        self.claim.is_some()
    }
}

/// What a waiter saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It has the lock.
    Taken,
    /// Another has it, and sends an event when it gives it back.
    Held,
    /// The lock is free, but not for this waiter, or was when it looked, or a claim was just made: to be looked at again at once, without
    /// a wait for an event.
    Again,
}

/// What a waiter is to do, having looked.
enum Move {
    /// To look again, as it says.
    Rest(Seen),
    /// To try a change of the word.
    Act(Change),
}

/// A change of the word.
struct Change {
    seen: u64,
    /// Without the holder, where the lock is taken by it.
    new: u64,
    end: End,
}

/// What it comes to.
enum End {
    Taken,
    Claimed,
    StruckOff,
}

/// The words of a lock.
///
/// Sixteen bytes at a multiple of sixteen: on one cache line.
#[repr(C, align(16))]
pub struct Turnstile<W> {
    word: W,
    /// Turns that ended. Written by the holder alone.
    turns: W,
}

impl<W: LockWord> Turnstile<W> {
    /// Both words of a lock that is free.
    pub const FREE: u64 = 0;

    /// A lock around two words that hold [`Self::FREE`]. For statics.
    pub const fn from_parts(word: W, turns: W) -> Self {
        Self { word, turns }
    }

    /// A lock that is free.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(W::new(Self::FREE), W::new(0))
    }

    /// `me` takes the lock if it is free, and nobody has a claim.
    #[inline(always)]
    #[must_use = "a lock that was taken has to be given back"]
    pub fn try_take(&self, me: Owner) -> bool {
        if !self.word.replace(Self::FREE, me.0) {
            return false;
        }
        // Acquire: pairs with `give_back`. A fence, because the form for a single CPU has none.
        W::fence(Acquire);
        true
    }

    /// One that begins to wait.
    pub fn waiter(&self, fairness: Fairness) -> Waiter {
        Waiter { fairness, turns: self.turns(), passed: 0, claim: None, looks: 0, first: 0 }
    }

    /// What a waiter is to do next. Changes nothing.
    fn see(&self, waiter: &mut Waiter) -> Move {
        let seen = self.word.load();
        // It may be behind the word, and then the next look finds the turn that this one does not.
        let turns = self.turns();
        if turns != waiter.turns || served(seen) != waiter.first || is_held(seen) {
            waiter.looks = 0;
        }
        waiter.passed = waiter.passed.saturating_add(turns.wrapping_sub(waiter.turns));
        (waiter.turns, waiter.first) = (turns, served(seen));
        // One that was struck off is made again.
        waiter.claim = waiter.claim.filter(|&claim| is_open(seen, claim));
        let is_first = waiter.claim == Some(served(seen));
        if !is_held(seen) && (is_first || !has_claims(seen)) {
            let claims = if is_first { without_first(seen) } else { 0 };
            return Move::Act(Change { seen, new: claims, end: End::Taken });
        }
        if waiter.claim.is_none() && waiter.passed >= waiter.fairness.overtakings.into() {
            return Move::Act(Change { seen, new: with_claim(seen), end: End::Claimed });
        }
        if is_held(seen) {
            return Move::Rest(Seen::Held);
        }
        waiter.looks += 1;
        if waiter.looks <= waiter.fairness.patience {
            return Move::Rest(Seen::Again);
        }
        Move::Act(Change { seen, new: without_first(seen), end: End::StruckOff })
    }

    /// Tries the change that a waiter, which is `me` now, is to make.
    fn act(&self, waiter: &mut Waiter, change: Change, me: Owner) -> Seen {
        let holder = if matches!(change.end, End::Taken) { me.0 } else { 0 };
        // Relaxed: `fence` orders where the lock is taken. All changes of claims are read-modify-writes, which keep the Release of the last holder.
        if !self.word.replace(change.seen, change.new | holder) {
            return Seen::Again;
        }
        match change.end {
            End::Taken => {
                // As in `try_take`.
                W::fence(Acquire);
                Seen::Taken
            }
            End::Claimed => {
                waiter.claim = Some(next(change.seen));
                Seen::Again
            }
            End::StruckOff => Seen::Again,
        }
    }

    /// A look of a waiter, which is `me` now, and what comes of it. With interrupts masked. Not inlined: all who wait come by here, and nobody else.
    #[inline(never)]
    pub fn look(&self, waiter: &mut Waiter, me: Owner) -> Seen {
        match self.see(waiter) {
            Move::Rest(look) => look,
            Move::Act(change) => self.act(waiter, change, me),
        }
    }

    /// Looks until `me` has taken the lock, with interrupts masked, or until `pause`, which is told what was seen, says no. Whether it was taken.
    #[inline(always)]
    pub fn wait(&self, me: Owner, fairness: Fairness, mut pause: impl FnMut(Seen) -> bool) -> bool {
        let mut waiter = self.waiter(fairness);
        loop {
            match self.look(&mut waiter, me) {
                Seen::Taken => return true,
                seen if !pause(seen) => return false,
                _ => {}
            }
        }
    }

    /// Whether somebody has the lock. Relaxed: it may be so no more when the caller has the answer.
    #[inline]
    pub fn is_held(&self) -> bool {
        is_held(self.word.load())
    }

    /// Who has the lock. Relaxed, likewise: late for others; but a CPU that has interrupts masked finds itself exactly if it has the lock, as nobody
    /// else writes its number.
    #[inline]
    pub fn holder(&self) -> Option<Owner> {
        Owner::in_word(self.word.load())
    }

    /// How many turns have ended. Relaxed, likewise.
    #[inline(always)]
    pub fn turns(&self) -> u64 {
        self.turns.load()
    }

    /// By the holder, or for a [`Held`] that was forgotten. Interrupts stay as they are.
    #[inline(always)]
    pub fn give_back(&self) {
        // Relaxed: for whoever counts; written by holders alone, one after the other.
        self.turns.store(self.turns.load().wrapping_add(1), Relaxed);
        // Release: pairs with the fence of the next holder.
        self.word.clear_low_half(Release);
        W::wake();
    }
}

impl<W: LockWord> Default for Turnstile<W> {
    fn default() -> Self {
        Self::new()
    }
}

/// How the holder of a lock comes by its words.
pub trait Place {
    /// A word of the lock.
    type Word: LockWord;
    /// The words: the same ones each time.
    fn turnstile(&self) -> &Turnstile<Self::Word>;
}

impl<W: LockWord> Place for &Turnstile<W> {
    type Word = W;

    fn turnstile(&self) -> &Turnstile<W> {
        self
    }
}

/// The right to what the lock in one place guards, with the mask that goes with it. Dropping it gives the lock back, and then
/// lets the mask go.
///
/// Interrupts are masked before the lock is asked for, and open again only when it is given back: a handler that wants the
/// lock finds that its own CPU neither holds it nor waits for it.
#[must_use = "the lock is free again as soon as this is dropped"]
pub struct Held<P: Place, M> {
    // Dropped in this order: a handler that comes as soon as interrupts are open finds the lock given back.
    turn: Turn<P>,
    _mask: M,
}

/// The turn itself.
struct Turn<P: Place>(P);

impl<P: Place> Drop for Turn<P> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.turnstile().give_back();
    }
}

impl<P: Place, M> Held<P, M> {
    /// `me` takes the lock if it is free. If it is not, `otherwise` [waits](Turnstile::wait) for it, or does not, and says whether it has taken
    /// it. Interrupts are masked by `mask`.
    #[inline(always)]
    pub fn take(place: P, mask: M, me: Owner, otherwise: impl FnOnce() -> bool) -> Option<Self> {
        if !place.turnstile().try_take(me) && !otherwise() {
            return None;
        }
        Some(Self::taken(place, mask))
    }

    /// Of a lock that this CPU has just taken, with interrupts masked by `mask`, and has no guard of yet.
    #[inline(always)]
    pub fn taken(place: P, mask: M) -> Self {
        Self { turn: Turn(place), _mask: mask }
    }

    /// The place.
    #[inline(always)]
    pub fn place(&self) -> &P {
        &self.turn.0
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::cell::Cell;
    use core::sync::atomic::AtomicU64;
    use std::vec::Vec;

    use super::*;

    type Lock = Turnstile<AtomicU64>;

    /// More than a byte has room for.
    const ME: Owner = Owner::of(0x2ff);
    const HELD: u64 = ME.0;

    const FAIRNESS: Fairness = Fairness { overtakings: 2, patience: 3 };

    fn word(lock: &Lock) -> u64 {
        lock.word.load(Relaxed)
    }

    /// Takes a free lock and gives it back.
    fn passes(lock: &Lock) -> bool {
        Held::take(lock, (), ME, || false).is_some()
    }

    /// One that has a claim, on a lock that is held.
    fn claimant(lock: &Lock) -> Waiter {
        let mut waiter = lock.waiter(Fairness { overtakings: 0, ..FAIRNESS });
        assert_eq!(lock.look(&mut waiter, ME), Seen::Again);
        assert!(waiter.has_claim());
        assert_eq!(lock.look(&mut waiter, ME), Seen::Held);
        waiter
    }

    #[test]
    fn one_holder() {
        let lock = Lock::new();
        for turns in 0..2 {
            assert!(!lock.is_held());
            assert!(lock.try_take(ME));
            assert!(lock.holder() == Some(ME) && lock.is_held() && !lock.try_take(ME) && !passes(&lock));
            assert!(
                !lock.wait(ME, FAIRNESS, |look| look != Seen::Held),
                "does not wait for a lock that is held"
            );
            assert_eq!(lock.turns(), turns);
            lock.give_back();
        }
        assert_eq!(word(&lock), Lock::FREE);
    }

    #[test]
    fn who_was_passed_too_often_is_next() {
        let lock = Lock::new();
        let mut waiter = lock.waiter(FAIRNESS);
        for _ in 0..FAIRNESS.overtakings {
            assert!(lock.try_take(ME));
            assert_eq!(lock.look(&mut waiter, ME), Seen::Held);
            assert!(!waiter.has_claim());
            lock.give_back();
        }
        assert!(lock.try_take(ME));
        assert_eq!(lock.look(&mut waiter, ME), Seen::Again);
        assert!(waiter.has_claim());
        assert_eq!(lock.look(&mut waiter, ME), Seen::Held);
        lock.give_back();
        assert!(!lock.is_held() && !lock.try_take(ME), "a free lock that is claimed is not taken");
        assert_eq!(lock.look(&mut waiter, ME), Seen::Taken);
        lock.give_back();
        assert_eq!(word(&lock), Lock::FREE, "no claim is left");
    }

    #[test]
    fn claims_in_their_order_and_round_the_corner() {
        // The next claim is the last one before 0.
        let lock =
            Lock::from_parts(AtomicU64::new(CLAIM << NEXT | CLAIM << SERVED), AtomicU64::new(u64::MAX));
        assert!(passes(&lock) || lock.wait(ME, FAIRNESS, |_| false), "no claims, whatever their number");
        assert_eq!(word(&lock), HELD);
        lock.word.store(CLAIM << NEXT | CLAIM << SERVED | HELD, Relaxed);
        let mut claimants: Vec<_> = (0..3).map(|_| claimant(&lock)).collect();
        for first in 0..3 {
            lock.give_back();
            for late in (first + 1..3).rev() {
                assert_eq!(lock.look(&mut claimants[late], ME), Seen::Again, "not its turn");
            }
            assert_eq!(lock.look(&mut claimants[first], ME), Seen::Taken);
        }
        lock.give_back();
        assert_eq!(word(&lock), Lock::FREE);
        assert_eq!(lock.turns(), 3);
    }

    #[test]
    fn the_claim_of_one_that_does_not_run_is_struck_off() {
        let lock = Lock::new();
        assert!(lock.try_take(ME));
        let (mut gone, mut back) = (claimant(&lock), claimant(&lock));
        lock.give_back();
        let mut waiter = lock.waiter(FAIRNESS.without_claim());
        for _ in 0..2 {
            for _ in 0..FAIRNESS.patience {
                let before = word(&lock);
                assert_eq!(lock.look(&mut waiter, ME), Seen::Again);
                assert_eq!(word(&lock), before, "no patience");
            }
            assert_eq!(lock.look(&mut waiter, ME), Seen::Again);
        }
        assert_eq!(lock.look(&mut waiter, ME), Seen::Taken);
        assert_eq!(word(&lock), HELD);
        // It comes back, and makes another.
        assert_eq!(lock.look(&mut back, ME), Seen::Again);
        assert!(back.has_claim());
        assert_eq!(
            lock.look(&mut gone, ME),
            Seen::Held,
            "both claims had this number: it is taken for the same"
        );
        lock.give_back();
        assert_eq!(lock.look(&mut back, ME), Seen::Taken);
        assert_eq!(lock.look(&mut gone, ME), Seen::Again);
    }

    #[test]
    fn patience_begins_anew_with_each_turn() {
        let lock = Lock::new();
        assert!(lock.try_take(ME));
        let mut first = claimant(&lock);
        let _second = claimant(&lock);
        lock.give_back();
        let mut waiter = lock.waiter(FAIRNESS.without_claim());
        for _ in 0..FAIRNESS.patience {
            assert_eq!(lock.look(&mut waiter, ME), Seen::Again);
        }
        assert_eq!(lock.look(&mut first, ME), Seen::Taken);
        lock.give_back();
        for _ in 0..FAIRNESS.patience {
            let before = word(&lock);
            assert_eq!(lock.look(&mut waiter, ME), Seen::Again);
            assert_eq!(word(&lock), before, "no patience with the second");
        }
    }

    #[test]
    fn a_change_that_comes_too_late_changes_nothing() {
        let lock = Lock::new();
        let mut waiter = lock.waiter(FAIRNESS);
        let Move::Act(change) = lock.see(&mut waiter) else { panic!("free") };
        assert!(lock.try_take(ME));
        assert_eq!(lock.act(&mut waiter, change, ME), Seen::Again);
        assert_eq!(word(&lock), HELD);
    }

    #[test]
    fn the_mask_goes_last() {
        struct Mask<'a>(&'a Lock, &'a Cell<bool>);
        impl Drop for Mask<'_> {
            fn drop(&mut self) {
                self.1.set(passes(self.0));
            }
        }
        let (lock, free) = (Lock::new(), Cell::new(false));
        drop(Held::take(&lock, Mask(&lock, &free), ME, || unreachable!()));
        assert!(free.get(), "open before the lock is free");
    }
}
