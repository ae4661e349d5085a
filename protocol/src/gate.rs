//! The panic gate: one word that decides who reports and who parks.
//!
//! However many CPUs fail at once, one of them takes the [`Gate`] and reports; the others stop, and are counted as they park. The gate is
//! never given back: a machine that has begun to stop does not start again. What became of each CPU says its own
//! [`Parked`](crate::Parked).
//!
//! The word holds the owner in bits 63:32 and the phase in 31:24. The counter is another word, on a line of its own: who parks writes
//! there, while those that are still to stop read the word.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::apart::Apart;
use crate::{Arch, Word};

const OWNER_SHIFT: u32 = 32;
const PHASE_SHIFT: u32 = 24;

/// How far the owner of the gate has come. Only ever moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Nobody has the gate.
    Free = 0,
    /// The owner stops, or has stopped, the others without having failed. A panic of its own still reports.
    Halting = 1,
    /// The owner failed and stops the others.
    Stopping = 2,
    /// The owner writes the report.
    Reporting = 3,
    /// The report is over, one way or another, and the final action runs.
    Acting = 4,
    /// Even the final action failed. Nothing is left but to park.
    Mute = 5,
}

impl Phase {
    const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Free,
            1 => Self::Halting,
            2 => Self::Stopping,
            3 => Self::Reporting,
            4 => Self::Acting,
            // An unknown phase is memory gone bad, under a panic: the less is tried now, the better.
            _ => Self::Mute,
        }
    }
}

/// What a CPU is to do that came to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "all but the reporter have to stop"]
pub enum Entry {
    /// The gate is its own: it stops the others.
    Reporter,
    /// The gate was its own already, in this phase.
    ///
    /// After [`Gate::enter`]: it failed again. In `Stopping` and `Reporting` it writes one line without any
    /// help and goes on to the final action; in `Acting` it writes the line and parks; in `Mute` it parks.
    Nested(Phase),
    /// Another CPU has the gate. This one parks.
    Other,
}

#[derive(Clone, Copy)]
struct Fields {
    owner: u32,
    phase: Phase,
}

impl Fields {
    const fn from_bits(bits: u64) -> Self {
        let low = bits as u32;
        Self { owner: (bits >> OWNER_SHIFT) as u32, phase: Phase::from_byte((low >> PHASE_SHIFT) as u8) }
    }

    const fn to_bits(self) -> u64 {
        (self.owner as u64) << OWNER_SHIFT | (self.phase as u64) << PHASE_SHIFT
    }

    const fn is_other(self, me: u32) -> bool {
        !matches!(self.phase, Phase::Free) && self.owner != me
    }

    /// What a panic of `me` makes of the gate.
    fn after_panic(self, me: u32) -> (Self, Entry) {
        if self.is_other(me) {
            return (self, Entry::Other);
        }
        let (phase, entry) = match self.phase {
            Phase::Free | Phase::Halting => (Phase::Stopping, Entry::Reporter),
            Phase::Stopping | Phase::Reporting => (Phase::Acting, Entry::Nested(self.phase)),
            Phase::Acting | Phase::Mute => (Phase::Mute, Entry::Nested(self.phase)),
        };
        (Self { owner: me, phase }, entry)
    }

    /// What a wish of `me` to stop the others makes of the gate.
    fn after_halt(self, me: u32) -> (Self, Entry) {
        if self.is_other(me) {
            (self, Entry::Other)
        } else if self.phase == Phase::Free {
            (Self { owner: me, phase: Phase::Halting }, Entry::Reporter)
        } else {
            (self, Entry::Nested(self.phase))
        }
    }
}

/// The panic gate of the machine.
///
/// A CPU is known here by a number of its own choice, unique and always the same: its MPIDR affinity packed
/// into 32 bits, because in a panic nothing that lies in memory can be trusted to tell who one is.
///
/// No loop here can be kept going by others for long: what makes a compare-exchange fail is another CPU that takes the gate, which
/// happens once.
pub struct Gate<A: Arch> {
    word: A::Word,
    parked: Apart<A::Word>,
}

impl<A: Arch> Gate<A> {
    /// The word of a gate that nobody has.
    pub const FREE: u64 = 0;

    /// The second of [`from_parts`](Self::from_parts)' words.
    pub const NOBODY: u64 = 0;

    /// A gate around a word that holds [`Self::FREE`] and one that holds [`Self::NOBODY`]. For statics.
    pub const fn from_parts(word: A::Word, parked: A::Word) -> Self {
        Self { word, parked: Apart(parked) }
    }

