//! What can be wrong with a tree, and where.

use core::fmt;

use super::path::Path;

/// The class of an [`Error`], for code that decides on it; the words are for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The 40-byte header is wrong: nothing else in the blob may be believed.
    Header,
    /// The structure or strings block is damaged.
    Structure,
    /// The tree is sound but does not have such a node. Whoever can do without it may go on.
    Absent,
    /// A property is missing, too short, or says something impossible.
    Property,
    /// An address does not survive translation to a CPU physical address.
    Address,
    /// The tree asks for something this reader does not know or has no room for.
    Unsupported,
}

#[derive(Clone, Copy)]
enum Place<'a> {
    Tree,
    Offset(usize),
    Node(Path<'a>),
    Property(Path<'a>, &'static str),
}

/// One fault: what and where. [`Display`](fmt::Display) gives a single line without a line end, such as
/// `device tree: /cpus/cpu@1: reg: bits outside the MPIDR affinity fields (0x80000001)`.
#[derive(Clone, Copy)]
pub struct Error<'a> {
    fault: Fault,
    what: &'static str,
    value: Option<u64>,
    place: Place<'a>,
}

impl<'a> Error<'a> {
    /// The class of the fault.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// True if the tree merely lacks the thing, as opposed to describing it wrongly.
    pub fn is_absent(&self) -> bool {
        self.fault == Fault::Absent
    }

    /// The node at fault, where there is one.
    pub fn node(&self) -> Option<Path<'a>> {
        match self.place {
            Place::Node(path) | Place::Property(path, _) => Some(path),
            Place::Tree | Place::Offset(_) => None,
        }
    }

    pub(super) const fn header(what: &'static str) -> Self {
        Self { fault: Fault::Header, what, value: None, place: Place::Tree }
    }

    pub(super) const fn structure(what: &'static str, offset: usize) -> Self {
        Self { fault: Fault::Structure, what, value: None, place: Place::Offset(offset) }
    }

    pub(super) const fn absent(what: &'static str) -> Self {
        Self { fault: Fault::Absent, what, value: None, place: Place::Tree }
    }

    pub(super) const fn node_fault(fault: Fault, path: Path<'a>, what: &'static str) -> Self {
        Self { fault, what, value: None, place: Place::Node(path) }
    }

    pub(super) const fn property(path: Path<'a>, name: &'static str, what: &'static str) -> Self {
        Self { fault: Fault::Property, what, value: None, place: Place::Property(path, name) }
    }

    pub(super) const fn address(path: Path<'a>, name: &'static str, what: &'static str) -> Self {
        Self { fault: Fault::Address, what, value: None, place: Place::Property(path, name) }
    }

    pub(super) const fn value(mut self, value: u64) -> Self {
        self.value = Some(value);
        self
    }
}

impl fmt::Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("device tree: ")?;
        match self.place {
            Place::Tree => f.write_str(self.what)?,
            Place::Offset(offset) => write!(f, "{} at offset {offset:#x}", self.what)?,
            Place::Node(path) => write!(f, "{path}: {}", self.what)?,
            Place::Property(path, name) => write!(f, "{path}: {name}: {}", self.what)?,
        }
        match self.value {
            Some(value) => write!(f, " ({value:#x})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Error<'_> {}
