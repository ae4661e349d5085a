//! The contexts: where a function can be called.

use crate::cell;
use crate::functions::{self, FUNCTIONS, LOCK, MUTEX, OTHER};
use crate::{BROKEN, LONG, system};
use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::hotplug::Pin;
use reveille::irq::{self, Trigger};
use reveille::panic::{self, Action, CrashReport};
use reveille::sync::{Mutex, SpinLock};
use reveille::time::{self, Deadline, Instant};
use reveille::{ExitCode, call, hotplug, nmi, power, println, stop_machine, stop_machine_each};
use reveille_tests::{argument, eventually, pause};

/// A context.
pub struct Context {
    /// As in the table.
    pub name: &'static str,
    pub kind: Kind,
    /// The CPU that is in it.
    pub actor: usize,
    /// Has the function called there. On the CPU that booted, in its thread.
    pub enter: fn(),
}

/// What is so at all times.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// All CPUs but one are online.
    Usual,
    /// No CPU has been brought up.
    Alone,
    /// The others have been stopped.
    Stopped,
    /// In the panic hook: `enter` does not return.
    Hook,
}

/// The CPU that most contexts are on.
pub const ACTOR: usize = 1;
const BOOT: usize = 0;

const fn context(name: &'static str, actor: usize, enter: fn()) -> Context {
    Context { name, kind: Kind::Usual, actor, enter }
}

/// All of them.
pub static CONTEXTS: &[Context] = &[
    Context { name: "alone", kind: Kind::Alone, actor: BOOT, enter: cell::run },
    context("main", BOOT, cell::run),
    context("launched", ACTOR, launched),
    context("secondary", ACTOR, order::<CALL>),
    context("mutex", BOOT, mutex),
    context("masked", BOOT, masked),
    context("lock", BOOT, lock),
    #[cfg(feature = "critical-section")]
    context("section", BOOT, || critical_section::with(|_| cell::run())),
    context("call-self", BOOT, || done(call::on(CpuId::BOOT, cell::run).is_ok(), "a call of this CPU")),
    context("call", ACTOR, || done(call::on(actor(), cell::run).is_ok(), "a call")),
    context("post", ACTOR, || done(call::post(actor(), cell::run).is_ok(), "a post")),
    context("timer", ACTOR, timer),
    context("handler", ACTOR, handler),
    context("job", BOOT, || done(stop_machine(LONG, cell::run).is_ok(), "a gathering")),
    context("job-each", ACTOR, job_each),
    context("online", ACTOR, online),
    context("online-undo", ACTOR, online_undo),
    context("offline", ACTOR, || offline(At::Offline)),
    context("offline-undo", ACTOR, || offline(At::OfflineUndo)),
    context("leaving", ACTOR, || offline(At::Leaving)),
    context("nmi", ACTOR, || summon(actor())),
    context("nmi-self", BOOT, || summon(CpuId::BOOT)),
    context("nmi-in-lock", ACTOR, nmi_in_lock),
    Context { name: "hook", kind: Kind::Hook, actor: BOOT, enter: cell::run },
    Context { name: "stopped", kind: Kind::Stopped, actor: BOOT, enter: cell::run },
];

/// The machine, as the context wants it.
pub fn set_up(context: &'static Context) {
    done(hotplug::register(online_first, offline_last).is_ok(), "callbacks");
    done(hotplug::register(online_last, offline_first).is_ok(), "more callbacks");
    let listed = system().machine().timer.as_ref().ok().and_then(|timer| timer.physical);
    let physical = listed.map_or(30, |interrupt| interrupt.id);
    done(irq::register(physical, Trigger::Level, tick).is_ok(), "the physical timer");
    functions::set_up();
    if context.kind == Kind::Alone {
        return;
    }
    for cpu in [ACTOR, OTHER].into_iter().filter_map(cpu::get) {
        done(cpu_up(cpu, LONG) == Verdict::Online, "bringing up");
    }
    match context.kind {
        Kind::Stopped => done(panic::stop_others(LONG).is_complete(), "stopping the others"),
        Kind::Hook => {
            panic::set_action(Action::Hook(hook));
            panic!("to get to the hook");
        }
        _ => {}
    }
}

/// What the test itself does has to work.
#[track_caller]
fn done(good: bool, what: &str) {
    if !good {
        println!("contexts: not done: {what}, at {}", core::panic::Location::caller());
        power::exit(ExitCode::from(BROKEN));
    }
}

fn actor() -> CpuId {
    cpu::get(ACTOR).expect("the machine has four CPUs")
}

fn only(cpu: CpuId) -> CpuSet {
    [cpu].into_iter().collect()
}

