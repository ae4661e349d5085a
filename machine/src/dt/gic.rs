//! The interrupt controller (Arm bindings `arm,gic.yaml` and `arm,gic-v3.yaml`).

use super::node::Node;
use super::value::{is_one_of, strings};
use super::walk::Walk;
use crate::error::{Error, Fault};
use crate::gic::Gic;
use crate::region::Regions;

impl<'a> Gic<'a> {
    pub(super) fn read(walk: &Walk<'a>, node: &Node<'a>) -> Result<Self, Error<'a>> {
        let path = node.path;
        let distributor = walk.region(node, 0)?;
        if kind(node) == Some(Kind::V2) {
            return Ok(Self::V2 { path, distributor, cpu_interface: walk.region(node, 1)? });
        }
        let count = node.cell("#redistributor-regions")?.unwrap_or(1) as usize;
        if count == 0 {
            return Err(Error::node_fault(Fault::Property, path, "#redistributor-regions is 0"));
        }
        let listed = walk.entries(node)?.skip(1).take(count);
        let mut redistributors = Regions::EMPTY;
        let mut found = 0;
        for (base, size) in listed {
            redistributors.push_or_drop(walk.translate(node, base, size)?);
            found += 1;
        }
        if found < count {
            let error = Error::property(path, "reg", "too few entries, no entry");
            return Err(error.value(found as u64 + 1));
        }
        let stride = node.number("redistributor-stride")?;
        // GICR_TYPER says where the next frame is in steps of 64 KiB, and a stride of 0 would never get there.
        if stride.is_some_and(|stride| stride == 0 || stride % 0x1_0000 != 0) {
            return Err(Error::property(path, "redistributor-stride", "not a multiple of 64 KiB"));
        }
        let dropped = count - redistributors.len();
        Ok(Self::V3 { path, distributor, redistributors, dropped, stride, one_by_one: false })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    V2,
    V3,
}

const V3_NAMES: &[u8] = b"arm,gic-v3\0qcom,msm8996-gic-v3";
const V2_NAMES: &[u8] =
    b"arm,gic-400\0arm,cortex-a15-gic\0arm,cortex-a9-gic\0arm,cortex-a7-gic\0arm,cortex-a5-gic\0\
    arm,arm11mp-gic\0arm,arm1176jzf-devchip-gic\0arm,eb11mp-gic\0arm,tc11mp-gic\0arm,pl390\0\
    brcm,brahma-b15-gic\0qcom,msm-8660-qgic\0qcom,msm-qgic2";

fn kind(node: &Node<'_>) -> Option<Kind> {
    strings(node.props.compatible).find_map(|name| {
        if is_one_of(name, V3_NAMES) { Some(Kind::V3) } else { is_one_of(name, V2_NAMES).then_some(Kind::V2) }
    })
}

/// True for a GIC that this reader knows, enabled or not.
pub(super) fn is_gic(node: &Node<'_>) -> bool {
    node.props.interrupt_controller.is_some() && kind(node).is_some()
}
