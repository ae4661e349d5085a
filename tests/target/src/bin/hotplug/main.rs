//! CPUs that go and come back, case by case: what keeps them, what they take along, what they leave behind. `churn` does
//! the same at random.
//!
//! With `--append stop_wait_ms=N` also what happens when that time is over; with the shim at EL2 also firmware that turns
//! no CPU off. The bootarg `panic=WHERE` has a CPU panic as it leaves, and the report is the result.

#![no_std]
#![no_main]

mod asked;
mod interrupts;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use interrupts::{OWN_SPI, handled_by, handler_of};
use reveille::bringup::{Reason, Verdict, cpu_up};
use reveille::call::{self, CallError, PostError};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::fault::{self, State};
use reveille::hotplug::{self, Hold, HotplugError};
use reveille::irq::{self, Trigger};
use reveille::patch::PatchError;
use reveille::sync::{Mutex, SpinLock};
use reveille::time::{self, Deadline, Instant, TimerError};
use reveille::{ExitCode, StopError, System, println, stop_machine, stop_machine_each};
use reveille_tests::shim::{self, Plan};
use reveille_tests::{check, eventually, longer, nothing_left, pause, run_all_the_time, set_short, short};

reveille::entry!(
    main,
    // SAFETY: what `secondary` and the orders that it carries out have on the stack at an offline point is numbers, and guards and a
    // timer that are holds themselves; nothing there is lent to anyone.
    leaving = unsafe { reveille::cpu::Leaving::new(secondary) }
);

reveille::percpu! {
    static CAME: AtomicU64 = AtomicU64::new(0);
    static WENT: AtomicU64 = AtomicU64::new(0);
    /// What the CPU is to do in thread context: an [`Order`], 0 nothing.
    static ORDER: AtomicU64 = AtomicU64::new(0);
    /// The order that it is carrying out.
    static DOING: AtomicU64 = AtomicU64::new(0);
    /// It has a timer that sets itself anew, from its online callback to its offline callback.
    static HAS_TICK: AtomicBool = AtomicBool::new(false);
    static TICKING: AtomicBool = AtomicBool::new(false);
    static TICKS: AtomicU64 = AtomicU64::new(0);
}

const LONG: Duration = Duration::from_secs(60);

fn main(system: &'static System) -> ExitCode {
    set_short(system, Duration::from_millis(10));
    *SYSTEM.lock() = Some(system);
    let registered = hotplug::register(
        |cpu| {
            CAME.of(cpu).fetch_add(1, Ordering::Relaxed);
            began(1);
            Ok(())
        },
        |cpu| {
            WENT.of(cpu).fetch_add(1, Ordering::Relaxed);
            began(6);
        },
    );
    check(registered.is_ok(), "callbacks can be registered");
    let in_between = hotplug::register(
        |_| {
            began(2);
            Ok(())
        },
        |_| began(7),
    );
    check(in_between.is_ok(), "and others");
    check(hotplug::register(online, offline).is_ok(), "and more of them");
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    if let Some(place) = system.arg("panic") {
        panic_at(place);
        println!("hotplug: no such place, or nobody panicked");
        return ExitCode::FAILURE;
    }
    let others = cpu::online().without(CpuId::BOOT);
    let Some(first) = others.iter().next() else { return ExitCode::FAILURE };
    refusals(first);
    in_order(system);
    holds(first);
    both_want_it(first);
    leaves_while_it_waits(first);
    turns(first);
    by_itself(first);
    interrupts::stale_sgis(system, first);
    interrupts::shared_interrupts(system, first);
    interrupts::quiet_while_off(system, first);
    interrupts::left_in_disorder(system, first);
    lets_calls_in(first);
    failing_callback(system, first);
    timer_of_a_failing_callback(first);
    periodic_tick(first);
    where_nobody_waits(first);
    if let Some(second) = others.without(first).iter().last() {
        waits_for_a_callee(first, second);
        gate(first, second);
        called_off(first, second);
        without_nodes(first, second);
        under_stops(first);
        if system.arg("stop_wait_ms").is_some() {
            still_dying(first, second);
            slow_callback(first);
        }
    }
    asked::before_it_leaves(first);
    if shim::is_present(system) {
        denied(others);
    } else if system.arg("denied").is_some() {
        println!("hotplug: wants the shim as firmware");
        return ExitCode::FAILURE;
    }
    for cpu in others {
        let (came, went) = (CAME.of(cpu).load(Ordering::Relaxed), WENT.of(cpu).load(Ordering::Relaxed));
        check(came == went + 1 && went > 0, "callbacks run in pairs as CPUs come and go");
    }
    nothing_left();
    println!("hotplug: all good");
    ExitCode::SUCCESS
}

// --- what the secondaries do ------------------------------------------------------------------------------------------

/// What a CPU can be told to do in thread context, outside of any closure, which would be a hold itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Order {
    /// Hold a mutex, until told to let go; at offline points all the while.
    Mutex = 1,
    /// Be pinned, likewise.
    Pin = 2,
    /// Have a timer running, until told to let go.
    Timer = 3,
    /// Wait in a call to the CPU in [`CALLEE`], which takes until told to let go.
    Call = 4,
    /// Compute, without offline points, until told to let go.
    Busy = 5,
    /// Take itself down.
    Leave = 6,
    /// Gather all CPUs, until told to let go; no offline points.
    Gather = 7,
    /// Compute, until told to let go and a little longer; then as [`Order::Leave`].
    LeaveLater = 8,
    /// Take itself down, as soon as the application lets it.
    LeaveOnceAllowed = 9,
}

