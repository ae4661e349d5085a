//! The application is asked before a CPU is, and may say no.

use super::{LONG, Order, down, let_go_soon, stays, tell, up};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use reveille::cpu::{self, CpuId};
use reveille::hotplug::{self, Callbacks, Hold, HotplugError};
use reveille::time::Instant;
use reveille::{call, irq};
use reveille_tests::{check, eventually, launch, longer, pause, short};

reveille::percpu! {
    /// How often the CPU was asked, by the first callback and by the second.
    static FIRST: AtomicU64 = AtomicU64::new(0);
    static SECOND: AtomicU64 = AtomicU64::new(0);
    /// How often it was told why it stays, when it wanted to leave by itself.
    static REFUSED: AtomicU64 = AtomicU64::new(0);
}

/// What the callbacks say: bits.
static SAY: AtomicU64 = AtomicU64::new(0);
const FIRST_NO: u64 = 1;
const SECOND_NO: u64 = 2;
/// The first does not come back until told to.
const WAIT: u64 = 4;
/// How often the second says no, whatever `SAY` has.
static TIMES_NO: AtomicU64 = AtomicU64::new(0);
/// They run in the CPU's own masked section.
static ITSELF: AtomicBool = AtomicBool::new(false);

fn says(what: u64) -> bool {
    SAY.load(Ordering::Acquire) & what != 0
}

fn asked(cpu: CpuId) {
    check(cpu == cpu::current() && irq::is_masked(), "a CPU is asked there, with interrupts masked");
    check(
        irq::in_interrupt() != ITSELF.load(Ordering::Relaxed),
        "in interrupt context, unless it asks itself",
    );
    let refused = hotplug::cpu_down(cpu, LONG);
    check(refused == Err(HotplugError::WouldDeadlock), "nobody leaves from there");
}

/// Whether `hold` keeps `cpu`.
fn is_held(cpu: CpuId, hold: Hold) -> bool {
    let wanted = HotplugError::Held(hold);
    stays(cpu, short(), wanted) == wanted
}

fn counts(cpu: CpuId) -> (u64, u64) {
    (FIRST.of(cpu).load(Ordering::Relaxed), SECOND.of(cpu).load(Ordering::Relaxed))
}

/// `cpu` takes itself down, as soon as it may.
pub fn leaves_by_itself(cpu: CpuId) {
    loop {
        match hotplug::cpu_down(cpu, LONG) {
            Err(HotplugError::Held(Hold::Application("the first"))) => {
                REFUSED.fetch_add(1, Ordering::Release);
            }
            other => panic!("it does not leave: {other:?}"),
        }
        pause();
    }
}

pub fn before_it_leaves(cpu: CpuId) {
    let first = Callbacks {
        online: |_| Ok(()),
        offline: |cpu| {
            check(!says(FIRST_NO | SECOND_NO), "no CPU leaves of which the application said no");
            let (first, second) = counts(cpu);
            check(first == second && first > 0, "it was asked before");
        },
        asked: |cpu| {
            asked(cpu);
            FIRST.fetch_add(1, Ordering::Relaxed);
            while says(WAIT) {
                pause();
            }
            if says(FIRST_NO) { Err("the first") } else { Ok(()) }
        },
    };
    let second = Callbacks {
        online: |_| Ok(()),
        offline: |_| (),
        asked: |cpu| {
            asked(cpu);
            SECOND.fetch_add(1, Ordering::Relaxed);
            let left = TIMES_NO.load(Ordering::Acquire);
            TIMES_NO.store(left.saturating_sub(1), Ordering::Relaxed);
            if says(SECOND_NO) || left != 0 { Err("the second") } else { Ok(()) }
        },
    };
    check(hotplug::register_callbacks(first).is_ok(), "a CPU can be asked");
    check(hotplug::register_callbacks(second).is_ok(), "by two");

    // Refused, by one or the other; each is asked.
    for (say, reason) in
        [(FIRST_NO, "the first"), (SECOND_NO, "the second"), (FIRST_NO | SECOND_NO, "the first")]
    {
        SAY.store(say, Ordering::Release);
        let before = counts(cpu);
        let begun = Instant::now();
        check(is_held(cpu, Hold::Application(reason)), "the application keeps it, and says why");
        let most = 2 * (Instant::now() - begun).as_millis() as u64 + 2;
        let after = counts(cpu);
        check(after.0 > before.0 && after.0 - before.0 == after.1 - before.1, "all are asked each time");
        check(after.0 - before.0 <= most, "at most every millisecond");
        check(call::on(cpu, cpu::current) == Ok(cpu), "it stays, and works on");
    }
    // Later.
    SAY.store(0, Ordering::Release);
    let before = counts(cpu);
    TIMES_NO.store(3, Ordering::Release);
    down(cpu);
    check(counts(cpu) == (before.0 + 4, before.1 + 4), "it is asked until it may leave");
    up(cpu);
    // At once.
    let before = counts(cpu);
    down(cpu);
    check(counts(cpu) == (before.0 + 1, before.1 + 1), "it is asked once if nothing keeps it");
    up(cpu);
    // Whatever the thread does.
    tell(cpu, Order::Busy);
    let mut time = short();
    // Its host may not have let it come to that, or not let it come back.
    loop {
        let before = counts(cpu);
        let held = hotplug::cpu_down(cpu, time);
        let after = counts(cpu);
        let slow = match held {
            Err(HotplugError::Held(Hold::NotIdle)) if after == (before.0 + 1, before.1 + 1) => break,
            Err(HotplugError::Held(Hold::NotIdle)) => after == before,
            other => other == Err(HotplugError::Held(Hold::Callback)),
        };
        check(slow && longer(&mut time), "it comes to no offline point, but was asked, once");
    }
    let_go_soon();
    down(cpu);
    up(cpu);
    // Not while it takes no interrupts; and what it is asked too late it is not asked.
    static GO_ON: AtomicBool = AtomicBool::new(false);
    static MASKED: AtomicBool = AtomicBool::new(false);
    launch(cpu, || {
        let _masked = irq::mask();
        MASKED.store(true, Ordering::Release);
        eventually("it goes on", || GO_ON.load(Ordering::Acquire));
    });
    eventually("it takes no interrupts", || MASKED.load(Ordering::Acquire));
    let before = counts(cpu);
    check(is_held(cpu, Hold::Closure), "what it does keeps it");
    GO_ON.store(true, Ordering::Release);
    check(call::on(cpu, || ()) == Ok(()), "it takes interrupts again");
    check(counts(cpu) == before, "it was not asked");
    // One that does not come back.
    SAY.store(WAIT, Ordering::Release);
    check(is_held(cpu, Hold::Callback), "it does not come to the end of it");
    SAY.store(0, Ordering::Release);
    down(cpu);
    up(cpu);
    // By itself.
    ITSELF.store(true, Ordering::Relaxed);
    SAY.store(FIRST_NO, Ordering::Release);
    tell(cpu, Order::LeaveOnceAllowed);
    eventually("it is told why it stays", || REFUSED.of(cpu).load(Ordering::Acquire) > 1);
    check(cpu::online().contains(cpu), "it stays");
    SAY.store(0, Ordering::Release);
    eventually("it leaves", || !cpu::online().contains(cpu));
    up(cpu);
    ITSELF.store(false, Ordering::Relaxed);
    let (first, second) = counts(cpu);
    check(first == second, "both were asked each time");
}
