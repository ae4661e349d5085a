//! What a protocol needs from the world around it.

use core::sync::atomic::Ordering;

/// One 64-bit word shared between CPUs.
///
/// The methods have the meaning of their namesakes on `core::sync::atomic::AtomicU64`. Protocols ask for the
/// weakest ordering that their model accepts, and say at each use with which access it pairs.
pub trait Word: Sync {
    /// A word that holds `value`.
    ///
    /// Statics cannot call this (trait functions are not `const`): the protocols therefore also offer
    /// `const fn from_parts`, which takes ready-made words.
    fn new(value: u64) -> Self;
    /// Reads the word.
    fn load(&self, order: Ordering) -> u64;
    /// A relaxed [`Self::load`] for one who is about to change the word: its line may be fetched as for a store.
    #[inline(always)]
    fn load_to_change(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }
    /// Writes the word.
    fn store(&self, value: u64, order: Ordering);
    /// Writes the word and returns what it held.
    fn swap(&self, value: u64, order: Ordering) -> u64;
    /// Writes `new` if the word holds `current`; `Ok` and `Err` both carry what it held before. Never fails
    /// spuriously.
    ///
    /// # Errors
    ///
    /// The word held something else, and is unchanged.
    fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64>;
    /// Adds, wrapping, and returns what the word held before.
    fn fetch_add(&self, value: u64, order: Ordering) -> u64;
    /// Leaves the bits of `mask` alone, clears all others, and returns what the word held before.
    fn fetch_and(&self, mask: u64, order: Ordering) -> u64;
    /// Sets the bits of `bits`, and returns what the word held before.
    fn fetch_or(&self, bits: u64, order: Ordering) -> u64;
}

/// The world of a protocol: its words, its clock, its way to pass the time.
///
/// A type that implements it is a name for a backend and is never instantiated by a protocol.
pub trait Arch: 'static {
    /// The word that CPUs race on.
    type Word: Word;
    /// The time, in ticks of the system counter. Monotonic, the same on every CPU.
    fn now() -> u64;
    /// The body of a wait loop: lets others run. May return at any time, must return in bounded time.
    fn relax();
    /// A fence between the accesses before and after it, on this CPU.
    fn fence(order: Ordering);
}
