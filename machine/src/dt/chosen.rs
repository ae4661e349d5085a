//! What boot loaders say in `/chosen` of what they were started by.

use super::tree::Tree;
use super::walk::Walk;
use crate::error::Error;
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

/// Whether anything is in the tree besides `/chosen` and `/hypervisor`.
#[inline(never)]
pub(super) fn has_more(tree: Tree<'_>) -> bool {
    let mut walk = Walk::new(tree);
    core::iter::from_fn(move || walk.step())
        .any(|node| node.depth == 1 && !matches!(node.name.base, "chosen" | "hypervisor"))
}