/// Ends what was ordered.
static LET_GO: AtomicBool = AtomicBool::new(false);
/// How often [`Order::Gather`] has gathered, how often the CPU was asked to leave meanwhile, and how often that was more than
/// three times while it waited for its turn.
static GATHERED: AtomicU64 = AtomicU64::new(0);
static ASKED: AtomicU64 = AtomicU64::new(0);
static OVERTAKEN: AtomicU64 = AtomicU64::new(0);
static CALLEE: AtomicU64 = AtomicU64::new(0);
static MUTEX: Mutex<u64> = Mutex::new(0);

fn spend(time: Duration) {
    let until = Deadline::after(time);
    while !until.has_passed() {
        pause();
    }
}

fn until_let_go(mut step: impl FnMut()) {
    while !LET_GO.load(Ordering::Acquire) {
        step();
        pause();
    }
}

fn secondary(own: CpuId) -> ! {
    loop {
        let order = ORDER.swap(0, Ordering::Acquire);
        DOING.store(order, Ordering::Release);
        if order == Order::Mutex as u64 {
            let mut guard = MUTEX.lock();
            *guard += 1;
            until_let_go(cpu::offline_point);
        } else if order == Order::Pin as u64 {
            let _pin = hotplug::pin();
            until_let_go(cpu::offline_point);
        } else if order == Order::Timer as u64 {
            let timer = time::after(LONG, || ());
            until_let_go(cpu::offline_point);
            check(timer.is_ok_and(time::Timer::cancel), "a timer that keeps its CPU can be cancelled");
        } else if order == Order::Call as u64 {
            let callee = cpu::get(CALLEE.load(Ordering::Relaxed) as usize).expect("below the count");
            check(call::on(callee, || until_let_go(|| ())) == Ok(()), "the call is served");
        } else if order == Order::Busy as u64 {
            until_let_go(|| ());
        } else if order == Order::Gather as u64 {
            until_let_go(|| {
                let before = ASKED.load(Ordering::Relaxed);
                check(stop_machine(LONG, || ()) == Ok(()), "it has its turn");
                if ASKED.load(Ordering::Relaxed) - before > 3 {
                    OVERTAKEN.fetch_add(1, Ordering::Relaxed);
                }
                GATHERED.fetch_add(1, Ordering::Release);
            });
        } else if order == Order::LeaveOnceAllowed as u64 {
            asked::leaves_by_itself(own);
        } else if order == Order::Leave as u64 || order == Order::LeaveLater as u64 {
            if order == Order::LeaveLater as u64 {
                until_let_go(|| ());
                spend(short());
            }
            let stayed = hotplug::cpu_down(own, LONG);
            panic!("cpu_down() of the own CPU came back: {stayed:?}");
        }
        DOING.store(0, Ordering::Release);
        cpu::idle();
    }
}

/// Has `cpu` begin with `order`.
fn tell(cpu: CpuId, order: Order) {
    LET_GO.store(false, Ordering::Release);
    // By a closure: it runs in idle, and after it the loop above looks at its orders.
    let store = move || ORDER.store(order as u64, Ordering::Release);
    eventually("the CPU takes a closure", || cpu::launch(cpu, store).is_ok());
    if order != Order::Leave {
        eventually("it does as it was told", || DOING.of(cpu).load(Ordering::Acquire) == order as u64);
    }
}

/// Ends what was ordered, once the main CPU waits for something.
fn let_go_soon() {
    let timer = time::after(Duration::from_millis(3), || LET_GO.store(true, Ordering::Release));
    check(timer.is_ok(), "a timer can be set");
}

// --- callbacks that can be told to misbehave --------------------------------------------------------------------------

/// What the offline callback does.
static OFFLINE: AtomicU64 = AtomicU64::new(0);
/// Holds interrupts back from here on, so that what is sent now is kept; and waits until [`AT_DOOR`] is taken back.
const KEEP: u64 = 1;
/// Waits until [`AT_DOOR`] is taken back.
const WAIT: u64 = 2;
/// Panics.
const PANIC: u64 = 3;
/// Leaves its part of the interrupt controller as nobody would.
const DISORDER: u64 = 4;
/// The offline callback has come to where it waits.
static AT_DOOR: AtomicBool = AtomicBool::new(false);
/// The online callback fails.
static FAILS: AtomicBool = AtomicBool::new(false);

/// The callbacks ask for what they cannot wait for; how often they have.
static ASKS: AtomicBool = AtomicBool::new(false);
static CALLBACKS_ASKED: AtomicU64 = AtomicU64::new(0);
/// The online callback sets a timer before it fails.
static SETS_TIMER: AtomicBool = AtomicBool::new(false);
static FIRED: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// The offline callback does not end the tick.
static STUBBORN: AtomicBool = AtomicBool::new(false);

/// What a timer's closure captures.
struct Captured;

impl Drop for Captured {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
        // That there is no room for it, or that it is dropped, too, is all the same.
        let _ = time::after(TICK, || _ = FIRED.fetch_add(1, Ordering::Relaxed));
    }
}

/// Between two ticks.
const TICK: Duration = Duration::from_micros(300);

fn tick() {
    TICKS.fetch_add(1, Ordering::Relaxed);
    if TICKING.load(Ordering::Relaxed) {
        arm();
    }
}

fn arm() {
    check(time::after(TICK, tick).is_ok(), "a tick can be set");
}

