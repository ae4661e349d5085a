//! The call queue: what others want of one CPU, in the order in which they asked, in one word.
//!
//! ```text
//!   bit 63    62 ........... 48   47 ......................... 0
//!  +--------+-------------------+--------------------------------+
//!  | closed | list: newest      | callers: one bit per sender    |
//!  |        | node + 1, or 0    | whose synchronous call waits   |
//!  +--------+-------------------+--------------------------------+
//! ```
//!
//! A **posted** closure lies in a node of its sender's [`Pool`](crate::Pool). The nodes form a list, newest
//! first; each has a link word. A **synchronous call** needs no node: its sender waits for it and so has at
//! most one, and one bit says that it is there. That makes a broadcast cheap (a payload once, a bit per target,
//! no links that would have to exist for every pair of CPUs) and takes nothing from the pool, so that a full
//! pool never holds up a call that is willing to wait.
//!
//! Both live in one word, so that
//! - to be accepted or to find the CPU offline is one atomic decision, and so is closing against all senders;
//! - who finds the word empty, and he alone, sends the SGI; the receiver takes everything by one operation, and a call is sent by one;
//! - the order survives: the link of a node is *the whole word* that its sender found. It names the next older
//!   node and all the calls that are older than the node. The receiver runs those first.
//!
//! So everything that one sender sends to one CPU runs in the order of sending, posts and calls alike, and no
//! batch runs anything that was sent after something that it leaves behind.
//!
//! A word has room for [`CALLERS`](Queue::CALLERS) senders. On a machine with more CPUs each target has one
//! queue per block of that many senders: a sender always uses the same one, so nothing of the above changes;
//! the receiver takes from each in turn. Memory per CPU: two words per block, one link per node of its own.
//!
//! What else is in a closed word means nothing: a call that was refused has left its bit there.
//!
//! Nobody waits here. A call repeats nothing, and a post only when another message came in between, or the receiver that took or closed.

use core::mem;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::{Arch, Word};

/// How many bits the callers have, which are the lowest: so their numbers need no arithmetic.
const CALLERS: u32 = 48;
/// Bits of the list.
const LIST: u64 = NODES << CALLERS;
const NODES: u64 = (1 << 15) - 1;
const CLOSED: u64 = 1 << 63;

/// Where the time begins in the watch word, which has the low bits of the number of messages below it.
const WATCH_SHIFT: u32 = 16;
const RAN: u64 = (1 << WATCH_SHIFT) - 1;

/// A message was accepted: it will be run exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the receiver hears of the first message only if it is sent an SGI"]
pub struct Pushed {
    /// The queue was empty: the sender has to send the SGI. Otherwise whoever found it empty does, or has.
    pub first: bool,
}

/// A sender of synchronous calls as the queues know it: what is made of its number, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its bit in the word.
    bit: u64,
}

impl Caller {
    /// The sender with this number.
    ///
    /// # Panics
    ///
    /// If there is no room for it: the numbers are below [`Queue::CALLERS`].
    #[must_use]
    pub const fn new(number: u32) -> Self {
        assert!(number < CALLERS);
        Self { bit: 1 << number }
    }
}

impl From<u32> for Caller {
    fn from(number: u32) -> Self {
        Self::new(number)
    }
}

/// The CPU takes no messages, because it is not online. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// What a receiver finds in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// The sender with this number waits for its call to be run.
    Call(u32),
    /// The closure in this node is to be run. The receiver has the node to itself until it releases it to its
    /// pool.
    Post(u32),
}

/// The queue of one CPU for up to [`CALLERS`](Self::CALLERS) senders. Closed until that CPU opens it.
pub struct Queue<A: Arch> {
    /// What is queued.
    head: A::Word,
    /// How many messages a sender last saw that the receiver had run, and when it looked.
    watch: A::Word,
}

impl<A: Arch> Queue<A> {
    /// How many senders a queue has room for. Within it they are numbered from 0.
    pub const CALLERS: u32 = CALLERS;
    /// How many nodes a queue has room for. They are numbered from 0; the numbers are the queue's own, so on a
    /// machine with several blocks of senders each block counts from 0.
    pub const NODES: u32 = NODES as u32;
    /// The first of [`from_parts`](Self::from_parts)' words: closed.
    pub const CLOSED: u64 = CLOSED;
    /// The second of [`from_parts`](Self::from_parts)' words.
    pub const ZERO: u64 = 0;

    /// A queue around a word that holds [`Self::CLOSED`] and one that holds [`Self::ZERO`]. For statics.
    pub const fn from_parts(head: A::Word, watch: A::Word) -> Self {
        Self { head, watch }
    }

