//! Numbers of software-generated interrupts.

/// The number of a software-generated interrupt. Each belongs to the room that has something done by it: `life/interrupt.rs` has all
/// of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sgi(u8);

impl Sgi {
    /// The one with this number. 0 to 7 alone: the others are the Secure world's.
    pub(crate) const fn new(number: u8) -> Self {
        assert!(number < 8, "an SGI of the Secure world");
        Self(number)
    }

    /// Its interrupt number.
    #[inline(always)]
    pub(crate) const fn intid(self) -> u32 {
        self.0 as u32
    }
}

/// Only ends a WFI: there is something to look at.
pub(crate) const WAKE: Sgi = Sgi::new(0);
/// Has a priority that no masked section holds back.
pub(crate) const NMI: Sgi = Sgi::new(7);
