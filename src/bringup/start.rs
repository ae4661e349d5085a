//! Starting CPUs, and waiting for the verdicts.

use super::reason::Reason;
use super::record::{Method, Pending, record};
use super::roll_call::RollCall;
use super::{parking, spin_table};
use crate::arch;
use crate::arch::shared::STAGE_UNFIT;
use crate::clock::{self, Deadline, Instant, to_duration, to_ticks};
use crate::gic::CpuPart;
use crate::lifecycle::{Denied, Lifecycle};
use crate::note::note;
use crate::percpu::CpuId;
use crate::percpu::area::{self, Area, Part as _};
use crate::{call, gate, patch, psci};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use reveille_machine::BootArgs;
use reveille_protocol::{Booter, Limits, Refusal, State, Step, Token, Verdict};

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

/// Brings `cpu` up, or finds it online already.
///
/// Waits, with interrupts open, until there is a verdict: at most until `deadline` for the
/// arrival, and as long again for the CPU to come online. From any CPU; concurrent calls take turns, and a
/// turn that does not come before `deadline` is [`Verdict::Busy`].
///
/// From thread context alone. With interrupts masked, in an interrupt handler, in a callback of any kind (one for hotplug
/// included) and in the job of a stop-machine it is [`Verdict::WouldDeadlock`], at once and whatever `cpu` is doing; no
/// record of it is kept. After [`stop_others`](crate::panic::stop_others()) no CPU comes any more: [`Verdict::Parked`].
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::bringup::{self, Verdict};
/// use reveille::{println, time::Deadline};
///
/// # fn example(cpu: reveille::cpu::CpuId) {
/// match bringup::cpu_up(cpu, Deadline::after(Duration::from_millis(500))) {
///     Verdict::Online => println!("cpu {cpu} is there"),
///     // It did not come in time, and can no longer come: another attempt may be made.
///     Verdict::Revoked => println!("cpu {cpu} has not come"),
///     verdict => println!("cpu {cpu}: {verdict:?}"),
/// }
/// # }
/// ```
pub fn cpu_up(cpu: CpuId, deadline: impl Into<Deadline>) -> Verdict {
    let area = area::of(cpu);
    let deadline = deadline.into();
    let span = deadline.remaining();
    match Lifecycle::lock(deadline) {
        Ok(lock) => {
            start(&lock, core::slice::from_ref(area), deadline, span);
            record(area).verdict().unwrap_or(Verdict::Busy)
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
            if gate::is_stopper() {
                areas.iter().for_each(call_off);
            }
        }
    };
    let online = to_ticks(span);
    for area in areas {
        begin(lock, area, limits(deadline, online));
    }
    wait();
    let lacks_atomics =
        |area: &&Area| record(area).verdict() == Some(Verdict::Failed(Reason::Atomics as u16));
    // What only some have is not used: the locks go without, and then these come once more. Nobody has to a second time.
    if areas.iter().any(|area| lacks_atomics(&area)) && patch::forgo_lse(lock) {
        for area in areas.iter().filter(lacks_atomics) {
            begin(lock, area, limits(Deadline::after(span), online));
        }
        wait();
    }
    // A verdict `Online` means that calls are let in, which is the next thing that the CPU does. It cannot leave meanwhile.
    let limit = Deadline::after(span);
    for area in areas.iter().filter(|area| record(area).verdict() == Some(Verdict::Online)) {
        while !call::is_open(area) && area::is_online(area) && !limit.has_passed() {
            pause();
        }
    }
}

/// To arrive by `deadline`, and to be online within `online` ticks of that.
fn limits(deadline: Deadline, online: u64) -> Limits {
    let arrive = deadline.instant().ticks().saturating_sub(Instant::now().ticks());
    let limits = Limits { arrive, online };
    #[cfg(feature = "fault-injection")]
    let limits = super::fault::adjusted(limits);
    limits
}

fn pause() {
    gate::poll();
    arch::wfe();
}