    /// A closed queue.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::CLOSED), A::Word::new(Self::ZERO))
    }

    /// Sends the closure in `node`, which the sender has got from its pool and filled.
    ///
    /// `links` has the link of each node that can be in this queue. From the attempt to the SGI the sender is
    /// interrupt-masked: an accepted message of which the receiver was not told waits for the next one.
    ///
    /// # Errors
    ///
    /// [`Closed`]; the node is still the sender's.
    ///
    /// # Panics
    ///
    /// If `links` is too short.
    #[inline]
    pub fn post(&self, links: &[A::Word], node: u32) -> Result<Pushed, Closed> {
        let link = &links[node as usize];
        // The first guess: empty. No load: the compare-exchange finds out just as soon.
        let mut found = self.try_post(link, node, 0);
        loop {
            match found {
                Ok(pushed) => return Ok(pushed),
                Err(now) if now & CLOSED != 0 => return Err(Closed),
                Err(now) => found = self.try_post(link, node, now),
            }
        }
    }

    #[inline]
    fn try_post(&self, link: &A::Word, node: u32, seen: u64) -> Result<Pushed, u64> {
        // Relaxed: published by the push, with the rest of the node.
        link.store(seen, Relaxed);
        let pushed = (seen & !LIST) | (u64::from(node) + 1) << CALLERS;
        // Release: pairs with `take`. Node and link are there for the receiver. Acquire: pairs with `open`. What the receiver has set up,
        // such as how it is interrupted, is there for the sender.
        self.head.compare_exchange(seen, pushed, AcqRel, Relaxed).map(|_| Pushed { first: seen == 0 })
    }

    /// Sends the synchronous call of `caller`, which has none under way and has filled its payload. Otherwise
    /// like [`Self::post`].
    ///
    /// # Errors
    ///
    /// [`Closed`]; the payload is still the caller's.
    #[inline]
    pub fn call(&self, caller: impl Into<Caller>) -> Result<Pushed, Closed> {
        let caller = caller.into();
        // Release, Acquire: as in `post`, for the payload. In a closed word the bit means nothing, and is gone when it opens.
        let seen = self.head.fetch_or(caller.bit, AcqRel);
        if seen & CLOSED != 0 {
            return Err(Closed);
        }
        debug_assert!(seen & caller.bit == 0, "a second call of one caller");
        Ok(Pushed { first: seen == 0 })
    }

    /// The CPU of this queue takes all that is there: nothing, if the queue is closed.
    ///
    /// Called with interrupts masked until what was taken is through: there is one drainer at a time. It is one operation,
    /// without a look before it, so that the word comes to this CPU once, to be written. Who was not told that there is
    /// something looks first, with [`Self::is_empty`].
    #[inline]
    pub fn take(&self) -> Taken {
        // A closed queue stays closed. Acquire: pairs with the Release of each push that is in the word. The last one heads the
        // chain: every later change was a read-modify-write, so none of the releases is lost.
        Taken { word: self.head.fetch_and(CLOSED, Acquire) }
    }

    /// The CPU of this queue is about to leave and takes no more messages. What was accepted until now comes
    /// back, to be run before it goes; everything later is refused.
    ///
    pub fn close(&self) -> Taken {
        // Acquire: as in `take`.
        Taken { word: self.head.swap(CLOSED, Acquire) }
    }

    /// The CPU of this queue never runs again: it takes no more messages, and what it had accepted is not run any more. That comes
    /// back, if there is any, for the nodes in it. By whoever has stopped it, and everyone that waits there.
    #[inline(always)]
    #[must_use = "the nodes are some sender's"]
    pub fn condemn(&self) -> Option<Taken> {
        let lost = self.close();
        (!lost.is_empty()).then_some(lost)
    }

    /// The CPU of this queue is ready for messages. Does nothing if the queue is open.
    pub fn open(&self) {
        if self.is_closed() {
            // A plain store, as others leave nothing in a closed queue that means anything. Release: pairs with `post` and `call`.
            self.head.store(0, Release);
        }
    }

    /// Whether messages are refused. A CPU that waits for another to open its queue looks here.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        // Relaxed: what it opens for is decided by whoever pushes.
        self.head.load(Relaxed) & CLOSED != 0
    }

    /// Whether there is nothing to take. For the CPU of this queue, about to go idle: with interrupts masked,
    /// as what is pushed after the look comes with an SGI.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.load(Relaxed).cast_signed() <= 0
    }

    /// Whether the call of `caller` has not been taken yet. If it has, it runs, or waits for the rest of its
    /// batch. For reports.
    #[must_use]
    pub fn is_waiting(&self, caller: impl Into<Caller>) -> bool {
        let seen = self.head.load(Relaxed);
        seen & CLOSED == 0 && seen & caller.into().bit != 0
    }

    /// Whether the receiver, although there is something to take, has run nothing for `patience`: then the
    /// caller sends the SGI, again. `true` at most about once in that time, over all who ask.
    ///
    /// `ran` says how many messages the receiver has run: it is asked about as rarely, as it lies where others write.
    ///
    /// Asked by a sender that was not [`first`](Pushed::first), and by one that waits. It guards against an SGI
    /// that was dropped; it may be wrong either way for once, as an SGI too many does no harm and one too late
    /// is only late.
    pub fn is_stalled(&self, now: u64, patience: u64, ran: impl FnOnce() -> u64) -> bool {
        if self.is_empty() {
            return false;
        }
        // Relaxed, all: a hint, which the next look corrects.
        let watched = self.watch.load(Relaxed);
        if (now << WATCH_SHIFT).wrapping_sub(watched & !RAN) >> WATCH_SHIFT < patience {
            return false;
        }
        // The time and the lower bits of the number, so that one word holds what belongs together.
        let fresh = now << WATCH_SHIFT | ran() & RAN;
        self.watch.store(fresh, Relaxed);
        (fresh ^ watched) & RAN == 0
    }
}

