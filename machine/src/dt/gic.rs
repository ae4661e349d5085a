//! The interrupt controller (bindings `arm,gic.yaml`, `arm,gic-v3.yaml`, `brcm,bcm2836-l1-intc.yaml` and
//! `brcm,bcm2835-armctrl-ic.yaml`).

use super::device;
use super::node::Node;
use super::value::any_of;
use super::walk::Walk;
use crate::error::{Error, Fault};
use crate::gic::Gic;
use crate::region::Regions;

impl<'a> Gic<'a> {
    pub(super) fn read(walk: &Walk<'a>, node: &Node<'a>) -> Result<Self, Error<'a>> {
        let path = node.path;
        let distributor = walk.region(node, 0)?;
        match kind(node) {
            Some(Kind::V2) => {
                return Ok(Self::V2 { path, distributor, cpu_interface: walk.region(node, 1)? });
            }
            Some(Kind::Local) => {
                // What is wrong with it leaves its interrupts out, and no more.
                let peripherals =
                    device::regions(walk.tree, PERIPHERALS_NAME).ok().and_then(|all| all.first().copied());
                return Ok(Self::Bcm2836 { path, local: distributor, peripherals });
            }
            _ => {}
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
pub(super) enum Kind {
    V2,
    V3,
    /// That of the cores of a BCM2836.
    Local,
    /// That of the BCM2835, behind it.
    Peripherals,
}

const V3_NAMES: &[u8] = b"arm,gic-v3\0qcom,msm8996-gic-v3";
const V2_NAMES: &[u8] =
    b"arm,gic-400\0arm,cortex-a15-gic\0arm,cortex-a9-gic\0arm,cortex-a7-gic\0arm,cortex-a5-gic\0\
    arm,arm11mp-gic\0arm,arm1176jzf-devchip-gic\0arm,eb11mp-gic\0arm,tc11mp-gic\0arm,pl390\0\
    brcm,brahma-b15-gic\0qcom,msm-8660-qgic\0qcom,msm-qgic2";

const LOCAL_NAME: &[u8] = b"brcm,bcm2836-l1-intc";
const PERIPHERALS_NAME: &str = "brcm,bcm2836-armctrl-ic";

fn kind(node: &Node<'_>) -> Option<Kind> {
    let has = |names| any_of(node.props.compatible, names);
    if has(V3_NAMES) {
        Some(Kind::V3)
    } else if has(V2_NAMES) {
        Some(Kind::V2)
    } else if has(LOCAL_NAME) {
        Some(Kind::Local)
    } else {
        has(PERIPHERALS_NAME.as_bytes()).then_some(Kind::Peripherals)
    }
}

/// What kind of controller `node` is, enabled or not. `None`: none that this reader knows.
pub(super) fn controller(node: &Node<'_>) -> Option<Kind> {
    node.props.interrupt_controller.and(kind(node))
}

/// True for a controller that this reader knows, and to which the CPUs are connected, enabled or not.
pub(super) fn is_gic(node: &Node<'_>) -> bool {
    controller(node).is_some_and(|kind| kind != Kind::Peripherals)
}
