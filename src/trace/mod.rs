//! What happened when, CPU by CPU: cargo feature `trace`.
//!
//! Each CPU has a ring of [`RECORDS`] records of its own, into which it notes what it does: the runtime its events - CPUs that are kicked,
//! arrive and come online, SGIs, interrupts, calls and posts with both their ends, waits, rounds of stop-machine, CPUs that leave, keys
//! that change, panics - and the application its own, by [`trace!`](crate::trace!). From any context, NMI level included; nothing is ever
//! waited for, and nothing is locked. What does not fit takes the place of the oldest, or is dropped, as [`start`] is told, and is
//! counted either way.
//!
//! While nobody traces a site costs one NOP ([static keys](crate::static_key!)), and without the feature nothing. A record takes at most
//! 20 instructions, its site included (`scripts/bench`; more in an image with the feature `el2`, which looks up where it runs).
//!
//! ```no_run
//! use reveille::trace::{self, Mode};
//!
//! # fn example(queue: &[u64]) -> Result<(), reveille::patch::PatchError> {
//! trace::start(Mode::Overwrite)?;
//! reveille::trace!("queue length", queue.len());
//! trace::stop()?;
//! trace::dump();
//! # Ok(()) }
//! ```
//!
//! `scripts/trace EXAMPLE` does all that from outside, with the bootarg `reveille.trace` (`overwrite` or `drop`): tracing begins before
//! `main`, and what was noted goes to the console as the run ends, behind the report of a panic too. It makes of it a file for Perfetto.

use crate::clock::Deadline;
use crate::lifecycle::Lifecycle;
use crate::note::{self, TRACING};
use crate::patch::{Batch, KeyState, PatchError};
use crate::percpu::CpuId;
use crate::percpu::area;
use crate::stop::StopError;
use crate::{arch, console, unroll};
use core::time::Duration;
use reveille_machine::BootArgs;

pub use crate::note::Traced;
#[doc(hidden)]
pub use crate::note::{Event, Shape, TRACING_KEY, Value, note_here};
pub use reveille_protocol::{TraceCount as Count, TraceMode as Mode, TraceRecord as Record};

/// Records that the ring of a CPU holds.
pub const RECORDS: usize = 1 << arch::RING_LOG;

/// Time to gather all CPUs.
const GATHER: Duration = Duration::from_secs(10);

/// Begins to trace, on all CPUs; `mode` says what becomes of what does not fit. What the rings held is gone. From thread context,
/// interrupts open.
///
/// # Errors
///
/// A [`PatchError`], as for [`Batch::apply`]: nobody traces then.
///
/// ```no_run
/// use reveille::trace::{self, Mode};
///
/// # fn example() -> Result<(), reveille::patch::PatchError> {
/// // The first of everything is wanted, not the last.
/// trace::start(Mode::Drop)?;
/// # Ok(()) }
/// ```
pub fn start(mode: Mode) -> Result<(), PatchError> {
    let deadline = Deadline::after(GATHER);
    let lock = Lifecycle::lock(deadline).map_err(StopError::from)?;
    Batch::new().disable(&TRACING).apply_locked(&lock, deadline)?;
    area::areas().iter().for_each(|area| note::of(area).open(mode));
    Batch::new().enable(&TRACING).apply_locked(&lock, deadline)?;
    Ok(())
}

/// Ends it, on all CPUs. What was noted can be read until tracing begins again. From thread context, interrupts open.
///
/// # Errors
///
/// A [`PatchError`], as for [`Batch::apply`]: nothing has changed then.
///
/// ```no_run
/// use reveille::{println, trace};
///
/// # fn example() -> Result<(), reveille::patch::PatchError> {
/// trace::stop()?;
/// for cpu in reveille::cpu::possible() {
///     let count = trace::read(cpu, |_| ());
///     println!("cpu {cpu}: {} records of {}", count.read, count.noted);
/// }
/// # Ok(()) }
/// ```
pub fn stop() -> Result<(), PatchError> {
    Batch::new().disable(&TRACING).apply()?;
    Ok(())
}

