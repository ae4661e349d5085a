//! Hotplug: taking CPUs out and bringing them back.
//!
//! A CPU is never taken down; it leaves, from its own thread context, at a point where it holds nothing. In a round of
//! stop-machine in which it masks last, it closes its call queue and goes out of the set of online CPUs at one stroke,
//! so that whatever was sent to it either was accepted, and then it runs it before it goes, or is refused. The field
//! report is a kernel mail of 2014.
//!
//! Bringing a CPU (back) up is [`cpu_up`](crate::bringup::cpu_up).

mod asking;
mod callbacks;
mod down;
mod error;

pub use crate::holds::{Hold, Pin, pin};
pub use callbacks::{Callbacks, RegisterError, register, register_callbacks};
pub(crate) use callbacks::{offline_all, online_all};
pub use down::cpu_down;
pub(crate) use down::{Leave, Machine};
pub use error::HotplugError;
pub(crate) use error::answer;
