//! The interrupt controller.

use crate::path::Path;
use crate::region::{Region, Regions};

/// The root interrupt controller: a GIC of one of two kinds, or what a board has in its place. All addresses are CPU physical.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it, and no allocator")]
pub enum Gic<'a> {
    /// GICv1 or GICv2.
    V2 {
        /// Where it is described.
        path: Path<'a>,
        /// GICD.
        distributor: Region,
        /// GICC.
        cpu_interface: Region,
    },
    /// GICv3 or GICv4.
    V3 {
        /// Where it is described.
        path: Path<'a>,
        /// GICD.
        distributor: Region,
        /// The regions that hold the redistributor frames, in the order of the description.
        redistributors: Regions,
        /// How many more there are, the smallest of all: more than [`Regions::CAPACITY`].
        dropped: usize,
        /// Bytes from one frame to the next, if it is not the architected number.
        stride: Option<u64>,
        /// The frames are described one CPU after the other. GICR_TYPER.Last then says nothing: those that adjoin are one region here.
        one_by_one: bool,
    },
    /// No GIC: the controllers of the BCM2836 and BCM2837. [`Interrupt::id`](crate::Interrupt::id) says how their interrupts are numbered.
    Bcm2836 {
        /// Where the first is described.
        path: Path<'a>,
        /// The one of the cores: their timers and mailboxes ("ARM Quad A7 core", 4).
        local: Region,
        /// That of the BCM2835 behind it, for peripherals, if it is described.
        peripherals: Option<Region>,
    },
}

impl<'a> Gic<'a> {
    /// Where it is described.
    pub fn path(&self) -> Path<'a> {
        match self {
            Self::V2 { path, .. } | Self::V3 { path, .. } | Self::Bcm2836 { path, .. } => *path,
        }
    }

    /// Its first registers: GICD, if it is a GIC.
    pub fn distributor(&self) -> Region {
        match self {
            Self::V2 { distributor, .. } | Self::V3 { distributor, .. } => *distributor,
            Self::Bcm2836 { local, .. } => *local,
        }
    }
}