impl<A: Arch> Default for Queue<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a receiver has taken from its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what was taken has to be run"]
pub struct Taken {
    word: u64,
}

impl Taken {
    /// Nothing.
    pub const NOTHING: Self = Self { word: 0 };

    /// Whether nothing was there.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        // Closed is negative.
        self.word.cast_signed() <= 0
    }

    /// The sender whose call is all that was there: the usual case.
    #[inline]
    #[must_use]
    pub fn only_call(self) -> Option<u32> {
        let lowest = self.word.trailing_zeros();
        // Of a node in the list, a closed queue, or nothing, this is no caller.
        (lowest < CALLERS && self.word.wrapping_shr(lowest) == 1).then_some(lowest)
    }

    /// All that was there, oldest first. `links` are those of the nodes of the queue that it was taken from.
    ///
    /// # Panics
    ///
    /// If `links` is too short for a node in it.
    #[inline]
    pub fn in_order<A: Arch>(self, links: &[A::Word]) -> Batch<'_, A> {
        if self.is_empty() {
            return Batch { links, next: 0, calls: 0 };
        }
        // Oldest first: each node's link is turned to the next newer node. Relaxed: the nodes are ours.
        let mut newest = self.word & LIST;
        let mut newer = 0;
        while newest != 0 {
            let link = &links[index_of(newest)];
            let before = link.load(Relaxed);
            link.store(before & !LIST | newer, Relaxed);
            newer = newest;
            newest = before & LIST;
        }
        Batch { links, next: newer, calls: self.word & !LIST }
    }
}

/// The node that the list bits of a word, which are not all 0, name.
#[inline]
fn index_of(list: u64) -> usize {
    (list >> CALLERS) as usize - 1
}

/// The messages that a receiver has taken, oldest first. Every one is to be run: what is left in a batch that is dropped
/// is lost, and whoever called waits for ever.
///
/// The link of a node is read before the node is handed out, so it may be released at once.
#[must_use = "what was taken has to be run"]
pub struct Batch<'a, A: Arch> {
    links: &'a [A::Word],
    /// The oldest node that is left, as list bits have it, or 0.
    next: u64,
    /// The calls that are left, where they are in the word.
    calls: u64,
}

impl<A: Arch> Batch<'_, A> {
    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next | self.calls == 0
    }
}

impl<A: Arch> Iterator for Batch<'_, A> {
    type Item = Message;

    #[inline]
    fn next(&mut self) -> Option<Message> {
        let mut calls = self.calls;
        if self.next != 0 {
            let link = self.links[index_of(self.next)].load(Relaxed);
            // The calls that were there when this node was pushed are older.
            calls &= link;
            if calls == 0 {
                let node = index_of(mem::replace(&mut self.next, link & LIST));
                return Some(Message::Post(node as u32));
            }
        }
        if calls == 0 {
            return None;
        }
        let caller = calls.trailing_zeros();
        self.calls &= !(1 << caller);
        Some(Message::Call(caller))
    }
}

#[cfg(test)]
mod tests;
