//! The time driver: embassy's clock is the system counter, and each CPU wakes its sleepers by an alarm of its own.
//!
//! A task that sleeps is in the queue of the CPU on which it said so, in a heap that is made of the tasks themselves: there may be any number.
//! Each says in one word in which queue it is, which is written with the lock of that queue held. So a task that is asked to sleep on one
//! CPU while it is in the queue of another, as it has moved, or has given its waker away, stays where it is.

mod clock;
mod driver;
mod heap;
mod item;
mod queue;

pub(crate) use item::task_of;
pub(crate) use queue::{BELL, close, hand_over, look, open};