/// The callbacks that have begun, a digit for each in their order: 1 to 3 online, 6 to 8 offline of the same pair.
static BEGAN: AtomicU64 = AtomicU64::new(0);

fn began(callback: u64) {
    BEGAN.store(BEGAN.load(Ordering::Relaxed) % 1_000_000 * 10 + callback, Ordering::Relaxed);
}

/// The online callback is to set up an interrupt.
static SETS_UP: AtomicBool = AtomicBool::new(false);

fn online(cpu: CpuId) -> Result<(), ()> {
    check(irq::is_masked(), "online callbacks run with interrupts masked");
    began(3);
    if SETS_UP.swap(false, Ordering::Relaxed) {
        check(
            irq::register(OWN_SPI, Trigger::Edge, handled_by).is_ok(),
            "an online callback can set up an interrupt",
        );
    }
    if ASKS.load(Ordering::Relaxed) {
        refused_here();
    }
    if HAS_TICK.of(cpu).load(Ordering::Relaxed) && !TICKING.of(cpu).swap(true, Ordering::Relaxed) {
        arm();
    }
    if SETS_TIMER.load(Ordering::Relaxed) {
        let captured = Captured;
        let timer = time::after(TICK, move || {
            let _captured = captured;
            FIRED.fetch_add(1, Ordering::Relaxed);
        });
        check(timer.is_ok(), "an online callback can set a timer");
    }
    if FAILS.load(Ordering::Relaxed) { Err(()) } else { Ok(()) }
}

fn offline(cpu: CpuId) {
    check(!irq::is_masked(), "offline callbacks run in thread context");
    began(8);
    if ASKS.load(Ordering::Relaxed) {
        refused_here();
        // No offline points here.
        cpu::wake(cpu);
        cpu::idle();
        cpu::offline_point();
    }
    if !STUBBORN.load(Ordering::Relaxed) {
        TICKING.of(cpu).store(false, Ordering::Relaxed);
    }
    match OFFLINE.swap(0, Ordering::Relaxed) {
        // It never comes back from here, so nobody misses the end of the section.
        KEEP => core::mem::forget(irq::mask()),
        WAIT => {}
        PANIC => panic!("on purpose in an offline callback"),
        DISORDER => return interrupts::disorder(),
        _ => return,
    }
    AT_DOOR.store(true, Ordering::Release);
    while AT_DOOR.load(Ordering::Acquire) {
        pause();
    }
}

fn at_door() -> bool {
    AT_DOOR.load(Ordering::Acquire)
}

fn open_door() {
    AT_DOOR.store(false, Ordering::Release);
}

// --- the cases --------------------------------------------------------------------------------------------------------

#[track_caller]
fn down(cpu: CpuId) {
    let result = hotplug::cpu_down(cpu, LONG);
    assert!(result == Ok(()), "cpu {cpu} does not leave: {result:?}");
    check(!cpu::online().contains(cpu), "a CPU that left is not online");
    check(matches!(fault::slot(cpu).state, State::Gone | State::Offline), "it is gone");
}

#[track_caller]
fn up(cpu: CpuId) {
    let verdict = cpu_up(cpu, LONG);
    assert!(verdict == Verdict::Online, "cpu {cpu} does not come back: {verdict:?}");
    check(call::on(cpu, cpu::current) == Ok(cpu), "a CPU that came back answers");
}

/// Asks `cpu` to leave, for a short time, in vain, and says why. Where hosts keep CPUs waiting it may have come to nothing in that time,
/// which is not what `wanted` says: then once more, for longer.
fn stays(cpu: CpuId, mut time: Duration, wanted: HotplugError) -> HotplugError {
    loop {
        let Err(error) = hotplug::cpu_down(cpu, time) else { panic!("cpu {cpu} leaves, but for {wanted:?}") };
        let slow = matches!(
            error,
            HotplugError::Held(Hold::NotIdle | Hold::Callback)
                | HotplugError::TimedOut(_)
                | HotplugError::Busy
        );
        if error == wanted || !slow || !longer(&mut time) {
            return error;
        }
    }
}

fn refusals(cpu: CpuId) {
    check(hotplug::cpu_down(CpuId::BOOT, short()) == Err(HotplugError::Held(Hold::Main)), "main is a hold");
    static HOLD: AtomicU64 = AtomicU64::new(1);
    eventually("an idle CPU takes a closure", || {
        cpu::launch(cpu, move || {
            let own = hotplug::cpu_down(cpu, LONG);
            check(own == Err(HotplugError::Held(Hold::Closure)), "a closure is a hold on its own CPU");
            while HOLD.load(Ordering::Relaxed) == 1 {
                cpu::offline_point();
                pause();
            }
            HOLD.store(2, Ordering::Relaxed);
        })
        .is_ok()
    });
    check(hotplug::cpu_down(cpu, short()) == Err(HotplugError::Held(Hold::Closure)), "a closure is a hold");
    check(cpu::online().contains(cpu), "a CPU that holds something stays");
    HOLD.store(0, Ordering::Relaxed);
    eventually("the closure ends", || HOLD.load(Ordering::Relaxed) == 2);
    down(cpu);
    check(hotplug::cpu_down(cpu, LONG) == Err(HotplugError::NotOnline), "it cannot leave twice");
    check(call::on(cpu, || ()) == Err(CallError::Offline), "a call to it is refused");
    check(matches!(call::post(cpu, || ()), Err(PostError::Offline(_))), "a post to it is refused");
    check(cpu::launch(cpu, || ()).is_err(), "a closure for it is refused");
    for _ in 0..2 {
        let late = call::on_deadline(cpu, LONG, || ());
        check(late == Err(CallError::Offline), "a call with a deadline is refused, time and again");
    }
    up(cpu);
    check(cpu_up(cpu, LONG) == Verdict::Online, "bringing up what is up changes nothing");
    let masked = irq::mask();
    let refused = hotplug::cpu_down(cpu, LONG);
    check(refused == Err(HotplugError::WouldDeadlock), "not with interrupts masked");
    drop(masked);
    let refused = call::on(cpu, || hotplug::cpu_down(CpuId::BOOT, LONG));
    check(refused == Ok(Err(HotplugError::WouldDeadlock)), "not in a callback");
}

