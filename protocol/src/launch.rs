//! The launch slot: how one CPU hands another a closure to run in thread context.
//!
//! The closure lies in a payload cell beside the word, outside this crate. The word says who may touch it, and
//! the tokens are the proof: [`Filling`] for the launcher while it moves the closure in, [`Running`] for the
//! idle CPU from the moment it takes it. In the other states nobody may.
//!
//! ```text
//!                 fill            publish           take
//!         Empty --------> Filling --------> Full --------> Running
//!  close |  ^ ^             |                                 |
//!        v  | reopen        | drop                            | drop
//!       Closed              +---> Empty                       +---> Empty
//! ```

use core::mem;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::{Arch, Word};

const EMPTY: u64 = 0;
const FILLING: u64 = 1;
const FULL: u64 = 2;
const RUNNING: u64 = 3;
const CLOSED: u64 = 4;

/// What a launch slot is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaunchState {
    /// Nothing: a closure may be launched.
    Empty,
    /// A launcher moves a closure in.
    Filling,
    /// A closure waits to be taken.
    Full,
    /// A closure runs.
    Running,
    /// The CPU takes no closures, because it is not online.
    Closed,
}

impl LaunchState {
    const fn from_bits(bits: u64) -> Self {
        match bits {
            EMPTY => Self::Empty,
            FILLING => Self::Filling,
            FULL => Self::Full,
            RUNNING => Self::Running,
            // An unknown word is memory gone bad: nobody touches the payload any more.
            _ => Self::Closed,
        }
    }
}

/// Why nothing could be launched on a CPU. The launcher still has its closure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaunchRefusal {
    /// Another closure is on its way to this CPU, or runs there.
    Busy,
    /// The CPU is not online, or is leaving.
    Closed,
}

/// The word through which closures are launched on one CPU. Closed until that CPU opens it.
pub struct LaunchSlot<A: Arch> {
    word: A::Word,
}

impl<A: Arch> LaunchSlot<A> {
    /// The word of a slot that is closed.
    pub const CLOSED: u64 = CLOSED;

    /// A slot around a word that holds [`Self::CLOSED`]. For statics.
    pub const fn from_parts(word: A::Word) -> Self {
        Self { word }
    }

    /// A closed slot.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::CLOSED))
    }

    /// What the slot is doing now. Anything but `Empty` and `Closed` keeps the CPU from leaving.
    #[must_use]
    pub fn state(&self) -> LaunchState {
        LaunchState::from_bits(self.word.load(Relaxed))
    }

    /// A launcher reserves the slot. The payload is its own until it publishes it.
    ///
    /// # Errors
    ///
    /// A [`LaunchRefusal`]; the payload is then not the caller's to touch.
    pub fn fill(&self) -> Result<Filling<'_, A>, LaunchRefusal> {
        // Acquire: pairs with the Release of `Running::drop`, `Filling::drop` and `reopen`. The payload of the
        // last closure is done with before this one is written over it.
        match self.word.compare_exchange(EMPTY, FILLING, Acquire, Relaxed) {
            Ok(_) => Ok(Filling { slot: self }),
            Err(seen) if LaunchState::from_bits(seen) == LaunchState::Closed => Err(LaunchRefusal::Closed),
            Err(_) => Err(LaunchRefusal::Busy),
        }
    }

    /// The CPU of this slot takes the closure that waits for it, if one does.
    #[must_use]
    pub fn take(&self) -> Option<Running<'_, A>> {
        // Acquire: pairs with the Release of `publish`, so the payload is there.
        self.word.compare_exchange(FULL, RUNNING, Acquire, Relaxed).ok().map(|_| Running { slot: self })
    }

    /// The CPU of this slot is about to leave and takes no more closures.
    ///
    /// # Errors
    ///
    /// What the slot is doing, if a closure is on its way or runs: then the CPU cannot leave yet.
    pub fn close(&self) -> Result<(), LaunchState> {
        // Relaxed: being a read-modify-write it carries the Release of what emptied the slot on to `reopen`.
        match self.word.compare_exchange(EMPTY, CLOSED, Relaxed, Relaxed) {
            Ok(_) => Ok(()),
            Err(seen) => Err(LaunchState::from_bits(seen)),
        }
    }

    /// The CPU of this slot never runs again: nothing can be launched on it any more, and what waits there never runs. By
    /// whoever has stopped it.
    ///
    /// A launcher that is just moving a closure in ends with a closure that nobody takes; whoever comes after it finds the
    /// slot busy.
    pub fn condemn(&self) {
        // Relaxed: hands nothing over, and the slot is never opened again.
        self.word.store(CLOSED, Relaxed);
    }

    /// The CPU of this slot is online, or stays after all, and takes closures. `false` if the slot was not
    /// closed.
    pub fn reopen(&self) -> bool {
        // Release: pairs with `fill`. What the CPU did to the payload while closed comes before a launch.
        self.word.compare_exchange(CLOSED, EMPTY, Release, Relaxed).is_ok()
    }
}

