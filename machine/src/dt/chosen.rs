//! What boot loaders say in `/chosen` of what they were started by.

use super::node::Node;
use super::tree::Tree;
use super::walk::Walk;
use crate::error::Error;
use crate::region::{Region, Regions};
use crate::uefi::Handover;

/// See [`Machine::uefi`](crate::Machine::uefi): Linux, `Documentation/arch/arm/uefi.rst`.
#[inline(never)]
pub(super) fn uefi<'a>(tree: Tree<'a>) -> Result<Option<Handover>, Error<'a>> {
    let Some(chosen) = chosen(&mut Walk::new(tree)) else { return Ok(None) };
    let mut numbers = [0; NAMES.len()];
    for (number, name) in numbers.iter_mut().zip(NAMES) {
        *number = match chosen.number(name)? {
            Some(number) => number,
            None if name == NAMES[0] => return Ok(None),
            None => return Err(Error::property(chosen.path, name, "missing")),
        };
    }
    let [system_table, map, map_size, stride, version] = numbers;
    Ok(Some(Handover { system_table, map, map_size, stride, version }))
}

const NAMES: [&str; 5] = [
    "linux,uefi-system-table",
    "linux,uefi-mmap-start",
    "linux,uefi-mmap-size",
    "linux,uefi-mmap-desc-size",
    "linux,uefi-mmap-desc-ver",
];

/// See [`Machine::usable_memory`](crate::Machine::usable_memory).
#[inline(never)]
pub(crate) fn usable<'a>(tree: Tree<'a>) -> Result<Option<Regions>, Error<'a>> {
    let mut walk = Walk::new(tree);
    let Some(chosen) = chosen(&mut walk) else { return Ok(None) };
    let Some(bytes) = chosen.property(USABLE) else { return Ok(None) };
    let mut usable = Regions::EMPTY;
    for (base, size) in walk.entries_of(&chosen, USABLE, bytes)? {
        let region = u64::try_from(base).ok().zip(u64::try_from(size).ok());
        let region = region
            .map(|(base, size)| Region { base, size })
            .filter(|region| region.base.checked_add(region.size.saturating_sub(1)).is_some());
        let wrong = |what| Err(Error::property(chosen.path, USABLE, what).value(base as u64));
        match region {
            None => return wrong("beyond 64 bits, at"),
            Some(region) if region.size != 0 && !usable.push(region) => {
                return wrong("more regions than there is room for, at");
            }
            Some(_) => {}
        }
    }
    if usable.is_empty() {
        return Err(Error::property(chosen.path, USABLE, "no memory in it"));
    }
    Ok(Some(usable))
}

/// Linux, `Documentation/devicetree/bindings/chosen.txt`.
const USABLE: &str = "linux,usable-memory-range";

/// On from the start to `/chosen`.
#[inline(never)]
fn chosen<'a>(walk: &mut Walk<'a>) -> Option<Node<'a>> {
    walk.first(|node| node.is_at(1, "chosen"))
}

/// Whether anything is in the tree besides `/chosen` and `/hypervisor`.
#[inline(never)]
pub(super) fn has_more(tree: Tree<'_>) -> bool {
    let mut walk = Walk::new(tree);
    core::iter::from_fn(move || walk.step())
        .any(|node| node.depth == 1 && !matches!(node.name.base, "chosen" | "hypervisor"))
}
