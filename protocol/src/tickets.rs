//! The ticket lock: CPUs get it in the order in which they asked, each with its interrupts masked.
//!
//! ```text
//!   31 ............... 16   15 ............... 0
//!  +---------------------+---------------------+
//!  | next to be drawn    | now served          |    equal: the lock is free
//!  +---------------------+---------------------+
//! ```
//!
//! To ask for the lock is to draw a ticket, by one addition; to give it back is to serve the next one, by another. Both
//! halves wrap, the lower one without a carry into the upper.
//!
//! Interrupts are masked before the ticket is drawn, and open again only when the next one is served: a handler that wants the
//! lock finds that its own CPU neither holds it nor waits for it. So a [`Held`] has the mask inside, and lets it go last.
//!
//! A CPU may be stopped for good while it waits. Its turn comes, and passes for nobody; so the one that stopped it
//! passes over it, if [`Waiter`] tells that this is whose turn it is. Which CPU has stopped which others is for the caller to know.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::{Arch, LockWord, Word};

/// One ticket drawn.
const NEXT: u32 = 1 << 16;

/// Next to be drawn, in a word.
const fn next(word: u32) -> u16 {
    (word >> 16) as u16
}

/// Now served, in a word.
const fn served(word: u32) -> u16 {
    word as u16
}

/// What serves the ticket after the one that is served in `word`: an addition to the lower half alone, without a carry.
const fn serve_next(word: u32) -> u32 {
    let next = served(word).wrapping_add(1);
    (next as u32).wrapping_sub(served(word) as u32)
}

/// The word of a ticket lock.
pub struct Tickets<W> {
    word: W,
}

impl<W: LockWord> Tickets<W> {
    /// The word of a lock that is free.
    pub const FREE: u32 = 0;

    /// A lock around a word that holds [`Self::FREE`]. For statics.
    pub const fn from_parts(word: W) -> Self {
        Self { word }
    }

    /// A lock that is free.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(W::new(Self::FREE))
    }

    /// The wait of [`Held::lock`] for the turn of `ticket`: until it comes, or `pause` says no. Whether it has come.
    ///
    /// `waiter` is the one of this CPU, if it is known which that is, and the number of this lock in it.
    pub fn wait<A: Arch>(
        &self,
        waiter: Option<(&Waiter<A>, u64)>,
        ticket: u16,
        mut pause: impl FnMut() -> bool,
    ) -> bool {
        if let Some((waiter, lock)) = waiter {
            waiter.begin(lock, ticket);
        }
        let comes = loop {
            // `Held` orders it.
            if served(self.word.load()) == ticket {
                break true;
            }
            if !pause() {
                break false;
            }
        };
        // Before the turn is used.
        if let Some((waiter, _)) = waiter {
            waiter.end();
        }
        comes
    }

    /// By the CPU that has stopped all others for good: if it is the turn of one of these that was still waiting, which
    /// `is_stopped` says of a ticket, the next one has it. Whether it was.
    pub fn pass_over(&self, is_stopped: impl FnOnce(u16) -> bool) -> bool {
        let seen = self.word.load();
        let stopped = is_stopped(served(seen));
        if stopped {
            // Relaxed: a read-modify-write, which keeps the Release of the last holder. A CPU that could not be stopped may be
            // drawing a ticket.
            self.word.add_beside_any(serve_next(seen));
        }
        stopped
    }

    /// Whether somebody has the lock, or waits for it. Relaxed: it may be so no more when the caller has the answer.
    #[inline]
    pub fn is_held(&self) -> bool {
        let seen = self.word.load();
        next(seen) != served(seen)
    }

    /// Gives back the lock of a [`Held`] that was forgotten. Interrupts stay as they are.
    #[inline(always)]
    pub fn give_back(&self) {
        let seen = self.word.load();
        // Only the holder writes the lower half, but drawing carries the upper half along. Release: pairs with the fence of the
        // next holder.
        self.word.add(serve_next(seen), Release);
        W::wake();
    }
}

