//! The application is asked before a CPU is, and may say no.

use super::{LONG, Order, down, let_go_soon, tell, up};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
use reveille::hotplug::{self, Callbacks, Hold, HotplugError};
use reveille::{call, irq, time};
use reveille_tests::{check, eventually, launch, pause, short};

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

fn held(cpu: CpuId) -> Option<Hold> {
    match hotplug::cpu_down(cpu, short()) {
        Err(HotplugError::Held(hold)) => Some(hold),
        other => panic!("it is not held: {other:?}"),
    }
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
            if says(SECOND_NO) { Err("the second") } else { Ok(()) }
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
        let kept = held(cpu);
        assert!(
            kept == Some(Hold::Application(reason)),
            "the application keeps it, and says why, not {kept:?}"
        );
        let after = counts(cpu);
        check(after.0 > before.0 && after.0 - before.0 == after.1 - before.1, "all are asked each time");
        let most = (short() * 2).as_millis() as u64;
        check(after.0 - before.0 <= most, "at most every millisecond");
        check(call::on(cpu, cpu::current) == Ok(cpu), "it stays, and works on");
    }
    // Later.
    SAY.store(SECOND_NO, Ordering::Release);
    let before = counts(cpu);
    let timer = time::after(Duration::from_millis(3), || SAY.store(0, Ordering::Release));
    check(timer.is_ok(), "a timer can be set");
    down(cpu);
    check(counts(cpu).0 - before.0 > 1, "it is asked until it may leave");
    up(cpu);
    // At once.
    let before = counts(cpu);
    down(cpu);
    check(counts(cpu) == (before.0 + 1, before.1 + 1), "it is asked once if nothing keeps it");
    up(cpu);
    // Whatever the thread does.
    tell(cpu, Order::Busy);
    let before = counts(cpu);
    check(held(cpu) == Some(Hold::NotIdle), "it comes to no offline point");
    check(counts(cpu) == (before.0 + 1, before.1 + 1), "but was asked");
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
    check(held(cpu) == Some(Hold::Closure), "what it does keeps it");
    GO_ON.store(true, Ordering::Release);
    check(call::on(cpu, || ()) == Ok(()), "it takes interrupts again");
    check(counts(cpu) == before, "it was not asked");
    // One that does not come back.
    SAY.store(WAIT, Ordering::Release);
    check(held(cpu) == Some(Hold::Callback), "it does not come to the end of it");
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
