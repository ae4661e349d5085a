//! The lock on the set of CPUs: who holds it may bring a CPU up, take one down, or stop them all.
//!
//! A CPU that takes itself down holds the lock to the end, and when it is gone it cannot give it back. So the word
//! names its holder, by number and by the generation of its [`Slot`](crate::Slot): when that slot says that the
//! holder has left, or has been started anew since, the next CPU that wants the lock takes it over.
//!
//! The word holds the holder's number plus 1 in bits 63:32 and its generation in 31:0, or 0.

use core::mem;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::{Arch, Snapshot, State, Word};

const CPU_SHIFT: u32 = 32;

/// Who has the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The number of the CPU.
    pub cpu: u32,
    /// The generation that it was online with when it took the lock.
    pub generation: u32,
}

impl Holder {
    const fn to_bits(self) -> u64 {
        (self.cpu as u64 + 1) << CPU_SHIFT | self.generation as u64
    }

    const fn from_bits(bits: u64) -> Option<Self> {
        match (bits >> CPU_SHIFT) as u32 {
            0 => None,
            cpu => Some(Self { cpu: cpu - 1, generation: bits as u32 }),
        }
    }

    /// Whether the holder, whose slot reads `slot`, has left.
    const fn has_left(self, slot: Snapshot) -> bool {
        slot.generation > self.generation
            || slot.generation == self.generation && matches!(slot.state, State::Gone)
    }
}

/// The right to change which CPUs there are, and to gather them. It has one holder at a time.
///
/// Whoever holds it reads every slot as it is: no start begins, nobody leaves. (What was under way when a booter
/// or a leaver gave up its wait may still end: `Wedged`, `StillDying`.)
pub struct LifecycleLock<A: Arch> {
    word: A::Word,
}

impl<A: Arch> LifecycleLock<A> {
    /// The word of a lock that nobody holds.
    pub const FREE: u64 = 0;

    /// A lock around a word that holds [`Self::FREE`]. For statics.
    pub const fn from_parts(word: A::Word) -> Self {
        Self { word }
    }

    /// A lock that nobody holds.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::FREE))
    }

    /// `me`, a CPU that is online, takes the lock, if it is free or its holder has left. `slot` reads the slot of a
    /// CPU.
    ///
    /// Looks once. How long to try, and what to do in between, is the caller's business; with interrupts open, or
    /// it cannot take part in the round of the CPU that it waits for.
    ///
    /// # Errors
    ///
    /// Who has the lock; it may be this CPU.
    pub fn try_acquire(&self, me: Holder, slot: impl Fn(u32) -> Snapshot) -> Result<Tenure<'_, A>, Holder> {
        let mut word = Self::FREE;
        loop {
            // Acquire: pairs with the Release of `Tenure::drop`. What the last holder did to the CPUs is seen. (Of
            // one that has left all that it ever did is, by the Acquire with which its slot is read.)
            match self.word.compare_exchange(word, me.to_bits(), Acquire, Relaxed) {
                Ok(_) => return Ok(Tenure { lock: self }),
                Err(now) => word = now,
            }
            match Holder::from_bits(word) {
                Some(holder) if !holder.has_left(slot(holder.cpu)) => return Err(holder),
                // To come here again, the lock must have been taken, and given back, since.
                _ => {}
            }
        }
    }
}

impl<A: Arch> Default for LifecycleLock<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// The lock, held. Dropping it gives the lock back.
#[must_use = "a lock that is dropped is given back"]
pub struct Tenure<'a, A: Arch> {
    lock: &'a LifecycleLock<A>,
}

impl<A: Arch> Tenure<'_, A> {
    /// Keeps the lock until this CPU has left: from then on it can be taken over. There is no way back.
    pub fn keep_to_the_end(self) {
        mem::forget(self);
    }
}

impl<A: Arch> Drop for Tenure<'_, A> {
    fn drop(&mut self) {
        // A plain store: nobody writes the word of a holder that has not left. Release: pairs with `try_acquire`.
        self.lock.word.store(LifecycleLock::<A>::FREE, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    fn slot(generation: u32, state: State) -> impl Fn(u32) -> Snapshot {
        move |cpu| {
            assert_eq!(cpu, 511);
            Snapshot { generation, reason: 0, state }
        }
    }

    fn held_by(lock: &LifecycleLock<Host>) -> Option<Holder> {
        Holder::from_bits(lock.word.load(Relaxed))
    }

    #[test]
    fn one_holder() {
        let lock = LifecycleLock::<Host>::new();
        let me = Holder { cpu: 511, generation: 0 };
        assert_eq!(held_by(&lock), None);
        let tenure = lock.try_acquire(me, |_| unreachable!("nobody to look at")).ok().unwrap();
        assert_eq!(held_by(&lock), Some(me));
        for other in [me, Holder { cpu: 0, generation: 9 }] {
            assert_eq!(lock.try_acquire(other, slot(0, State::Online)).err(), Some(me));
        }
        drop(tenure);
        assert_eq!(held_by(&lock), None);
    }

    #[test]
    fn a_holder_that_has_left_can_be_replaced() {
        let holder = Holder { cpu: 511, generation: 7 };
        let me = Holder { cpu: 0, generation: 0 };
        let acquire = |generation, state| {
            let lock = LifecycleLock::<Host>::new();
            lock.try_acquire(holder, slot(7, State::Online)).ok().unwrap().keep_to_the_end();
            let acquired = lock.try_acquire(me, slot(generation, state)).map(Tenure::keep_to_the_end);
            (acquired, held_by(&lock))
        };
        for (generation, state) in
            [(7, State::Gone), (8, State::Claimed), (8, State::Online), (9, State::Gone)]
        {
            assert_eq!(acquire(generation, state), (Ok(()), Some(me)));
        }
        // Of these the last is a slot as it was before the holder's time.
        for (generation, state) in
            [(7, State::Online), (7, State::Dying), (7, State::Wedged), (7, State::Failed), (6, State::Gone)]
        {
            assert_eq!(acquire(generation, state), (Err(holder), Some(holder)));
        }
    }
}
