//! CPUs: their names, their variables, what they do when they have nothing to do, and how they look.

pub use crate::launch::{LAUNCH_BYTES, LaunchError, launch};
#[doc(hidden)]
pub use crate::life::Options;
pub use crate::life::{
    BYTES_PER_CPU, Leaving, become_secondary, bytes_per_cpu, idle, idle_loop, idle_unless, is_home,
    offline_point, wake,
};
#[doc(hidden)]
pub use crate::memory::stacks::Layout;
pub use crate::memory::stacks::Stacks;
pub use crate::percpu::{
    CpuId, CpuSet, Iter, MAX_CPUS, PerCpu, current, get, is_online, mpidr, online, possible,
};
pub use reveille_protocol::State;

use crate::bringup::Verdict;
use crate::percpu::area;
use crate::{bringup, call, life};
use core::time::Duration;

/// One CPU, as it looks from another. Each part is true at some moment of the look, not all at the same one.
///
/// ```no_run
/// use reveille::{cpu, println};
///
/// # fn example() {
/// for cpu in cpu::possible() {
///     let status = cpu::status(cpu);
///     println!("cpu {cpu}: {:?}, {} interrupts, idle for {} ms", status.state, status.interrupts, status.idle.as_millis());
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The CPU.
    pub cpu: CpuId,
    /// Its affinity, as in the device tree.
    pub mpidr: u64,
    /// Its state.
    pub state: State,
    /// Whether it was parked: it never runs again, whatever its state says.
    pub parked: bool,
    /// Number of its last start; 0 if it booted the image, or was never started.
    pub generation: u32,
    /// What the last attempt to bring it up came to.
    pub verdict: Option<Verdict>,
    /// How far it came with its MMU off: 0 not at all, 1 entered, 2 about to turn it on.
    pub stage: u64,
    /// Whether it waits in the pen.
    pub in_pen: bool,
    /// Calls and posts that it has sent to CPUs that took them, itself included for posts, since the machine booted.
    pub calls_out: u64,
    /// Calls and posts that it has run for others, and posts to itself, since the machine booted.
    pub calls_in: u64,
    /// Interrupts that it has handled since the machine booted, but for those of calls and of what is NMI-class.
    pub interrupts: u64,
    /// Time that it has spent waiting in [`idle`](idle()).
    pub idle: Duration,
}

/// What the report of a panic, or of [`nmi::backtrace`](crate::nmi::backtrace), says that this CPU does, from now on: a thread of the application's, a vCPU. `None`:
/// nothing. What it was before comes back. From any context; who changes it in a handler gives it back as it was.
///
/// ```no_run
/// use reveille::cpu;
///
/// # fn example() {
/// let before = cpu::set_label(Some(&"vcpu 3 of guest 1"));
/// // ..
/// cpu::set_label(before);
/// # }
/// ```
pub fn set_label(label: Option<&'static &'static str>) -> Option<&'static &'static str> {
    area::here(|own| own.set_label(label))
}

/// How `cpu` looks.
///
/// ```no_run
/// use reveille::{cpu, println};
///
/// # fn example(cpu: reveille::cpu::CpuId) {
/// let status = cpu::status(cpu);
/// println!("cpu {cpu} has called {} times, and was called {} times", status.calls_out, status.calls_in);
/// # }
/// ```
pub fn status(cpu: CpuId) -> Status {
    let area = area::of(cpu);
    let slot = area::slot(area).read();
    let crumbs = area.crumbs.map(|crumbs| crumbs.read());
    let (calls_out, calls_in) = call::counts(area);
    Status {
        cpu,
        mpidr: area.mpidr,
        state: slot.state,
        parked: area::parked(area).is_set(),
        generation: slot.generation,
        verdict: bringup::record(area).verdict(),
        stage: crumbs.map_or(0, |crumbs| crumbs.stage),
        in_pen: crumbs.is_some_and(|crumbs| crumbs.pen.is_some()),
        calls_out,
        calls_in,
        interrupts: life::interrupts(area),
        idle: life::waited(area),
    }
}
