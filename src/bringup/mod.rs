//! Bring-up: every CPU started at most once at a time, every start ended by one verdict.
//!
//! The question of a 2010 kernel mail: a CPU is slow, its booter times out, is pre-empted, and then kills a CPU
//! that has meanwhile got going. Here arrival and time-out compete for one word (`reveille_protocol::Slot`),
//! so when a start is over the CPU is either running or certain never to touch anything.
//!
//! This module is the glue: it claims, publishes the boot line, asks firmware or writes the release address,
//! steps the protocol and records the verdict.

pub(crate) mod arrival;
pub(crate) mod psci;
mod reason;
mod roll_call;
mod spin_table;

pub use reason::Reason;
pub use reveille_protocol::Verdict;
pub(crate) use roll_call::Record;
pub use roll_call::{Entry, Json, RollCall};
pub(crate) use spin_table::{RELEASE_SIZE, map as map_release_address};

use crate::arch::{self, Hw, entry};
use crate::cpu::CpuId;
use crate::cpu::area::{self, Area, Method};
use crate::cpu::lifecycle::{Denied, Lifecycle};
use crate::time::{Deadline, Instant, to_ticks};
use crate::{call, panic, patch, time};
use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use reveille_protocol::{Booter, Limits, Refusal, State, Step, Token};

/// Time a CPU has to arrive, and again to come online, if the bootarg `deadline_ms` does not say otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);

/// How often firmware is asked again that answered "already on" or "pending".
const RETRY: Duration = Duration::from_millis(1);

/// CPUs may be on their way to the pen that nobody called: the image was entered at EL3, where nothing holds
/// them back, or one has been seen there. Then a CPU that firmware does not know is released by word.
static PEN_IN_USE: AtomicBool = AtomicBool::new(false);

/// Says that CPUs may come to the pen by themselves.
pub(crate) fn expect_uninvited() {
    PEN_IN_USE.store(true, Ordering::Relaxed);
}

/// One start under way, kept in the area of the CPU that is started.
pub(crate) struct Start {
    /// Only the holder of the lifecycle lock looks.
    state: RefCell<Option<Pending>>,
}

// SAFETY: `state` is reached with the lifecycle lock held alone, by functions that take a `&Lifecycle`.
unsafe impl Sync for Start {}

struct Pending {
    booter: Booter<'static, Hw>,
    /// Firmware asked for patience: ask again then.
    retry_at: Option<u64>,
}

impl Start {
    pub(crate) const fn new() -> Self {
        Self { state: RefCell::new(None) }
    }
}

/// Brings `cpu` up, or finds it online already.
///
/// Waits, with interrupts open, until there is a verdict: at most until `deadline` for the
/// arrival, and as long again for the CPU to come online. From any CPU; concurrent calls take turns, and a
/// turn that does not come before `deadline` is [`Verdict::Busy`].
///
/// From thread context alone. With interrupts masked, in an interrupt handler, in a callback of any kind (one for hotplug
/// included) and in the job of a stop-machine it is [`Verdict::WouldDeadlock`], at once and whatever `cpu` is doing; no
/// record of it is kept. After [`stop_others`](crate::panic::stop_others()) no CPU comes any more: [`Verdict::Parked`].
pub fn cpu_up(cpu: CpuId, deadline: impl Into<Deadline>) -> Verdict {
    let area = area::of(cpu);
    let deadline = deadline.into();
    let span = deadline.remaining();
    match Lifecycle::lock(deadline) {
        Ok(lock) => {
            start(&lock, core::slice::from_ref(area), deadline, span);
            area.record.0.verdict().unwrap_or(Verdict::Busy)
        }
        Err(denied) => denied.into(),
    }
}

impl From<Denied> for Verdict {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Context => Self::WouldDeadlock,
            Denied::Busy => Self::Busy,
        }
    }
}

/// Brings up every CPU of the machine that is not online: all are kicked first, and then awaited together.
///
/// See [`cpu_up`]; the deadline holds for all of them, so the whole takes at most twice as long.
pub(crate) fn bring_up_all(deadline: Deadline) -> RollCall {
    let span = deadline.remaining();
    let areas = area::areas();
    match Lifecycle::lock(deadline) {
        Ok(lock) => start(&lock, areas, deadline, span),
        // The records are the lock holder's to write.
        Err(denied) => return RollCall::refused(areas, denied.into()),
    }
    RollCall::new(areas)
}

/// Starts all of `areas`' CPUs, and waits until there is a verdict of each.
fn start(lock: &Lifecycle, areas: &'static [Area], deadline: Deadline, span: Duration) {
    let wait = || {
        // Each is looked at in every round: one that is late must not lengthen the others' limits.
        while areas.iter().filter(|area| !advance(lock, area)).count() != 0 {
            pause();
            if panic::is_stopper() {
                areas.iter().for_each(call_off);
            }
        }
    };
    for area in areas {
        begin(lock, area, limits(deadline, span));
    }
    wait();
    let lacks_atomics =
        |area: &&Area| area.record.0.verdict() == Some(Verdict::Failed(Reason::Atomics as u16));
    // What only some have is not used: the locks go without, and then these come once more. Nobody has to a second time.
    if areas.iter().any(|area| lacks_atomics(&area)) && patch::forgo_lse(lock) {
        for area in areas.iter().filter(lacks_atomics) {
            begin(lock, area, limits(Deadline::after(span), span));
        }
        wait();
    }
    // A verdict `Online` means that calls are let in, which is the next thing that the CPU does. It cannot leave meanwhile.
    let limit = Deadline::after(span);
    for area in areas.iter().filter(|area| area.record.0.verdict() == Some(Verdict::Online)) {
        while !call::is_open(area) && area.is_online() && !limit.has_passed() {
            pause();
        }
    }
}

