//! Time: the system counter, deadlines, and one-shot timers and alarms of each CPU.

mod alarm;
mod arm;
mod interrupt;
mod timers;

pub use crate::clock::{Deadline, Instant, TimeError, frequency};
pub use alarm::Alarm;
pub(crate) use interrupt::{has_timer, init, init_interrupt, interrupt};
pub use timers::{TIMER_BYTES, TIMERS_PER_CPU, Timer, TimerError, after};
pub(crate) use timers::{
    Timers, are_running, drop_timers, expired, init_cpu, init_look_around, quiet_cpu, run_beyond, set_tick,
};
