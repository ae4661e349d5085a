//! The depth of masked sections: how many guards hold interrupts back on one CPU.
//!
//! Guards end in any order, each at any time, or never. So none of them may remember what it found and put that back: the CPU
//! counts them, the first raises the mask of the hardware, and whichever happens to be the last lowers it.
//!
//! ```text
//!              begin: mask raised, then counted          end: counted, then mask lowered if nobody is left
//!   0 guards -------------------------------> 1 .. n ---------------------------------------------------> 0 guards
//! ```
//!
//! The word belongs to one CPU, which is all that ever touches it; but that CPU may be interrupted between any two of its steps:
//!
//! - by an interrupt, wherever the mask is not raised. Its handler may begin and end sections of its own, and may leave one that
//!   never ends; or another thread runs, and the one that was interrupted goes on on another CPU. So the count is read behind the
//!   raising of the mask, never before, and whose it is is asked there too.
//! - by an interrupt of NMI class, wherever it pleases. What runs there is at **NMI level**: the word says so for as long as it
//!   lasts, and is put back behind it, so that what was interrupted finds it as it was. Sections that begin there end there.
//!
//! The word is a signed number: the count in units of -256, so that one bit tells whether there is any guard, and in bits 6:0 a tag of the
//! owner's, so that what it has to know besides comes by the same load. Bit 7 says NMI level, which counts as a guard. A section takes a
//! nanosecond at least, so the count does not come to its end in a year.

use core::sync::atomic::Ordering::Relaxed;

use crate::{Arch, Word};

/// Set while a function at NMI level runs.
const NMI: u64 = 1 << 7;
/// One guard.
const ONE: u64 = 1 << 8;

/// Whether there is a guard in `word`.
const fn is_held(word: u64) -> bool {
    word.cast_signed() < 0
}

/// How many guards hold interrupts back on one CPU. For the CPU that it belongs to alone.
pub struct MaskDepth<A: Arch> {
    word: A::Word,
}

// Relaxed throughout: no other CPU looks, and an interrupt of the CPU itself comes between two instructions.
impl<A: Arch> MaskDepth<A> {
    /// The word of a CPU that holds nothing back, and of tag 0.
    pub const OPEN: u64 = 0;

    /// Around a word that holds [`Self::OPEN`]. For statics.
    pub const fn from_parts(word: A::Word) -> Self {
        Self { word }
    }

