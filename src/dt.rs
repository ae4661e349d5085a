//! The device tree, read into a plain description of the machine.
//!
//! [`Machine::parse`] reads the blob that firmware, a hypervisor or QEMU left in memory; the runtime has done so, and
//! [`System::machine`](crate::System::machine) is what it found. All of it is the crate `reveille-machine`'s.

#[doc(inline)]
pub use reveille_machine::dt::{
    Conduit, Console, ConsoleKind, Cpu, CpuStatus, Cpus, EnableMethod, Error, Fault, Gic, HEADER_SIZE,
    Interrupt, MAX_BLOB_SIZE, MPIDR_AFFINITY, Machine, Memory, Name, NodeRef, Path, Property, Psci,
    PsciVersion, Region, Regions, Reservations, Reserved, ReservedBy, Timer, Trigger, blob_size,
    salvage_console,
};