/// Claims and kicks `area`'s CPU, or records why not.
fn begin(lock: &Lifecycle, area: &'static Area, limits: Limits) {
    let record = record(area);
    let Some(line) = area.line else { return };
    let crumbs = area.crumbs.map(|crumbs| crumbs.read());
    let in_pen = crumbs.is_some_and(|crumbs| crumbs.pen.is_some());
    if in_pen {
        expect_uninvited();
    }
    let may_come = in_pen || PEN_IN_USE.load(Ordering::Relaxed);
    let seen = area::slot(area).read();
    if seen.state == State::Online && !area::parked(area).is_set() {
        return record.refused(Refusal::Online { generation: seen.generation }, seen.generation);
    }
    match record.method {
        Method::Disabled => return record.without_start(Verdict::Disabled),
        Method::None if !may_come => return record.without_start(Verdict::NoMethod),
        // It would stop as it came online, like all those that were.
        _ if gate::is_stopper() => {
            record.without_start(Verdict::Parked);
            return call_off(area);
        }
        _ => {}
    }
    // Before a second CPU may claim: none of the locks may still rely on being alone.
    if !patch::ensure_smp(lock) {
        return record.without_start(Verdict::Busy);
    }
    let claim = match area::slot(area).claim() {
        Ok(claim) => claim,
        Err(refusal) => return record.refused(refusal, area::slot(area).read().generation),
    };
    let generation = claim.generation();
    note!(KICK, area.id.index() as u64);
    let kicked = claim.kick();
    let now = Instant::now().ticks();
    let mut pending = Pending { booter: Booter::new(kicked, limits, now), retry_at: None };
    record.looks(now);
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
    match record(area).method {
        Method::Psci => match psci::cpu_on(area.mpidr, secondary_entry(), token) {
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
        Method::SpinTable(address) => spin_table::release(address, secondary_entry()),
        Method::Parking(address, id) => {
            if !parking::release(area, address, id, secondary_entry()) && !may_come {
                log::error!("cpu {}: nobody waits at its mailbox, {address:#x}", area.id);
                // The verdict comes with the next step.
                let _ = pending.booter.refuse(parking::NOT_PARKED, now);
            }
        }
        Method::None | Method::Disabled => {}
    }
}

/// This CPU has stopped the others while the CPU of `area` was awaited, perhaps by one of them: nobody comes any more.
#[cold]
#[inline(never)]
fn call_off(area: &Area) {
    // As in `advance`.
    let Ok(mut state) = record(area).start.state.try_borrow_mut() else { return };
    if state.take().is_some() {
        record(area).without_start(Verdict::Parked);
    }
}

/// Steps the start of `area`'s CPU; `true` once there is a verdict.
fn advance(_lock: &Lifecycle, area: &'static Area) -> bool {
    // Borrowed for good: who had the right before was stopped in the middle of this, by the CPU that has it now.
    let Ok(mut state) = record(area).start.state.try_borrow_mut() else { return true };
    let Some(pending) = state.as_mut() else { return true };
    let now = Instant::now().ticks();
    record(area).looks(now);
    if let Step::Settled(mut outcome) = pending.booter.step(now) {
        match outcome.verdict {
            // It came, and could not run any of our code: the breadcrumb is all that it could leave.
            Verdict::Revoked if area.crumbs.is_some_and(|crumbs| crumbs.read().stage == STAGE_UNFIT) => {
                log::error!(
                    "cpu {}: it lacks what this image is built for (target-cpu, target-feature)",
                    area.id
                );
                outcome.verdict = Verdict::Failed(Reason::Feature as u16);
            }
            Verdict::Online => {
                clock::tell_errata();
                compare_counters(area);
            }
            // It cannot say so itself.
            Verdict::Failed(reason) if reason == Reason::Gic as u16 => {
                log::error!("cpu {}: interrupt controller: {}", area.id, CpuPart::of(area).complaint());
            }
            _ => {}
        }
        record(area).settled(outcome);
        note!(SETTLED, area.id.index() as u64);
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

/// Counters may be this far apart before it is told: more than what the two views of one counter can differ by.
const TOLERANCE: Duration = Duration::from_micros(10);

/// Says if the CPU of `area`, which has come online, tells another time than this one: there may be an offset at a level
/// above (CNTVOFF_EL2) that is not ours to put right.
fn compare_counters(area: &Area) {
    let skew = record(area).skew(Instant::now().ticks());
    let apart = to_duration(u64::try_from(skew.unsigned_abs()).unwrap_or(u64::MAX));
    if apart > TOLERANCE {
        let way = if skew < 0 { "behind" } else { "ahead" };
        let (cpu, apart) = (area.id, clock::micros(apart));
        log::error!(
            "cpu {cpu}: its counter is at least {apart} us {way}: time limits that it shares with others are not kept"
        );
    }
}

/// The time limit that the bootargs or the default give.
pub(crate) fn default_deadline(args: BootArgs<'_>) -> Duration {
    args.milliseconds("deadline_ms", DEFAULT_DEADLINE)
}

/// Where firmware is to send a CPU: the assembly at the top of the house.
fn secondary_entry() -> u64 {
    unsafe extern "C" {
        fn reveille_secondary();
    }
    reveille_secondary as *const () as u64
}

/// Whether `cpu` is online.
///
/// ```no_run
/// use reveille::bringup;
///
/// # fn example(cpu: reveille::cpu::CpuId) {
/// if !bringup::is_online(cpu) {
///     bringup::cpu_up(cpu, bringup::DEFAULT_DEADLINE);
/// }
/// # }
/// ```
pub fn is_online(cpu: CpuId) -> bool {
    area::is_online(area::of(cpu))
}
