//! Reveille: every CPU of a bare AArch64 machine, awake and accounted for.
//!
//! A runtime for hypervisors, RTOS kernels, firmware and test payloads that run on several CPUs with no operating
//! system under them. Its promise: **no CPU is ever lost**. Each is in exactly one known state, every change of
//! state is one atomic transition with one owner, every wait is bounded, or reported.
//!
//! # The life of a CPU
//!
//! 1. `arch` receives it from firmware, at whatever exception level, and gives it an MMU, caches and vectors.
//! 2. The first one reads the device tree ([`dt`]), carves memory ([`System`]), sets up interrupts (`gic`,
//!    [`irq`]) and time ([`time`]), and calls `main`.
//! 3. `main` brings the others up ([`bringup`]): each start is a race between arrival and time-out for one word,
//!    and ends with one verdict.
//! 4. Online, a CPU runs what it is given ([`cpu`]) and what others call it for ([`call`]), under locks that mask interrupts ([`sync`]).
//! 5. When one fails, all are stopped and one reports ([`panic`](mod@panic)).
//!
//! What races is in the crate `reveille-protocol`, apart from all hardware, and model-checked from there.

#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(any(target_os = "none", test))]
mod bootargs;
#[cfg(any(target_os = "none", test))]
mod cpu_set;
pub mod dt;
#[cfg(any(target_os = "none", test))]
mod ranges;

#[cfg(target_os = "none")]
mod arch;
#[cfg(all(target_os = "none", feature = "bench-hooks"))]
pub mod bench;
#[cfg(target_os = "none")]
pub mod bringup;
#[cfg(target_os = "none")]
pub mod call;
#[cfg(target_os = "none")]
mod closure;
#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
pub mod cpu;
#[cfg(all(target_os = "none", feature = "fault-injection"))]
pub mod fault;
#[cfg(target_os = "none")]
mod gic;
#[cfg(target_os = "none")]
pub mod hotplug;
#[cfg(target_os = "none")]
pub mod irq;
#[cfg(target_os = "none")]
pub mod nmi;
#[cfg(target_os = "none")]
pub mod panic;
#[cfg(target_os = "none")]
pub mod patch;
#[cfg(target_os = "none")]
#[path = "../platform/mod.rs"]
mod platform;
#[cfg(target_os = "none")]
pub mod power;
#[cfg(target_os = "none")]
mod stop;
#[cfg(target_os = "none")]
pub mod sync;
#[cfg(target_os = "none")]
mod system;
#[cfg(target_os = "none")]
pub mod time;
#[cfg(target_os = "none")]
pub mod watchdog;

#[cfg(target_os = "none")]
pub use arch::mmu::MapError;
#[cfg(target_os = "none")]
pub use power::ExitCode;
#[cfg(target_os = "none")]
pub use stop::{StopError, stop_machine, stop_machine_each};
#[cfg(target_os = "none")]
pub use system::System;