/// Whether somebody traces. As [`start`] and [`stop`] have left it last.
///
/// ```no_run
/// # fn example() {
/// reveille::println!("tracing is {}", if reveille::trace::is_on() { "on" } else { "off" });
/// # }
/// ```
#[must_use]
pub fn is_on() -> bool {
    TRACING.key().is_enabled()
}

/// Reads what `cpu` has noted, the oldest first, and says how much there was. From any context.
///
/// While somebody traces `cpu` goes on: what it overwrites meanwhile is counted as [`Count::overwritten`] or [`Count::unfinished`], and no
/// record is ever made of parts of two. Records come in the order in which their CPU began with them; one that an interrupt came into has
/// an earlier time than those of the interrupt, which stand before or behind it.
///
/// ```no_run
/// use reveille::{cpu, println, trace};
///
/// # fn example() {
/// let count = trace::read(cpu::current(), |record| {
///     println!("{}: {} {:#x}", record.time, trace::name(record.site).unwrap_or("?"), record.value);
/// });
/// println!("{} were dropped", count.dropped);
/// # }
/// ```
pub fn read(cpu: CpuId, each: impl FnMut(Record)) -> Count {
    unroll::read(area::of(cpu), each)
}

/// The name of what is noted at a site, as [`Record::site`] has it.
///
/// ```no_run
/// # fn example(record: reveille::trace::Record) {
/// let is_mine = reveille::trace::name(record.site) == Some("queue length");
/// # }
/// ```
#[must_use]
pub fn name(site: u32) -> Option<&'static str> {
    event(site).map(Event::name)
}

/// What is noted at a site, as [`Record::site`] has it.
///
/// ```no_run
/// use reveille::trace::{self, Shape};
///
/// # fn example(record: trace::Record) {
/// let begins = trace::event(record.site).is_some_and(|event| event.shape() == Shape::Begin);
/// # }
/// ```
#[must_use]
pub fn event(site: u32) -> Option<&'static Event> {
    note::sites().iter().find(|entry| entry.site() == site).map(|entry| entry.event())
}

/// Writes what all CPUs have noted to the console, in lines that `scripts/trace --log` reads. As [`print!`](crate::print!), line by line.
///
/// ```no_run
/// # fn example() -> Result<(), reveille::patch::PatchError> {
/// reveille::trace::stop()?;
/// reveille::trace::dump();
/// # Ok(()) }
/// ```
pub fn dump() {
    unroll::dump(console::print);
}

/// Reads the bootarg: begins to trace. By the boot CPU, alone, before `main`.
pub(crate) fn init(args: BootArgs<'_>) {
    unroll::publish();
    let mode = match args.get("reveille.trace") {
        None => return,
        Some("overwrite") => Mode::Overwrite,
        Some("drop") => Mode::Drop,
        Some(other) => {
            log::error!("bootargs: reveille.trace={other}: neither \"overwrite\" nor \"drop\"");
            return;
        }
    };
    match start(mode) {
        Ok(()) => unroll::dump_at_end(),
        Err(error) => log::error!("nothing is traced: {error}"),
    }
}

/// Notes that this CPU is here, now, with a value: `trace!("name", value)`, or `trace!("name")`.
///
/// From any context. The value is a whole number, a `bool` or a pointer ([`trace::Traced`](crate::trace::Traced)), and is not evaluated while nobody
/// traces; nor is it, or anything, without the cargo feature `trace`, where the macro is there all the same.
///
/// ```no_run
/// use reveille::trace;
///
/// # fn example(queue: &[u64]) {
/// trace!("woken");
/// trace!("queue length", queue.len());
/// # }
/// ```
#[macro_export]
macro_rules! trace {
    ($name:literal) => {
        $crate::trace!($name, 0_u64)
    };
    ($name:literal, $value:expr) => {
        if $crate::trace::TRACING_KEY.is_enabled() {
            static EVENT: $crate::trace::Event = $crate::trace::Event::new(
                $name,
                $crate::trace::Shape::Instant,
                $crate::trace::Value::Application,
            );
            let value = $crate::trace::Traced::bits($value);
            $crate::trace::note_here($crate::__trace_site!(EVENT), value);
        }
    };
}