/// All but one, each in turn; the last stays.
fn in_order(system: &System) {
    for cpu in cpu::online().without(CpuId::BOOT) {
        down(cpu);
    }
    check(cpu::online().len() == 1, "only one is left");
    check(hotplug::cpu_down(CpuId::BOOT, LONG) == Err(HotplugError::LastCpu), "the last one stays");
    check(stop_machine(LONG, || 1) == Ok(1), "one CPU is gathered soon");
    check(system.bring_up_all(LONG).is_complete(), "all come back");
}

/// What a CPU holds keeps it; once it lets go it leaves, for the same request.
fn holds(cpu: CpuId) {
    let cases = [
        (Order::Mutex, Hold::Mutex),
        (Order::Pin, Hold::Pinned),
        (Order::Timer, Hold::Timer),
        (Order::Busy, Hold::NotIdle),
    ];
    for (order, hold) in cases {
        tell(cpu, order);
        let held = stays(cpu, short(), HotplugError::Held(hold));
        assert!(held == HotplugError::Held(hold), "{order:?}: {held:?}");
        check(call::on(cpu, cpu::current) == Ok(cpu), "it stays, and works on");
        let_go_soon();
        down(cpu);
        check(MUTEX.try_lock().is_some(), "nothing that it held is left held");
        up(cpu);
    }
}

/// A CPU that wants to leave, while another asks it to, does not wait for that one with what keeps it from leaving.
fn both_want_it(cpu: CpuId) {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    ASKED.store(0, Ordering::Relaxed);
    eventually("an idle CPU takes a closure", || {
        cpu::launch(cpu, move || {
            eventually("it is about to be asked", || ASKED.load(Ordering::Relaxed) == 1);
            spend(short());
            let start = Instant::now();
            let own = hotplug::cpu_down(cpu, LONG);
            check(own == Err(HotplugError::Held(Hold::Closure)), "the closure holds it, whoever asks");
            check(Instant::now() - start < LONG / 2, "and it hears of that at once");
        })
        .is_ok()
    });
    ASKED.store(1, Ordering::Relaxed);
    down(cpu);
    up(cpu);
}

/// A CPU that takes itself down waits for the right to, which another one has that asks it to leave: so it leaves in the middle of
/// its wait, and is not waited for any more.
fn leaves_while_it_waits(cpu: CpuId) {
    for _ in 0..5 {
        tell(cpu, Order::LeaveLater);
        LET_GO.store(true, Ordering::Release);
        match hotplug::cpu_down(cpu, LONG) {
            // Where this CPU stands still for long, that one may be first.
            Ok(()) | Err(HotplugError::NotOnline) => {}
            Err(other) => panic!("cpu {cpu} does not leave: {other:?}"),
        }
        eventually("it is gone", || matches!(fault::slot(cpu).state, State::Gone | State::Offline));
        nothing_left();
        up(cpu);
    }
}

/// A CPU that is asked to leave again and again, each time in vain, gets to gather CPUs all the same: whoever asks does not take
/// the right to do so away from it by asking anew.
fn turns(cpu: CpuId) {
    tell(cpu, Order::Gather);
    let until = Deadline::after(LONG);
    while GATHERED.load(Ordering::Acquire) < 100 {
        check(!until.has_passed(), "it gathers CPUs while it is asked to leave");
        match hotplug::cpu_down(cpu, Duration::ZERO) {
            Err(HotplugError::Held(_)) => _ = ASKED.fetch_add(1, Ordering::Relaxed),
            // It is the other one's turn.
            Err(HotplugError::Busy) => {}
            other => panic!("it comes to no offline point: {other:?}"),
        }
    }
    LET_GO.store(true, Ordering::Release);
    down(cpu);
    up(cpu);
    let (gathered, overtaken) = (GATHERED.load(Ordering::Relaxed), OVERTAKEN.load(Ordering::Relaxed));
    println!("hotplug: {gathered} turns, {overtaken} of them after more than three of another CPU");
    // It may be asked before it says that it waits: how often that is depends on the host, if that lets CPUs wait.
    check(overtaken * 4 < gathered || !run_all_the_time(), "it has its turn when it waits for one");
}

/// A CPU that waits for its own call is no more at an offline point than one that computes.
fn waits_for_a_callee(cpu: CpuId, callee: CpuId) {
    CALLEE.store(callee.index() as u64, Ordering::Relaxed);
    tell(cpu, Order::Call);
    check(
        hotplug::cpu_down(cpu, short()) == Err(HotplugError::Held(Hold::NotIdle)),
        "a CPU that waits for its call stays",
    );
    let_go_soon();
    down(cpu);
    up(cpu);
}

