//! What goes wrong.
//!
//! A CPU stands still at EL2, where the shim holds it, or, without the shim, in a handler of NMI class: either way in the
//! middle of whatever it was doing, interrupts masked or not. What firmware does wrong is the shim's doing.

use crate::kinds::{Fault, Kind, count_fault};
use crate::ops::{any, down, pick_offline, start};
use crate::verdict::{Wrong, expect, violated};
use crate::{Event, long, note};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::Verdict;
use reveille::cpu::{self, CpuId};
use reveille::fault::{self, LostSgi, State, lose_sgis};
use reveille::nmi;
use reveille::time::{Deadline, Instant};
use reveille_tests::Random;
use reveille_tests::pause;
use reveille_tests::shim::{self, Plan};

/// The shim is there.
static SHIM: AtomicBool = AtomicBool::new(false);
/// Nothing goes wrong any more.
static OVER: AtomicBool = AtomicBool::new(false);

reveille::percpu! {
    /// How long it is to stand still, ticks.
    static STILL: AtomicU64 = AtomicU64::new(0);
    /// How long its next start takes, from its arrival on, ticks.
    static SLOW: AtomicU64 = AtomicU64::new(0);
    /// Those who bring it up; [`ALONE`]: one that has plans with it.
    static STARTERS: AtomicU32 = AtomicU32::new(0);
    /// One more than the highest generation that was seen.
    static SEEN: AtomicU64 = AtomicU64::new(0);
    /// One more than the last generation that was called off.
    static CALLED_OFF: AtomicU64 = AtomicU64::new(0);
}

const ALONE: u32 = 1 << 16;

/// Sets up what faults take.
pub fn begin(firmware: bool) {
    SHIM.store(firmware, Ordering::Relaxed);
    fault::before_online(Some(dawdle));
    // Who arrives in time is to come online, however short that time was: a CPU that is given up in between is lost for good.
    fault::limit_online(Some(ticks(long())));
}

/// Whether nothing goes wrong any more, because the time is over.
pub fn are_over() -> bool {
    OVER.load(Ordering::Relaxed)
}

/// Nothing new goes wrong.
pub fn end() {
    OVER.store(true, Ordering::Relaxed);
}

/// See [`linger`], ms.
static LINGER_MS: AtomicU64 = AtomicU64::new(0);

/// Sets how long [`linger`] does.
pub fn set_lingers(ms: u64) {
    LINGER_MS.store(ms, Ordering::Relaxed);
}

/// For how long [`linger`] does.
pub fn lingers() -> Duration {
    Duration::from_millis(LINGER_MS.load(Ordering::Relaxed))
}

/// A handler, or a callback, is about to post. Once the time is over it takes long, if the bootarg says so: whoever closes the
/// books takes that for quiet, unless what is under way is counted as such until its end.
pub fn linger() {
    if are_over() {
        let until = Deadline::after(lingers());
        while !until.has_passed() {
            pause();
        }
    }
}

/// `cpu` is started as firmware should.
pub fn forget(cpu: CpuId) {
    if SHIM.load(Ordering::Relaxed) {
        shim::plan(cpu, Plan::Honest);
    }
}

fn ticks(span: Duration) -> u64 {
    (Instant::from_ticks(0) + span).ticks()
}

/// The right to bring a CPU up, beside others, or alone.
pub struct Claim(CpuId, u32);

/// Nobody who shares `cpu` finds that somebody has plans with it. `None`: somebody has.
pub fn share(cpu: CpuId) -> Option<Claim> {
    // Acquire: pairs with the Release of `drop`.
    if STARTERS.of(cpu).fetch_add(1, Ordering::Acquire) >= ALONE {
        STARTERS.of(cpu).fetch_sub(1, Ordering::Relaxed);
        return None;
    }
    Some(Claim(cpu, 1))
}

/// The right to bring `cpu` up alone. `None`: others are at it.
pub fn alone(cpu: CpuId) -> Option<Claim> {
    // Acquire: pairs with the Release of `drop`.
    STARTERS.of(cpu).compare_exchange(0, ALONE, Ordering::Acquire, Ordering::Relaxed).ok()?;
    Some(Claim(cpu, ALONE))
}

impl Drop for Claim {
    fn drop(&mut self) {
        STARTERS.of(self.0).fetch_sub(self.1, Ordering::Release);
    }
}

