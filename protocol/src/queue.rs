//! The call queue: what others want of one CPU, in the order in which they asked, in one word.
//!
//! ```text
//!   bit 63    62 ........................ 15   14 ......... 0
//!  +--------+--------------------------------+---------------+
//!  | closed | callers: one bit per sender    | list: newest  |
//!  |        | whose synchronous call waits   | node + 1, or 0|
//!  +--------+--------------------------------+---------------+
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
//! - who finds the word empty, and he alone, sends the SGI; the receiver takes everything by one swap;
//! - the order survives: the link of a node is *the whole word* that its sender found. It names the next older
//!   node and all the calls that are older than the node. The receiver runs those first.
//!
//! So everything that one sender sends to one CPU runs in the order of sending, posts and calls alike, and no
//! batch runs anything that was sent after something that it leaves behind.
//!
//! A word has room for [`CALLERS`](Queue::CALLERS) senders. On a machine with more CPUs each target has one
//! queue per block of that many senders: a sender always uses the same one, so nothing of the above changes;
//! the receiver takes from each in turn. Memory per CPU: three words per block, one link per node of its own.
//!
//! Nobody waits here. A push repeats only when another push, or the receiver's swap, came in between.

use core::mem;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::{Arch, Word};

/// Bits of the list.
const LIST: u64 = (1 << CALLERS_SHIFT) - 1;
const CALLERS_SHIFT: u32 = 15;
/// Bits of the callers.
const CALLERS: u32 = 48;
const CLOSED: u64 = 1 << 63;

/// Width of the time in the watch word, which has the take counter's low bits below it.
const WATCH_SHIFT: u32 = 16;

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
        Self { bit: 1 << (CALLERS_SHIFT + number) }
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
    /// How often something was taken. Written by the receiver alone.
    takes: A::Word,
    /// What a sender last saw of `takes`, and when it last moved or an SGI was sent again.
    watch: A::Word,
}

impl<A: Arch> Queue<A> {
    /// How many senders a queue has room for. Within it they are numbered from 0.
    pub const CALLERS: u32 = CALLERS;
    /// How many nodes a queue has room for. They are numbered from 0; the numbers are the queue's own, so on a
    /// machine with several blocks of senders each block counts from 0.
    pub const NODES: u32 = LIST as u32;
    /// The first of [`from_parts`](Self::from_parts)' words: closed.
    pub const CLOSED: u64 = CLOSED;
    /// The other two of [`from_parts`](Self::from_parts)' words.
    pub const ZERO: u64 = 0;

    /// A queue around a word that holds [`Self::CLOSED`] and two that hold [`Self::ZERO`]. For statics.
    pub const fn from_parts(head: A::Word, takes: A::Word, watch: A::Word) -> Self {
        Self { head, takes, watch }
    }