/// A CPU that takes itself down keeps the right to do so until it is gone; then another takes it over.
fn by_itself(cpu: CpuId) {
    for round in 0..5 {
        tell(cpu, Order::Leave);
        if round % 2 == 0 {
            eventually("it is gone", || matches!(fault::slot(cpu).state, State::Gone | State::Offline));
        }
        // Otherwise in the middle of it.
        check(stop_machine(LONG, || 7) == Ok(7), "its right is taken over");
        eventually("it is gone", || !cpu::online().contains(cpu));
        up(cpu);
    }
}

/// Who brings a CPU up gets its verdict when that lets in calls of every sender, not of some.
fn lets_calls_in(cpu: CpuId) {
    static IS_UP: AtomicBool = AtomicBool::new(false);
    static OPENED: AtomicU64 = AtomicU64::new(0);
    static TOO_EARLY: AtomicU64 = AtomicU64::new(0);
    fn before(_: CpuId) {
        spend(Duration::from_millis(2));
        OPENED.fetch_add(1, Ordering::Relaxed);
        TOO_EARLY.fetch_add(IS_UP.load(Ordering::Relaxed).into(), Ordering::Relaxed);
    }
    down(cpu);
    fault::before_opening(Some(before));
    let verdict = cpu_up(cpu, LONG);
    IS_UP.store(true, Ordering::Relaxed);
    check(verdict == Verdict::Online && call::on(cpu, || ()) == Ok(()), "it lets this CPU's calls in");
    fault::before_opening(None);
    eventually("it goes on", || cpu::launch(cpu, || ()).is_ok());
    check(OPENED.load(Ordering::Relaxed) > 0, "it opens its queues");
    check(TOO_EARLY.load(Ordering::Relaxed) == 0, "all of them before anyone is told that it is there");
}

/// An online callback that fails sends its CPU away again, with a verdict.
fn failing_callback(system: &System, cpu: CpuId) {
    down(cpu);
    FAILS.store(true, Ordering::Relaxed);
    let (came, went) = (CAME.of(cpu).load(Ordering::Relaxed), WENT.of(cpu).load(Ordering::Relaxed));
    let generation = fault::slot(cpu).generation;
    for round in 0..2 {
        BEGAN.store(0, Ordering::Relaxed);
        if round == 0 {
            SETS_UP.store(true, Ordering::Relaxed);
        }
        check(cpu_up(cpu, LONG) == Verdict::Failed(Reason::Callback as u16), "the verdict says why");
        check(!cpu::online().contains(cpu), "it is not online");
        check(BEGAN.load(Ordering::Relaxed) == 12376, "what was done is undone, the last first");
    }
    check(
        handler_of(system, OWN_SPI).is_some_and(|cpu| cpu::online().contains(cpu)),
        "an interrupt that it has set up meanwhile is handled elsewhere",
    );
    check(CAME.of(cpu).load(Ordering::Relaxed) == came + 2, "the callback before it ran");
    check(WENT.of(cpu).load(Ordering::Relaxed) == went + 2, "and was undone");
    FAILS.store(false, Ordering::Relaxed);
    BEGAN.store(0, Ordering::Relaxed);
    up(cpu);
    check(BEGAN.load(Ordering::Relaxed) == 123, "callbacks run in the order in which they were registered");
    down(cpu);
    check(BEGAN.load(Ordering::Relaxed) == 123_876, "and the other way round as it goes");
    up(cpu);
    check(fault::slot(cpu).generation == generation + 4, "the next starts succeed");
}

/// A timer that was set on the way up does not fire if there is no up, not even when the CPU comes in the end.
fn timer_of_a_failing_callback(cpu: CpuId) {
    down(cpu);
    FAILS.store(true, Ordering::Relaxed);
    SETS_TIMER.store(true, Ordering::Relaxed);
    for failures in 1..=3 {
        check(cpu_up(cpu, LONG) == Verdict::Failed(Reason::Callback as u16), "the callback fails");
        check(DROPPED.load(Ordering::Relaxed) == failures, "what the timer captured is dropped");
    }
    FAILS.store(false, Ordering::Relaxed);
    SETS_TIMER.store(false, Ordering::Relaxed);
    up(cpu);
    spend(TICK * 4);
    check(FIRED.load(Ordering::Relaxed) == 0, "no timer of a life that never was fires in this one");
    // It holds nothing that it would not know of.
    down(cpu);
    up(cpu);
}

/// A timer that sets itself anew does not keep its CPU, if the offline callback ends that.
fn periodic_tick(cpu: CpuId) {
    let ticks = || TICKS.of(cpu).load(Ordering::Relaxed);
    let ticks_on = || {
        let before = ticks();
        eventually("it ticks", || ticks() > before + 2);
    };
    let came = || CAME.of(cpu).load(Ordering::Relaxed);
    let went = || WENT.of(cpu).load(Ordering::Relaxed);
    HAS_TICK.of(cpu).store(true, Ordering::Relaxed);
    let start = || {
        TICKING.store(true, Ordering::Relaxed);
        arm();
    };
    check(call::on(cpu, start).is_ok(), "it begins to tick");
    for _ in 0..2 {
        ticks_on();
        let before = (came(), went());
        down(cpu);
        check((came(), went()) == (before.0, before.1 + 1), "it goes at the first attempt");
        let before = ticks();
        up(cpu);
        ticks_on();
        check(ticks() > before, "its online callback has started it again");
    }
    tell(cpu, Order::Leave);
    eventually("it leaves by itself", || matches!(fault::slot(cpu).state, State::Gone | State::Offline));
    up(cpu);
    ticks_on();
    STUBBORN.store(true, Ordering::Relaxed);
    let before = (came(), went());
    let held = HotplugError::Held(Hold::Timer);
    check(stays(cpu, short(), held) == held, "one that nobody ends keeps its CPU");
    check(call::on(cpu, cpu::current) == Ok(cpu), "which goes on");
    settle(cpu);
    check(went() > before.1 && came() - before.0 == went() - before.1, "its callbacks have run in pairs");
    ticks_on();
    STUBBORN.store(false, Ordering::Relaxed);
    down(cpu);
    HAS_TICK.of(cpu).store(false, Ordering::Relaxed);
    up(cpu);
}

