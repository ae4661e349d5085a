//! Memory that is there, and memory that is somebody's.

use super::address::Entries;
use super::node::Node;
use super::tree::Tree;
use super::value::{be64, string};
use super::walk::Walk;
use crate::error::{Error, Fault};
use crate::memory::{Reserved, ReservedBy};
use crate::region::Region;

/// See [`Machine::memory`](crate::Machine::memory): `reg` of every enabled node below the root with device_type "memory"
/// (Devicetree Specification 3.4).
pub(crate) struct Memory<'a> {
    walk: Walk<'a>,
    current: Option<(Node<'a>, Entries<'a>)>,
    any: bool,
}

impl<'a> Memory<'a> {
    pub(crate) fn new(tree: Tree<'a>) -> Self {
        Self { walk: Walk::new(tree), current: None, any: false }
    }
}

impl<'a> Iterator for Memory<'a> {
    type Item = Result<Region, Error<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((node, entries)) = &mut self.current {
                for (base, size) in entries.by_ref() {
                    // Board trees leave the size to the firmware; what it did not fill in is no memory.
                    if size != 0 {
                        self.any = true;
                        return Some(self.walk.translate(node, base, size));
                    }
                }
            }
            self.current = None;
            let Some(node) = self.walk.step() else {
                let first = !core::mem::replace(&mut self.any, true);
                return first
                    .then_some(Err(Error::absent("no /memory node with device_type \"memory\" and a size")));
            };
            if node.depth == 1 && node.enabled && node.props.device_type.and_then(string) == Some("memory") {
                match self.walk.entries(&node) {
                    Ok(entries) => self.current = Some((node, entries)),
                    Err(error) => {
                        self.any = true;
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}

/// See [`Machine::reserved`](crate::Machine::reserved): the reservation block, the initial RAM disk, and the children of
/// `/reserved-memory` that have a place.
pub(crate) struct Reservations<'a> {
    tree: Tree<'a>,
    /// Offset of the next entry of the reservation block, until its end.
    block: Option<usize>,
    walk: Walk<'a>,
    inside: bool,
    current: Option<(Node<'a>, Entries<'a>)>,
}

impl<'a> Reservations<'a> {
    pub(crate) fn new(tree: Tree<'a>) -> Self {
        Self { tree, block: tree.reservations(), walk: Walk::new(tree), inside: false, current: None }
    }

    fn block_entry(&mut self) -> Option<Result<Region, Error<'a>>> {
        while let Some(at) = self.block.take() {
            let (Some(base), Some(size)) = (be64(self.tree.blob, at), be64(self.tree.blob, at + 8)) else {
                return Some(Err(Error::structure("memory reservation block without end", at)));
            };
            if base == 0 && size == 0 {
                break;
            }
            self.block = Some(at + 16);
            if size != 0 {
                let region = Region { base, size };
                return Some(match base.checked_add(size - 1) {
                    Some(_) => Ok(region),
                    None => Err(Error::structure("memory reservation beyond 64 bits", at)),
                });
            }
        }
        None
    }

    fn node_entry(&mut self) -> Option<Result<Reserved, Error<'a>>> {
        loop {
            if let Some((node, entries)) = &mut self.current {
                for (base, size) in entries.by_ref() {
                    if size != 0 {
                        let no_map = node.property("no-map").is_some();
                        let region = self.walk.translate(node, base, size);
                        return Some(region.map(|region| Reserved {
                            region,
                            no_map,
                            source: ReservedBy::Node,
                        }));
                    }
                }
            }
            self.current = None;
            let node = self.walk.step()?;
            if node.depth == 1 {
                self.inside = node.is_at(1, "reserved-memory");
                if node.is_at(1, "chosen")
                    && let Some(initrd) = initrd(&node).transpose()
                {
                    return Some(initrd.map(|region| Reserved {
                        region,
                        no_map: false,
                        source: ReservedBy::Initrd,
                    }));
                }
            }
            // Without `reg` the region is to be chosen by the operating system, so nothing is there yet.
            if self.inside && node.depth == 2 && node.enabled && node.props.reg.is_some() {
                match self.walk.entries(&node) {
                    Ok(entries) => self.current = Some((node, entries)),
                    Err(error) => return Some(Err(error)),
                }
            }
        }
    }
}

fn initrd<'a>(chosen: &Node<'a>) -> Result<Option<Region>, Error<'a>> {
    let (start, end) = (chosen.number("linux,initrd-start")?, chosen.number("linux,initrd-end")?);
    match (start, end) {
        (Some(base), Some(end)) if end > base => Ok(Some(Region { base, size: end - base })),
        (Some(base), Some(end)) if end < base => {
            Err(Error::property(chosen.path, "linux,initrd-end", "before linux,initrd-start").value(end))
        }
        (Some(_), None) | (None, Some(_)) => Err(Error::node_fault(
            Fault::Property,
            chosen.path,
            "only one of linux,initrd-start and linux,initrd-end",
        )),
        _ => Ok(None),
    }
}

impl<'a> Iterator for Reservations<'a> {
    type Item = Result<Reserved, Error<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.block_entry() {
            Some(region) => {
                Some(region.map(|region| Reserved { region, no_map: false, source: ReservedBy::Block }))
            }
            None => self.node_entry(),
        }
    }
}
