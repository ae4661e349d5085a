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

mod arch;
#[cfg(feature = "bench-hooks")]
pub mod bench;
pub mod bringup;
pub mod call;
mod closure;
pub mod console;
pub mod cpu;
mod cpu_set;
pub mod dt;
#[cfg(feature = "fault-injection")]
pub mod fault;
mod gic;
pub mod hotplug;
pub mod irq;
pub mod nmi;
pub mod panic;
pub mod patch;
#[path = "../platform/mod.rs"]
mod platform;
pub mod power;
mod stop;
pub mod sync;
mod system;
pub mod time;
pub mod watchdog;

pub use arch::mmu::MapError;
pub use power::ExitCode;
pub use stop::{StopError, stop_machine, stop_machine_each};
pub use system::System;
