//! Waiting for callees: bounded in everything but the wait itself.

use super::part::{Payload, QueueLine, now};
use crate::arch::Hw;
use crate::bootargs::BootArgs;
use crate::cpu::area::{self, Area};
use crate::cpu::{CpuId, CpuSet};
use crate::time::{to_duration, to_ticks};
use crate::{arch, panic};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille_protocol::{Calling, State};

/// A receiver that has taken nothing for this long, although there is something, is sent another SGI.
const STALL: Duration = Duration::from_millis(1);
/// After this long a call that is not done is reported, if the bootarg `call_report_ms` does not say otherwise.
const REPORT: Duration = Duration::from_secs(2);
/// Looks between two readings of the clock.
const LOOKS: u32 = 32;

/// [`STALL`] in ticks.
static STALL_TICKS: AtomicU64 = AtomicU64::new(u64::MAX);
/// The time to the first report, in ticks.
static REPORT_TICKS: AtomicU64 = AtomicU64::new(u64::MAX);
/// A call that is reported is a panic (bootarg `call_report=panic`).
static PANICS: AtomicBool = AtomicBool::new(false);

/// Reads the bootargs. By the boot CPU, once the counter's frequency is known.
pub(crate) fn init(args: BootArgs<'_>) {
    STALL_TICKS.store(to_ticks(STALL), Ordering::Relaxed);
    let report = match args.number("call_report_ms") {
        Ok(ms) => ms.map_or(REPORT, Duration::from_millis),
        Err(value) => {
            log::error!(
                "bootargs: call_report_ms={value}: not a number of milliseconds; it stays {REPORT:?}"
            );
            REPORT
        }
    };
    REPORT_TICKS.store(to_ticks(report), Ordering::Relaxed);
    match args.get("call_report") {
        Some("panic") => PANICS.store(true, Ordering::Relaxed),
        None | Some("log") => {}
        Some(other) => log::error!("bootargs: call_report={other}: neither log nor panic; it stays log"),
    }
}

/// Whether the SGI for what is in a queue seems to have been lost.
#[cold]
pub(super) fn is_stalled(line: &QueueLine) -> bool {
    line.queue.is_stalled(now(), STALL_TICKS.load(Ordering::Relaxed))
}

/// Whom a call waits for.
pub(super) enum Callees<'a> {
    One(CpuId),
    /// All of these but the caller.
    Set(&'a CpuSet),
}

/// Waits for a while until every callee is done with the call, and gives it back if one is not.
#[inline(always)]
pub(super) fn briefly(calling: Calling<'_, Hw>) -> Result<(), Calling<'_, Hw>> {
    let mut calling = calling;
    for _ in 0..LOOKS {
        arch::yield_now();
        match calling.end() {
            Ok(()) => return Ok(()),
            Err(not_yet) => calling = not_yet,
        }
    }
    Err(calling)
}

/// Waits until every callee of `own`'s call is done with it, and looks after those that are not.
#[cold]
pub(super) fn for_long(
    calling: Calling<'_, Hw>,
    own: &'static Area,
    callees: Callees<'_>,
    payload: Payload,
    name: fn() -> &'static str,
) {
    let (one, set) = match callees {
        Callees::One(cpu) => (Some(cpu), &CpuSet::EMPTY),
        Callees::Set(set) => (None, set),
    };
    let since = now();
    let mut next_report = REPORT_TICKS.load(Ordering::Relaxed);
    let mut looks = 0;
    calling.wait(|_| {
        arch::yield_now();
        looks += 1;
        if looks % LOOKS != 0 {
            return;
        }
        panic::poll_gate_for_another();
        let age = now() - since;
        let report = age >= next_report;
        if report {
            next_report = next_report.saturating_mul(2);
        }
        for cpu in set.iter().chain(one).filter(|cpu| *cpu != own.id) {
            let line = own.call.queue_of(cpu);
            if report && (line.queue.is_waiting(own.call.caller) || is_running(cpu, payload)) {
                tell(own.id, cpu, name(), payload, age);
            }
            if report || is_stalled(line) {
                line.bell.ring();
            }
        }
    });
}

fn is_running(cpu: CpuId, payload: Payload) -> bool {
    area::of(cpu).call.activity.load(Ordering::Relaxed) == payload.run as usize as u64
}

/// One line about a call that takes long.
fn tell(caller: CpuId, target: CpuId, name: &str, payload: Payload, age: u64) {
    let area = area::of(target);
    let activity = area.call.activity.load(Ordering::Relaxed);
    let doing = match (area.slot.0.read().state, activity) {
        (State::Online, 0) if area.interrupt_depth.load(Ordering::Relaxed) != 0 => "in an interrupt handler",
        (State::Online, 0) => "not taking interrupts",
        (State::Online, running) if running == payload.run as usize as u64 => "running it",
        (State::Online, _) => "running another call",
        _ => "leaving",
    };
    let age = to_duration(age);
    crate::println!(
        "call from cpu {caller} to cpu {target} takes {}.{:03} s: {name}; the target is {doing} ({activity:#x})",
        age.as_secs(),
        age.subsec_millis()
    );
    assert!(!PANICS.load(Ordering::Relaxed), "a call from cpu {caller} to cpu {target} takes too long");
}
