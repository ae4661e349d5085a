//! The firmware that starts and stops CPUs.

use super::error::{Error, Fault};
use super::node::Node;
use super::path::Path;
use super::value::strings;

/// A PSCI node: what can be called, and by which instruction (Arm binding `psci.yaml`, Arm DEN 0022).
#[derive(Clone, Copy, Debug)]
pub struct Psci<'a> {
    /// Its node.
    pub path: Path<'a>,
    /// The newest version that the node is compatible with.
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

/// What the node is compatible with. From 0.2 on PSCI_VERSION tells more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PsciVersion {
    /// `arm,psci`: function ids come from the node, and there is no AFFINITY_INFO.
    V0_1,
    /// `arm,psci-0.2`: standard function ids.
    V0_2,
    /// `arm,psci-1.0` or newer.
    V1_0,
}

/// The instruction that reaches the firmware or the hypervisor: `method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// `hvc #0`
    Hvc,
    /// `smc #0`
    Smc,
}

impl<'a> Psci<'a> {
    pub(super) fn read(node: &Node<'a>) -> Result<Self, Error<'a>> {
        let path = node.path;
        let version = version(node).unwrap_or(PsciVersion::V0_1);
        let conduit = match node.string("method")? {
            Some("hvc") => Conduit::Hvc,
            Some("smc") => Conduit::Smc,
            Some(_) => return Err(Error::property(path, "method", "neither hvc nor smc")),
            None => return Err(Error::node_fault(Fault::Property, path, "no method property")),
        };
        if version > PsciVersion::V0_1 {
            return Ok(Self {
                path,
                version,
                conduit,
                // The 64-bit form: its 32-bit brother would cut off entry point and context.
                cpu_on: 0xc400_0003,
                cpu_off: Some(0x8400_0002),
                affinity_info: Some(0xc400_0004),
                system_off: Some(0x8400_0008),
                system_reset: Some(0x8400_0009),
            });
        }
        let Some(cpu_on) = node.cell("cpu_on")? else {
            return Err(Error::node_fault(Fault::Property, path, "PSCI 0.1 without cpu_on"));
        };
        let cpu_off = node.cell("cpu_off")?;
        Ok(Self {
            path,
            version,
            conduit,
            cpu_on,
            cpu_off,
            affinity_info: None,
            system_off: None,
            system_reset: None,
        })
    }
}

/// The version of a PSCI node; `None` if the node is not one.
pub(super) fn version(node: &Node<'_>) -> Option<PsciVersion> {
    strings(node.props.compatible)
        .filter_map(|name| match name.strip_prefix(b"arm,psci")? {
            b"" => Some(PsciVersion::V0_1),
            b"-0.2" => Some(PsciVersion::V0_2),
            newer if newer.starts_with(b"-") => Some(PsciVersion::V1_0),
            _ => None,
        })
        .max()
}

/// Which of several PSCI nodes counts: the lower, the better.
pub(super) fn rank(node: &Node<'_>) -> u8 {
    match () {
        () if node.is_at(1, "psci") => 0,
        () if node.is_at(2, "psci") => 1,
        () => 2,
    }
}
