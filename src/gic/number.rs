//! Numbers of software-generated interrupts.

/// The number of a software-generated interrupt. Each belongs to the room that has something done by it: `life/interrupt.rs` has all
/// of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sgi(u8);

impl Sgi {
    /// The one with this number. 0 to 7 alone: the others are the Secure world's, if it wants them.
    pub(crate) const fn new(number: u8) -> Self {
        assert!(number < 8, "an SGI of the Secure world");
        Self(number)
    }

    /// One of the application's, if it is: see [`APPLICATION`].
    pub(crate) const fn of_application(number: u32) -> Option<Self> {
        if number < 16 && APPLICATION >> number & 1 != 0 { Some(Self(number as u8)) } else { None }
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
/// Those that the application may have, a bit each: what is left of the runtime's, and those that the Secure world may have for itself
/// (Arm DEN 0098, 4.1.1), where it does not.
pub(crate) const APPLICATION: u32 = 0xff00 | if cfg!(feature = "bench-hooks") { 0 } else { 1 << 5 };