fn launch(cpu: CpuId, f: fn()) {
    eventually("an idle CPU takes a closure", || cpu::launch(cpu, f).is_ok());
}

/// Takes back what a context may have left behind. After each call, in the thread of the CPU that booted.
pub fn tidy() {
    AT.store(At::Nowhere as usize, Ordering::Relaxed);
    LET_GO.store(true, Ordering::Release);
}

// --- threads ----------------------------------------------------------------------------------------------------------

fn launched() {
    launch(actor(), cell::run);
}

/// What the actor is to do in its secondary function, outside of any closure.
static ORDER: AtomicUsize = AtomicUsize::new(NOTHING);
const NOTHING: usize = 0;
/// Call the function.
const CALL: usize = 1;
/// Hold locks, until told to let go.
const HOLD: usize = 2;

fn order<const ORDERED: usize>() {
    // By a closure: it runs in idle, and then the loop below looks at its orders.
    launch(actor(), || ORDER.store(ORDERED, Ordering::Relaxed));
}

/// What the other CPUs run.
pub fn secondary(cpu: CpuId) -> ! {
    if cpu == CpuId::BOOT {
        // The function has ended `main`, as it should.
        println!("-> ends");
        power::exit(ExitCode::from(crate::ENDED));
    }
    loop {
        if cpu.index() == ACTOR {
            match ORDER.swap(NOTHING, Ordering::Relaxed) {
                CALL => cell::run(),
                HOLD => hold_locks(),
                _ => {}
            }
        }
        cpu::idle();
    }
}

fn mutex() {
    static HELD: Mutex<()> = Mutex::new(());
    let held = HELD.lock();
    cell::run();
    drop(held);
}

fn masked() {
    let masked = irq::mask();
    cell::run();
    drop(masked);
}

fn lock() {
    static HELD: SpinLock<()> = SpinLock::new(());
    let held = HELD.lock();
    cell::run();
    drop(held);
}

// --- interrupts -------------------------------------------------------------------------------------------------------

/// When the closure that sets a timer has ended.
const SOON: Duration = Duration::from_micros(100);

fn timer() {
    launch(actor(), || done(time::after(SOON, cell::run).is_ok(), "a timer"));
}

/// The physical timer, which the runtime leaves alone, interrupts this CPU at that time, or no more.
fn set_physical_timer(at: Option<Instant>) {
    // SAFETY: the physical timer of EL1, which nobody else uses.
    unsafe {
        asm!("msr cntp_cval_el0, {at}", "msr cntp_ctl_el0, {on}", "isb",
            at = in(reg) at.map_or(0, Instant::ticks), on = in(reg) u64::from(at.is_some()),
            options(nomem, nostack, preserves_flags));
    }
}

fn handler() {
    launch(actor(), || set_physical_timer(Some(Instant::now() + SOON)));
}

fn tick(_: u32) {
    set_physical_timer(None);
    cell::run();
}

// --- stop-machine -----------------------------------------------------------------------------------------------------

fn job_each() {
    let job = |cpu: CpuId| {
        if cpu.index() == ACTOR {
            cell::run();
        }
    };
    done(stop_machine_each(LONG, job).is_ok(), "a gathering");
}

// --- CPUs that come and go --------------------------------------------------------------------------------------------

/// Where a function is to be called.
#[derive(Clone, Copy)]
#[repr(usize)]
enum At {
    Nowhere,
    /// In an online callback of a CPU that comes up.
    Online,
    /// In an offline callback, because an online callback has failed.
    OnlineUndo,
    /// In an offline callback of a CPU that leaves.
    Offline,
    /// In an online callback, because the CPU could not leave.
    OfflineUndo,
    /// In a call that was accepted, on a CPU that is no longer online.
    Leaving,
}

static AT: AtomicUsize = AtomicUsize::new(At::Nowhere as usize);

/// Whether the call is made on a CPU that does not come up: the timers that it sets do not run.
pub fn drops_timers() -> bool {
    AT.load(Ordering::Relaxed) == At::OnlineUndo as usize
}

fn is_at(cpu: CpuId, place: At) -> bool {
    cpu.index() == ACTOR && AT.load(Ordering::Relaxed) == place as usize && cell::is_armed()
}

/// Registered first: the first as a CPU comes, the last as it goes.
fn online_first(cpu: CpuId) -> Result<(), ()> {
    if is_at(cpu, At::Online) {
        cell::run();
    } else if is_at(cpu, At::OfflineUndo) {
        // SAFETY: a callback of the actor, and none is called by another.
        let pin = unsafe { (*PIN.0.get()).take() };
        if pin.is_some() {
            cell::run();
        }
    }
    Ok(())
}

