//! The device tree, or the tables of ACPI, read into a plain description of the machine.
//!
//! [`Machine::parse`] takes the blob that firmware, a hypervisor or QEMU left in memory and answers what a kernel has to know
//! before it can do anything: the CPUs and how to start them, the memory and what of it is taken, the interrupt controller,
//! the firmware interface, the timer, the console. [`System::machine`](crate::System::machine) is what the runtime has read.
//!
//! All of it is the crate `reveille-machine`'s, which knows nothing of the runtime; [`reveille_machine::dt`] says what is read
//! where in a tree, [`reveille_machine::acpi`] where in tables.

#[doc(inline)]
pub use reveille_machine::dt::{
    HEADER_SIZE, MAX_BLOB_SIZE, Name, NodeRef, Property, Salvaged, blob_size, find_unasked, salvage,
};
#[doc(inline)]
pub use reveille_machine::{
    Conduit, Console, ConsoleKind, Cpu, CpuStatus, Cpus, EnableMethod, Error, Fault, Gic, Interrupt,
    MPIDR_AFFINITY, Machine, Memory, Path, Psci, PsciVersion, Region, Regions, Reservations, Reserved,
    ReservedBy, Timer, Trigger,
};
