//! An alarm: one deadline of one CPU, moved as often as that CPU likes.
//!
//! For the CPU that it belongs to alone, with interrupts masked, so that its timer's interrupt comes between two of these functions
//! and never into one; others may ask when it is due. What is set before the interrupt counts, however long that has been pending: the
//! deadline that it came for may have been moved or taken away meanwhile.

use core::sync::atomic::Ordering::Relaxed;

use crate::{Arch, Word};

/// The deadline of one alarm.
pub struct AlarmDue<A: Arch> {
    due: A::Word,
}

// Relaxed throughout: a number, which its CPU alone writes.
impl<A: Arch> AlarmDue<A> {
    /// The word of [`from_parts`](Self::from_parts): not set. No deadline is as late.
    pub const NEVER: u64 = u64::MAX;

    /// Around a word that holds [`Self::NEVER`]. For statics.
    pub const fn from_parts(due: A::Word) -> Self {
        Self { due }
    }

    /// Not set.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::NEVER))
    }

    /// Sets it for `due`, whatever it was set for. One tick earlier than [`Self::NEVER`] at the latest.
    pub fn set(&self, due: u64) {
        self.due.store(due.min(Self::NEVER - 1), Relaxed);
    }

    /// Takes the deadline away. Whether there was one: then nothing runs for it.
    pub fn cancel(&self) -> bool {
        let was = self.due.load(Relaxed);
        self.due.store(Self::NEVER, Relaxed);
        was != Self::NEVER
    }

    /// When it is due; [`Self::NEVER`] if it is not set. From elsewhere good for a report.
    pub fn due(&self) -> u64 {
        self.due.load(Relaxed)
    }

    /// Runs `run` if it is due by `now`. It is not set any more by then, so `run` may set it. In the timer's interrupt.
    pub fn fire(&self, now: u64, run: impl FnOnce()) -> bool {
        let due = self.due.load(Relaxed);
        if due == Self::NEVER || due > now {
            return false;
        }
        self.due.store(Self::NEVER, Relaxed);
        run();
        true
    }
}

impl<A: Arch> Default for AlarmDue<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn set_again_and_again() {
        let alarm = AlarmDue::<Host>::new();
        assert!(!alarm.cancel() && !alarm.fire(u64::MAX, || panic!("not set")));
        alarm.set(10);
        alarm.set(20);
        assert!(!alarm.fire(19, || panic!("too early")));
        assert!(alarm.fire(20, || alarm.set(30)));
        assert_eq!(alarm.due(), 30);
        assert!(alarm.cancel() && !alarm.fire(u64::MAX, || panic!("taken away")));
        alarm.set(u64::MAX);
        assert!(alarm.due() != AlarmDue::<Host>::NEVER && alarm.cancel() && !alarm.cancel());
    }
}
