//! The UART to talk to.

use super::interrupt::Interrupts;
use super::node::Node;
use super::tree::Tree;
use super::value::strings;
use super::walk::Walk;
use crate::console::{Console, ConsoleKind};
use crate::error::{Error, Fault};
use crate::region::Region;

impl<'a> Console<'a> {
    /// The console at `node`, and its interrupts still to be decoded.
    fn read(walk: &Walk<'a>, node: &Node<'a>, options: &'a str) -> Result<Found<'a>, Error<'a>> {
        let path = node.path;
        let kind = match model(node) {
            Some(ConsoleKind::Uart8250 { reg_shift, reg_io_width, reg_offset, model }) => {
                let reg_shift = node.cell("reg-shift")?.unwrap_or(reg_shift);
                let reg_io_width = node.cell("reg-io-width")?.unwrap_or(reg_io_width);
                let reg_offset = node.cell("reg-offset")?.unwrap_or(reg_offset);
                if reg_shift > 4 {
                    return Err(Error::property(path, "reg-shift", "more than 4").value(reg_shift.into()));
                }
                if !matches!(reg_io_width, 1 | 2 | 4) {
                    let error = Error::property(path, "reg-io-width", "not 1, 2 or 4");
                    return Err(error.value(reg_io_width.into()));
                }
                ConsoleKind::Uart8250 { reg_shift, reg_io_width, reg_offset, model }
            }
            Some(ConsoleKind::Virtio) if node.property("iommus").is_some() => {
                return Err(Error::node_fault(Fault::Unsupported, path, "behind an IOMMU"));
            }
            Some(kind) => kind,
            None => return Err(Error::node_fault(Fault::Unsupported, path, "no driver for this console")),
        };
        let registers = match kind.is_in_memory() {
            true => walk.region(node, 0)?,
            false => Region { base: 0, size: 0 },
        };
        let clock_frequency = node.cell("clock-frequency")?;
        let console =
            Self { path, kind, registers, interrupt: None, clock_frequency, options, is_chosen: false };
        // Renesas binding `renesas,scif.yaml`: where each event has its own, errors come first.
        let is_second = strings(node.property("interrupt-names")).nth(1) == Some(b"rxi");
        Ok(Found { console, interrupts: Interrupts::of(node), is_second })
    }

    /// `node` as a console, if it is one and can be used without having been chosen. Of the models that are made for one family of SoCs
    /// nobody knows then whether firmware has given them a clock, without which a look at their registers may stop the machine.
    pub(super) fn usable(walk: &Walk<'a>, node: &Node<'a>) -> Option<Found<'a>> {
        if !node.enabled || matches!(model(node)?, ConsoleKind::Model(_)) {
            return None;
        }
        Self::read(walk, node, "").ok()
    }

    /// The console that `/chosen` names (Devicetree Specification 3.6).
    pub(super) fn chosen(tree: Tree<'a>, chosen: &Node<'a>) -> Result<Found<'a>, Error<'a>> {
        let (name, text) = match chosen.string("stdout-path")? {
            Some(text) => ("stdout-path", text),
            None => match chosen.string("linux,stdout-path")? {
                Some(text) => ("linux,stdout-path", text),
                None => return Err(Error::absent("no stdout-path in /chosen")),
            },
        };
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let mut walk = Walk::new(tree);
        let Some(node) = walk.resolve(target) else {
            return Err(Error::property(chosen.path, name, "does not lead to a node"));
        };
        if !node.enabled {
            return Err(Error::node_fault(Fault::Absent, node.path, "the chosen console is disabled"));
        }
        let found = Self::read(&walk, &node, options)?;
        Ok(Found { console: Self { is_chosen: true, ..found.console }, ..found })
    }
}

/// A console whose interrupt is not known yet.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    console: Console<'a>,
    interrupts: Interrupts<'a>,
    /// Not the first, but the second of them is for what was received.
    is_second: bool,
}

impl<'a> Found<'a> {
    /// With its interrupt, if it has one that goes to a GIC and is of use. A console can be polled, so that is all.
    pub(super) fn with_interrupt(self, tree: Tree<'a>) -> Console<'a> {
        let interrupt = match self.is_second {
            _ if self.console.kind == ConsoleKind::Virtio => None,
            false => self.interrupts.decode::<1>(tree).ok().and_then(|[first]| first),
            true => self.interrupts.decode::<2>(tree).ok().and_then(|[_, second]| second),
        };
        Console { interrupt, ..self.console }
    }
}

/// By the first string of `compatible` that there is a driver for.
fn model(node: &Node<'_>) -> Option<ConsoleKind> {
    strings(node.props.compatible).find_map(ConsoleKind::by_bytes)
}
