//! The side of whoever starts the CPU: the sole right to, and the start under way.

use core::mem;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::slot::Slot;
use super::snapshot::{RESTARTED, Snapshot, State};
use crate::{Arch, Word};

/// Why a CPU could not be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody else is starting it, or it is on its way out.
    Busy(Snapshot),
    /// It is online already.
    Online {
        /// The generation it is online with.
        generation: u32,
    },
    /// It was started 2^32 - 1 times. Counting on would give a late arrival of an old start a valid number.
    Exhausted,
    /// An earlier start wedged, or the slot is corrupt: the CPU may still be running.
    Wedged {
        /// The generation of that start.
        generation: u32,
    },
    /// It was reset while it was running, and what it held then was never given back.
    Restarted {
        /// The generation of the life that was cut short.
        generation: u32,
    },
}

impl<A: Arch> Slot<A> {
    /// Takes the sole right to start this CPU.
    ///
    /// Firmware does not serialise concurrent starts of one CPU (it may answer "success" to several), so this
    /// does. From here to the end of the start nobody else writes the CPU's boot parameters.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if the CPU is not there to be started. The slot is then unchanged.
    pub fn claim(&self) -> Result<Claim<'_, A>, Refusal> {
        let mut word = self.word.load(Relaxed);
        loop {
            let seen = Snapshot::from_bits(word);
            let generation = seen.generation;
            match seen.state {
                State::Failed if seen.reason == RESTARTED => return Err(Refusal::Restarted { generation }),
                State::Offline | State::Gone | State::Revoked | State::Failed => {}
                State::Claimed | State::Kicked | State::Alive | State::Dying => {
                    return Err(Refusal::Busy(seen));
                }
                State::Online => return Err(Refusal::Online { generation }),
                State::Wedged => return Err(Refusal::Wedged { generation }),
            }
            let generation = generation.checked_add(1).ok_or(Refusal::Exhausted)?;
            let claimed = Snapshot::new(generation, 0, State::Claimed).to_bits();
            // Acquire: pairs with the Release of `gone` and `fail` (the CPU's last words in what it owned),
            // of `revoke` and of `Claim::drop` (the last booter's in the boot parameters).
            match self.word.compare_exchange(word, claimed, Acquire, Relaxed) {
                Ok(_) => return Ok(Claim { slot: self, generation }),
                // Another booter, which ends the loop; or what was seen first was old already.
                Err(now) => word = now,
            }
        }
    }
}

/// The sole right to start one CPU.
///
/// Dropping it gives the CPU back as `Revoked`: nothing was handed to firmware, so nothing can arrive.
#[must_use = "a claim that is dropped is a start that never happens"]
pub struct Claim<'a, A: Arch> {
    slot: &'a Slot<A>,
    generation: u32,
}

impl<'a, A: Arch> Claim<'a, A> {
    /// The number of this start.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Opens the slot for the CPU. Its boot parameters are complete and cleaned to memory; firmware is asked
    /// only after this, or the CPU could arrive before it is expected.
    pub fn kick(self) -> Kicked<'a, A> {
        let Self { slot, generation } = self;
        mem::forget(self);
        // A plain store: nobody else writes a claimed slot. Release: pairs with `arrive`, which then sees the
        // parameters.
        slot.word.store(Snapshot::new(generation, 0, State::Kicked).to_bits(), Release);
        Kicked { slot, generation }
    }
}

impl<A: Arch> Drop for Claim<'_, A> {
    fn drop(&mut self) {
        // A plain store: nobody else writes a claimed slot. Release: pairs with the next `claim`, whose boot
        // parameters come after ours.
        self.slot.word.store(Snapshot::new(self.generation, 0, State::Revoked).to_bits(), Release);
    }
}

/// A start that is under way, in the hands of its booter.
///
/// Dropping it calls the start off if the CPU has not arrived, so no start is ever left that nobody awaits.
#[must_use = "a start that is dropped is called off"]
pub struct Kicked<'a, A: Arch> {
    slot: &'a Slot<A>,
    generation: u32,
}

impl<A: Arch> Kicked<'_, A> {
    /// The number of this start.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// How the start stands; see [`Slot::read`].
    #[must_use]
    pub fn poll(&self) -> Snapshot {
        self.slot.read()
    }

    /// Calls the start off. After `Ok` the CPU can no longer arrive, however late it comes, and all that it
    /// would have owned is the caller's.
    ///
    /// # Errors
    ///
    /// What the slot holds, if the CPU arrived first or somebody else has called the start off.
    pub fn revoke(&self) -> Result<(), Snapshot> {
        self.slot.revoke(self.generation)
    }

    /// Gives up on a CPU that has arrived and does not come up. After `Ok` it can no longer come online; but it may be
    /// running still, so nothing it owns may be touched.
    ///
    /// # Errors
    ///
    /// What the slot holds, if the CPU is not alive: it came up, or failed, in the nick of time.
    pub fn wedge(&self) -> Result<(), Snapshot> {
        // Relaxed: hands nothing to anyone. Acquire: the loser sees what the winner did.
        self.slot.pass(State::Alive, Snapshot::new(self.generation, 0, State::Wedged), Relaxed, Acquire)
    }
}

impl<A: Arch> Drop for Kicked<'_, A> {
    fn drop(&mut self) {
        // Err: the start is over, or the CPU has arrived and looks after itself.
        let _ = self.revoke();
    }
}

#[cfg(test)]
mod tests {
    use super::super::slot::tests::slot;
    use super::*;

    #[test]
    fn a_dead_cpu_can_be_claimed() {
        for state in [State::Offline, State::Gone, State::Revoked, State::Failed] {
            let slot = slot(6, 0, state);
            let claim = slot.claim().ok().unwrap();
            assert_eq!(claim.generation(), 7);
            assert_eq!(slot.read(), Snapshot::new(7, 0, State::Claimed));
            drop(claim);
            assert_eq!(slot.read(), Snapshot::new(7, 0, State::Revoked));
        }
    }

    #[test]
    fn any_other_cpu_cannot() {
        for state in [State::Claimed, State::Kicked, State::Alive, State::Dying] {
            assert_eq!(slot(6, 0, state).claim().err(), Some(Refusal::Busy(Snapshot::new(6, 0, state))));
        }
        assert_eq!(slot(6, 0, State::Online).claim().err(), Some(Refusal::Online { generation: 6 }));
        assert_eq!(slot(6, 2, State::Wedged).claim().err(), Some(Refusal::Wedged { generation: 6 }));
        assert_eq!(
            slot(6, RESTARTED, State::Failed).claim().err(),
            Some(Refusal::Restarted { generation: 6 })
        );
    }

    #[test]
    fn generations_run_out() {
        let slot = slot(u32::MAX - 1, 0, State::Gone);
        let kicked = slot.claim().ok().unwrap().kick();
        assert_eq!(kicked.generation(), u32::MAX);
        drop(kicked);
        assert_eq!(slot.claim().err(), Some(Refusal::Exhausted));
        assert_eq!(slot.read(), Snapshot::new(u32::MAX, 0, State::Revoked));
    }
}