    /// A closed queue.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::CLOSED), A::Word::new(Self::ZERO), A::Word::new(Self::ZERO))
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
        self.push(|seen| {
            // Relaxed: published by the push, with the rest of the node.
            link.store(seen, Relaxed);
            (seen & !LIST) | (u64::from(node) + 1)
        })
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
        self.push(|seen| {
            debug_assert!(seen & caller.bit == 0, "a second call of one caller");
            seen | caller.bit
        })
    }

    #[inline]
    fn push(&self, add: impl Fn(u64) -> u64) -> Result<Pushed, Closed> {
        // The first guess: empty. No load: the compare-exchange finds out just as soon.
        let mut tried = self.try_push(0, &add);
        loop {
            match tried {
                Ok(pushed) => return Ok(pushed),
                Err(now) if now & CLOSED != 0 => return Err(Closed),
                Err(now) => tried = self.try_push(now, &add),
            }
        }
    }

    #[inline]
    fn try_push(&self, seen: u64, add: impl Fn(u64) -> u64) -> Result<Pushed, u64> {
        // Release: pairs with the swap of `drain`. Node and link, or payload, are there for the receiver. Acquire: pairs
        // with `open`. What the receiver has set up, such as how it is interrupted, is there for the sender.
        self.head.compare_exchange(seen, add(seen), AcqRel, Relaxed).map(|_| Pushed { first: seen == 0 })
    }

    /// The CPU of this queue takes all that is there. Empty if the queue is closed.
    ///
    /// Called with interrupts masked until the batch is through: there is one drainer at a time.
    ///
    /// # Panics
    ///
    /// If `links` is too short for a node in the queue.
    #[inline]
    pub fn take<'a>(&self, links: &'a [A::Word]) -> Batch<'a, A> {
        // Relaxed: an SGI comes after its push, by the glue's barriers; and what was pushed without one
        // may be missed here, as it may by a swap that comes a moment earlier. Closed is negative.
        if self.head.load(Relaxed).cast_signed() <= 0 {
            return Batch { links, next: 0, calls: 0 };
        }
        let batch = self.drain(0, links);
        // No read-modify-write, as nobody else writes it. Relaxed: it hands over nothing.
        self.takes.store(self.takes.load(Relaxed).wrapping_add(1), Relaxed);
        batch
    }

    /// Takes what is there if it is one call and nothing else: the usual case, for less than [`Self::take`] costs.
    ///
    /// `None`: it is something else, or nothing, and has not been touched. Otherwise like [`Self::take`].
    #[inline]
    #[must_use = "a call that was taken has to be run"]
    pub fn take_call(&self) -> Option<u32> {
        // Relaxed: as in `take`.
        let seen = self.head.load(Relaxed);
        // Of a node in the list, a closed queue, or nothing, this is no caller.
        let caller = seen.trailing_zeros().wrapping_sub(CALLERS_SHIFT);
        if caller >= Self::CALLERS {
            return None;
        }
        // Acquire: as in `drain`. Fails if another message is there, or has come since, which `take` will find.
        self.head.compare_exchange(1 << (CALLERS_SHIFT + caller), 0, Acquire, Relaxed).ok()?;
        // As in `take`.
        self.takes.store(self.takes.load(Relaxed).wrapping_add(1), Relaxed);
        Some(caller)
    }

    /// The CPU of this queue is about to leave and takes no more messages. What was accepted until now comes
    /// back, to be run before it goes; everything later is refused.
    ///
    /// # Panics
    ///
    /// Like [`Self::take`].
    pub fn close<'a>(&self, links: &'a [A::Word]) -> Batch<'a, A> {
        self.drain(CLOSED, links)
    }

    /// The CPU of this queue never runs again: it takes no more messages, and what it had accepted is not run any more. That comes
    /// back, if there is any, for the nodes in it. By whoever has stopped it, and everyone that waits there.
    ///
    /// # Panics
    ///
    /// Like [`Self::take`].
    #[inline(always)]
    #[must_use = "the nodes are some sender's"]
    pub fn condemn<'a>(&self, links: &'a [A::Word]) -> Option<Batch<'a, A>> {
        // Acquire: as in `drain`.
        let taken = self.head.swap(CLOSED, Acquire);
        (taken & !CLOSED != 0).then(|| Self::in_order(taken, links))
    }

    /// The CPU of this queue is ready for messages. Does nothing if the queue is open.
    pub fn open(&self) {
        if self.is_closed() {
            // A plain store, as nobody else writes a closed queue. Release: pairs with `try_push`.
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
        self.head.load(Relaxed) & caller.into().bit != 0
    }

    /// How often something was taken, for reports.
    #[must_use]
    pub fn takes(&self) -> u64 {
        self.takes.load(Relaxed)
    }

    /// Whether the receiver, although there is something to take, has taken nothing for `patience`: then the
    /// caller sends the SGI, again. `true` at most about once in that time, over all who ask.
    ///
    /// Asked by a sender that was not [`first`](Pushed::first), and by one that waits. It guards against an SGI
    /// that was dropped; it may be wrong either way for once, as an SGI too many does no harm and one too late
    /// is only late.
    pub fn is_stalled(&self, now: u64, patience: u64) -> bool {
        if self.is_empty() {
            return false;
        }
        // Relaxed, all: a hint, which the next look corrects.
        let takes = self.takes.load(Relaxed);
        let watched = self.watch.load(Relaxed);
        // The lower bits of the counter and the time, so that one word holds what belongs together.
        let fresh = now << WATCH_SHIFT | takes & ((1 << WATCH_SHIFT) - 1);
        let moved = (fresh ^ watched) & ((1 << WATCH_SHIFT) - 1) != 0;
        let elapsed = fresh.wrapping_sub(watched) >> WATCH_SHIFT;
        if moved {
            self.watch.store(fresh, Relaxed);
            return false;
        }
        let stalled = elapsed >= patience;
        if stalled {
            self.watch.store(fresh, Relaxed);
        }
        stalled
    }

    #[inline]
    fn drain<'a>(&self, leave: u64, links: &'a [A::Word]) -> Batch<'a, A> {
        // Acquire: pairs with the Release of each push that is in the word. The last one heads the chain: every
        // later change was a read-modify-write, so none of the releases is lost.
        Self::in_order(self.head.swap(leave, Acquire), links)
    }

    /// What a word that was taken holds.
    #[inline]
    fn in_order<'a>(taken: u64, links: &'a [A::Word]) -> Batch<'a, A> {
        // Oldest first: each node's link is turned to the next newer node. Relaxed: the nodes are ours.
        let mut newest = taken & LIST;
        let mut newer = 0;
        while newest != 0 {
            let link = &links[newest as usize - 1];
            let before = link.load(Relaxed);
            link.store(before & !LIST | newer, Relaxed);
            newer = newest;
            newest = before & LIST;
        }
        Batch { links, next: newer, calls: taken & !CLOSED & !LIST }
    }
}

impl<A: Arch> Default for Queue<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a receiver has taken, oldest first. Every message is to be run: what is left in a batch that is dropped
/// is lost, and whoever called waits for ever.
///
/// The link of a node is read before the node is handed out, so it may be released at once.
#[must_use = "what was taken has to be run"]
pub struct Batch<'a, A: Arch> {
    links: &'a [A::Word],
    /// The oldest node that is left, plus 1, or 0.
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
            let link = self.links[self.next as usize - 1].load(Relaxed);
            // The calls that were there when this node was pushed are older.
            calls &= link;
            if calls == 0 {
                let node = mem::replace(&mut self.next, link & LIST) - 1;
                return Some(Message::Post(node as u32));
            }
        }
        if calls == 0 {
            return None;
        }
        let caller = calls.trailing_zeros();
        self.calls &= !(1 << caller);
        Some(Message::Call(caller - CALLERS_SHIFT))
    }
}

#[cfg(test)]
mod tests;
