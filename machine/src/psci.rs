//! The firmware that starts and stops CPUs.

use crate::path::Path;

/// PSCI: what can be called, and by which instruction (Arm DEN 0022).
#[derive(Clone, Copy, Debug)]
pub struct Psci<'a> {
    /// Where it is described.
    pub path: Path<'a>,
    /// The newest version that the description names.
    pub version: PsciVersion,
    /// How to call it.
    pub conduit: Conduit,
    /// Function id of CPU_ON.
    pub cpu_on: u32,
    /// Function id of CPU_OFF; optional in 0.1.
    pub cpu_off: Option<u32>,
    /// Function id of AFFINITY_INFO; unknown to 0.1.
    pub affinity_info: Option<u32>,
    /// Function id of SYSTEM_OFF; unknown to 0.1.
    pub system_off: Option<u32>,
    /// Function id of SYSTEM_RESET; unknown to 0.1.
    pub system_reset: Option<u32>,
}

/// What the description says. From 0.2 on PSCI_VERSION tells more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PsciVersion {
    /// Function ids come with the description, and there is no AFFINITY_INFO.
    V0_1,
    /// Standard function ids.
    V0_2,
    /// 1.0 or newer.
    V1_0,
}

/// The instruction that reaches the firmware or the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// `hvc #0`
    Hvc,
    /// `smc #0`
    Smc,
}

impl<'a> Psci<'a> {
    /// With the function ids that are standard from 0.2 on.
    pub(crate) fn standard(path: Path<'a>, version: PsciVersion, conduit: Conduit) -> Self {
        Self {
            path,
            version,
            conduit,
            // The 64-bit form: its 32-bit brother would cut off entry point and context.
            cpu_on: 0xc400_0003,
            cpu_off: Some(0x8400_0002),
            affinity_info: Some(0xc400_0004),
            system_off: Some(0x8400_0008),
            system_reset: Some(0x8400_0009),
        }
    }
}