fn limits(deadline: Deadline, span: Duration) -> Limits {
    let limits = Limits { arrive: to_ticks(deadline.remaining()), online: to_ticks(span) };
    #[cfg(feature = "fault-injection")]
    let limits = crate::fault::adjusted(limits);
    limits
}

fn pause() {
    panic::poll_gate();
    arch::wfe();
}

/// Claims and kicks `area`'s CPU, or records why not.
fn begin(lock: &Lifecycle, area: &'static Area, limits: Limits) {
    let record = &area.record.0;
    let Some(line) = area.line else { return };
    let crumbs = area.crumbs.map(|crumbs| crumbs.read());
    let in_pen = crumbs.is_some_and(|crumbs| crumbs.pen.is_some());
    if in_pen {
        expect_uninvited();
    }
    let may_come = in_pen || PEN_IN_USE.load(Ordering::Relaxed);
    let seen = area.slot.0.read();
    if seen.state == State::Online && !area.parked.is_set() {
        return record.refused(Refusal::Online { generation: seen.generation }, seen.generation);
    }
    match area.method {
        Method::Disabled => return record.without_start(Verdict::Disabled),
        Method::None if !may_come => return record.without_start(Verdict::NoMethod),
        // It would stop as it came online, like all those that were.
        _ if panic::is_stopper() => {
            record.without_start(Verdict::Parked);
            return call_off(area);
        }
        _ => {}
    }
    // Before a second CPU may claim: none of the locks may still rely on being alone.
    if !patch::ensure_smp(lock) {
        return record.busy();
    }
    let claim = match area.slot.0.claim() {
        Ok(claim) => claim,
        Err(refusal) => return record.refused(refusal, area.slot.0.read().generation),
    };
    let generation = claim.generation();
    let kicked = claim.kick();
    let now = Instant::now().ticks();
    let mut pending = Pending { booter: Booter::new(kicked, limits, now), retry_at: None };
    // After `Kicked`: a CPU that this word lets out of the pen finds the slot open.
    line.release(generation);
    if !in_pen {
        call_firmware(area, &mut pending, may_come);
    }
    *record.start.state.borrow_mut() = Some(pending);
}

/// Asks whoever holds the CPU to let it go.
fn call_firmware(area: &Area, pending: &mut Pending, may_come: bool) {
    let token = Token::encode(pending.booter.generation());
    let now = Instant::now().ticks();
    match area.method {
        Method::Psci => match psci::cpu_on(area.mpidr, entry::secondary_entry(), token) {
            Ok(()) => {
                pending.booter.accepted();
                pending.retry_at = None;
            }
            Err(error) if error.may_pass() => {
                pending.booter.deferred(error.code());
                pending.retry_at = Some(now + to_ticks(RETRY));
            }
            // It is on its way to the pen by itself, and firmware does not know.
            Err(error) if may_come => pending.booter.deferred(error.code()),
            Err(error) => {
                // The verdict comes with the next step.
                let _ = pending.booter.refuse(error.code(), now);
            }
        },
        Method::SpinTable(address) => spin_table::release(address),
        Method::None | Method::Disabled => {}
    }
}

/// This CPU has stopped the others while the CPU of `area` was awaited, perhaps by one of them: nobody comes any more.
#[cold]
#[inline(never)]
fn call_off(area: &Area) {
    // As in `advance`.
    let Ok(mut state) = area.record.0.start.state.try_borrow_mut() else { return };
    if state.take().is_some() {
        area.record.0.without_start(Verdict::Parked);
    }
}

/// Steps the start of `area`'s CPU; `true` once there is a verdict.
fn advance(_lock: &Lifecycle, area: &'static Area) -> bool {
    // Borrowed for good: who had the right before was stopped in the middle of this, by the CPU that has it now.
    let Ok(mut state) = area.record.0.start.state.try_borrow_mut() else { return true };
    let Some(pending) = state.as_mut() else { return true };
    let now = Instant::now().ticks();
    if let Step::Settled(outcome) = pending.booter.step(now) {
        area.record.0.settled(outcome);
        *state = None;
        return true;
    }
    if pending.retry_at.is_some_and(|at| now >= at) && pending.booter.is_awaiting_arrival() {
        let in_pen = area.crumbs.is_some_and(|crumbs| crumbs.read().pen.is_some());
        if in_pen {
            // The line has let it out already.
            pending.retry_at = None;
        } else {
            call_firmware(area, pending, PEN_IN_USE.load(Ordering::Relaxed));
        }
    }
    false
}

/// The time limit that the bootargs or the default give.
pub(crate) fn default_deadline(args: reveille_machine::BootArgs<'_>) -> Duration {
    args.milliseconds("deadline_ms", DEFAULT_DEADLINE)
}

impl From<Duration> for Deadline {
    fn from(duration: Duration) -> Self {
        time::Deadline::after(duration)
    }
}

/// Whether `cpu` is online.
pub fn is_online(cpu: CpuId) -> bool {
    area::of(cpu).is_online()
}
