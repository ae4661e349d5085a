//! What a lock needs from its word.

use core::sync::atomic::Ordering;

/// A 64-bit word of a lock.
///
/// A machine may have several forms of one operation, of which it chooses the one that suits it at the moment: plain ones for
/// a single CPU, for example. All of them leave the word as the others would. So [`replace`](Self::replace) is called with interrupts
/// masked, that the form does not change in the middle of one, and is not asked for Acquire: what the plain form cannot give,
/// [`fence`](Self::fence) does in every form.
pub trait LockWord: Sync {
    /// A word that holds `value`. Statics cannot call this: the locks also offer `const fn from_parts`.
    fn new(value: u64) -> Self;
    /// Reads the word. Relaxed.
    fn load(&self) -> u64;
    /// Writes the word. `order` is Relaxed or Release.
    fn store(&self, value: u64, order: Ordering);
    /// Writes 0 to the lowest half-word alone, whatever becomes of the rest meanwhile. `order` is Relaxed or Release. The same in every form, and
    /// for whoever alone writes that half-word.
    fn clear_low_half(&self, order: Ordering);
    /// Writes `new` if the word holds `current`. Relaxed.
    #[must_use]
    fn replace(&self, current: u64, new: u64) -> bool;
    /// A fence between the accesses before and after it, on this CPU.
    fn fence(order: Ordering);
    /// The word has changed, and this is visible first: whoever waits for that looks again.
    fn wake();
}