impl<W: LockWord> Default for Tickets<W> {
    fn default() -> Self {
        Self::new()
    }
}

/// How the holder of a lock comes by its tickets.
pub trait Place {
    /// The word of the lock.
    type Word: LockWord;
    /// The tickets: the same ones each time.
    fn tickets(&self) -> &Tickets<Self::Word>;
}

impl<W: LockWord> Place for &Tickets<W> {
    type Word = W;

    fn tickets(&self) -> &Tickets<W> {
        self
    }
}

/// The right to what the lock in one place guards, with the mask that goes with it. Dropping it gives the lock back, and then
/// lets the mask go.
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
        self.0.tickets().give_back();
    }
}

impl<P: Place, M> Held<P, M> {
    /// Draws a ticket, and has the lock when it is its turn. Interrupts are masked by `mask`.
    ///
    /// If it is not at once, `comes` [waits](Tickets::wait) until it is, and says whether: `None` if not, and then nobody ever gets
    /// the lock any more, as there is a ticket that is not given back.
    #[inline(always)]
    pub fn lock(place: P, mask: M, comes: impl FnOnce(u16) -> bool) -> Option<Self> {
        // Relaxed: `new` orders. Being a read-modify-write it keeps the Release of who served last.
        let drawn = place.tickets().word.add(NEXT, Relaxed);
        let mine = next(drawn);
        if served(drawn) != mine && !comes(mine) {
            return None;
        }
        Some(Self::new(place, mask))
    }

    /// Takes the lock if it is free. If it is not, `pass_over` may make it so, and says whether to look again.
    #[inline(always)]
    pub fn try_lock(place: P, mask: M, pass_over: impl Fn() -> bool) -> Option<Self> {
        let word = &place.tickets().word;
        let mut seen = word.load();
        while next(seen) != served(seen) {
            if !pass_over() {
                return None;
            }
            seen = word.load();
        }
        if !word.replace(seen, seen.wrapping_add(NEXT)) {
            return None;
        }
        Some(Self::new(place, mask))
    }

    #[inline(always)]
    fn new(place: P, mask: M) -> Self {
        // Acquire: pairs with `give_back`. A fence, because the draw itself may have been the read that saw it, or the last look
        // of a wait; and because the form of either for a single CPU has none.
        P::Word::fence(Acquire);
        Self { turn: Turn(place), _mask: mask }
    }

    /// The place.
    #[inline(always)]
    pub fn place(&self) -> &P {
        &self.turn.0
    }
}

/// The lock for which one CPU waits: one at most, because it waits with interrupts masked.
///
/// Written by that CPU; read by the one that has stopped it, once it has parked, which is what orders the two.
pub struct Waiter<A: Arch> {
    /// The lock, by a number of the caller's.
    lock: A::Word,
    ticket: A::Word,
}

// Relaxed throughout: see above.
impl<A: Arch> Waiter<A> {
    /// Both of [`from_parts`](Self::from_parts)' words, of a CPU that does not wait. No lock has this number.
    pub const NOBODY: u64 = 0;

    /// Around two words that hold [`Self::NOBODY`]. For statics.
    pub const fn from_parts(lock: A::Word, ticket: A::Word) -> Self {
        Self { lock, ticket }
    }

    /// Of a CPU that does not wait.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::NOBODY), A::Word::new(Self::NOBODY))
    }

    /// This CPU begins to wait for the turn of `ticket`.
    fn begin(&self, lock: u64, ticket: u16) {
        // The lock last: one that is stopped in between waits for nothing, and is not passed over, which only costs; the other way
        // round it could be taken to wait for the turn of somebody else.
        self.ticket.store(u64::from(ticket), Relaxed);
        self.lock.store(lock, Relaxed);
    }

    /// It is its turn: from here on it is not passed over any more.
    fn end(&self) {
        self.lock.store(Self::NOBODY, Relaxed);
    }

    /// Whether this CPU waits at all. For a report.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.lock.load(Relaxed) != Self::NOBODY
    }

    /// Whether this CPU, which has parked, waits for the turn of `ticket`.
    #[must_use]
    pub fn waits_for(&self, lock: u64, ticket: u16) -> bool {
        self.lock.load(Relaxed) == lock && self.ticket.load(Relaxed) == u64::from(ticket)
    }
}

