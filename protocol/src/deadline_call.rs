//! Calls with a deadline: the caller waits for a while, then takes its call back, unless it runs already.
//!
//! The call travels as an ordinary post, in a node of the caller's pool, and comes to the front of the target's
//! queue whenever that CPU gets there. What it carries is the caller's word, a [`Ticket`] and an address in the
//! caller's memory. The word, one per caller, says what has become of the ticket:
//!
//! ```text
//!              begin              start             drop of Started
//!  Over(t-1) -------> Queued(t) --------> Running(t) --------------> Over(t)
//!                        |
//!                        +----------------------------------------> Over(t)
//!                           cancel
//! ```
//!
//! `start` and `cancel` race by compare-exchange, and one wins. A callee that lost, however late it comes, has
//! touched the caller's word only: it drops what it carries, whose node is back in the pool by then. Tickets are
//! never used twice, so it cannot take a later call for its own.

use core::mem;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::{Arch, Word};

const OVER: u64 = 0;
const QUEUED: u64 = 1;
const RUNNING: u64 = 2;
const STATE: u64 = 3;
/// What one ticket is more than the one before.
const TICKET: u64 = 4;

/// The number of a call with a deadline, for the callee. At a call each nanosecond they last 146 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// Where a call with a deadline is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadlineState {
    /// The callee has not come to it.
    Queued,
    /// The callee runs it.
    Running,
    /// It ran.
    Done,
}

/// The word that decides whether the call of one CPU runs or was taken back.
pub struct DeadlineCall<A: Arch> {
    word: A::Word,
}

impl<A: Arch> DeadlineCall<A> {
    /// The word of a CPU that never made such a call.
    pub const IDLE: u64 = 0;

    /// Around a word that holds [`Self::IDLE`]. For statics.
    pub const fn from_parts(word: A::Word) -> Self {
        Self { word }
    }

    /// For a CPU that never made such a call.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::IDLE))
    }

    /// The CPU of this word begins a call, which it then posts. `None` if it has one under way.
    #[must_use]
    pub fn begin(&self) -> Option<Pending<'_, A>> {
        // Relaxed: only this CPU begins, and it saw the last one end.
        let last = self.word.load(Relaxed);
        if last & STATE != OVER {
            return None;
        }
        let ticket = Ticket(last.wrapping_add(TICKET));
        // A plain store: a callee that is late with an old ticket changes nothing. Relaxed: `Queue::post` hands it
        // over.
        self.word.store(ticket.0 | QUEUED, Relaxed);
        Some(Pending { call: self, ticket })
    }

    /// Whether none is under way. From elsewhere good for a report.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.word.load(Relaxed) & STATE == OVER
    }

    /// The callee has come to the call with this ticket. `None` if it was taken back: then nothing of the caller's
    /// may be touched, except for this word.
    #[must_use]
    pub fn start(&self, ticket: Ticket) -> Option<Started<'_, A>> {
        // Relaxed: what the call needs came with the node, and winning is all that is decided here.
        self.word
            .compare_exchange(ticket.0 | QUEUED, ticket.0 | RUNNING, Relaxed, Relaxed)
            .ok()
            .map(|_| Started { call: self, ticket })
    }
}

impl<A: Arch> Default for DeadlineCall<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// A call with a deadline under way, in the hands of its caller. Dropping it takes the call back, or waits for
/// its end.
#[must_use = "dropped, it takes the call back or waits for its end"]
pub struct Pending<'a, A: Arch> {
    call: &'a DeadlineCall<A>,
    ticket: Ticket,
}

impl<A: Arch> Pending<'_, A> {
    /// What the callee needs to know it by.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Where the call is.
    ///
    /// `Done`: the callee's last touch of the caller's memory is over, and what it left there can be read.
    #[must_use]
    pub fn state(&self) -> DeadlineState {
        // Acquire: pairs with the Release of `Started::drop`.
        match self.call.word.load(Acquire) & STATE {
            QUEUED => DeadlineState::Queued,
            RUNNING => DeadlineState::Running,
            _ => DeadlineState::Done,
        }
    }

    /// The deadline has passed, or the call was refused by its target: takes it back.
    ///
    /// # Errors
    ///
    /// The call itself, if it runs or has run. Then its end is to be awaited.
    pub fn cancel(self) -> Result<(), Self> {
        // Relaxed on success: the callee touched nothing that would have to be ordered. Relaxed on failure: the
        // end is awaited, by `state`.
        let queued = self.ticket.0 | QUEUED;
        match self.call.word.compare_exchange(queued, self.ticket.0 | OVER, Relaxed, Relaxed) {
            Ok(_) => {
                mem::forget(self);
                Ok(())
            }
            Err(_) => Err(self),
        }
    }

    /// Waits until the call is done, with `pause` between the looks.
    pub fn wait(self, mut pause: impl FnMut(&Self)) {
        while self.state() != DeadlineState::Done {
            pause(&self);
        }
        mem::forget(self);
    }
}

impl<A: Arch> Drop for Pending<'_, A> {
    fn drop(&mut self) {
        let again = Pending { call: self.call, ticket: self.ticket };
        if let Err(running) = again.cancel() {
            running.wait(|_| A::relax());
        }
    }
}

/// The callee's right to what the caller has lent. Dropping it gives all back: the callee touches nothing of the
/// caller's after that.
#[must_use = "dropped, the call counts as run"]
pub struct Started<'a, A: Arch> {
    call: &'a DeadlineCall<A>,
    ticket: Ticket,
}

impl<A: Arch> Drop for Started<'_, A> {
    fn drop(&mut self) {
        // A plain store: the caller leaves a running call alone. Release: pairs with `Pending::state`.
        self.call.word.store(self.ticket.0 | OVER, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn a_call_runs_and_is_done() {
        let call = DeadlineCall::<Host>::new();
        let pending = call.begin().unwrap();
        assert_eq!(pending.state(), DeadlineState::Queued);
        assert!(call.begin().is_none(), "two calls at once");
        let started = call.start(pending.ticket()).unwrap();
        assert_eq!(pending.state(), DeadlineState::Running);
        assert!(call.begin().is_none());
        assert!(call.start(pending.ticket()).is_none(), "started twice");
        let pending = pending.cancel().unwrap_err();
        assert_eq!(pending.state(), DeadlineState::Running, "taken back while it runs");
        drop(started);
        assert_eq!(pending.state(), DeadlineState::Done);
        let pending = pending.cancel().unwrap_err();
        pending.wait(|_| panic!("waits for what is done"));
        assert!(call.begin().is_some());
    }

    #[test]
    fn a_call_that_was_taken_back_never_starts() {
        let call = DeadlineCall::<Host>::new();
        let first = call.begin().unwrap();
        let stale = first.ticket();
        assert!(first.cancel().is_ok());
        assert!(call.start(stale).is_none());
        let second = call.begin().unwrap();
        assert_ne!(second.ticket(), stale);
        assert!(call.start(stale).is_none(), "takes the second call for the first");
        let ticket = second.ticket();
        // Dropped: taken back.
        drop(second);
        assert!(call.start(ticket).is_none());
    }

    #[test]
    fn a_call_that_ran_leaves_its_ticket() {
        let call = DeadlineCall::<Host>::new();
        let first = call.begin().unwrap();
        let ticket = first.ticket();
        drop(call.start(ticket).unwrap());
        assert_eq!(first.state(), DeadlineState::Done);
        drop(first);
        assert_ne!(call.begin().unwrap().ticket(), ticket);
    }
}