    /// Of a CPU that holds nothing back.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::OPEN))
    }

    /// The tag.
    #[inline(always)]
    #[must_use]
    pub fn tag(&self) -> u64 {
        self.word.load(Relaxed) & (NMI - 1)
    }

    /// The CPU begins something new, such as a life: no guard is alive, and it is not at NMI level.
    pub fn reset(&self, tag: u64) {
        debug_assert!(tag < NMI, "a tag has seven bits");
        self.word.store(tag, Relaxed);
    }

    /// Whether the hardware's mask is the business of a guard already: one is alive, or the CPU is at NMI level.
    #[inline(always)]
    #[must_use]
    pub fn is_held(&self) -> bool {
        is_held(self.word.load(Relaxed))
    }

    /// The tag, if [`is_held`](Self::is_held) would say no.
    #[inline(always)]
    #[must_use]
    pub fn tag_if_open(&self) -> Option<u64> {
        let word = self.word.load(Relaxed);
        (!is_held(word)).then_some(word)
    }

    /// Whether the CPU is at NMI level.
    #[inline(always)]
    #[must_use]
    pub fn is_nmi(&self) -> bool {
        self.word.load(Relaxed) & NMI != 0
    }

    /// One guard more: `raise` raises the mask of the CPU that this is, and `here` says which. Whether it is the first.
    ///
    /// Until the mask is raised the thread may be preempted, and go on elsewhere: so the word is that of the CPU on which it is then.
    #[inline(always)]
    pub fn begin<'a>(raise: impl FnOnce(), here: impl FnOnce() -> &'a Self) -> bool
    where
        A: 'a,
    {
        // First: behind it no interrupt changes the count any more, nor where this is.
        raise();
        let depth = here();
        let before = depth.word.load(Relaxed);
        depth.word.store(before.wrapping_sub(ONE), Relaxed);
        !is_held(before)
    }

    /// The same unless the CPU is at NMI level: then nothing is counted, and the answer is `false`. Whoever brought it there puts the mask
    /// back.
    #[inline(always)]
    #[must_use = "at NMI level nothing has been counted"]
    pub fn begin_below_nmi<'a>(raise: impl FnOnce(), here: impl FnOnce() -> &'a Self) -> bool
    where
        A: 'a,
    {
        raise();
        let depth = here();
        let before = depth.word.load(Relaxed);
        if before & NMI != 0 {
            return false;
        }
        depth.word.store(before.wrapping_sub(ONE), Relaxed);
        true
    }

    /// The same unless a guard is alive, or the CPU is at NMI level: then nothing is counted, and the answer is `false`. The mask was raised
    /// already.
    #[inline(always)]
    #[must_use = "where there is a guard nothing has been counted"]
    pub fn begin_if_open<'a>(raise: impl FnOnce(), here: impl FnOnce() -> &'a Self) -> bool
    where
        A: 'a,
    {
        raise();
        let depth = here();
        let before = depth.word.load(Relaxed);
        if is_held(before) {
            return false;
        }
        depth.word.store(before.wrapping_sub(ONE), Relaxed);
        true
    }

    /// One guard less. The tag if it was the last: then the mask is to be lowered.
    #[inline(always)]
    #[must_use = "the last guard lowers the mask"]
    pub fn end(&self) -> Option<u64> {
        let left = self.word.load(Relaxed).wrapping_add(ONE);
        self.word.store(left, Relaxed);
        (!is_held(left)).then_some(left)
    }

    /// Runs `f` at NMI level. With it ends every section that began there: the count is as it was, and so is the mask, which `look` reads
    /// and `put_back` writes.
    pub fn at_nmi_level<M, R>(
        &self,
        look: impl FnOnce() -> M,
        put_back: impl FnOnce(M),
        f: impl FnOnce() -> R,
    ) -> R {
        let before = self.word.load(Relaxed);
        self.word.store(before.wrapping_sub(ONE) | NMI, Relaxed);
        let mask = look();
        let result = f();
        put_back(mask);
        self.word.store(before, Relaxed);
        result
    }
}

impl<A: Arch> Default for MaskDepth<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn the_first_raises_and_the_last_lowers() {
        let depth = MaskDepth::<Host>::new();
        depth.reset(5);
        assert!(!depth.is_held());
        assert!(MaskDepth::begin(|| (), || &depth));
        assert!(MaskDepth::begin_below_nmi(|| (), || &depth));
        assert!(!MaskDepth::begin_if_open(|| (), || &depth));
        assert!(!MaskDepth::begin(|| (), || &depth));
        assert!(depth.is_held() && !depth.is_nmi());
        assert_eq!(depth.end(), None);
        assert_eq!(depth.end(), None);
        assert_eq!((depth.end(), depth.tag()), (Some(5), 5));
        assert!(!depth.is_held());
    }

    #[test]
    fn nmi_level_leaves_no_trace() {
        let depth = MaskDepth::<Host>::new();
        for guards in 0..2 {
            let mut mask = 1;
            let at_nmi_level = || {
                assert!(depth.is_nmi() && depth.is_held());
                assert!(!MaskDepth::begin_below_nmi(|| (), || &depth));
                assert!(!MaskDepth::begin_if_open(|| (), || &depth));
                // Not the first, whatever was interrupted; and never the last.
                assert!(!MaskDepth::begin(|| (), || &depth));
                assert!(!MaskDepth::begin(|| (), || &depth));
                assert_eq!(depth.end(), None);
                9
            };
            assert_eq!(depth.at_nmi_level(|| 2, |found| mask = found, at_nmi_level), 9);
            assert_eq!(mask, 2);
            assert!(!depth.is_nmi());
            assert_eq!(depth.is_held(), guards != 0);
            assert_eq!(MaskDepth::begin_if_open(|| (), || &depth), guards == 0);
            if guards != 0 {
                assert!(!MaskDepth::begin(|| (), || &depth));
            }
        }
    }

    #[test]
    fn a_new_life_holds_nothing() {
        let depth = MaskDepth::<Host>::new();
        assert!(MaskDepth::begin(|| (), || &depth));
        depth.at_nmi_level(
            || (),
            |()| (),
            || {
                depth.reset(1);
                assert!(!depth.is_held() && !depth.is_nmi());
                assert_eq!(depth.tag(), 1);
            },
        );
    }
}
