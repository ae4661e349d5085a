//! Synchronous calls: how a caller lends its stack to other CPUs and gets it back.
//!
//! A CPU waits for its call, so it has at most one. What is called (a function and where the caller keeps the
//! rest) lies in one payload cell per CPU, outside this crate, however many targets there are; the call queue
//! of each target has a bit that points to it. One word counts the targets that are not done with it.
//!
//! ```text
//!  caller: begin(n)  write payload  Queue::call to each  take_back(refused)  wait for 0   [payload is its own again]
//!  callee:                                     taken from its queue: read payload, run, finish
//! ```
//!
//! [`SyncCall::finish`] is the callee's last touch of anything that belongs to the caller. A caller that has
//! seen 0 may return from the function on whose stack all of this lay.

use core::mem;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::{Arch, Word};

/// The word that counts how many CPUs are not done with the call of one CPU.
pub struct SyncCall<A: Arch> {
    left: A::Word,
}

impl<A: Arch> SyncCall<A> {
    /// The word of a CPU that waits for no call.
    pub const IDLE: u64 = 0;

    /// Around a word that holds [`Self::IDLE`]. For statics.
    pub const fn from_parts(left: A::Word) -> Self {
        Self { left }
    }

    /// For a CPU that waits for no call.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::IDLE))
    }

    /// The CPU of this word, which has no call under way, begins one to `targets` CPUs. From here until the first of them is told the payload
    /// is its own to write.
    #[inline]
    pub fn begin(&self, targets: u32) -> Calling<'_, A> {
        debug_assert!(self.is_idle(), "two calls at once");
        // A plain store, as nobody else touches it now: this CPU saw it return to 0. Relaxed: `Queue::call` hands it over with the
        // payload.
        self.left.store(u64::from(targets), Relaxed);
        Calling { call: self }
    }

    /// Whether none is under way. From elsewhere good for a report.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.left.load(Relaxed) == Self::IDLE
    }

    /// A CPU that took this call from its queue is done with it. It touches nothing of the caller's from here
    /// on. If it is known to be the only one, [`Self::finish_only`] does it in one store.
    #[inline]
    pub fn finish(&self) {
        // Release: pairs with `Calling::is_done`. All that the callee read and wrote comes before the caller goes
        // on; being a read-modify-write it keeps the releases of the other callees.
        let left = self.left.fetch_add(u64::MAX, Release);
        debug_assert!(left != 0, "nobody waits for this call");
    }

    /// [`Self::finish`] for the one callee of a call that was begun for one.
    #[inline]
    pub fn finish_only(&self) {
        debug_assert!(self.left.load(Relaxed) == 1, "there are other callees");
        // A plain store, as only the callees write the word while the caller waits, and there is no other. Release: as
        // in `finish`.
        self.left.store(Self::IDLE, Release);
    }
}

impl<A: Arch> Default for SyncCall<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// A call under way. Dropping it waits for the callees: what they were lent must not go before them.
#[must_use = "dropped, it waits at once"]
pub struct Calling<'a, A: Arch> {
    call: &'a SyncCall<A>,
}

impl<A: Arch> Calling<'_, A> {
    /// `targets` of the CPUs were not told after all: they refused, or the caller changed its mind.
    #[inline]
    pub fn take_back(&mut self, targets: u32) {
        // Relaxed: hands nothing over. Being a read-modify-write it keeps the releases of the callees.
        self.call.left.fetch_add(u64::from(targets).wrapping_neg(), Relaxed);
    }

    /// Whether every callee is done: then the payload, and what it points to, is the caller's alone.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        // Acquire: pairs with the Release of `finish`, of each callee: the last one continues the others'.
        self.call.left.load(Acquire) == SyncCall::<A>::IDLE
    }

    /// Waits until every callee is done, with `pause` between the looks.
    #[inline]
    pub fn wait(self, mut pause: impl FnMut(&Self)) {
        let mut waiting = self;
        while let Err(not_yet) = waiting.end() {
            waiting = not_yet;
            pause(&waiting);
        }
    }

    /// Ends the call if every callee is done.
    ///
    /// # Errors
    ///
    /// The call itself, if not.
    #[inline]
    pub fn end(self) -> Result<(), Self> {
        if !self.is_done() {
            return Err(self);
        }
        // Nothing is left for the drop to wait for.
        mem::forget(self);
        Ok(())
    }
}

impl<A: Arch> Drop for Calling<'_, A> {
    fn drop(&mut self) {
        while !self.is_done() {
            A::relax();
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::testing::Host;

    fn left(call: &SyncCall<Host>) -> u64 {
        call.left.load(Ordering::Relaxed)
    }

    #[test]
    fn a_call_is_over_when_every_callee_is_done_or_was_taken_back() {
        let call = SyncCall::<Host>::new();
        let mut calling = call.begin(4);
        call.finish();
        assert_eq!((left(&call), calling.is_done()), (3, false));
        calling.take_back(2);
        assert_eq!((left(&call), calling.is_done()), (1, false));
        let mut looks = 0;
        calling.wait(|_| {
            assert_eq!(left(&call), 1);
            looks += 1;
            call.finish();
        });
        assert_eq!(looks, 1);
        assert!(call.begin(0).is_done());
    }

    #[test]
    #[should_panic(expected = "two calls at once")]
    fn two_calls_at_once() {
        let call = SyncCall::<Host>::new();
        // Not dropped: it would wait.
        mem::forget(call.begin(1));
        let _ = call.begin(1);
    }

    #[test]
    fn the_only_callee_ends_the_call() {
        let call = SyncCall::<Host>::new();
        let calling = call.begin(1);
        call.finish_only();
        assert!(calling.is_done());
    }

    /// A host on which the callee is done as soon as the caller waits for it.
    enum Prompt {}

    static PROMPT: SyncCall<Prompt> = SyncCall::from_parts(AtomicU64::new(0));

    impl Arch for Prompt {
        type Word = AtomicU64;

        fn now() -> u64 {
            0
        }

        fn relax() {
            PROMPT.finish();
        }

        fn fence(order: Ordering) {
            Host::fence(order);
        }
    }

    #[test]
    fn dropped_it_waits() {
        drop(PROMPT.begin(1));
        assert!(PROMPT.is_idle(), "dropped, and the callee is not done");
    }

    #[test]
    fn a_call_that_nobody_accepted_is_over() {
        let call = SyncCall::<Host>::new();
        let mut calling = call.begin(1);
        calling.take_back(1);
        drop(calling);
        assert!(call.is_idle());
    }
}
