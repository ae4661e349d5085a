//! Errors, as the reader of trees makes them.

use crate::error::{Error, Fault, Origin, Place};
use crate::path::Path;

impl<'a> Error<'a> {
    const fn in_tree(fault: Fault, place: Place<'a>, what: &'static str) -> Self {
        Self::new(Origin::DeviceTree, fault, place, what)
    }

    pub(super) const fn header(what: &'static str) -> Self {
        Self::in_tree(Fault::Header, Place::Whole, what)
    }

    pub(super) const fn structure(what: &'static str, offset: usize) -> Self {
        Self::in_tree(Fault::Structure, Place::Offset(offset), what)
    }

    pub(super) const fn absent(what: &'static str) -> Self {
        Self::in_tree(Fault::Absent, Place::Whole, what)
    }

    pub(super) const fn node_fault(fault: Fault, path: Path<'a>, what: &'static str) -> Self {
        Self::in_tree(fault, Place::Part(path), what)
    }

    pub(super) const fn property(path: Path<'a>, name: &'static str, what: &'static str) -> Self {
        Self::in_tree(Fault::Property, Place::Property(path, name), what)
    }

    pub(super) const fn address(path: Path<'a>, name: &'static str, what: &'static str) -> Self {
        Self::in_tree(Fault::Address, Place::Property(path, name), what)
    }
}
