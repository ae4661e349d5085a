//! The firmware that starts and stops CPUs (Arm binding `psci.yaml`).

use super::node::Node;
use super::value::strings;
use crate::error::{Error, Fault};
use crate::psci::{Conduit, Psci, PsciVersion};

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
            return Ok(Self::standard(path, version, conduit));
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
