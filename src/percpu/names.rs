//! Which CPUs there are, and which of them this is.

use super::area;
use crate::cpu_set::{CpuId, CpuSet};

/// The CPU this runs on.
///
/// A [context](crate::context) of the application's that may be preempted may be on another one by the time it looks at the answer; with
/// interrupts masked it stays where it is. Whatever a CPU runs by itself, and handlers, are never moved.
///
/// ```no_run
/// use reveille::{cpu, println};
///
/// # fn example() {
/// println!("this is cpu {}", cpu::current());
/// # }
/// ```
#[inline(always)]
pub fn current() -> CpuId {
    area::current().id
}

/// Every CPU of the device tree, up to [`MAX_CPUS`](crate::cpu::MAX_CPUS), whether it can be brought up or not.
///
/// ```no_run
/// use reveille::{cpu, println};
///
/// # fn example() {
/// println!("{} CPUs are described", cpu::possible().len());
/// # }
/// ```
pub fn possible() -> CpuSet {
    CpuSet::first(area::areas().len())
}

/// The CPUs that are online. The answer may be old by the time it is looked at.
///
/// One that was parked ([`stop_others`](crate::panic::stop_others())) is not among them.
///
/// ```no_run
/// use reveille::{call, cpu, println};
///
/// # fn example() {
/// for cpu in cpu::online() {
///     let _ = call::post(cpu, move || println!("cpu {cpu} answers"));
/// }
/// # }
/// ```
pub fn online() -> CpuSet {
    area::areas().iter().filter(|area| area::is_online(area)).map(|area| area.id).collect()
}

/// Whether `cpu` is online: a look at that CPU alone, where [`online`] looks at all. As old.
///
/// ```no_run
/// use reveille::cpu;
///
/// # fn example(cpu: reveille::cpu::CpuId) {
/// if cpu::is_online(cpu) {
///     // It was, a moment ago: what is sent to it says whether it still is.
/// }
/// # }
/// ```
#[inline]
pub fn is_online(cpu: CpuId) -> bool {
    area::is_online(area::of(cpu))
}

/// The affinity of `cpu` as the device tree and PSCI write it: Aff3 at bits 39:32, Aff2 to Aff0 at 23:0
/// (Arm ARM, MPIDR_EL1).
///
/// ```no_run
/// use reveille::{cpu, println};
///
/// # fn example() {
/// println!("affinity {:#x}", cpu::mpidr(cpu::current()));
/// # }
/// ```
pub fn mpidr(cpu: CpuId) -> u64 {
    area::of(cpu).mpidr
}

/// The CPU with this index, if the machine has it.
///
/// ```no_run
/// use reveille::cpu;
///
/// # fn example() {
/// // The next one, around in a circle.
/// let own = cpu::current();
/// let next = cpu::get(own.index() + 1).or(cpu::get(0));
/// # }
/// ```
pub fn get(index: usize) -> Option<CpuId> {
    (index < area::areas().len()).then(|| CpuId::from_index(index))
}
