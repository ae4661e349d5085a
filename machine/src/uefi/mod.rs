//! What UEFI firmware leaves in memory, read: the memory map, the system table and what it leads to, load options.
//!
//! All of it is bytes that somebody else has written, and nothing of it is believed before it was looked at: no input panics, and none is
//! read outside its slice.
//!
//! Numbers of sections are those of the UEFI Specification, release 2.10.

mod fault;
mod handover;
mod listed;
mod map;
mod options;
mod tables;

pub use handover::Handover;
pub use listed::{LISTED_HEADER, Listed, listed};
pub use map::{Descriptor, Descriptors, MAX_MAP_SIZE, MemoryMap, Standing};
pub use options::{arguments, longest};
pub use tables::{
    ACPI_1, ACPI_2, DEVICE_TREE, Guid, LISTED, SYSTEM_TABLE_SIZE, SystemTable, TABLE_SIZE, find_table,
};

pub(crate) use map::{Memory, Taken};