// --- what is watched all the while ------------------------------------------------------------------------------------

/// `own` begins a life.
pub fn lives(own: CpuId, generation: u32) {
    let called_off = CALLED_OFF.load(Ordering::Relaxed);
    if u64::from(generation) < called_off {
        violated(
            Wrong::Unaccounted,
            format_args!("cpu {own} runs as generation {generation}, which was called off"),
        );
    }
}

/// Looks at the slot of `cpu`: its generation never goes back, and what was called off stays called off.
pub fn look_at(cpu: CpuId) {
    let before = SEEN.of(cpu).load(Ordering::Relaxed);
    let slot = fault::slot(cpu);
    let generation = u64::from(slot.generation) + 1;
    expect(generation >= before, Wrong::Unaccounted, "generations only go up");
    SEEN.of(cpu).fetch_max(generation, Ordering::Relaxed);
    if slot.state == State::Revoked {
        CALLED_OFF.of(cpu).fetch_max(generation, Ordering::Relaxed);
    }
    match slot.state {
        State::Wedged | State::Failed => {
            violated(Wrong::Unaccounted, format_args!("cpu {cpu} is {slot:?}"));
        }
        _ => {}
    }
}

// --- standing still ---------------------------------------------------------------------------------------------------

/// A time to stand still: mostly short, now and then long enough for every limit of the runtime but the watchdog's.
fn span(number: u64) -> u64 {
    let us = match number >> 8 & 15 {
        0 => number >> 16 & 0xffff,
        1..4 => number >> 16 & 0xfff,
        _ => number >> 16 & 0x1ff,
    };
    ticks(Duration::from_micros(us))
}

/// This CPU stands still for so many ticks, as it is.
fn freeze(ticks: u64) {
    note(Event::Frozen, [ticks, 0]);
    if SHIM.load(Ordering::Relaxed) {
        return shim::freeze(ticks);
    }
    let until = Instant::now().ticks() + ticks;
    while Instant::now().ticks() < until {
        pause();
    }
}

/// This CPU stands still where it is: in a callback, with interrupts masked, in a job. In any context.
pub fn stand_still(number: u64) {
    if crate::kinds::is_wanted(Fault::Freeze) && !are_over() {
        count_fault(Fault::Freeze);
        freeze(span(number));
    }
}

/// Has another CPU stand still, at whatever instruction it is.
fn freeze_other(own: CpuId, number: u64) {
    fn here() {
        let ticks = STILL.swap(0, Ordering::Relaxed);
        if ticks != 0 {
            count_fault(Fault::Freeze);
            freeze(ticks);
        }
    }
    let others = cpu::online().without(own);
    let Some(target) = others.iter().nth((number >> 32) as usize % others.len().max(1)) else { return };
    STILL.of(target).store(span(number), Ordering::Relaxed);
    let _ = nmi::on_each(&[target].into_iter().collect(), here);
}

/// This CPU arrives, and takes its time.
fn dawdle(cpu: CpuId) {
    let ticks = SLOW.of(cpu).swap(0, Ordering::Relaxed);
    let until = Instant::now().ticks() + ticks;
    while Instant::now().ticks() < until {
        pause();
    }
}

// --- all of them ------------------------------------------------------------------------------------------------------

/// Something goes wrong.
pub fn happen(own: CpuId, fault: Fault, random: &mut Random) {
    let number = random.number();
    note(Event::Fault, [fault as u64, number]);
    match fault {
        Fault::Freeze => freeze_other(own, number),
        Fault::LostSgi => {
            // All but the one that stops a CPU for good.
            const KINDS: [LostSgi; 7] = [
                LostSgi::Call,
                LostSgi::Call,
                LostSgi::Bell,
                LostSgi::Wake,
                LostSgi::Gather,
                LostSgi::Private,
                LostSgi::Nmi,
            ];
            lose_sgis(KINDS[(number % 7) as usize], any(number >> 32), 1);
        }
        Fault::OffDenied => off_denied(own, number),
        Fault::SlowStart | Fault::Refuse | Fault::Delay | Fault::Lie | Fault::DoubleStart => {
            wrong_start(own, fault, number, random);
        }
    }
}

/// A CPU that is off, or leaves for this.
fn off(own: CpuId, number: u64) -> Option<CpuId> {
    if let Some(cpu) = pick_offline(number) {
        return Some(cpu);
    }
    let cpu = any(number);
    (cpu != own && down(cpu)).then_some(cpu)
}

