//! Panic and stop: one CPU reports, every other one is parked, and the report says how.
//!
//! The question of a 2011 kernel mail: two CPUs panic at once, the second with interrupts masked, so the stop
//! interrupt never reaches it, and both write. Here the first to take the gate (`reveille_protocol::Gate`)
//! reports; whoever else panics parks on the spot; CPUs with interrupts masked are stopped by an interrupt of
//! higher priority; and nothing is written before all are stopped or the time for it is over.
//!
//! In order, on the CPU that panics:
//!
//! 1. Everything is masked, the gate taken. From here on it runs on its emergency stack, so neither a bad stack
//!    pointer nor a stack without room keeps it from reporting.
//! 2. Starts under way are called off, and every running CPU gets the stop interrupt; those that have not parked after
//!    a second (bootarg `stop_ms=N`, milliseconds) get the NMI-class one, and another 100 ms (`nmi_ms=N`).
//! 3. The report: message, place, CPU, time; then for every CPU of the machine how it was stopped or why not, its
//!    registers and a backtrace; and the [contexts](crate::context) that do not run. No lock, no allocation; every wait
//!    for the console is bounded. `scripts/symbolize` turns the addresses into functions and lines.
//! 4. The same text becomes a record in RAM that outlives a warm reset: [`last_words()`].
//! 5. With the bootarg `reveille.core=console`, the machine as text, of which `scripts/core --from LOG` makes an ELF core.
//! 6. The [`Action`]: park, reset, power off, exit, or a function of the application's.
//!
//! A panic while this is going on is nested: one raw line, and the action all the same. What failed is given up - the stop
//! for a plainer one, the console, the record - and what comes after it is done; each step begins once.
//!
//! [`stop_others`] is step 2 alone, for one who wants the machine to himself without having failed.

mod action;
mod cause;
mod dump;
mod fail;
mod fate;
#[cfg(feature = "fault-injection")]
pub(crate) mod fault;
mod last_words;
mod park;
mod report;
mod stop;

pub(crate) use action::init as init_action;
pub use action::{Action, CrashReport, set_action};
pub(crate) use dump::init as init_dump;
pub(crate) use fail::{exception, restarted};
pub use fate::{Fate, Obstacle, StopReport};
#[cfg(feature = "fault-injection")]
#[doc(hidden)]
pub use last_words::record_address;
pub(crate) use last_words::{BYTES_PER_CPU, region_size, remember};
pub use last_words::{LastWords, last_words};
pub(crate) use park::{
    ParkMark, ParkedBy, must_not_be_the_last, park_wedged, stop_noticed, stop_requested, stopped,
};
pub use stop::stop_others;
pub(crate) use stop::{STOP, init as init_stop, park_all};
