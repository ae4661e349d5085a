//! The word of a lock for thread context, which is held with interrupts open: free or held, and in no order.

use core::sync::atomic::Ordering::{Acquire, Release};

use crate::LockWord;

const HELD: u32 = 1;

/// The word of such a lock.
pub struct MutexWord<W> {
    word: W,
}

impl<W: LockWord> MutexWord<W> {
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

    /// Takes the lock if it is free. With interrupts masked, for the word's sake; the lock is held with interrupts open.
    #[inline(always)]
    #[must_use = "a lock that was taken has to be given back"]
    pub fn try_take(&self) -> bool {
        if !self.word.replace(Self::FREE, HELD) {
            return false;
        }
        // Acquire: pairs with `give_back`. A fence, because the form for a single CPU has none.
        W::fence(Acquire);
        true
    }

    /// Whether somebody has the lock. Relaxed: it may be so no more when the caller has the answer.
    #[inline]
    pub fn is_held(&self) -> bool {
        self.word.load() != Self::FREE
    }

    /// By the holder.
    #[inline(always)]
    pub fn give_back(&self) {
        // A plain store in every form, as nobody else writes the word of a lock that is held. Release: pairs with `try_take`.
        self.word.store(Self::FREE, Release);
        W::wake();
    }
}

impl<W: LockWord> Default for MutexWord<W> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn one_holder() {
        let lock = MutexWord::<AtomicU32>::new();
        for _ in 0..2 {
            assert!(!lock.is_held());
            assert!(lock.try_take());
            assert!(!lock.try_take() && lock.is_held());
            lock.give_back();
        }
    }
}
