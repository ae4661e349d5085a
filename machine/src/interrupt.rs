//! Interrupts of the GIC.

/// One interrupt of the GIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// The INTID: 16 to 31 for a PPI, from 32 for an SPI.
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