fn offline_last(cpu: CpuId) {
    if is_at(cpu, At::OnlineUndo) || is_at(cpu, At::Offline) {
        cell::run();
    }
}

/// What keeps the actor, between two of its callbacks.
static PIN: OfActor<Option<Pin>> = OfActor(UnsafeCell::new(None));

struct OfActor<T>(UnsafeCell<T>);
// SAFETY: only the callbacks of one CPU touch it, which never goes to another.
unsafe impl<T> Sync for OfActor<T> {}

/// It waits in its offline callback for a post.
static AT_DOOR: AtomicBool = AtomicBool::new(false);

/// Registered second: the second as a CPU comes, the first as it goes.
fn online_last(cpu: CpuId) -> Result<(), ()> {
    if is_at(cpu, At::OnlineUndo) { Err(()) } else { Ok(()) }
}

fn offline_first(cpu: CpuId) {
    if is_at(cpu, At::OfflineUndo) {
        // SAFETY: as in `online_first`.
        unsafe { *PIN.0.get() = Some(hotplug::pin()) };
    } else if is_at(cpu, At::Leaving) {
        // From here on interrupts are held back, so that what is sent is kept until the CPU is no longer online. It never
        // comes back from here, so nobody misses the end of the section.
        core::mem::forget(irq::mask());
        AT_DOOR.store(true, Ordering::Release);
        let deadline = Deadline::after(LONG);
        while AT_DOOR.load(Ordering::Acquire) && !deadline.has_passed() {
            pause();
        }
    }
}

fn online() {
    done(hotplug::cpu_down(actor(), LONG).is_ok(), "taking down");
    AT.store(At::Online as usize, Ordering::Relaxed);
    let _ = cpu_up(actor(), LONG);
}

fn online_undo() {
    done(hotplug::cpu_down(actor(), LONG).is_ok(), "taking down");
    AT.store(At::OnlineUndo as usize, Ordering::Relaxed);
    let _ = cpu_up(actor(), LONG);
}

fn offline(at: At) {
    AT.store(at as usize, Ordering::Relaxed);
    if let At::Leaving = at {
        AT_DOOR.store(false, Ordering::Relaxed);
        launch(cpu::get(OTHER).expect("the machine has four CPUs"), || {
            eventually("the CPU is about to leave", || AT_DOOR.load(Ordering::Acquire));
            done(call::post(actor(), cell::run).is_ok(), "a post to a CPU that leaves");
            AT_DOOR.store(false, Ordering::Release);
        });
    }
    let _ = hotplug::cpu_down(actor(), LONG);
}

// --- NMI level --------------------------------------------------------------------------------------------------------

fn summon(cpu: CpuId) {
    // It may still be running there: then it is waited for.
    let _ = nmi::on_each(&only(cpu), cell::run);
}

/// The actor holds the locks that are tried, and has interrupts masked; until told to let go.
static HOLDS: AtomicBool = AtomicBool::new(false);
static LET_GO: AtomicBool = AtomicBool::new(false);

fn hold_locks() {
    let mutex = MUTEX.lock();
    let lock = LOCK.lock();
    HOLDS.store(true, Ordering::Release);
    while !LET_GO.load(Ordering::Acquire) {
        pause();
    }
    drop(lock);
    drop(mutex);
}

fn nmi_in_lock() {
    HOLDS.store(false, Ordering::Relaxed);
    LET_GO.store(false, Ordering::Relaxed);
    order::<HOLD>();
    eventually("the locks are held", || HOLDS.load(Ordering::Acquire));
    summon(actor());
}

// --- after a panic ----------------------------------------------------------------------------------------------------

/// What the hook was given; null before.
static CRASH: AtomicPtr<CrashReport> = AtomicPtr::new(core::ptr::null_mut());

/// What there is of it where it can be had: in the hook.
pub fn crash_report() -> Option<&'static CrashReport> {
    // SAFETY: null, or what `hook` was given, which does not return.
    unsafe { CRASH.load(Ordering::Relaxed).as_ref() }
}

fn hook(report: &CrashReport) -> ! {
    CRASH.store(core::ptr::from_ref(report).cast_mut(), Ordering::Relaxed);
    panic::set_action(Action::Exit(ExitCode::from(101)));
    let from = argument(system(), "from", 0) as usize;
    for (number, function) in FUNCTIONS.iter().enumerate().skip(from) {
        println!("cell {number} {}", function.name);
        cell::arm(number);
        cell::run();
        println!("-> {}", cell::Report);
    }
    println!("contexts: all of hook called");
    power::exit(ExitCode::SUCCESS)
}
