//! The CPUs of the machine: their names, where each finds what is its own, and whether it is there.

pub(crate) mod area;
mod local;
mod names;

pub use crate::cpu_set::{CpuId, CpuSet, Iter, MAX_CPUS};
pub use local::PerCpu;
pub(crate) use local::template_range;
pub use names::{current, get, is_online, mpidr, online, possible};