/// Firmware's answers to a start: final ones, and ones that may pass.
const CODES: [i32; 8] = [-1, -2, -3, -6, -7, -8, -9, 7];

/// A CPU is started, and that goes wrong in this way.
fn wrong_start(own: CpuId, fault: Fault, number: u64, random: &mut Random) {
    let Some(cpu) = off(own, number) else { return };
    let Some(_alone) = alone(cpu) else { return };
    forget(cpu);
    let before = fault::slot(cpu);
    if !matches!(before.state, State::Offline | State::Gone | State::Revoked) {
        return;
    }
    let code = CODES[(number >> 8 & 7) as usize];
    let short = Duration::from_millis(2);
    let mut limit = long();
    match (fault, number >> 12 & 3) {
        (Fault::SlowStart, _) => SLOW.of(cpu).store(span(number), Ordering::Relaxed),
        (Fault::Refuse, 0) => shim::plan(
            cpu,
            Plan::Answer { code: -4 - (number >> 16 & 1) as i32, times: 1 + (number >> 17 & 3) },
        ),
        (Fault::Refuse, way) => {
            // Or success, and nothing.
            let code = if way == 1 { 0 } else { code };
            shim::plan(cpu, Plan::Answer { code, times: u64::MAX });
            limit = short;
        }
        (Fault::Delay, _) => {
            shim::plan(cpu, Plan::Delay(span(number.rotate_left(4))));
            limit = Duration::from_micros(random.below(4000));
        }
        (Fault::Lie, 0) => {
            shim::plan(cpu, Plan::Say(code));
            limit = short;
        }
        (Fault::Lie, 1) => shim::plan(cpu, Plan::Say(-4)),
        (Fault::Lie, 2) => shim::plan(cpu, Plan::MmuOn),
        (Fault::Lie, _) => {
            let keep = [0, 0xffff_ffff, u64::MAX, u64::MAX][(number >> 20 & 3) as usize];
            let add = [random.number(), 0, 1, u64::MAX][(number >> 20 & 3) as usize];
            shim::plan(cpu, Plan::Context { keep, add });
        }
        (Fault::DoubleStart, _) => {
            // With the token of its last start, or with garbage.
            let context = if number >> 12 & 1 == 0 {
                0x5256_4c4c << 32 | u64::from(before.generation)
            } else {
                random.number()
            };
            if shim::start(cpu, context) != 0 {
                // It is still on its way out, or in the pen.
                return;
            }
        }
        (Fault::Freeze | Fault::LostSgi | Fault::OffDenied, _) => return,
    }
    count_fault(fault);
    let verdict = start(cpu, limit, Kind::Up);
    forget(cpu);
    let right = match verdict {
        Verdict::Online | Verdict::Busy => true,
        Verdict::Revoked => limit < long(),
        Verdict::Refused(found) => limit < long() && (found == code || matches!(found, -4 | -5)),
        _ => false,
    };
    let slot = fault::slot(cpu);
    if !right {
        violated(
            Wrong::Unaccounted,
            format_args!("{fault:?} {number:#x}: cpu {cpu} is brought up: {verdict:?}, {slot:?}"),
        );
    }
    if !matches!(verdict, Verdict::Online | Verdict::Busy) {
        // Nobody else brings it up meanwhile.
        let called_off = slot.state == State::Revoked && slot.generation == before.generation + 1;
        expect(called_off, Wrong::Unaccounted, "a start that failed is called off");
    }
}

/// A CPU leaves, and firmware does not turn it off: it waits in the pen, from where it comes back.
fn off_denied(own: CpuId, number: u64) {
    let cpu = any(number);
    if cpu == own || !cpu::online().contains(cpu) {
        return;
    }
    let Some(_alone) = alone(cpu) else { return };
    let before = fault::slot(cpu);
    shim::plan(cpu, Plan::Honest);
    shim::plan(cpu, Plan::Stay(-3));
    if down(cpu) && fault::slot(cpu).generation == before.generation {
        count_fault(Fault::OffDenied);
        let limit = Deadline::after(long());
        while !reveille_tests::lives::is_penned(cpu, before.generation) {
            expect(!limit.has_passed(), Wrong::Unaccounted, "a CPU that cannot be turned off is in the pen");
            pause();
        }
    }
    shim::plan(cpu, Plan::Honest);
}
