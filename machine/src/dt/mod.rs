//! The reader of device trees.
//!
//! [`Machine::parse`] takes the blob that firmware, a hypervisor or QEMU left in memory.
//!
//! - Only a blob that cannot be read at all is an error of `parse`. Everything else is answered part by part,
//!   so that a broken GIC node can still be reported on the console that the same tree describes.
//! - Addresses are CPU physical addresses: taken through the `ranges` of every bus above.
//! - No input panics, none is read outside its slice, and every question costs at most a few walks over the
//!   tree, each linear in its size.
//!
//! | part | where it stands in a tree |
//! |---|---|
//! | [`model`](Machine::model) | `model` of the root, else its first `compatible` (3.2) |
//! | [`compatible`](Machine::compatible) | `compatible` of the root |
//! | [`bootargs`](Machine::bootargs) | `bootargs` in `/chosen` (3.6) |
//! | [`cpus`](Machine::cpus) | the CPUs in `/cpus` (3.7, 3.8) |
//! | [`memory`](Machine::memory) | `reg` of every enabled node below the root with device_type "memory" (3.4) |
//! | [`reserved`](Machine::reserved) | the reservation block (5.3), the initial RAM disk in `/chosen`, and the children of `/reserved-memory` that have a place (3.5) |
//! | [`gic`](Machine::gic) | the GIC that the root's `interrupt-parent` names, else the first one that is enabled |
//! | [`psci`](Machine::psci) | the node at `/psci`, else at `/firmware/psci`, else the first one anywhere |
//! | [`timer`](Machine::timer) | the first `arm,armv8-timer` or `arm,armv7-timer` |
//! | [`console`](Machine::console) | the UART that `/chosen` names by `stdout-path` (3.6), else the first enabled one with a driver |
//! | [`uefi`](Machine::uefi) | `linux,uefi-system-table` and `linux,uefi-mmap-..` in `/chosen` |
//! | [`usable_memory`](Machine::usable_memory) | `linux,usable-memory-range` in `/chosen` |
//! | [`device_regions`](Machine::device_regions) | `reg` of the first enabled node with that `compatible` |
//!
//! Numbers of sections are those of the Devicetree Specification, release v0.4; bindings are those that Linux keeps in
//! `Documentation/devicetree/bindings`.

mod address;
mod blob;
pub(crate) mod chosen;
mod console;
pub(crate) mod cpu;
pub(crate) mod device;
mod fault;
mod gic;
mod interrupt;
pub(crate) mod memory;
mod name;
mod node;
mod node_ref;
pub(crate) mod path;
mod psci;
mod survey;
mod timer;
mod tokens;
pub(crate) mod tree;
mod value;
mod walk;

pub use blob::{HEADER_SIZE, MAX_BLOB_SIZE, blob_size};
pub use name::Name;
pub use node_ref::{NodeRef, Property};
pub use survey::{Salvaged, find_unasked, salvage};

use crate::error::Error;
use crate::machine::Machine;
use crate::uefi::Handover;
use walk::Walk;

impl<'a> Machine<'a> {
    /// Checks `blob` and reads it. See [`blob_size`] for how long a slice to pass; a longer one is cut.
    ///
    /// # Errors
    /// [`Fault::Header`](crate::Fault::Header) or [`Fault::Structure`](crate::Fault::Structure): the blob cannot be
    /// believed. [`salvage`] may still know where to say so.
    pub fn parse(blob: &'a [u8]) -> Result<Self, Error<'a>> {
        let (tree, verdict) = blob::check(blob)?;
        verdict?;
        Ok(survey::survey(tree))
    }

    /// Every node, parents before their children, starting with the root.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRef<'a>> + use<'a> {
        let mut walk = self.source.tree().map(Walk::new);
        core::iter::from_fn(move || {
            let walk = walk.as_mut()?;
            Some(NodeRef::new(walk.tree, walk.step()?))
        })
    }

    /// What a boot loader that was started by UEFI firmware says of it in `/chosen`, if there is a tree that does.
    ///
    /// # Errors
    /// Something of it is missing, or is no number.
    pub fn uefi(&self) -> Result<Option<Handover>, Error<'a>> {
        self.source.tree().map_or(Ok(None), chosen::uefi)
    }

    /// False for a tree of `/chosen` alone, which is how boot loaders hand over a command line and more on a machine that is described
    /// in another way. A `/hypervisor` does not count either: such a one adds it to whatever tree there is.
    pub fn is_described(&self) -> bool {
        self.source.tree().is_none_or(chosen::has_more)
    }

    /// How many nodes the tree has.
    pub fn node_count(&self) -> usize {
        self.source.tree().map_or(0, |tree| tree.nodes as usize)
    }

    /// The node at an absolute path or at an alias: `/soc/serial@7e201000`, `/soc/serial`, `serial0`.
    pub fn node(&self, path: &str) -> Option<NodeRef<'a>> {
        let tree = self.source.tree()?;
        Some(NodeRef::new(tree, Walk::new(tree).resolve(path)?))
    }
}
