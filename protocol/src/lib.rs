//! The protocols of Reveille: every word on which two CPUs can race, and nothing else.
//!
//! The crate knows no register, no device and no address. Each protocol is generic over [`Arch`], which
//! supplies the atomic words, the clock and the pause of a spin loop. The image runs it on the machine's own
//! atomics, the model checkers run the very same source on theirs.

#![no_std]
#![forbid(unsafe_code)]

mod alarm;
mod apart;
mod arch;
mod atomic;
mod bells;
mod deadline_call;
mod door;
mod doze;
mod gate;
mod handshake;
mod hosting;
mod hotplug;
mod launch;
mod lifecycle;
mod lock_word;
mod masking;
mod news;
mod parked;
mod pool;
mod preemption;
mod queue;
mod rendezvous;
mod routes;
mod summons;
mod survey;
mod sync_call;
#[cfg(test)]
mod testing;
mod timers;
mod trace;
mod turns;
mod turnstile;
mod wakes;
mod watch;

pub use alarm::AlarmDue;
pub use arch::{Arch, Word};
pub use bells::{Bells, Deaf, Rung};
pub use deadline_call::{DeadlineCall, DeadlineState, Pending, Started, Ticket};
pub use door::{Door, DoorClosed, Inside};
pub use doze::Doze;
pub use gate::{Entry, Gate, Phase};
pub use handshake::{
    Arrival, Booter, Claim, Entrance, Judgement, Kicked, Limits, Outcome, RESTARTED, Refusal, Slot, Snapshot,
    State, Step, Token, Verdict,
};
pub use hosting::Hosting;
pub use hotplug::{AlreadyAsked, Asking, LeaveRequest, Leaving, Progress};
pub use launch::{Filling, LaunchRefusal, LaunchSlot, LaunchState, Running};
pub use lifecycle::{Holder, LifecycleLock, Tenure};
pub use lock_word::LockWord;
pub use masking::MaskDepth;
pub use news::{Applied, News, Wanted};
pub use parked::Parked;
pub use pool::Pool;
pub use preemption::Preemption;
pub use queue::{Batch, Caller, Closed, Message, Pushed, Queue, Taken};
pub use rendezvous::{
    Action, Attendance, Attendant, Ending, Initiator, Job, Mark, Participant, Rendezvous, Stage, Standing,
};
pub use routes::{NotOnline, Routes};
pub use summons::{Answering, Asked, Progress as SummonsProgress, Summons};
pub use survey::Survey;
pub use sync_call::{Calling, SyncCall};
pub use timers::{TimerEntry, TimerTable, TimerUse};
pub use trace::{TraceCount, TraceMemory, TraceMode, TraceRecord, TraceRing, TraceWords, trace_record};
pub use turns::{Awaited, TurnMark, Turns};
pub use turnstile::{Fairness, Held, Owner, Place, Seen, Turnstile, Waiter};
pub use wakes::Wakes;
pub use watch::{Heartbeat, Look, Watch};
