//! What a machine has, as it is described before anything runs on it: its CPUs and how to start them, its memory, interrupt
//! controller, timer, console and firmware, and the command line.
//!
//! - [`Machine`] and the types of its parts are plain values, whoever described it. What it does not keep, such as the CPUs,
//!   it looks up in the description when it is asked: nothing is allocated, and no number of CPUs is too large.
//! - [`dt`] reads device trees, [`acpi`] the tables of machines that have ACPI instead.
//! - [`uefi`] reads what UEFI firmware leaves in memory: a map of it above all, which counts more than what a tree says.
//! - [`dump`] is the text form in which memory leaves the machine.
//! - [`BootArgs`] reads the words of the command line.
//! - [`IndexSet`] and [`Ranges`] are sets of numbers and of addresses, for whoever works with the above; [`FreeList`] is a list of
//!   free memory.
//!
//! The crate knows nothing of the runtime that it serves and touches no register. The same source is in the image and
//! is tested on the host.

#![no_std]
#![forbid(unsafe_code)]

pub mod acpi;
mod bootargs;
mod console;
mod counter;
mod cpu;
pub mod dt;
pub mod dump;
mod error;
mod free_list;
mod gic;
mod index_set;
mod interrupt;
mod machine;
mod memory;
mod path;
mod psci;
mod ranges;
mod region;
mod source;
mod timer;
pub mod uefi;

pub use bootargs::BootArgs;
pub use console::{
    Console, ConsoleKind, Dma, Model, Polled, PolledAccess, Registers, Uart, Virtio, VirtioMemory,
};
pub use counter::CounterErrata;
pub use cpu::{Cpu, CpuStatus, EnableMethod, MPIDR_AFFINITY};
pub use error::{Error, Fault};
pub use free_list::{Free, FreeList, Node, Nodes};
pub use gic::Gic;
pub use index_set::{IndexSet, Indices};
pub use interrupt::{Interrupt, Trigger};
pub use machine::Machine;
pub use memory::{Reserved, ReservedBy};
pub use path::Path;
pub use psci::{Conduit, Psci, PsciVersion};
pub use ranges::{Ranges, TooManyRanges};
pub use region::{Region, Regions};
pub use source::{Cpus, Memory, Reservations};
pub use timer::Timer;
