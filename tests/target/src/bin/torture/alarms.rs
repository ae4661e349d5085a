//! Alarms: moved, taken away, and fired, once for each deadline.
//!
//! What each CPU has set its alarms for stands in its own variables too, written with interrupts masked; the handler finds it there.
//! What is set is over when it has fired, was moved, was taken away, or has gone with the life of its CPU.

use crate::books::{ALARMS_OVER, ALARMS_SET, add, ended, get};
use crate::kinds::{Kind, count, is_in_mix};
use crate::verdict::{Wrong, expect, violated};
use crate::{bells, contexts, faults, ops};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::fault::{self, State};
use reveille::irq;
use reveille::time::{Alarm, Instant, TimerError};
use reveille_tests::books::scrambled;

pub const COUNT: usize = 2;

/// An alarm that is so late is left alone, so that it is seen if it never fires.
const LATE: Duration = Duration::from_millis(1);
/// One that has not fired for so long, while its thread has come by so often with interrupts open, does not.
const SILENCE: Duration = Duration::from_secs(2);
const PASSES: u64 = 1000;

reveille::percpu! {
    static ALARMS: [Alarm; COUNT] = [Alarm::new(|| fires(0)), Alarm::new(|| fires(1))];
    /// What each is set for, ticks; 0: it is not.
    static DUE: [AtomicU64; COUNT] = [const { AtomicU64::new(0) }; COUNT];
    /// How often the thread has come by and found one that is very late.
    static OVERDUE: AtomicU64 = AtomicU64::new(0);
    /// For each, and for each alarm beside: what it was set for when another fired and it was due, ticks; and how often that was.
    static SEEN: [[(AtomicU64, AtomicU64); COUNT]; COUNT + 1] =
        [const { [const { (AtomicU64::new(0), AtomicU64::new(0)) }; COUNT] }; COUNT + 1];
    /// The number of the next random choice.
    static CHOICES: AtomicU64 = AtomicU64::new(0);
}

/// `own` comes online, with interrupts masked: what its former life has set is gone. The alarms are its own from now on.
pub fn comes(own: CpuId) {
    let stays = fault::slot(own).state == State::Online;
    for (alarm, due) in ALARMS.here().iter().zip(DUE.here()) {
        if !stays && get(due) != 0 {
            expect(alarm.due().is_none(), Wrong::Doubled, "an alarm is taken away when its CPU leaves");
            due.store(0, Ordering::Relaxed);
            ended(&ALARMS_OVER);
        }
        if get(due) == 0 {
            let nothing = alarm.cancel() == Ok(false);
            expect(nothing, Wrong::Doubled, "an alarm that was not set is not there to be taken away");
        }
    }
}

/// In thread context, interrupts open: they come.
pub fn check(now: u64) {
    let is_late = |due: &AtomicU64| {
        let due = get(due);
        due != 0 && Instant::from_ticks(now).since(Instant::from_ticks(due)) > SILENCE
    };
    if !DUE.here().iter().any(is_late) {
        OVERDUE.store(0, Ordering::Relaxed);
    } else if OVERDUE.fetch_add(1, Ordering::Relaxed) >= PASSES {
        violated(Wrong::Lost, format_args!("an alarm of cpu {} does not fire", cpu::current()));
    }
}

/// An alarm of this CPU fires, this one, or number [`COUNT`], of another room. In that interrupt, or in the next, all others do that are due
/// now; each has one in an interrupt at most.
pub fn another_fires(which: usize) {
    let now = Instant::now().ticks();
    for (due, (seen, times)) in DUE.here().iter().zip(&SEEN[which]) {
        let due = get(due);
        if due == 0 || due > now || seen.swap(due, Ordering::Relaxed) != due {
            times.store(0, Ordering::Relaxed);
        } else if times.fetch_add(1, Ordering::Relaxed) >= 1 {
            violated(
                Wrong::Lost,
                format_args!("an alarm of cpu {} has not fired, and others have", cpu::current()),
            );
        }
    }
}

/// Sets, moves or takes away one of this CPU's, in any context but NMI level. `false`: it was left alone.
pub fn operate(number: u64) -> bool {
    let _masked = irq::mask();
    let own = cpu::current();
    let which = (number & 1) as usize;
    let (alarm, due) = (&ALARMS.here()[which], &DUE.here()[which]);
    let (was, now) = (get(due), Instant::now());
    if was != 0 && now.since(Instant::from_ticks(was)) > LATE {
        return false;
    }
    match number >> 1 & 15 {
        0 | 1 => {
            let taken = alarm.cancel();
            expect(
                taken == Ok(was != 0),
                Wrong::Lost,
                "an alarm that is set can be taken away, and no other",
            );
            if was != 0 {
                due.store(0, Ordering::Relaxed);
                ended(&ALARMS_OVER);
            }
            true
        }
        2 => {
            let other = ops::any(number >> 8);
            if other == own {
                return set(own, which, now);
            }
            // Each CPU was online before the first operation, and has made its alarms its own.
            let refused = ALARMS.of(other)[which].after(Duration::ZERO) == Err(TimerError::OtherCpu);
            expect(refused, Wrong::Unaccounted, "nobody sets another CPU's alarm");
            true
        }
        3 => set(own, which, now + Duration::from_micros(number >> 8 & 0x3fff) + faults::lingers()),
        _ => set(own, which, now + Duration::from_nanos(number >> 8 & 0x1_ffff) + faults::lingers()),
    }
}

/// With interrupts masked, on its CPU.
fn set(own: CpuId, which: usize, at: Instant) -> bool {
    let (alarm, due) = (&ALARMS.here()[which], &DUE.here()[which]);
    match alarm.set(at) {
        Ok(()) => {
            // In this order: there is no moment at which nothing is set.
            add(&ALARMS_SET, 1);
            if due.swap(at.ticks(), Ordering::Relaxed) != 0 {
                ended(&ALARMS_OVER);
            }
            expect(alarm.due() == Some(at), Wrong::Lost, "an alarm is set for what it was set for");
            true
        }
        Err(error) => {
            let leaves = fault::slot(own).state == State::Dying;
            expect(
                error == TimerError::Leaving && leaves,
                Wrong::Lost,
                "only a CPU that leaves is refused an alarm",
            );
            false
        }
    }
}

/// The handler of each.
fn fires(which: usize) {
    let now = Instant::now().ticks();
    let due = DUE[which].swap(0, Ordering::Relaxed);
    expect(
        due != 0,
        Wrong::Doubled,
        "an alarm fires once for each deadline, and for none that was taken away",
    );
    expect(now >= due, Wrong::Reordered, "an alarm does not fire before its time");
    another_fires(which);
    let right = irq::is_masked() && irq::in_interrupt() && !irq::in_nmi();
    expect(right, Wrong::Unaccounted, "an alarm fires in interrupt context");
    faults::linger();
    let own = cpu::current();
    let choice = scrambled(CHOICES.fetch_add(1, Ordering::Relaxed) << 16 ^ own.index() as u64);
    match choice & 15 {
        0..4 => {
            let at =
                Instant::from_ticks(now) + Duration::from_nanos(choice >> 32 & 0xffff) + faults::lingers();
            count(Kind::Alarm, !set(own, which, at));
        }
        4..6 => count(Kind::Post, !ops::post(ops::any(choice >> 8), 0)),
        6..8 if is_in_mix(Kind::Bell) && !faults::are_over() => {
            _ = bells::ring(ops::any(choice >> 8), choice >> 32)
        }
        8 if choice >> 8 & 0xff == 0 => faults::stand_still(choice),
        _ => contexts::wake_one(),
    }
    ended(&ALARMS_OVER);
}