impl<A: Arch> Default for LaunchSlot<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// The launcher's right to write the payload. Dropping it empties the slot again: the payload holds nothing.
#[must_use = "a closure that is not published never runs"]
pub struct Filling<'a, A: Arch> {
    slot: &'a LaunchSlot<A>,
}

impl<A: Arch> Filling<'_, A> {
    /// The payload is complete: hands it to the CPU of the slot, which the caller then wakes.
    pub fn publish(self) {
        // A plain store, as nobody else writes a slot that is being filled. Release: pairs with `take`.
        self.slot.word.store(FULL, Release);
        mem::forget(self);
    }
}

impl<A: Arch> Drop for Filling<'_, A> {
    fn drop(&mut self) {
        // A plain store, as above. Release: pairs with the next `fill`, whose payload comes after ours.
        self.slot.word.store(EMPTY, Release);
    }
}

/// The right of the CPU that took a closure to the payload. Held while the closure runs; dropping it empties
/// the slot for the next one, so the closure must have been moved out of the payload.
#[must_use = "a closure that was taken has to be run"]
pub struct Running<'a, A: Arch> {
    slot: &'a LaunchSlot<A>,
}

impl<A: Arch> Drop for Running<'_, A> {
    fn drop(&mut self) {
        // A plain store: nobody else writes a running slot. Release: pairs with the next `fill`, whose payload
        // comes after ours was read.
        self.slot.word.store(EMPTY, Release);
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;
    use crate::testing::Host;

    #[test]
    fn one_closure_at_a_time() {
        let slot = LaunchSlot::<Host>::new();
        assert_eq!(slot.state(), LaunchState::Closed);
        assert_eq!(slot.fill().err(), Some(LaunchRefusal::Closed));
        assert!(slot.reopen());
        assert!(!slot.reopen());
        assert!(slot.take().is_none());
        let filling = slot.fill().ok().unwrap();
        assert!(slot.take().is_none());
        assert_eq!(slot.fill().err(), Some(LaunchRefusal::Busy));
        filling.publish();
        assert_eq!(slot.state(), LaunchState::Full);
        let running = slot.take().unwrap();
        assert!(slot.take().is_none());
        assert_eq!(slot.fill().err(), Some(LaunchRefusal::Busy));
        assert_eq!(slot.close(), Err(LaunchState::Running));
        drop(running);
        assert_eq!(slot.close(), Ok(()));
        assert_eq!(slot.close(), Err(LaunchState::Closed));
    }

    #[test]
    fn a_launcher_may_change_its_mind() {
        let slot = LaunchSlot::<Host>::new();
        assert!(slot.reopen());
        drop(slot.fill());
        assert_eq!(slot.state(), LaunchState::Empty);
    }

    #[test]
    fn a_cpu_that_was_stopped_takes_nothing() {
        let slot = LaunchSlot::<Host>::new();
        assert!(slot.reopen());
        slot.condemn();
        assert_eq!(slot.fill().err(), Some(LaunchRefusal::Closed));
        assert!(slot.reopen());
        slot.fill().ok().unwrap().publish();
        slot.condemn();
        assert_eq!(slot.state(), LaunchState::Closed);
        assert!(slot.take().is_none());
    }

    #[test]
    fn a_corrupt_slot_is_closed_for_good() {
        let slot = LaunchSlot::<Host>::from_parts(AtomicU64::new(99));
        assert_eq!(slot.state(), LaunchState::Closed);
        assert_eq!(slot.fill().err(), Some(LaunchRefusal::Closed));
        assert!(slot.take().is_none());
        assert!(!slot.reopen());
    }
}
