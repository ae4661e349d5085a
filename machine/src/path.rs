//! Where a part of the machine stands in what describes it.

use crate::acpi::TablePath;
use crate::dt::path::NodePath;
use core::fmt;

/// Where a part of the machine stands in what describes it. [`Display`](fmt::Display) writes it: a node of a device tree in
/// full, `/soc/serial@7e201000`, with anything but printable ASCII replaced by `?`; a structure of an ACPI table as `MADT: GICC 3`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Path<'a>(Place<'a>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place<'a> {
    Node(NodePath<'a>),
    Table(TablePath),
    ByHand,
}

impl Path<'_> {
    /// Of what nobody describes: the word `earlycon` names it.
    pub(crate) const BY_HAND: Self = Self(Place::ByHand);
}

impl<'a> From<NodePath<'a>> for Path<'a> {
    fn from(node: NodePath<'a>) -> Self {
        Self(Place::Node(node))
    }
}

impl From<TablePath> for Path<'_> {
    fn from(table: TablePath) -> Self {
        Self(Place::Table(table))
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Node(node) => node.fmt(f),
            Place::Table(table) => table.fmt(f),
            Place::ByHand => f.write_str("earlycon"),
        }
    }
}

impl fmt::Debug for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