static SYSTEM: SpinLock<Option<&'static System>> = SpinLock::new(None);

/// Who cannot wait here for others is told so, at once.
#[track_caller]
fn refused_here() {
    let Some(system) = *SYSTEM.lock() else { return };
    let start = Instant::now();
    for cpu in cpu::possible() {
        let verdict = cpu::status(cpu).verdict;
        check(cpu_up(cpu, LONG) == Verdict::WouldDeadlock, "no CPU is started from here");
        check(cpu::status(cpu).verdict == verdict, "and there is no record of it");
        check(hotplug::cpu_down(cpu, LONG) == Err(HotplugError::WouldDeadlock), "nor taken down");
    }
    let online = cpu::online();
    let roll_call = system.bring_up_all(LONG);
    for entry in roll_call.iter() {
        let is_online = online.contains(entry.cpu);
        let expected = if is_online { Verdict::Online } else { Verdict::WouldDeadlock };
        assert!(entry.verdict == expected, "{entry}");
    }
    check(roll_call.is_complete() == (online == cpu::possible()), "and the roll call says so");
    let stopped = stop_machine(LONG, || ());
    check(stopped == Err(StopError::WouldDeadlock), "nobody is gathered");
    let stopped = stop_machine_each(LONG, |_| ());
    check(stopped == Err(StopError::WouldDeadlock), "in neither way");
    let patched = KEY.enable();
    check(patched == Err(PatchError::Stop(StopError::WouldDeadlock)), "nothing is patched");
    check(Instant::now() - start < LONG / 4, "and nobody waits");
    CALLBACKS_ASKED.fetch_add(1, Ordering::Relaxed);
}

/// Every place from which nobody can wait for others; with a CPU that could be started, and without.
fn where_nobody_waits(cpu: CpuId) {
    let others = cpu::online().without(cpu).without(CpuId::BOOT);
    let asked = || CALLBACKS_ASKED.load(Ordering::Relaxed);
    for _ in 0..2 {
        let masked = irq::mask();
        refused_here();
        drop(masked);
        check(stop_machine(LONG, refused_here) == Ok(()), "a job can be refused something");
        let own = cpu::current();
        check(
            stop_machine_each(LONG, |cpu| {
                if cpu == own {
                    refused_here()
                }
            }) == Ok(()),
            "in either way",
        );
        for target in cpu::online() {
            check(call::on(target, refused_here).is_ok(), "so can a call");
        }
        let before = asked();
        check(time::after(TICK, refused_here).is_ok(), "a timer can be set");
        check(call::post(own, refused_here).is_ok(), "a post can be sent");
        eventually("both have run", || asked() == before + 2);
        if cpu::online().contains(cpu) {
            down(cpu);
        } else {
            up(cpu);
        }
    }
    // In the callbacks: on the way up and on the way down,
    ASKS.store(true, Ordering::Relaxed);
    let before = asked();
    down(cpu);
    up(cpu);
    check(asked() == before + 2, "each callback has asked");
    // when the way up fails,
    down(cpu);
    FAILS.store(true, Ordering::Relaxed);
    check(cpu_up(cpu, LONG) == Verdict::Failed(Reason::Callback as u16), "the callback fails");
    FAILS.store(false, Ordering::Relaxed);
    up(cpu);
    // and when the way down does, for want of one who comes.
    if let Some(third) = others.iter().next() {
        let masked = Masked::begin(third);
        let missing = HotplugError::TimedOut([third].into_iter().collect());
        check(stays(cpu, short() * 2, missing) == missing, "one does not come");
        settle(cpu);
        masked.end();
    }
    ASKS.store(false, Ordering::Relaxed);
    down(cpu);
    up(cpu);
}

/// A CPU that has masked its interrupts, until it is told to open them.
struct Masked(CpuId);

static MASKED: AtomicU64 = AtomicU64::new(0);

impl Masked {
    fn begin(cpu: CpuId) -> Self {
        MASKED.store(0, Ordering::Relaxed);
        eventually("it takes a closure", || {
            cpu::launch(cpu, || {
                let masked = irq::mask();
                MASKED.store(1, Ordering::Relaxed);
                while MASKED.load(Ordering::Relaxed) == 1 {
                    pause();
                }
                drop(masked);
            })
            .is_ok()
        });
        eventually("it masks", || MASKED.load(Ordering::Relaxed) == 1);
        Self(cpu)
    }

    fn end(self) {
        MASKED.store(2, Ordering::Relaxed);
        settle(self.0);
    }
}

