//! The life of a CPU, in order. The one room that knows every mechanism; none of them knows it.
//!
//! | | file | what happens | relies on |
//! |---|---|---|---|
//! | 1 | `entry` | assembly receives the CPU from firmware, at whatever exception level, and turns its MMU on | nothing |
//! | 2 | `boot` | the first one reads what firmware left (`left`), carves memory for all (`carve`), sets up interrupts and time, calls `main` | being alone |
//! | 3 | `arrival` | any other one wins its slot, or goes to the pen; sets up its part of everything, and comes online | `boot`, and whoever starts it |
//! | 4 | `secondary` | it runs what the application has for it | being online |
//! | 5 | `interrupt` | it is interrupted: by a call, by a round, by a device | its vectors, its controller |
//! | 6 | `idle` | it waits, and misses nothing | interrupts that come |
//! | 7 | `leaving` | it leaves, from an offline point, when it holds nothing | everyone else, gathered |
//! | 8 | `fatal` | it fails, or is stopped, and parks | its emergency stack |
//!
//! A CPU that lacks what the image is compiled for ends in `unfit` in place of `boot`. `area` says what every CPU has: a line for each room that keeps something for it. `system` is the machine as `main` gets it.
//! `by_hand` is the console that `boot` starts with; `outset` says in one line what there is.

mod area;
mod arrival;
mod boot;
mod by_hand;
mod carve;
mod count;
mod entry;
mod exception;
mod fatal;
#[cfg(feature = "fault-injection")]
pub(crate) mod fault;
mod idle;
mod interrupt;
mod leaving;
mod left;
mod news;
mod options;
mod outset;
mod secondary;
mod system;
mod unfit;

pub use area::{BYTES_PER_CPU, bytes_per_cpu};
pub(crate) use count::{interrupts, waited};
pub use idle::{idle, idle_loop, idle_unless, is_home, offline_point, wake};
pub use options::Leaving;
#[doc(hidden)]
pub use options::Options;
pub use secondary::become_secondary;
pub use system::System;
