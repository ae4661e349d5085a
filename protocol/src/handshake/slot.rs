//! The word of one CPU, and how it is read and moved on.

use core::sync::atomic::Ordering::{self, Acquire, Release};

use super::snapshot::{Snapshot, State};
use crate::{Arch, Word};

/// The word that one CPU is started, stopped and found through.
///
/// The CPU itself and its booters race here, so the glue gives each slot a cache line of its own. The layout
/// is that of the word, for the assembly that stores `Gone` after it has left its stack.
#[repr(transparent)]
pub struct Slot<A: Arch> {
    pub(super) word: A::Word,
}

impl<A: Arch> Slot<A> {
    /// The word of a CPU that was never started.
    pub const OFFLINE: u64 = Snapshot::new(0, 0, State::Offline).to_bits();
    /// The word of the CPU that the machine booted on: online with generation 0, which no start ever has.
    pub const BOOT: u64 = Snapshot::new(0, 0, State::Online).to_bits();

    /// A slot around a word that holds [`Self::OFFLINE`] or [`Self::BOOT`]. For statics.
    pub const fn from_parts(word: A::Word) -> Self {
        Self { word }
    }

    /// The slot of a CPU that was never started.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::OFFLINE))
    }

    /// Makes this the slot of the boot CPU. The caller is the boot CPU, and has not started any other.
    pub fn adopt_boot(&self) {
        // Release: pairs with `read`, like the transition to `Online` of any other CPU.
        self.word.store(Self::BOOT, Release);
    }

    /// What the slot holds now.
    ///
    /// Acquire: who reads `Online` sees all that the CPU initialised before, who reads `Gone` or `Failed` all
    /// that it did in its life. The answer may be old by the time it is looked at.
    #[must_use]
    pub fn read(&self) -> Snapshot {
        Snapshot::from_bits(self.word.load(Acquire))
    }

    /// Whether [`Self::read`] finds it online.
    #[inline]
    #[must_use]
    pub fn is_online(&self) -> bool {
        // The generation does not count; the rest is as `Snapshot::from_bits` has it. Acquire: as for `read`.
        self.word.load(Acquire) as u32 == State::Online as u32
    }

    /// Whether [`Self::read`] finds it in a state that [is live](State::is_live).
    #[inline]
    #[must_use]
    pub fn is_live(&self) -> bool {
        // Most are online.
        self.is_online() || self.read().state.is_live()
    }

    /// [`Self::revoke_if_kicked`], and whether the CPU is live then.
    #[inline]
    #[must_use]
    pub fn is_live_when_revoked(&self) -> bool {
        // Most are online.
        self.is_online() || self.revoke_if_kicked().state.is_live()
    }

    /// Calls off whatever start is under way, for one who holds no token: the panic reporter. Returns what the
    /// slot holds afterwards, which is never `Kicked`.
    pub fn revoke_if_kicked(&self) -> Snapshot {
        loop {
            let seen = self.read();
            if seen.state != State::Kicked {
                return seen;
            }
            if self.revoke(seen.generation).is_ok() {
                return Snapshot { state: State::Revoked, ..seen };
            }
            // The CPU arrived, or its booter revoked it and a new start began.
        }
    }

    /// Calls start `generation` off, if the CPU has not arrived. `Err`: what the slot holds.
    pub(super) fn revoke(&self, generation: u32) -> Result<(), Snapshot> {
        // Release: pairs with `claim`. What this booter wrote for the CPU after the kick comes before what the
        // next one writes. Acquire: the loser sees what the winner did.
        self.pass(State::Kicked, Snapshot::new(generation, 0, State::Revoked), Release, Acquire)
    }

    /// Moves the slot on to `to`, if it is in state `from` with the generation of that. `Err`: what it holds.
    pub(super) fn pass(
        &self,
        from: State,
        to: Snapshot,
        success: Ordering,
        failure: Ordering,
    ) -> Result<(), Snapshot> {
        // No load first: it could only be older than what the compare-exchange finds.
        let from = Snapshot::new(to.generation, 0, from);
        match self.word.compare_exchange(from.to_bits(), to.to_bits(), success, failure) {
            Ok(_) => Ok(()),
            Err(now) => Err(Snapshot::from_bits(now)),
        }
    }
}

impl<A: Arch> Default for Slot<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;
    use crate::testing::Host;

    /// The slot of a CPU in this state.
    pub(in super::super) fn slot(generation: u32, reason: u16, state: State) -> Slot<Host> {
        Slot::from_parts(AtomicU64::new(Snapshot::new(generation, reason, state).to_bits()))
    }

    #[test]
    fn online_whatever_the_generation() {
        for state in State::ALL {
            for generation in [0, 1, u32::MAX] {
                assert_eq!(slot(generation, 0, state).is_online(), state == State::Online);
                assert_eq!(slot(generation, 0, state).is_live(), state.is_live());
            }
        }
    }

    #[test]
    fn the_boot_cpu_is_online() {
        let slot = Slot::<Host>::new();
        slot.adopt_boot();
        assert_eq!(slot.read(), Snapshot::new(0, 0, State::Online));
        assert_eq!(slot.read().to_bits(), Slot::<Host>::BOOT);
    }
}
