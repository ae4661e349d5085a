//! Interrupt specifiers of the GIC.

use super::gic;
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
                    let cells = self.cells(tree, phandle)?;
                    let specifier =
                        rest.get(4..4 + 4 * cells).ok_or(self.fault("ends within a specifier"))?;
                    *slot = Some(self.interrupt(specifier)?);
                    rest = rest.get(4 + 4 * cells..).unwrap_or(&[]);
                }
            }
            (None, Some(list)) => {
                let parent = self.parent.ok_or(self.fault("no interrupt-parent here or above"))?;
                let cells = self.cells(tree, parent)?;
                if !list.len().is_multiple_of(4 * cells) {
                    return Err(self.fault("length is not a whole number of specifiers"));
                }
                for (slot, specifier) in found.iter_mut().zip(list.chunks_exact(4 * cells)) {
                    *slot = Some(self.interrupt(specifier)?);
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

    /// `#interrupt-cells` of the controller with this phandle, which must be a GIC.
    fn cells(&self, tree: Tree<'a>, phandle: u32) -> Result<usize, Error<'a>> {
        let Some(controller) = Walk::new(tree).first(|node| node.phandle() == Some(phandle)) else {
            return Err(self.fault("no node has the phandle of its controller").value(phandle.into()));
        };
        if !gic::is_gic(&controller) {
            let what = "interrupts go to a controller that is not a known GIC";
            return Err(Error::node_fault(Fault::Unsupported, self.path, what));
        }
        match cell(controller.props.interrupt_cells) {
            // Three cells, and on some GICv3 a fourth with the PPI partition.
            Some(cells @ 3..=4) => Ok(cells as usize),
            _ => Err(Error::property(controller.path, "#interrupt-cells", "not 3 or 4")),
        }
    }

    /// One GIC specifier: type, number, flags (Arm binding `arm,gic-v3.yaml`).
    fn interrupt(&self, specifier: &[u8]) -> Result<Interrupt, Error<'a>> {
        let cell = |index: usize| be32(specifier, 4 * index).unwrap_or(0);
        let number = cell(1);
        let id = match (cell(0), number) {
            (0, 0..=987) => 32 + number,
            (1, 0..=15) => 16 + number,
            (2, 0..=1023) => 4096 + number,
            (3, 0..=63) => 1056 + number,
            _ => return Err(self.fault("no such interrupt of a GIC, number").value(number.into())),
        };
        let trigger = match cell(2) & 0xf {
            1 => Trigger::EdgeRising,
            2 => Trigger::EdgeFalling,
            4 => Trigger::LevelHigh,
            8 => Trigger::LevelLow,
            _ => Trigger::Unspecified,
        };
        Ok(Interrupt { id, trigger })
    }
}
