//! Interrupts.

/// One interrupt of the interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// The INTID: 16 to 31 for a PPI, from 32 for an SPI.
    ///
    /// On a BCM2836, which has no such numbers: 16 and the bit in the source register of a core for what each core has of its own ("ARM
    /// Quad A7 core", 4.10). From 32 the 64 of the BCM2835's GPU, and from 96 the 8 that it calls the ARM's ("BCM2835 ARM
    /// Peripherals", 7.5).
    pub id: u32,
    /// How it is signalled.
    pub trigger: Trigger,
}

/// How an interrupt is signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Low-to-high edge.
    EdgeRising,
    /// High-to-low edge.
    EdgeFalling,
    /// Active high level.
    LevelHigh,
    /// Active low level.
    LevelLow,
    /// The description does not say, or not one of the above.
    Unspecified,
}

impl Trigger {
    /// True for either edge: what GICD_ICFGR wants to know.
    pub fn is_edge(self) -> bool {
        matches!(self, Self::EdgeRising | Self::EdgeFalling)
    }
}
