//! Preemption that is put off: what a thread does that may not be interrupted by another thread of its CPU.
//!
//! There is one of some things for each CPU: what it lends to those that it calls, its place among those that wait to start and stop CPUs.
//! A thread that uses one stays put: the count says so, and an interrupt that would preempt it leaves a mark instead. When the thread lets go
//! it looks for the mark, and has the CPU interrupt itself.
//!
//! ```text
//!  thread:     stay  ..  use  ..  let go: counted down, then the mark looked for
//!  interrupt:  counted? leave the mark : take the mark away, and preempt
//! ```
//!
//! Both words belong to one CPU, which is all that ever writes them; but that CPU may be interrupted between any two of its steps, and a
//! thread that does not stay put is preempted there: by others that stay put, and let go again, before it goes on, here or on another CPU. To
//! stay it has to know where it is: interrupts are masked meanwhile.

use core::sync::atomic::Ordering::Relaxed;

use crate::{Arch, Word};

/// Whether the thread of one CPU may be preempted. For the CPU that it belongs to alone.
pub struct Preemption<A: Arch> {
    still: A::Word,
    put_off: A::Word,
}

// Relaxed throughout: nothing is ordered by it. An interrupt of the CPU itself comes between two instructions; and a thread that was moved in the
// middle of `let_go` may read a mark that is no business of its own: then a CPU is interrupted once for nothing.
impl<A: Arch> Preemption<A> {
    /// Either word of a CPU whose thread may be preempted.
    pub const NOT: u64 = 0;

    /// Around two words that hold [`Self::NOT`]. For statics.
    pub const fn from_parts(still: A::Word, put_off: A::Word) -> Self {
        Self { still, put_off }
    }

    /// Of a CPU whose thread may be preempted.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::NOT), A::Word::new(Self::NOT))
    }

    /// The CPU begins a life: its thread may be preempted.
    pub fn reset(&self) {
        self.still.store(Self::NOT, Relaxed);
        self.put_off.store(Self::NOT, Relaxed);
    }

    /// The thread stays put from now on. It nests. With interrupts masked, or by a thread that is not moved.
    #[inline(always)]
    pub fn stay(&self) {
        // Preempted between the two, it finds the same number again: whoever ran meanwhile has let go.
        self.still.store(self.still.load(Relaxed) + 1, Relaxed);
    }

    /// It does so once less. `true`: not any more, and it is to be interrupted, because a preemption was put off.
    #[inline(always)]
    #[must_use = "the preemption that was put off is lost"]
    pub fn let_go(&self) -> bool {
        let left = self.still.load(Relaxed) - 1;
        self.still.store(left, Relaxed);
        // Behind that: what an interrupt puts off until then is found, and later none does. Only looked at: a thread that is preempted between
        // the two may go on on another CPU, and the mark is another thread's by then.
        left == 0 && self.put_off.load(Relaxed) != Self::NOT
    }

    /// Whether the thread, which asks, stays put.
    #[inline(always)]
    #[must_use]
    pub fn stays(&self) -> bool {
        self.still.load(Relaxed) != Self::NOT
    }

    /// In an interrupt: whether the thread may be preempted now. If not, it is put off.
    #[inline(always)]
    #[must_use]
    pub fn may_preempt(&self) -> bool {
        if self.still.load(Relaxed) == Self::NOT {
            self.put_off.store(Self::NOT, Relaxed);
            return true;
        }
        self.put_off.store(1, Relaxed);
        false
    }
}

impl<A: Arch> Default for Preemption<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn what_is_put_off_comes_when_the_last_lets_go() {
        let preemption = Preemption::<Host>::new();
        assert!(preemption.may_preempt() && !preemption.stays());
        preemption.stay();
        preemption.stay();
        assert!(preemption.stays());
        assert!(!preemption.may_preempt());
        assert!(!preemption.let_go());
        assert!(!preemption.may_preempt());
        assert!(preemption.let_go());
        assert!(preemption.may_preempt(), "the interrupt for it");
        preemption.stay();
        assert!(!preemption.let_go(), "once");
    }
}
