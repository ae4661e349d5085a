//! Addresses: `reg` of a node, taken through the buses above it to what the CPUs see.

use super::node::Node;
use super::path::NodePath;
use super::value::{MAX_CELLS, number};
use super::walk::{Level, Walk};
use crate::error::{Error, Fault};
use crate::region::{Region, Regions};

/// Entries of one `ranges` that are looked at. Real ones have tens; the bound keeps a tree that is all `reg`
/// and `ranges` from costing the product of the two.
const MAX_RANGES: usize = 1024;

impl<'a> Walk<'a> {
    /// `#address-cells` that holds for the `reg` of `node`, which must be the last node walked to.
    pub fn address_cells(&self, node: &Node<'a>) -> u32 {
        self.level_above(node).address_cells
    }

    /// The entries of `reg` as they stand in the tree. `node` must be the last node walked to, here and in
    /// the functions below.
    pub fn entries(&self, node: &Node<'a>) -> Result<Entries<'a>, Error<'a>> {
        let Some(bytes) = node.props.reg else {
            return Err(Error::node_fault(Fault::Property, node.path, "no reg property"));
        };
        self.entries_of(node, "reg", bytes)
    }

    /// The entries of the property `name` of `node`, `bytes`, which is made as `reg` is.
    pub fn entries_of(
        &self,
        node: &Node<'a>,
        name: &'static str,
        bytes: &'a [u8],
    ) -> Result<Entries<'a>, Error<'a>> {
        let above = self.level_above(node);
        let Some((address, entry)) = widths(above.address_cells, 0, above.size_cells) else {
            return Err(Error::property(node.path, name, "parent has an impossible number of cells"));
        };
        if !bytes.len().is_multiple_of(entry) {
            let error = Error::property(node.path, name, "length is not a whole number of entries");
            return Err(error.value(bytes.len() as u64));
        }
        Ok(Entries { bytes, address, entry })
    }

    /// The entries of `reg` as CPU physical regions.
    fn regions(
        &self,
        node: &Node<'a>,
    ) -> Result<impl Iterator<Item = Result<Region, Error<'a>>> + use<'_, 'a>, Error<'a>> {
        let node = *node;
        Ok(self.entries(&node)?.map(move |(base, size)| self.translate(&node, base, size)))
    }

    /// Entry `index` of `reg`, which has to be there.
    pub fn region(&self, node: &Node<'a>, index: usize) -> Result<Region, Error<'a>> {
        self.regions(node)?.nth(index).unwrap_or_else(|| {
            Err(Error::property(node.path, "reg", "too few entries, no entry").value(index as u64))
        })
    }

    /// All entries of `reg`.
    pub fn all_regions(&self, node: &Node<'a>) -> Result<Regions, Error<'a>> {
        let mut regions = Regions::EMPTY;
        for region in self.regions(node)? {
            if !regions.push(region?) {
                let error = Error::property(node.path, "reg", "more regions than there is room for");
                return Err(error.value(Regions::CAPACITY as u64));
            }
        }
        Ok(regions)
    }

    /// Takes `base` through the `ranges` of every bus above `node` (Devicetree Specification 2.3.8).
    pub fn translate(&self, node: &Node<'a>, base: u128, size: u128) -> Result<Region, Error<'a>> {
        let mut base = base;
        for depth in (1..node.depth).rev() {
            let (Some(bus), Some(above)) = (self.levels.get(depth), self.levels.get(depth - 1)) else {
                break;
            };
            let path = NodePath::new(self.tree, bus.index).into();
            let Some(ranges) = bus.ranges else {
                let error = Error::address(path, "ranges", "missing, cannot translate the child address");
                return Err(error.value(base as u64));
            };
            if ranges.is_empty() {
                continue;
            }
            base = through(ranges, bus, above.address_cells, base)
                .ok_or(Error::address(path, "ranges", "no entry for the child address").value(base as u64))?;
        }
        let region = u64::try_from(base).ok().zip(u64::try_from(size).ok());
        match region.map(|(base, size)| Region { base, size }) {
            // The last byte has to be addressable; one past it need not be.
            Some(region) if region.base.checked_add(region.size.saturating_sub(1)).is_some() => Ok(region),
            _ => Err(Error::address(node.path, "reg", "beyond 64 bits, at").value(base as u64)),
        }
    }
}

/// `address` as the `ranges` of `bus` map it.
fn through(ranges: &[u8], bus: &Level<'_>, above_cells: u32, address: u128) -> Option<u128> {
    let (child, entry) = widths(bus.address_cells, above_cells, bus.size_cells)?;
    let parent = child + 4 * above_cells as usize;
    ranges.chunks_exact(entry).take(MAX_RANGES).find_map(|range| {
        let offset = address.checked_sub(number(range.get(..child)?)?)?;
        if offset >= number(range.get(parent..)?)? {
            return None;
        }
        number(range.get(child..parent)?)?.checked_add(offset)
    })
}

/// Bytes of an address and of a whole entry of `reg` or `ranges`.
fn widths(address_cells: u32, parent_cells: u32, size_cells: u32) -> Option<(usize, usize)> {
    if address_cells.max(parent_cells).max(size_cells) > MAX_CELLS {
        return None;
    }
    let entry = 4 * (address_cells + parent_cells + size_cells) as usize;
    (entry > 0).then_some((4 * address_cells as usize, entry))
}

/// See [`Walk::entries`]: base and size.
pub(super) struct Entries<'a> {
    bytes: &'a [u8],
    address: usize,
    entry: usize,
}

impl Iterator for Entries<'_> {
    type Item = (u128, u128);

    fn next(&mut self) -> Option<Self::Item> {
        let (entry, rest) = self.bytes.split_at_checked(self.entry)?;
        self.bytes = rest;
        let (base, size) = entry.split_at_checked(self.address)?;
        Some((number(base)?, number(size)?))
    }
}