/// Calls that wait in the queue of a CPU as it closes: one that waits for its sender, and one that its sender waits for.
fn gate(cpu: CpuId, sender: CpuId) {
    static GATE: AtomicU64 = AtomicU64::new(0);
    let caller = cpu::online().without(CpuId::BOOT).without(cpu).without(sender).iter().next();
    let mut rounds = 0;
    let mut time = short();
    while rounds < 5 {
        static RAN: AtomicU64 = AtomicU64::new(0);
        /// How far the caller is: 1 it calls, 2 the call has come back.
        static SERVED: AtomicU64 = AtomicU64::new(0);
        /// It was not accepted.
        static TOO_LATE: AtomicU64 = AtomicU64::new(0);
        RAN.store(0, Ordering::Relaxed);
        GATE.store(0, Ordering::Relaxed);
        SERVED.store(0, Ordering::Relaxed);
        OFFLINE.store(KEEP, Ordering::Relaxed);
        if let Some(caller) = caller {
            // Queued while interrupts are held back there.
            eventually("the caller takes a closure", || {
                cpu::launch(caller, move || {
                    eventually("the CPU is about to leave", at_door);
                    SERVED.store(1, Ordering::Relaxed);
                    let ran = AtomicU64::new(0);
                    let served = call::on(cpu, || {
                        ran.store(1, Ordering::Relaxed);
                        5
                    });
                    let too_late = served == Err(CallError::Offline) && ran.load(Ordering::Relaxed) == 0;
                    check(served == Ok(5) || too_late, "a call that was accepted is served");
                    TOO_LATE.fetch_add(too_late.into(), Ordering::Relaxed);
                    SERVED.store(2, Ordering::Relaxed);
                })
                .is_ok()
            });
        }
        eventually("the sender takes a closure", || {
            cpu::launch(sender, move || {
                eventually("the CPU is about to leave", at_door);
                let posted = call::post(cpu, move || {
                    RAN.fetch_add(1, Ordering::Relaxed);
                    check(cpu::current() == cpu && irq::in_interrupt(), "it runs where it was sent");
                    check(
                        time::after(short(), || ()).err() == Some(TimerError::Leaving),
                        "a CPU on its way out takes no timer",
                    );
                    GATE.store(1, Ordering::Release);
                    let until = Deadline::after(LONG);
                    while GATE.load(Ordering::Acquire) != 2 {
                        check(!until.has_passed(), "the sender is live while what was kept runs");
                        pause();
                    }
                });
                check(posted.is_ok(), "the CPU is still online");
                if caller.is_some() {
                    eventually("the caller calls", || SERVED.load(Ordering::Relaxed) == 1);
                    // What it takes from there to the queue, if its host lets it.
                    let until = Deadline::after(Duration::from_millis(2));
                    while !until.has_passed() {
                        pause();
                    }
                }
                open_door();
                eventually("what was kept runs", || GATE.load(Ordering::Acquire) == 1);
                check(fault::slot(cpu).state == State::Dying, "when the CPU has left the others");
                check(matches!(call::post(cpu, || ()), Err(PostError::Offline(_))), "and takes no more");
                GATE.store(2, Ordering::Release);
            })
            .is_ok()
        });
        down(cpu);
        check(RAN.load(Ordering::Relaxed) == 1, "what was accepted ran, once, before it was gone");
        if caller.is_some() {
            eventually("the call was served", || SERVED.load(Ordering::Relaxed) == 2);
        }
        settle(sender);
        caller.into_iter().for_each(settle);
        up(cpu);
        // One that was too late has not seen what this is about.
        let too_late = TOO_LATE.swap(0, Ordering::Relaxed) != 0;
        check(!too_late || longer(&mut time), "a call comes in time now and then");
        rounds += u64::from(!too_late);
    }
}

fn settle(cpu: CpuId) {
    eventually("every CPU is free again", || cpu::launch(cpu, || ()).is_ok());
}

/// A third CPU does not come to the gathering in which one would leave: it stays, whole.
fn called_off(cpu: CpuId, masked: CpuId) {
    let third = Masked::begin(masked);
    let (came, went) = (CAME.of(cpu).load(Ordering::Relaxed), WENT.of(cpu).load(Ordering::Relaxed));
    let missing = HotplugError::TimedOut([masked].into_iter().collect());
    check(stays(cpu, short(), missing) == missing, "it is called off, for want of the one that is masked");
    check(cpu::online().contains(cpu), "the CPU stays");
    check(call::on(cpu, || 3) == Ok(3), "takes calls");
    settle(cpu);
    check(
        CAME.of(cpu).load(Ordering::Relaxed) - came == WENT.of(cpu).load(Ordering::Relaxed) - went,
        "what its callbacks took down they have set up again",
    );
    third.end();
    down(cpu);
    up(cpu);
}

/// One that is off takes nothing, and that is the answer, also to a sender whose closures are all on their way elsewhere.
fn without_nodes(cpu: CpuId, masked: CpuId) {
    static RAN: AtomicU64 = AtomicU64::new(0);
    RAN.store(0, Ordering::Relaxed);
    down(cpu);
    let busy = Masked::begin(masked);
    let mut sent = 0;
    while call::post(masked, || _ = RAN.fetch_add(1, Ordering::Relaxed)).is_ok() {
        sent += 1;
    }
    check(matches!(call::post(masked, || ()), Err(PostError::Busy(_))), "all are on their way");
    check(matches!(call::post(cpu, || ()), Err(PostError::Offline(_))), "but that one is off");
    busy.end();
    eventually("all arrive", || RAN.load(Ordering::Relaxed) == sent);
    up(cpu);
}

