//! The handler by which a CPU takes part in rounds: how it joins, and how its interrupts are closed and opened.
//!
//! While others are awaited interrupts are open, so that calls are served. An interrupt for another round that comes in the
//! middle returns at once, and the loop of the handler that is under way joins that round: the stack holds one handler, however
//! many rounds there are. The last look for a round is masked, and behind it interrupts stay closed until the handler
//! has returned: one for a round that begins then comes after the return.
//!
//! Rounds may follow each other faster than a CPU gets out of its handler, and where a hypervisor has it wait they do: so that
//! they do not keep its thread out for ever, a CPU that is tired of them goes back to that after the round that it is in, and takes part in none
//! for a while, as if their interrupts had been lost. Whoever begins a round sends another after such a time.

use core::sync::atomic::Ordering::Relaxed;

use super::mark::Mark;
use super::participant::Participant;
use super::round::{Action, Rendezvous};
use crate::{Arch, Word};

/// What one CPU does in rounds.
pub trait Attendant {
    /// Interrupts masked, until it is given back.
    type Mask;
    /// Masks interrupts.
    fn mask(&mut self) -> Self::Mask;
    /// Gives a mask back: interrupts come, unless they are held back otherwise.
    fn unmask(&mut self, mask: Self::Mask);
    /// What held interrupts back when the handler was called does no longer, now that all is on the stack.
    fn open(&mut self);
    /// It does again, until the handler has returned; and then `mask` goes.
    fn close(&mut self, mask: Self::Mask);
    /// Does its part of the job of a round for each.
    fn run_job(&mut self);
    /// The body of a wait loop.
    fn wait(&mut self);
    /// The round is over, and whatever it has changed counts for this CPU before anything can interrupt it.
    fn synchronise(&mut self);
    /// It has joined another round on the heels of one. Whether it has had enough: then it sees that one through, and rests.
    fn is_tired(&mut self) -> bool;
    /// Until when it rests, from now on, in numbers of the caller's above 1.
    fn rest(&mut self) -> u64;
    /// Whether that is over.
    fn has_rested(&mut self, until: u64) -> bool;
}

/// One CPU's part in rounds.
pub struct Attendance<A: Arch> {
    mark: Mark<A>,
    /// Whether its handler is under way, or until when it rests. Touched by its CPU alone.
    attends: A::Word,
}

impl<A: Arch> Attendance<A> {
    /// The second of [`from_parts`](Self::from_parts)' words.
    pub const IDLE: u64 = 0;
    /// Its handler is under way.
    const ATTENDS: u64 = 1;

    /// Around a word that holds [`Mark::NONE`] and one that holds [`Self::IDLE`]. For statics.
    pub const fn from_parts(mark: A::Word, attends: A::Word) -> Self {
        Self { mark: Mark::from_parts(mark), attends }
    }

    /// Of a CPU that never took part in a round.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Mark::<A>::NONE), A::Word::new(Self::IDLE))
    }

    /// Where this CPU stands.
    pub fn mark(&self) -> &Mark<A> {
        &self.mark
    }

    /// Takes part in the round of another CPU, and in any that follows on its heels. In the handler of the interrupt that
    /// tells of a round.
    #[inline(always)]
    pub fn attend(&self, rendezvous: &Rendezvous<A>, cpu: &mut impl Attendant) {
        // Relaxed, here and below: no other CPU looks.
        let state = self.attends.load(Relaxed);
        if state != Self::IDLE && !Self::has_rested(state, cpu) {
            return;
        }
        self.attends.store(Self::ATTENDS, Relaxed);
        cpu.open();
        // Masked from before the look: one that finds nothing is the last, and an interrupt for a round that begins behind it
        // must not find the handler under way.
        let mut mask = cpu.mask();
        let mut round = rendezvous.join(&self.mark);
        let mut is_last = false;
        while let Some(mut joined) = round {
            mask = Self::see_through(&mut joined, mask, cpu);
            cpu.synchronise();
            if is_last {
                break;
            }
            round = rendezvous.join(&self.mark);
            if round.is_some() {
                // Between two rounds whatever waits is let in, though this CPU be the last to come to each.
                cpu.unmask(mask);
                mask = cpu.mask();
                is_last = cpu.is_tired();
            }
        }
        // Closed to the end.
        cpu.close(mask);
        self.attends.store(if is_last { cpu.rest() } else { Self::IDLE }, Relaxed);
    }

    /// Whether a CPU in this state, which is not idle, has rested.
    #[cold]
    fn has_rested(state: u64, cpu: &mut impl Attendant) -> bool {
        state != Self::ATTENDS && cpu.has_rested(state)
    }

    /// From the joining to the end of a round, after which interrupts are masked.
    #[inline(always)]
    fn see_through<C: Attendant>(round: &mut Participant<'_, A>, mask: C::Mask, cpu: &mut C) -> C::Mask {
        let mut mask = Some(mask);
        loop {
            match round.step() {
                Action::OpenInterrupts => {
                    if let Some(mask) = mask.take() {
                        cpu.unmask(mask);
                    }
                }
                Action::Mask => {
                    if mask.is_none() {
                        mask = Some(cpu.mask());
                    }
                }
                Action::Wait => cpu.wait(),
                Action::RunJob => cpu.run_job(),
                Action::Leave(_) => break,
            }
        }
        // One that was called off may leave them open.
        mask.unwrap_or_else(|| cpu.mask())
    }
}

impl<A: Arch> Default for Attendance<A> {
    fn default() -> Self {
        Self::new()
    }
}
