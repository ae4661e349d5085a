//! Interrupt specifiers: of the GIC, and of what is in its place.

use super::gic::{self, Kind};
use super::node::Node;
use super::tree::Tree;
use super::value::{be32, cell};
use super::walk::Walk;
use crate::error::{Error, Fault};
use crate::interrupt::{Interrupt, Trigger};
use crate::path::Path;

/// What a node says of its interrupts, still undecoded (Devicetree Specification 2.4.1).
#[derive(Clone, Copy)]
pub(super) struct Interrupts<'a> {
    path: Path<'a>,
    parent: Option<u32>,
    interrupts: Option<&'a [u8]>,
    extended: Option<&'a [u8]>,
}

impl<'a> Interrupts<'a> {
    pub fn of(node: &Node<'a>) -> Self {
        Self {
            path: node.path,
            parent: node.interrupt_parent,
            interrupts: node.property("interrupts"),
            extended: node.property("interrupts-extended"),
        }
    }

    /// The first `N` interrupts.
    pub fn decode<const N: usize>(&self, tree: Tree<'a>) -> Result<[Option<Interrupt>; N], Error<'a>> {
        let mut found = [None; N];
        self.decode_into(tree, &mut found)?;
        Ok(found)
    }

    fn decode_into(&self, tree: Tree<'a>, found: &mut [Option<Interrupt>]) -> Result<(), Error<'a>> {
        match (self.extended, self.interrupts) {
            (Some(mut rest), _) => {
                for slot in found {
                    let Some(phandle) = be32(rest, 0) else { break };
                    let (kind, cells) = self.cells(tree, phandle)?;
                    let specifier =
                        rest.get(4..4 + 4 * cells).ok_or(self.fault("ends within a specifier"))?;
                    *slot = Some(self.interrupt(kind, specifier)?);
                    rest = rest.get(4 + 4 * cells..).unwrap_or(&[]);
                }
            }
            (None, Some(list)) => {
                let parent = self.parent.ok_or(self.fault("no interrupt-parent here or above"))?;
                let (kind, cells) = self.cells(tree, parent)?;
                if !list.len().is_multiple_of(4 * cells) {
                    return Err(self.fault("length is not a whole number of specifiers"));
                }
                for (slot, specifier) in found.iter_mut().zip(list.chunks_exact(4 * cells)) {
                    *slot = Some(self.interrupt(kind, specifier)?);
                }
            }
            (None, None) => {
                return Err(Error::node_fault(Fault::Property, self.path, "no interrupts property"));
            }
        }
        Ok(())
    }

    fn fault(&self, what: &'static str) -> Error<'a> {
        let name = if self.extended.is_some() { "interrupts-extended" } else { "interrupts" };
        Error::property(self.path, name, what)
    }

    /// Kind and `#interrupt-cells` of the controller with this phandle, which must be known.
    fn cells(&self, tree: Tree<'a>, phandle: u32) -> Result<(Kind, usize), Error<'a>> {
        let Some(controller) = Walk::new(tree).first(|node| node.phandle() == Some(phandle)) else {
            return Err(self.fault("no node has the phandle of its controller").value(phandle.into()));
        };
        let Some(kind) = gic::controller(&controller) else {
            let what = "interrupts go to a controller that is not a known GIC";
            return Err(Error::node_fault(Fault::Unsupported, self.path, what));
        };
        let cells = cell(controller.props.interrupt_cells).unwrap_or(0);
        let (known, what) = match kind {
            // Three cells, and on some GICv3 a fourth with the PPI partition.
            Kind::V2 | Kind::V3 => (3..=4, "not 3 or 4"),
            Kind::Local | Kind::Peripherals => (2..=2, "not 2"),
        };
        if !known.contains(&cells) {
            return Err(Error::property(controller.path, "#interrupt-cells", what));
        }
        Ok((kind, cells as usize))
    }

    /// One specifier. Of a GIC: type, number, flags; of a BCM2836: number, flags; of a BCM2835: bank, number.
    fn interrupt(&self, kind: Kind, specifier: &[u8]) -> Result<Interrupt, Error<'a>> {
        let cell = |index: usize| be32(specifier, 4 * index).unwrap_or(0);
        let number = cell(1);
        let (id, flags) = match (kind, cell(0), number) {
            (Kind::Local, line @ 0..=15, flags) => (16 + line, flags),
            (Kind::Peripherals, bank @ 1..=2, 0..=31) => (32 * bank + number, 4),
            (Kind::Peripherals, 0, 0..=7) => (96 + number, 4),
            (Kind::Local | Kind::Peripherals, first, _) => {
                return Err(self.fault("no such interrupt of a BCM2836").value(first.into()));
            }
            (_, 0, 0..=987) => (32 + number, cell(2)),
            (_, 1, 0..=15) => (16 + number, cell(2)),
            (_, 2, 0..=1023) => (4096 + number, cell(2)),
            (_, 3, 0..=63) => (1056 + number, cell(2)),
            _ => return Err(self.fault("no such interrupt of a GIC, number").value(number.into())),
        };
        let trigger = match flags & 0xf {
            1 => Trigger::EdgeRising,
            2 => Trigger::EdgeFalling,
            4 => Trigger::LevelHigh,
            8 => Trigger::LevelLow,
            _ => Trigger::Unspecified,
        };
        Ok(Interrupt { id, trigger })
    }
}