/// Others gather everyone, over and over, while a CPU leaves and comes back.
fn under_stops(cpu: CpuId) {
    static STOP: AtomicBool = AtomicBool::new(false);
    static ROUNDS: AtomicU64 = AtomicU64::new(0);
    STOP.store(false, Ordering::Relaxed);
    let others = cpu::online().without(CpuId::BOOT).without(cpu);
    for other in others {
        eventually("the other takes a closure", || {
            cpu::launch(other, || {
                while !STOP.load(Ordering::Relaxed) {
                    check(stop_machine(LONG, || ()) == Ok(()), "rounds and departures take turns");
                    ROUNDS.fetch_add(1, Ordering::Relaxed);
                    for _ in 0..20 {
                        pause();
                    }
                }
            })
            .is_ok()
        });
    }
    for _ in 0..10 {
        let before = ROUNDS.load(Ordering::Relaxed);
        down(cpu);
        up(cpu);
        eventually("the others go on", || ROUNDS.load(Ordering::Relaxed) > before);
    }
    STOP.store(true, Ordering::Relaxed);
    others.into_iter().for_each(settle);
}

reveille::static_key!(KEY, false);

/// What a CPU still has to run takes too long: it is no longer one of the CPUs, but neither is it gone.
fn still_dying(cpu: CpuId, sender: CpuId) {
    static GATE: AtomicU64 = AtomicU64::new(0);
    GATE.store(0, Ordering::Relaxed);
    OFFLINE.store(KEEP, Ordering::Relaxed);
    eventually("the sender takes a closure", || {
        cpu::launch(sender, move || {
            eventually("the CPU is about to leave", at_door);
            let posted = call::post(cpu, || {
                while GATE.load(Ordering::Acquire) != 2 {
                    pause();
                }
            });
            check(posted.is_ok(), "the CPU is still online");
            open_door();
        })
        .is_ok()
    });
    check(hotplug::cpu_down(cpu, short()) == Err(HotplugError::StillDying), "it is not gone in time");
    check(!cpu::online().contains(cpu), "but no longer online");
    check(stop_machine(LONG, || 1) == Ok(1), "the others can be gathered without it");
    check(KEY.enable() == Err(PatchError::Busy(cpu)), "nothing can be patched under it");
    check(!KEY.is_enabled(), "and nothing was");
    check(cpu_up(cpu, short()) == Verdict::Busy, "it cannot be brought up");
    check(hotplug::cpu_down(cpu, short()) == Err(HotplugError::NotOnline), "nor taken down again");
    GATE.store(2, Ordering::Release);
    eventually("it is gone in the end", || matches!(fault::slot(cpu).state, State::Gone | State::Offline));
    check(KEY.enable() == Ok(2) && KEY.is_enabled(), "then patching is possible again");
    settle(sender);
    up(cpu);
}

/// The offline callback takes too long: nobody waits for the CPU any more, so it stays.
fn slow_callback(cpu: CpuId) {
    OFFLINE.store(WAIT, Ordering::Relaxed);
    let asked = hotplug::cpu_down(cpu, short());
    check(asked == Err(HotplugError::Held(Hold::Callback)), "whoever asked does not wait for ever");
    check(at_door() && cpu::online().contains(cpu), "the CPU is still in its callback");
    let held = Err(HotplugError::Held(Hold::Callback));
    check(hotplug::cpu_down(cpu, short()) == held, "a second request has to wait");
    check(stop_machine(LONG, || 1) == Ok(1), "it can be gathered");
    open_door();
    eventually("it comes out of the callback", || call::on(cpu, || 1) == Ok(1) && launches(cpu));
    check(cpu::online().contains(cpu), "and stays");
    down(cpu);
    up(cpu);
}

fn launches(cpu: CpuId) -> bool {
    cpu::launch(cpu, || ()).is_ok()
}

/// Firmware turns no CPU off: they wait in the pen, and come back from there.
fn denied(others: CpuSet) {
    for code in [-3, -1] {
        for cpu in others {
            shim::plan(cpu, Plan::Honest);
            shim::plan(cpu, Plan::Stay(code));
        }
        for _ in 0..3 {
            for cpu in others {
                let generation = fault::slot(cpu).generation;
                down(cpu);
                eventually("it waits in the pen", || {
                    fault::crumbs(cpu).is_some_and(|crumbs| crumbs.pen == Some(generation))
                });
            }
            for cpu in others {
                let calls = shim::look(cpu).calls;
                up(cpu);
                check(shim::look(cpu).calls == calls, "it comes from the pen, and firmware is not asked");
            }
            // At once, when it may be on its way to the pen.
            for cpu in others {
                down(cpu);
                up(cpu);
            }
        }
    }
    for cpu in others {
        shim::plan(cpu, Plan::Honest);
    }
    println!("hotplug: firmware that turns nothing off");
}

/// A CPU panics as it leaves.
fn panic_at(place: &str) {
    let others = cpu::online().without(CpuId::BOOT);
    let (Some(cpu), Some(sender)) = (others.iter().next(), others.iter().last()) else { return };
    match place {
        "offline" => OFFLINE.store(PANIC, Ordering::Relaxed),
        "kept" => {
            OFFLINE.store(KEEP, Ordering::Relaxed);
            eventually("the sender takes a closure", || {
                cpu::launch(sender, move || {
                    eventually("the CPU is about to leave", at_door);
                    let posted = call::post(cpu, || panic!("on purpose in a kept call"));
                    check(posted.is_ok(), "the CPU is still online");
                    open_door();
                })
                .is_ok()
            });
        }
        _ => return,
    }
    let left = hotplug::cpu_down(cpu, LONG);
    println!("hotplug: {left:?}");
    // The report comes from the other CPU.
    let _: Result<(), StopError> = stop_machine(LONG, || ());
    loop {
        cpu::idle();
    }
}
