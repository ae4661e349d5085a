//! Contexts of the application's: threads on stacks of its own, which it switches between, and may preempt.
//!
//! A context is made of a [`Stack`](crate::memory::Stack) and a closure. What may run it is a [`Ready`]: there is one for each context that does not run, it
//! cannot be copied, and whoever resumes a context gives it up. So none is ever resumed twice, or on two CPUs. Who is ready, who waits for
//! what, and who is next is the application's affair: its [`Scheduler`], which it names in `entry!(main, scheduler = S)`.
//!
//! # How a context stops running
//!
//! | | what the context does | comes back |
//! |---|---|---|
//! | [`switch`], [`switch_with`] | calls it, in thread context with interrupts open | on any CPU that resumes it |
//! | it is preempted | nothing: [`Scheduler::preempt`], asked at the end of an interrupt, chose another | on any CPU, in the middle of whatever it did; on the same one if it had a [lower level](crate::exception::enter) run |
//! | it ends | its closure returns | never: [`Scheduler::ended`] gets its stack back |
//!
//! In each case the next one to run is named first, and the old one's [`Ready`] is handed over when it has been saved, on the stack of exceptions: from then
//! on any CPU may resume it.
//!
//! # What runs on a CPU by itself
//!
//! What a CPU begins with - `main`, the secondary function, the idle loop - is its *home* context. It has a `Ready` like any other, when another
//! runs in its place, and belongs to its CPU. It alone runs launched closures, and leaves: a CPU at whose offline point another context runs,
//! or that others are bound to, is [held](crate::hotplug::Hold::Context).
//!
//! # What stays as it is
//!
//! A context is thread context. It calls, posts, waits, locks like `main`, on whatever CPU it is, and everything reaches that CPU as ever. A
//! synchronous call, a call with a deadline, and work that starts, stops or gathers CPUs are not preempted: the preemption comes when they are over.
//! What a context holds - a [`Pin`](crate::hotplug::Pin), a [`Mutex`](crate::sync::Mutex) - keeps the CPU on which it took it.

mod make;
mod record;
mod resting;
mod running;

pub use make::{NewError, new};
#[doc(hidden)]
pub use record::Home;
pub(crate) use record::SIMD;
pub use record::{Ended, Ready};
pub(crate) use resting::{How, Name, Resting, resting};
pub(crate) use running::{Part, begin, exist, name_of, preempt, preempted};
pub use running::{Scheduler, SwitchError, SwitchFailed, current_name, has_scheduler, switch, switch_with};
#[doc(hidden)]
pub use running::{Table, table};
