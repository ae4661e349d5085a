//! Stopping every other CPU.

use super::fate::{self, StopReport};
use super::park::{ParkedBy, condemn, park_here};
use crate::arch::{self, regs};
use crate::clock::{Deadline, Instant};
use crate::gic::{self, NMI, Reminder, Sgi, SgiBatch};
use crate::percpu::CpuSet;
use crate::percpu::area::{self, Area};
use crate::{gate, masking, nmi};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille_machine::BootArgs;
use reveille_protocol::Entry;

/// Stop for good: somebody has the panic gate.
pub(crate) const STOP: Sgi = Sgi::new(6);

/// Milliseconds that CPUs have to stop which take interrupts; bootarg `stop_ms`.
static SGI_MS: AtomicU64 = AtomicU64::new(1000);

/// Reads the bootarg. By the boot CPU, once there is a console to complain to.
pub(crate) fn init(args: BootArgs<'_>) {
    SGI_MS.store(args.milliseconds_or("stop_ms", SGI_MS.load(Ordering::Relaxed)), Ordering::Relaxed);
}

/// The time for CPUs that take interrupts.
pub(super) fn sgi_time() -> Deadline {
    Deadline::after(Duration::from_millis(SGI_MS.load(Ordering::Relaxed)))
}

/// Whether the CPU of `area` may be running code of the image.
#[inline(always)]
fn is_running(area: &Area) -> bool {
    !area::parked(area).is_set() && area::slot(area).is_live()
}

/// Whether another CPU may be running code of the image.
fn others_run() -> bool {
    area::areas().iter().any(|area| area.mpidr != regs::affinity() && is_running(area))
}

/// Closes what may be sent to the CPUs that have parked, and have not done so themselves.
pub(super) fn condemn_parked() {
    let is_open = |area: &&Area| area::parked(area).is_set() && !area::parked(area).has_closed();
    area::areas().iter().filter(is_open).for_each(condemn);
}

/// Stops every other CPU. The caller has the gate: from the moment it took it nobody comes online any more.
///
/// The order of looking is that of `Slot::go_online`'s proof: first the gate, with its fence, then the slots.
///
/// With `close` what may be sent to a CPU that has parked, or is gone, is closed.
pub(super) fn stop_all(limit: Deadline, nmi: Duration, close: bool) {
    #[cfg(feature = "fault-injection")]
    super::fault::about_to_stop();
    let own = regs::affinity();
    let start = Instant::now();
    let mut left = CpuSet::EMPTY;
    {
        let mut batch = SgiBatch::new(STOP);
        for area in area::areas() {
            // A start that has not arrived is called off; one that has is `Alive`, and stopped like any other. One that has parked
            // before is told in vain: to find that out here would take the line on which the others are about to say that they have.
            if area::slot(area).is_live_when_revoked() && area.mpidr != own {
                left.insert(area.id);
                batch.add(area);
            }
        }
    }
    if !await_parked(&mut left, STOP, limit, close) {
        gic::send_sgi_set(NMI, &left);
        await_parked(&mut left, NMI, Deadline::after(nmi), close);
    }
    fate::note_time(Instant::now().ticks().saturating_sub(start.ticks()));
}

/// Stops every other CPU, where [`stop_all`] has failed: one after the other, with as little as possible that may fail too.
pub(super) fn stop_bare() {
    for (sgi, limit) in [(STOP, sgi_time()), (NMI, Deadline::after(nmi::time()))] {
        let mut left = CpuSet::EMPTY;
        for area in area::areas().iter().filter(|area| area.mpidr != regs::affinity()) {
            area::slot(area).revoke_if_kicked();
            if is_running(area) {
                left.insert(area.id);
                gic::send_sgi(sgi, area.id);
            }
        }
        await_parked(&mut left, sgi, limit, false);
    }
}

/// Waits until none of `left`, which were sent `sgi`, runs any more or the time is up; leaves in it those that may. Whether none does.
/// One that was leaving the system may be `Gone` instead of parked.
///
/// For one after the other: all are on their way, and of those that have parked when they are looked at each costs a look.
fn await_parked(left: &mut CpuSet, sgi: Sgi, limit: Deadline, close: bool) -> bool {
    let mut reminder = Reminder::new(sgi, limit);
    let mut in_time = true;
    // A CPU that waits in WFE looks at the gate.
    arch::sev();
    for area in area::areas() {
        if !left.contains(area.id) {
            continue;
        }
        while in_time && is_running(area) {
            let now = Instant::now();
            in_time = now < limit.instant();
            reminder.look_at(now.ticks(), || left.iter().filter(|cpu| is_running(area::of(*cpu))).collect());
            // Not WFE: on a CPU that was restarted under the runtime the event stream is off, and nothing would end it.
            arch::yield_now();
        }
        // Once the time is up each has one look more.
        if in_time || !is_running(area) {
            left.remove(area.id);
            if close && !area::parked(area).has_closed() {
                condemn(area);
            }
        }
    }
    in_time || left.is_empty()
}

/// Stops every other CPU for good, without a panic: afterwards this one has the machine to itself.
///
/// CPUs that take interrupts have until `deadline`; then those that have masked them get an NMI-class interrupt and
/// another 100 ms (bootarg `nmi_ms`). There is no way back: the others are parked and can only be reset.
///
/// May be called from anywhere; interrupts stay as they are. A panic of this CPU afterwards is reported as usual. If
/// another CPU has begun to stop the machine, this one is stopped like all others, and the call does not return. Called
/// again it tries again with those that are left, and says what there is to say now.
///
/// A parked CPU is not online any more. Calls, posts and closures for it are refused; it cannot be started
/// ([`Verdict::Parked`](crate::bringup::Verdict::Parked)); what it had accepted and not begun never runs. What it held, it holds
/// for ever: a [`SpinLock`](crate::sync::SpinLock) or [`Mutex`](crate::sync::Mutex) for which
/// this CPU then waits is a panic, and so is a synchronous call that it waits for. A lock that a parked CPU only waited for is free.
/// The console is not affected: this CPU prints past its lock from now on.
///
/// What the others were in the middle of together with this CPU ends without them. A stop-machine that one of them has begun
/// is called off, one that this CPU has begun is done by it alone; a CPU that was about to leave stays, as the last one. Shared
/// interrupts that went to a CPU that is parked still do: [`irq::set_affinity`](crate::irq::set_affinity) brings them here.
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::{panic, power, println, time::Deadline};
///
/// # fn example() -> ! {
/// let report = panic::stop_others(Deadline::after(Duration::from_millis(100)));
/// // This CPU alone runs from here on.
/// println!("{}", report.is_complete());
/// power::off()
/// # }
/// ```
pub fn stop_others(deadline: impl Into<Deadline>) -> StopReport {
    let deadline = deadline.into();
    let _masked = masking::mask_rarely();
    match gate::word().stop_begin(gate::me()) {
        Entry::Other => park_here(ParkedBy::Gate),
        Entry::Reporter => stop_all(deadline, nmi::time(), true),
        Entry::Nested(_) => {
            if others_run() {
                stop_all(deadline, nmi::time(), true);
            }
            // Those that have parked since, too late for the last time.
            condemn_parked();
        }
    }
    StopReport::now()
}

/// Stops every other CPU, and parks this one too: the end of what cannot end in another way. From any context.
pub(crate) fn park_all() -> ! {
    // Nothing else of this CPU's runs in between.
    let _masked = masking::mask_rarely();
    stop_others(sgi_time());
    park_here(ParkedBy::Gate)
}
