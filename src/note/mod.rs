//! What happens, noted by whoever has it happen: in the ring of the CPU, while somebody traces.
//!
//! Low in the house, because every room has something to note. Without the feature `trace` a site is nothing at all; with it one NOP while
//! nobody traces. What starts that, and what becomes of the records, is in `trace/` and `unroll/`.

#[cfg(feature = "trace")]
pub(crate) mod event;
#[cfg(feature = "trace")]
mod ring;
#[cfg(feature = "trace")]
mod site;

#[cfg(feature = "trace")]
pub(crate) use ring::{TRACING, of, on};
#[cfg(feature = "trace")]
pub use ring::{TRACING_KEY, note_here};
#[cfg(feature = "trace")]
pub(crate) use site::sites;
#[cfg(feature = "trace")]
pub use site::{Event, Shape, Traced, Value};

use crate::cpu_set::CpuId;

/// What the message at `at`, to `cpu`, is told by: addresses have 48 bits.
#[inline(always)]
pub(crate) fn message<T>(at: &T, cpu: CpuId) -> u64 {
    core::ptr::from_ref(at) as u64 | (cpu.index() as u64) << 48
}

/// Notes an event of the runtime's: one of `note::event`, and the value that goes with it, which is not looked at while nobody traces.
#[cfg(feature = "trace")]
macro_rules! note {
    ($event:ident, $value:expr) => {
        if $crate::note::TRACING.is_enabled() {
            $crate::arch::rarely();
            let value: u64 = $value;
            $crate::note::note_here($crate::__trace_site!($crate::note::event::$event), value);
        }
    };
}
/// The same without the feature: nothing.
#[cfg(not(feature = "trace"))]
macro_rules! note {
    ($event:ident, $value:expr) => {
        if false {
            let _: u64 = $value;
        }
    };
}
pub(crate) use note;

/// Notes something of the application's, with the cargo feature `trace`. Without it nothing: the value is not evaluated.
///
/// ```no_run
/// # fn example(queue: &[u64]) {
/// reveille::trace!("queue length", queue.len());
/// # }
/// ```
#[cfg(not(feature = "trace"))]
#[macro_export]
macro_rules! trace {
    ($name:literal $(, $value:expr)?) => {
        if false {
            $(let _ = $value;)?
        }
    };
}
