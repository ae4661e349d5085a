//! What boot loaders say in `/chosen` of what they were started by.

use super::node::Node;
use super::tree::Tree;
use super::walk::Walk;
use crate::error::{Error, Fault};
use crate::uefi::Handover;

/// See [`Machine::uefi`](crate::Machine::uefi): Linux, `Documentation/arch/arm/uefi.rst`.
#[inline(never)]
pub(super) fn uefi<'a>(tree: Tree<'a>) -> Result<Option<Handover>, Error<'a>> {
    let mut walk = Walk::new(tree);
    let chosen = loop {
        match walk.step() {
            None => return Ok(None),
            Some(node) if node.is_at(1, "chosen") => break node,
            Some(_) => {}
        }
    };
    let Some(system_table) = chosen.number("linux,uefi-system-table")? else { return Ok(None) };
    let number = |name| needed(&chosen, name);
    let version = number("linux,uefi-mmap-desc-ver")?;
    Ok(Some(Handover {
        system_table,
        map: number("linux,uefi-mmap-start")?,
        map_size: number("linux,uefi-mmap-size")?,
        stride: number("linux,uefi-mmap-desc-size")?,
        version: u32::try_from(version).unwrap_or(u32::MAX),
    }))
}

fn needed<'a>(chosen: &Node<'a>, name: &'static str) -> Result<u64, Error<'a>> {
    let missing = Error::node_fault(
        Fault::Property,
        chosen.path,
        "linux,uefi-system-table without all of linux,uefi-mmap-..",
    );
    chosen.number(name)?.ok_or(missing)
}

/// Whether anything is in the tree besides `/chosen` and `/hypervisor`.
pub(super) fn has_more(tree: Tree<'_>) -> bool {
    let mut walk = Walk::new(tree);
    core::iter::from_fn(move || walk.step())
        .any(|node| node.depth == 1 && !matches!(node.name.base, "chosen" | "hypervisor"))
}