    /// A gate that nobody has.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::FREE), A::Word::new(Self::NOBODY))
    }

    /// CPU `me` has failed.
    ///
    /// Failing again and again it comes to rest: each entry of the owner moves the phase on, to `Acting` and
    /// then to `Mute`.
    pub fn enter(&self, me: u32) -> Entry {
        self.take(|held| held.after_panic(me))
    }

    /// CPU `me` wants all others stopped, without having failed.
    ///
    /// `Nested` means that it has the gate already, by an earlier call or because it panics, and changes
    /// nothing. A panic of the owner that comes later is still reported.
    pub fn stop_begin(&self, me: u32) -> Entry {
        self.take(|held| held.after_halt(me))
    }

    /// CPU `me`, the owner, has come to `phase`. `false`, and no effect, if it is not the owner or if that
    /// would be a step back.
    pub fn set_phase(&self, me: u32, phase: Phase) -> bool {
        let held = Fields::from_bits(self.word.load(Relaxed));
        let allowed = held.phase != Phase::Free && held.owner == me && held.phase < phase;
        if allowed {
            // A plain store: nobody else writes the word of a gate that is taken. Relaxed: as in `take`.
            self.word.store(Fields { phase, ..held }.to_bits(), Relaxed);
        }
        allowed
    }

    /// The calling CPU, which another one has stopped, parks: it is counted, once.
    pub fn count_in(&self) {
        // Relaxed: hands nothing over. What the CPU leaves behind is published by its `Parked`.
        self.parked.0.fetch_add(1, Relaxed);
    }

    /// How many CPUs have parked at the gate.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.parked.0.load(Relaxed)
    }

    /// Whether a CPU other than `me` has the gate: then `me` has to stop, whether it was told to or noticed by itself. For wait loops:
    /// one relaxed load.
    ///
    /// Relaxed is enough in a loop, which will see the gate taken in the end and needs nothing else from its
    /// owner. A CPU that looks *once*, after it has made itself visible, needs a fence in between: that is
    /// [`Slot::go_online`](crate::Slot::go_online).
    #[must_use]
    pub fn is_taken_by_other(&self, me: u32) -> bool {
        Fields::from_bits(self.word.load(Relaxed)).is_other(me)
    }

    /// How far the owner has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Fields::from_bits(self.word.load(Relaxed)).phase
    }

    /// Who has the gate.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        let held = Fields::from_bits(self.word.load(Relaxed));
        (held.phase != Phase::Free).then_some(held.owner)
    }

    fn take(&self, decide: impl Fn(Fields) -> (Fields, Entry)) -> Entry {
        // The first guess: one instruction less between the failure and the gate.
        let mut word = Self::FREE;
        loop {
            let (next, entry) = decide(Fields::from_bits(word));
            if next.to_bits() == word {
                return entry;
            }
            // Relaxed: the word hands no data over; what its order has to give is the fence's business.
            match self.word.compare_exchange(word, next.to_bits(), Relaxed, Relaxed) {
                Ok(_) => {
                    // Pairs with the fence in `Slot::go_online`: take the gate, look at the slots, against
                    // store `Online`, look at the gate. At least one of the two sees the other.
                    if entry == Entry::Reporter {
                        A::fence(SeqCst);
                    }
                    return entry;
                }
                Err(now) => word = now,
            }
        }
    }
}

impl<A: Arch> Default for Gate<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;
    use crate::testing::Host;

    #[test]
    fn the_first_reports_and_the_others_are_counted() {
        let gate = Gate::<Host>::new();
        assert_eq!((gate.owner(), gate.phase(), gate.count()), (None, Phase::Free, 0));
        assert!(!gate.is_taken_by_other(0));
        assert_eq!(gate.enter(u32::MAX), Entry::Reporter);
        assert_eq!(gate.enter(0), Entry::Other);
        assert_eq!(gate.stop_begin(1), Entry::Other);
        for parked in 1..3 {
            gate.count_in();
            assert_eq!(gate.count(), parked);
        }
        assert!(gate.is_taken_by_other(0));
        assert!(!gate.is_taken_by_other(u32::MAX));
        assert_eq!((gate.owner(), gate.phase()), (Some(u32::MAX), Phase::Stopping));
    }

    #[test]
    fn a_cpu_that_fails_again_and_again_comes_to_rest() {
        let gate = Gate::<Host>::new();
        assert_eq!(gate.enter(0), Entry::Reporter);
        assert!(gate.set_phase(0, Phase::Reporting));
        assert_eq!(gate.enter(0), Entry::Nested(Phase::Reporting));
        assert_eq!(gate.enter(0), Entry::Nested(Phase::Acting));
        assert_eq!(gate.enter(0), Entry::Nested(Phase::Mute));
        assert_eq!(gate.enter(0), Entry::Nested(Phase::Mute));
    }

    #[test]
    fn phases_move_forward_and_by_the_owner_alone() {
        let gate = Gate::<Host>::new();
        assert!(!gate.set_phase(5, Phase::Acting));
        assert_eq!(gate.stop_begin(5), Entry::Reporter);
        assert_eq!(gate.owner(), Some(5));
        assert_eq!(gate.stop_begin(5), Entry::Nested(Phase::Halting));
        assert_eq!(gate.enter(5), Entry::Reporter);
        assert_eq!(gate.stop_begin(5), Entry::Nested(Phase::Stopping));
        assert!(!gate.set_phase(1, Phase::Acting));
        assert!(gate.set_phase(5, Phase::Acting));
        assert!(!gate.set_phase(5, Phase::Acting), "it has come to it already");
        assert!(!gate.set_phase(5, Phase::Reporting));
        assert_eq!(gate.phase(), Phase::Acting);
    }

    #[test]
    fn a_corrupt_gate_is_taken() {
        let gate = Gate::<Host>::from_parts(AtomicU64::new(0xff00_0000), AtomicU64::new(0));
        assert!(gate.is_taken_by_other(1));
        assert_eq!(gate.enter(0), Entry::Nested(Phase::Mute));
    }
}
