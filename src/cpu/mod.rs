//! CPUs: their names, their areas, what they do when they have nothing to do.

pub(crate) mod area;
mod idle;
pub(crate) mod launch;
pub(crate) mod lifecycle;
pub(crate) mod local;
mod secondary;
mod status;

pub use crate::cpu_set::{CpuId, CpuSet, Iter, MAX_CPUS};
pub use area::BYTES_PER_CPU;
pub use idle::{become_secondary, idle, idle_loop, offline_point, wake};
pub use launch::{LAUNCH_BYTES, LaunchError, launch};
pub use local::PerCpu;
pub use secondary::Leaving;
#[doc(hidden)]
pub use secondary::Secondary;
pub use status::{State, Status, status};

/// The CPU this runs on.
///
/// In a closure that moves between CPUs the answer is true only while it runs; the runtime itself never
/// moves anything between CPUs.
#[inline(always)]
pub fn current() -> CpuId {
    area::current().id
}

/// Every CPU of the device tree, up to [`MAX_CPUS`], whether it can be brought up or not.
pub fn possible() -> CpuSet {
    CpuSet::first(area::areas().len())
}

/// The CPUs that are online. The answer may be old by the time it is looked at.
///
/// One that was parked ([`stop_others`](crate::panic::stop_others())) is not among them.
pub fn online() -> CpuSet {
    area::areas().iter().filter(|area| area.is_online()).map(|area| area.id).collect()
}

/// The affinity of `cpu` as the device tree and PSCI write it: Aff3 at bits 39:32, Aff2 to Aff0 at 23:0
/// (Arm ARM, MPIDR_EL1).
pub fn mpidr(cpu: CpuId) -> u64 {
    area::of(cpu).mpidr
}

/// The CPU with this index, if the machine has it.
pub fn get(index: usize) -> Option<CpuId> {
    (index < area::areas().len()).then(|| CpuId::from_index(index))
}
