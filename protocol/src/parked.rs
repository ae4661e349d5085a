//! A CPU's last word: that it has parked, and how. Behind it lies what it leaves behind.

use core::sync::atomic::Ordering::{Acquire, Release};

use crate::{Arch, Word};

/// Whether a CPU has parked, and how: a number of whoever parks CPUs. Written once, by its own CPU.
///
/// The word holds the number in bits 7:0, and in bit 8 whether the CPU has closed what others could send to it.
pub struct Parked<A: Arch> {
    how: A::Word,
}

impl<A: Arch> Parked<A> {
    /// The word of a CPU that has not.
    pub const NOT: u64 = 0;
    const CLOSED: u64 = 1 << 8;

    /// Around a word that holds [`Self::NOT`]. For statics.
    pub const fn from_parts(how: A::Word) -> Self {
        Self { how }
    }

    /// Of a CPU that has not parked.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::NOT))
    }

    /// This CPU parks; `how` is not 0. First it has `leave` write down what it leaves behind, which never changes again, and say whether
    /// it has closed what others could send to it.
    #[inline]
    pub fn park(&self, how: u8, leave: impl FnOnce() -> bool) {
        let closed = if leave() { Self::CLOSED } else { 0 };
        // Release: pairs with `how`. Whoever asks reads what it left, and its stacks.
        self.how.store(u64::from(how) | closed, Release);
    }

    /// Whether it parked, and has closed what others could send to it. Else whoever it is that has stopped it does that.
    #[inline]
    pub fn has_closed(&self) -> bool {
        self.read() & Self::CLOSED != 0
    }

    /// How it parked; `None` while it has not. After `Some` everything that it left behind may be read.
    #[inline]
    pub fn how(&self) -> Option<u8> {
        let how = self.read();
        (how != Self::NOT).then_some(how as u8)
    }

    /// Whether it parked; as [`Self::how`].
    #[inline]
    pub fn is_set(&self) -> bool {
        self.how().is_some()
    }

    #[inline]
    fn read(&self) -> u64 {
        // Acquire: pairs with `park`.
        self.how.load(Acquire)
    }
}

impl<A: Arch> Default for Parked<A> {
    fn default() -> Self {
        Self::new()
    }
}
