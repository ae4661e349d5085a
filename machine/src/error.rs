//! What can be wrong with what describes the machine, and where.

use crate::path::Path;
use core::fmt;

/// The class of an [`Error`], for code that decides on it; the words are for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The header is wrong: nothing after it may be believed.
    Header,
    /// What follows the header is damaged.
    Structure,
    /// The description is sound but does not have such a part. Whoever can do without it may go on.
    Absent,
    /// A property is missing, too short, or says something impossible.
    Property,
    /// An address does not survive translation to a CPU physical address.
    Address,
    /// The description asks for something that its reader does not know or has no room for.
    Unsupported,
}

/// What kind of description the fault is in.
#[derive(Clone, Copy)]
pub(crate) enum Origin {
    DeviceTree,
    Acpi,
    Uefi,
}

/// Where the fault is.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// In the description as a whole.
    Whole,
    /// At this byte of it.
    Offset(usize),
    /// In this part.
    Part(Path<'a>),
    /// In this property of this part.
    Property(Path<'a>, &'static str),
}

/// One fault: what and where. [`Display`](fmt::Display) gives a single line without a line end, such as
/// `device tree: /cpus/cpu@1: reg: bits outside the MPIDR affinity fields (0x80000001)`.
#[derive(Clone, Copy)]
pub struct Error<'a> {
    origin: Origin,
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

    /// True if the description merely lacks the thing, as opposed to describing it wrongly.
    pub fn is_absent(&self) -> bool {
        self.fault == Fault::Absent
    }

    /// The node or the table at fault, where there is one.
    pub fn node(&self) -> Option<Path<'a>> {
        match self.place {
            Place::Part(path) | Place::Property(path, _) => Some(path),
            Place::Whole | Place::Offset(_) => None,
        }
    }

    pub(crate) const fn new(origin: Origin, fault: Fault, place: Place<'a>, what: &'static str) -> Self {
        Self { origin, fault, what, value: None, place }
    }

    /// The same, with the number that is wrong.
    pub(crate) const fn value(mut self, value: u64) -> Self {
        self.value = Some(value);
        self
    }
}

impl fmt::Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.origin {
            Origin::DeviceTree => "device tree: ",
            Origin::Acpi => "ACPI: ",
            Origin::Uefi => "UEFI: ",
        })?;
        match self.place {
            Place::Whole => f.write_str(self.what)?,
            Place::Offset(offset) => write!(f, "{} at offset {offset:#x}", self.what)?,
            Place::Part(path) => write!(f, "{path}: {}", self.what)?,
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