impl<A: Arch> Default for Waiter<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::cell::Cell;
    use core::sync::atomic::AtomicU32;

    use super::*;
    use crate::testing::Host;

    type Lock = Tickets<AtomicU32>;

    fn free(lock: &Lock) -> bool {
        Held::try_lock(lock, (), || false).is_some()
    }

    #[test]
    fn in_the_order_of_asking_and_round_the_corner() {
        // The next ticket to be drawn is the last one before 0.
        let lock = Lock::from_parts(AtomicU32::new(0xffff_ffff));
        let first = Held::lock(&lock, (), |_| panic!("waits for a free lock")).unwrap();
        let mut first = Some(first);
        let second = Held::lock(&lock, (), |ticket| {
            assert_eq!(ticket, 0);
            assert!(!lock.wait::<Host>(None, ticket, || false), "does not wait for a lock that is held");
            let mut pauses = 0;
            let comes = lock.wait::<Host>(None, ticket, || {
                pauses += 1;
                assert!(!free(&lock));
                if pauses == 2 {
                    first = None;
                }
                pauses < 3
            });
            assert_eq!(pauses, 2);
            comes
        });
        assert!(second.is_some() && !free(&lock));
        drop(second);
        assert!(free(&lock));
        assert_eq!(lock.word.load(Relaxed), 0x0002_0002);
    }

    #[test]
    fn a_lock_that_is_held_is_not_taken() {
        let lock = Lock::new();
        assert!(!lock.is_held());
        let held = Held::try_lock(&lock, (), || panic!("nobody to pass over")).unwrap();
        assert!(lock.is_held() && !free(&lock));
        let asked = Cell::new(0);
        let again = Held::try_lock(&lock, (), || {
            asked.set(asked.get() + 1);
            if asked.get() == 2 {
                lock.give_back();
            }
            asked.get() < 3
        });
        assert!(again.is_some() && asked.get() == 2, "looks again as long as it is told to");
        core::mem::forget(held);
    }

    #[test]
    fn the_mask_goes_last() {
        struct Mask<'a>(&'a Lock, &'a Cell<bool>);
        impl Drop for Mask<'_> {
            fn drop(&mut self) {
                self.1.set(free(self.0));
            }
        }
        let (lock, free) = (Lock::new(), Cell::new(false));
        drop(Held::lock(&lock, Mask(&lock, &free), |_| unreachable!()));
        assert!(free.take(), "open before the lock is free");
        drop(Held::try_lock(&lock, Mask(&lock, &free), || false));
        assert!(free.get(), "open before the lock is free");
    }

    #[test]
    fn whoever_was_stopped_in_a_wait_is_passed_over() {
        let lock = Lock::from_parts(AtomicU32::new(0xffff_ffff));
        let waiter = Waiter::<Host>::new();
        let held = Held::lock(&lock, (), |_| unreachable!()).unwrap();
        let mut pauses = 0;
        let waits = Held::lock(&lock, (), |ticket| {
            lock.wait(Some((&waiter, 7)), ticket, || {
                pauses += 1;
                assert!(waiter.waits_for(7, 0) && !waiter.waits_for(8, 0) && !waiter.waits_for(7, 1));
                false
            })
        });
        assert!(waits.is_none() && pauses == 1 && !waiter.waits_for(7, 0));
        // Stopped where it waited.
        waiter.begin(7, 0);
        let pass_over = || lock.pass_over(|ticket| waiter.waits_for(7, ticket));
        assert!(!pass_over(), "it is the holder's turn");
        drop(held);
        assert!(pass_over());
        assert!(!pass_over(), "nobody's turn");
        assert!(free(&lock));
        waiter.end();
        assert!(!waiter.waits_for(7, 0));
        assert!(!lock.pass_over(|_| false) && free(&lock), "passed over somebody that runs");
    }
}
