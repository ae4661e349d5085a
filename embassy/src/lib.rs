//! embassy's executors on every CPU that [`reveille`] runs.
//!
//! Each CPU has an executor of thread mode, in its idle loop, and one of interrupt mode, on a doorbell, for what is to pre-empt. Any CPU
//! [spawns](spawner) to any, and tasks wake tasks wherever they are. The time driver is here too: sleepers are woken by the alarm of their CPU.
//!
//! ```no_run
//! use embassy_time::Timer;
//! use reveille::{ExitCode, System, cpu, println};
//!
//! reveille::entry!(main, leaving = reveille_embassy::EXECUTORS);
//!
//! fn main(system: &'static System) -> ExitCode {
//!     system.bring_up_all(system.deadline());
//!     reveille_embassy::run(|spawner| spawner.spawn(hello().unwrap()))
//! }
//!
//! reveille_embassy::task! {
//!     async fn hello() {
//!         Timer::after_millis(10).await;
//!         println!("hello from cpu {}", cpu::current());
//!     }
//! }
//! ```
//!
//! # Waking and sleeping
//!
//! A CPU whose tasks all wait is in WFI, and takes no interrupt for them. To wake a task queues it, and tells its CPU by one bit of one
//! word; whoever finds that asleep, and he alone, sends an SGI. So many wakes of a CPU cost one SGI at most, and those of one that is awake
//! none. The CPU lies down by a compare-exchange of that word, with interrupts closed: no wake is lost between the last poll and the WFI.
//! An SGI that is lost costs time, as any: the CPU looks around at least as often as the bootarg `idle_ms` says.
//!
//! # CPUs that leave
//!
//! | tasks | when their CPU is asked to leave |
//! |---|---|
//! | of `#[embassy_executor::task]`, and of [`task!`] without `movable` | it stays until they are over: `Err(Held(Application(name)))` names one. They learn of it by [`leaving()`] |
//! | of [`task!`] with `movable` | they go on on another CPU that runs executors, sleepers among them, and go back when theirs does; or they are like the others, if the CPU's [`Policy`] says so |
//!
//! A CPU that leaves takes no new tasks: they come back in [`Refused`]. A task that comes between the question and the leaving keeps the
//! CPU too, and is not named: `Err(Held(Pinned))`. embassy's own `SendSpawner`, from inside of a task, knows nothing of CPUs: what it
//! spawns to one that has left waits until that is back. A task that is over, and is woken even so by somebody who has kept its waker,
//! cannot be spawned anew before its CPU has seen that: as long as that CPU is away, its place in the pool is taken.
//!
//! # What embassy offers, and what this takes
//!
//! Wakers, `embassy-sync`, `embassy-time`, `embassy-futures`, and tasks of `#[embassy_executor::task]` are as ever. The pender, the time
//! driver and the hooks of embassy-executor's feature `trace` are this crate's, and an image has one of each.
//!
//! # A limit of embassy-executor 0.10
//!
//! A task that is over, and was woken even so, is taken out of its executor's queue in two steps: first its place in the pool is free, and
//! then the executor looks at what is there to be polled. If another CPU makes a task in that place between the two, the new task may be
//! polled by both at once, which is undefined. embassy has that wherever tasks are made outside of the executor on which they were; nobody
//! but embassy-executor can mend it. Where tasks end and are made anew, it cannot happen if they are made by a task in thread mode on the
//! CPU on which they ended, or from a pool of their own for each CPU, or if nothing keeps their wakers, and they do not wake themselves as
//! they end.
//!
//! # Contexts
//!
//! Tasks are woken and spawned from any context, but for NMI level, where they can be woken and not spawned, and cannot be asked to sleep.
//! A task in thread mode is polled in thread context, interrupts open, with its CPU [pinned](reveille::hotplug::pin); a task in interrupt
//! mode in interrupt context. Where the application has [contexts](reveille::context), executors run in what each CPU runs by itself, its
//! home, and can be preempted there; its scheduler learns from [`has_work`] whether to resume that. A thread that is preempted in the
//! middle of waking a task may hold up wakes of others: for as long as the bootarg `idle_ms` says, and no longer, if home is resumed when
//! that says so.

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Examples are compiled for the machine, which has no std: each brings its own function.
#![doc(test(attr(no_std, no_main, allow(unused))))]
#![deny(unsafe_op_in_unsafe_fn)]

mod console;
mod hotplug;
mod interrupt;
mod kind;
mod leaving;
mod mutex;
mod node;
mod pend;
mod roll;
mod run;
mod spawn;
mod task;
mod time;
mod word;

pub use console::{Console, ConsoleError};
#[doc(hidden)]
pub use embassy_executor;
pub use hotplug::{Policy, set_policy};
pub use leaving::{UntilLeaving, leaving};
pub use mutex::SpinRawMutex;
pub use run::{EXECUTORS, has_work, run, with_spawner};
pub use spawn::{CpuSpawner, Refused, SpawnWithError, Why, spawner};
pub use task::MovableToken;
#[doc(hidden)]
pub use task::{Movable, Named, movable, named};
