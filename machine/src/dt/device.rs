//! What devices are compatible with (Devicetree Specification 2.3.1), and what that finds.

use super::tree::Tree;
use super::value::{any_of, strings};
use super::walk::Walk;
use crate::error::Error;
use crate::region::Regions;

/// See [`Machine::compatible`](crate::Machine::compatible): that of the root.
pub(crate) fn compatible<'a>(tree: Tree<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let root = Walk::new(tree).step();
    strings(root.and_then(|root| root.props.compatible)).filter_map(|name| core::str::from_utf8(name).ok())
}

/// See [`Machine::device_regions`](crate::Machine::device_regions).
pub(crate) fn regions<'a>(tree: Tree<'a>, with: &str) -> Result<Regions, Error<'a>> {
    let mut walk = Walk::new(tree);
    match walk.first(|node| node.enabled && any_of(node.props.compatible, with.as_bytes())) {
        Some(node) => walk.all_regions(&node),
        None => Err(Error::absent("no such device")),
    }
}
