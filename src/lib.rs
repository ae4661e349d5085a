//! Reveille: every CPU of a bare AArch64 machine, awake and accounted for.
//!
//! A runtime for hypervisors, RTOS kernels, firmware and test payloads that run on several CPUs with no operating
//! system under them. Its promise: **no CPU is ever lost**. Each is in exactly one known state, every change of
//! state is one atomic transition with one owner, every wait is bounded, or reported.
//!
//! # The life of a CPU
//!
//! 1. `life` receives it from firmware, at whatever exception level, and gives it an MMU, caches and vectors.
//! 2. The first one reads the device tree ([`dt`]), or ACPI tables, carves memory ([`System`], [`memory`]), sets up interrupts ([`irq`]) and time ([`time`]), and
//!    calls `main`.
//! 3. `main` brings the others up ([`bringup`]): each start is a race between arrival and time-out for one word,
//!    and ends with one verdict.
//! 4. Online, a CPU runs what it is given ([`cpu`]) and what others call it for ([`call`]), under locks that mask interrupts ([`sync`]).
//! 5. It leaves, from a point where it holds nothing, and may come back ([`hotplug`]).
//! 6. When one fails, all are stopped and one reports ([`panic`](mod@panic)).
//!
//! # The floors
//!
//! A room is a folder or a file of `src/`. It imports from lower floors alone, and no files import each other in a circle:
//! `scripts/rooms` shows it, and `scripts/rooms --check` holds the code to it. What races is in the crate `reveille-protocol`, apart from
//! all hardware, and model-checked from there.
//!
//! | floor | rooms | what they are |
//! |---|---|---|
//! | 16 | `cpu`, `fault`, `testing` | doors: what users and tests see of several rooms; tests of the application's own |
//! | 15 | `life` | the life of a CPU, in order: the one room that knows every mechanism |
//! | 14 | `hotplug`, `power` | taking a CPU out; ending it all |
//! | 13 | `bringup`, `trace` | starting CPUs; what happened when |
//! | 12 | `patch` | changing code while it runs |
//! | 11 | `stop`, `panic` | stop-machine; what happens when a CPU fails |
//! | 10 | `lifecycle`, `watchdog`, `slow_lock`, `context` | the right to change which CPUs there are; who looks after them, and after locks; threads of the application's |
//! | 9 | `call`, `nmi`, `launch`, `unroll` | what CPUs have each other do; what they noted, printed |
//! | 8 | `time`, `console` | timers; what is printed |
//! | 7 | `irq`, `ending`, `bench` | handlers; what can end a run |
//! | 6 | `gic`, `platform`, `psci`, `backtrace` | drivers; what stands on a stack |
//! | 5 | `memory` | what is mapped, carved and free; pages, stacks and the heap |
//! | 4 | `sync`, `exception` | locks; exceptions of the application's, and what runs below |
//! | 3 | `masking`, `gate`, `holds`, `note` | what a CPU holds back, what stops it, what keeps it, what it notes |
//! | 2 | `percpu`, `key`, `hook` | which CPUs there are, and what each has; conditions in the code |
//! | 1 | `clock`, `closure`, `cpu_set`, `uefi` | the counter; closures in place; sets of CPUs; entered by UEFI firmware |
//! | 0 | `arch`, `dt` | the architecture; the machine's description, which is the crate `reveille-machine` |

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Examples are compiled for the machine, which has no std: each brings its own function.
#![doc(test(attr(no_std, no_main, allow(unused))))]
#![deny(unsafe_op_in_unsafe_fn)]

mod arch;
mod backtrace;
#[cfg(feature = "bench-hooks")]
pub mod bench;
pub mod bringup;
pub mod call;
mod clock;
mod closure;
pub mod console;
pub mod context;
pub mod cpu;
mod cpu_set;
pub mod dt;
mod ending;
pub mod exception;
#[cfg(feature = "fault-injection")]
pub mod fault;
mod gate;
mod gic;
mod holds;
#[cfg(feature = "fault-injection")]
mod hook;
pub mod hotplug;
pub mod irq;
mod key;
mod launch;
mod life;
mod lifecycle;
mod masking;
pub mod memory;
pub mod nmi;
mod note;
pub mod panic;
pub mod patch;
mod percpu;
#[path = "../platform/mod.rs"]
mod platform;
pub mod power;
mod psci;
mod slow_lock;
mod stop;
pub mod sync;
#[cfg(feature = "test")]
pub mod testing;
pub mod time;
#[cfg(feature = "trace")]
pub mod trace;
mod uefi;
#[cfg(feature = "trace")]
mod unroll;
pub mod watchdog;

pub use arch::mmu::MapError;
pub use ending::ExitCode;
pub use life::System;
pub use stop::{StopError, stop_machine, stop_machine_each};
#[cfg(feature = "test")]
pub use testing::test;
