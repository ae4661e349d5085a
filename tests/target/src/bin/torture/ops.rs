//! The operations.

use crate::books::{
    BACK, BEGUN, EXPECTED, LAUNCHED, LAUNCHES_RUN, LAUNCHING, LOCAL, LOCKED, MUTEX, NMIS_ASKED, NMIS_RAN,
    OVER, SERVED, SPIN, TIMERS_FIRED, TIMERS_SET, accepted, add, check_gone, ended, get, last_ran, last_sent,
    next_number, ran, runs, scrambled,
};
use crate::kinds::{Kind, choose, count, count_refused, is_in_mix};
use crate::verdict::{Wrong, expect, violated};
use crate::{Event, PRESENT, alarms, bells, contexts, faults, guests, long, maps, note};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::call::{self, CallError, PostError};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::fault::{self, State};
use reveille::hotplug::{self, HotplugError};
use reveille::patch::Batch;
use reveille::time::{self, Deadline};
use reveille::{StopError, irq, nmi, patch, static_key, stop_machine, stop_machine_each, watchdog};
use reveille_tests::{Random, eventually, pause, trace};

/// Does one operation, and counts it. What cannot be done now is left, and another is done in its place.
pub fn operate(own: CpuId, kind: Kind, random: &mut Random) {
    let number = random.number();
    let target = any(number >> 32);
    trace::note(kind as u64, [target.index() as u64, number]);
    let done = match kind {
        Kind::Call => call_one(Some(own), target, random),
        Kind::CallSelf => call_one(Some(own), own, random),
        Kind::CallEach => call_each(Some(own), &some(random)),
        Kind::CallDeadline => call_deadline(own, target, number),
        Kind::Post => post(target, 0),
        Kind::PostEach => post_each(&some(random)),
        Kind::Answer => answer(own, target),
        // Counted where they happen, if they come to that.
        Kind::Callback => return count_if(!post(target, 1 + (number & 1) as u8), kind),
        Kind::Handler => return count_if(!crate::ticks::want(Duration::from_nanos(number & 0x7fff)), kind),
        Kind::Timer => timer(number),
        Kind::Masked => masked(number, random),
        Kind::Launch => launch(target, number),
        Kind::Lock => lock(Some(own), number),
        Kind::Local => local(own),
        Kind::Look => look(target),
        Kind::Wake => {
            cpu::wake(target);
            true
        }
        Kind::Nmi => ask(&some(random)),
        Kind::Key => toggle(number),
        Kind::Batch => batch(),
        Kind::Stop => stop(Some(own), gathering(), number),
        Kind::StopEach => stop_each(gathering()),
        Kind::StopLate if number >> 20 & 1 == 0 => {
            stop(Some(own), Duration::from_nanos(number & 0xffff), number)
        }
        Kind::StopLate => stop_each(Duration::from_nanos(number & 0xffff)),
        Kind::Down => return take_down(own, target),
        Kind::Leave => return leave(own),
        Kind::Up => {
            if bring_up(number).is_none() {
                instead(own, random);
            }
            return;
        }
        Kind::UpShort => {
            if bring_up_short(number).is_none() {
                instead(own, random);
            }
            return;
        }
        Kind::Alone => return alone(own, random),
        Kind::Watchdog => watch(number),
        Kind::Bell => return bells::operate(target, &some(random), random),
        Kind::Alarm => alarms::operate(number),
        Kind::Context => contexts::make(random),
        Kind::Switch => contexts::yield_now(),
        Kind::Map => maps::operate(target, random),
        Kind::Guest => guests::operate(random),
    };
    count(kind, !done);
}

/// An operation of a context that is not a CPU's home: it may be on another CPU at any time, so it is none that is in the
/// variables of its own between two steps.
pub fn operate_in_context(random: &mut Random) {
    let kind = choose(random.number());
    let number = random.number();
    let target = any(number >> 32);
    trace::note(kind as u64, [target.index() as u64, number]);
    let done = match kind {
        Kind::Call | Kind::CallSelf => call_one(None, target, random),
        Kind::CallEach => call_each(None, &some(random)),
        Kind::Post => post(target, 0),
        Kind::PostEach => post_each(&some(random)),
        Kind::Callback => return count_if(!post(target, 1), kind),
        Kind::Timer => timer(number),
        Kind::Masked => masked(number, random),
        Kind::Launch => launch(target, number),
        Kind::Lock => lock(None, number),
        Kind::Look => look(target),
        Kind::Wake => {
            cpu::wake(target);
            true
        }
        Kind::Nmi => ask(&some(random)),
        Kind::Key => toggle(number),
        Kind::Batch => batch(),
        Kind::Stop => stop(None, gathering(), number),
        Kind::StopEach => stop_each(gathering()),
        Kind::StopLate => stop(None, Duration::from_nanos(number & 0xffff), number),
        Kind::Down | Kind::Up | Kind::UpShort => {
            // Counted there; where there is no CPU to be brought up nothing is done.
            match kind {
                Kind::Down => _ = down(target),
                Kind::Up => _ = bring_up(number),
                _ => _ = bring_up_short(number),
            }
            return;
        }
        Kind::Watchdog => watch(number),
        Kind::Bell => return bells::operate(target, &some(random), random),
        Kind::Alarm => alarms::operate(number),
        Kind::Map => maps::operate(target, random),
        Kind::Guest => guests::operate(random),
        Kind::CallDeadline
        | Kind::Answer
        | Kind::Handler
        | Kind::Local
        | Kind::Leave
        | Kind::Alone
        | Kind::Context
        | Kind::Switch => {
            cpu::offline_point();
            count(Kind::Switch, !contexts::yield_now());
            return;
        }
    };
    count(kind, !done);
}

/// Time for a gathering that is to succeed most times.
fn gathering() -> Duration {
    let cpus = cpu::possible().len() as u64;
    Duration::from_millis(20 + 5 * cpus.saturating_sub(8)) * crate::slowness()
}

/// Counts what was refused before it came to anything.
fn count_if(refused: bool, kind: Kind) {
    if refused {
        count(kind, true);
    }
}

/// What is done in the place of what cannot be done now.
fn instead(own: CpuId, random: &mut Random) {
    let number = random.number();
    let kind = if number & 1 == 0 { Kind::Call } else { Kind::Post };
    operate(own, kind, random);
}

/// Some CPU, itself included, online or not.
pub fn any(number: u64) -> CpuId {
    cpu::get((number % cpu::possible().len() as u64) as usize).expect("below the number of CPUs")
}

/// Some CPUs, itself included or not; now and then all.
fn some(random: &mut Random) -> CpuSet {
    let bits = if random.below(4) == 0 { u64::MAX } else { random.number() };
    cpu::possible().iter().filter(|cpu| bits >> cpu.index() & 1 != 0).collect()
}

fn spin(span: Duration) {
    let end = Deadline::after(span);
    while !end.has_passed() {
        core::hint::spin_loop();
    }
}

// --- calls ------------------------------------------------------------------------------------------------------------

/// The callee sees what the caller lent, the caller what the callee wrote there. `own`: the CPU on which the caller stays.
fn call_one(own: Option<CpuId>, target: CpuId, random: &mut Random) -> bool {
    let lent = [random.number(), random.number()];
    let mut back = [0; 2];
    let mut times = 0;
    // Whatever was sent before has run by then.
    let sent = own.filter(|own| *own != target).map(|own| (own, last_sent(target)));
    let result = call::on(target, || {
        expect(
            cpu::current() == target && irq::is_masked(),
            Wrong::Unaccounted,
            "a call runs where it was sent, masked",
        );
        let in_order = sent.is_none_or(|(own, last)| last_ran(own) >= last);
        expect(in_order, Wrong::Reordered, "a call runs after earlier posts");
        back = [lent[1], lent[0]];
        times += 1;
        lent[0] ^ lent[1]
    });
    match result {
        Ok(value) => {
            expect(times != 0, Wrong::Lost, "a call that returns has run");
            expect(times == 1, Wrong::Doubled, "a call runs once");
            let right = value == lent[0] ^ lent[1] && back == [lent[1], lent[0]];
            expect(right, Wrong::Reordered, "the caller sees what the callee wrote");
            true
        }
        Err(CallError::Offline) => {
            expect(times == 0, Wrong::Doubled, "a call that was refused does not run");
            expect(own != Some(target), Wrong::Unaccounted, "who calls is online");
            false
        }
        Err(error) => violated(Wrong::Lost, format_args!("a call to cpu {target}: {error}")),
    }
}

fn bit(cpu: CpuId) -> u64 {
    1 << cpu.index()
}

fn bits(set: &CpuSet) -> u64 {
    set.iter().fold(0, |bits, cpu| bits | bit(cpu))
}

fn call_each(own: Option<CpuId>, targets: &CpuSet) -> bool {
    let (ran, again) = (AtomicU64::new(0), AtomicU64::new(0));
    let result = call::on_each(targets, |cpu| {
        expect(
            cpu == cpu::current() && irq::is_masked(),
            Wrong::Unaccounted,
            "a call runs where it was sent, masked",
        );
        if ran.fetch_or(bit(cpu), Ordering::Relaxed) & bit(cpu) != 0 {
            again.fetch_add(1, Ordering::Relaxed);
        }
    });
    let Ok(offline) = result else { violated(Wrong::Lost, format_args!("a call of many: {result:?}")) };
    let (ran, wanted) = (ran.into_inner(), bits(targets) & !bits(&offline));
    expect(wanted & !ran == 0, Wrong::Lost, "a call runs on each CPU of its set that is online");
    expect(ran & !wanted == 0 && again.into_inner() == 0, Wrong::Doubled, "once on each, and on no other");
    let is_online = own.is_none_or(|own| !offline.contains(own));
    expect(is_online, Wrong::Unaccounted, "who calls is online");
    offline.is_empty()
}

/// Taken back if it is not run in time: then it never runs.
fn call_deadline(own: CpuId, target: CpuId, number: u64) -> bool {
    let nth = get(&OVER) + 1;
    let span =
        if number & 3 == 0 { Duration::from_millis(20) } else { Duration::from_nanos(number >> 8 & 0x7fff) };
    let limit = Deadline::after(span);
    let result = call::on_deadline(target, limit, move || {
        expect(
            cpu::current() == target && irq::is_masked(),
            Wrong::Unaccounted,
            "a call runs where it was sent, masked",
        );
        let over = get(OVER.of(own)) == nth - 1;
        expect(over, Wrong::Doubled, "a call that was taken back, or has run, does not run");
        // Release: pairs with the fence of `is_quiet`.
        BEGUN.fetch_add(1, Ordering::Release);
        nth
    });
    OVER.store(nth, Ordering::Relaxed);
    match result {
        Ok(answer) => {
            expect(answer == nth, Wrong::Reordered, "a call with a deadline brings its own value back");
            SERVED.fetch_add(1, Ordering::Relaxed);
            true
        }
        Err(CallError::TimedOut) => {
            expect(limit.has_passed(), Wrong::Lost, "a call is not taken back before its time");
            false
        }
        Err(CallError::Offline) => false,
        Err(error) => violated(Wrong::Lost, format_args!("a call with a deadline to cpu {target}: {error}")),
    }
}

// --- posts ------------------------------------------------------------------------------------------------------------

/// What goes with a post, to tell that it came whole.
fn seal(sender: CpuId, number: u64) -> [u64; 2] {
    [scrambled(number), scrambled(number ^ (sender.index() as u64) << 48)]
}

/// Posts to one CPU; what is posted is posted on so many `times`.
pub fn post(target: CpuId, times: u8) -> bool {
    let _masked = irq::mask();
    let (own, number) = (cpu::current(), next_number());
    let seal = seal(own, number);
    match call::post(target, move || posted(own, number, seal, times)) {
        Ok(()) => {
            accepted(target, number);
            true
        }
        Err(PostError::Busy(_)) => false,
        Err(PostError::Offline(_)) => {
            // A CPU that leaves runs what it had accepted with its queue closed.
            let leaving = fault::slot(own).state != State::Online;
            expect(target != own || leaving, Wrong::Unaccounted, "who posts is online");
            false
        }
    }
}

/// To some, or all.
fn post_each(targets: &CpuSet) -> bool {
    let _masked = irq::mask();
    let (own, number) = (cpu::current(), next_number());
    let seal = seal(own, number);
    let posted = call::post_each(targets, move |target| {
        expect(target == cpu::current(), Wrong::Unaccounted, "each is told which CPU it runs on");
        posted(own, number, seal, 0);
    });
    let all = bits(&posted.accepted) | bits(&posted.busy) | bits(&posted.offline);
    expect(all == bits(targets), Wrong::Lost, "each has accepted or refused");
    for target in &posted.accepted {
        accepted(target, number);
    }
    posted.accepted == *targets
}

reveille::percpu! {
    /// The number of the next random choice of what runs here in interrupt context.
    static CHOICES: AtomicU64 = AtomicU64::new(0);
}

/// A posted closure runs.
fn posted(sender: CpuId, number: u64, sealed: [u64; 2], times: u8) {
    expect(irq::is_masked() && irq::in_interrupt(), Wrong::Unaccounted, "a post runs in interrupt context");
    expect(sealed == seal(sender, number), Wrong::Reordered, "a post comes whole");
    MOVES.fetch_add(1, Ordering::Relaxed);
    runs(sender, number);
    add(&CHOICES, 1);
    let choice = scrambled(get(&CHOICES) ^ number << 32);
    if times != 0 {
        faults::linger();
        count(Kind::Callback, !post(any(choice >> 8), times - 1));
    }
    match choice % 512 {
        // Now and then one takes long.
        0..2 => spin(Duration::from_micros(choice >> 32 & 31)),
        2 => faults::stand_still(choice),
        3 => {
            let refused = call::on(any(choice >> 8), || ()) == Err(CallError::WouldDeadlock);
            expect(refused, Wrong::Unaccounted, "no call that waits from a callback");
        }
        4 => {
            let refused = stop_machine(long(), || ()) == Err(StopError::WouldDeadlock);
            expect(refused, Wrong::Unaccounted, "no gathering from a callback");
        }
        // Timers are set in callbacks too, and while the CPU is about to leave.
        5..25 if is_in_mix(Kind::Timer) => count(Kind::Timer, !timer(choice)),
        // So are alarms, and bells are rung.
        25..45 if is_in_mix(Kind::Alarm) => count(Kind::Alarm, !alarms::operate(choice >> 16)),
        45..65 if is_in_mix(Kind::Bell) => _ = bells::ring(any(choice >> 16), choice >> 32),
        _ => {}
    }
    ran(sender, number);
}

/// A post that is answered by a post.
fn answer(own: CpuId, target: CpuId) -> bool {
    let nth = get(&BACK) + 1;
    let there = move || {
        let back = move || BACK.of(own).store(nth, Ordering::Relaxed);
        if let Err(refused) = call::post(own, back) {
            expect(refused.is_busy(), Wrong::Unaccounted, "who waits for an answer is online");
            // Refused, so it is ours to run.
            refused.into_inner()();
        }
    };
    if call::post(target, there).is_err() {
        return false;
    }
    eventually("an answer comes back", || get(&BACK) == nth);
    true
}

/// A timer that posts.
fn timer(number: u64) -> bool {
    let _masked = irq::mask();
    let own = cpu::current();
    let delay = Duration::from_nanos(number & 0xffff) + faults::lingers();
    let due = Deadline::after(delay);
    let set = time::after(delay, move || {
        expect(cpu::current() == own, Wrong::Unaccounted, "a timer fires where it was set");
        expect(due.has_passed(), Wrong::Reordered, "a timer does not fire before its time");
        faults::linger();
        post(any(number >> 16), 0);
        ended(&TIMERS_FIRED);
    });
    if set.is_ok() {
        add(&TIMERS_SET, 1);
    }
    set.is_ok()
}

/// Interrupts masked for a while, in which it sends on; now and then more than it has nodes.
fn masked(number: u64, random: &mut Random) -> bool {
    let masked = irq::mask();
    let posts = if number & 15 == 0 { 20 } else { number >> 4 & 3 };
    for _ in 0..posts {
        let done = post(any(random.number()), 0);
        count(Kind::Post, !done);
    }
    if number >> 8 & 0x1ff == 0 {
        faults::stand_still(number);
    }
    spin(Duration::from_micros(number >> 20 & 7));
    drop(masked);
    true
}

/// A closure for the thread context of a CPU. Interrupts are open now and then: the target may leave in the middle of it.
fn launch(target: CpuId, number: u64) -> bool {
    let masked = (number & 1 == 0).then(irq::mask);
    let run = move || {
        let right = cpu::current() == target && !irq::in_interrupt() && !irq::is_masked();
        expect(right, Wrong::Unaccounted, "a launched closure runs in the thread context of its CPU");
        // Release: pairs with the fence of `is_quiet`.
        LAUNCHES_RUN.fetch_add(1, Ordering::Release);
    };
    // Release and Acquire: who sees nobody under way sees what they have counted.
    LAUNCHING.of(target).fetch_add(1, Ordering::AcqRel);
    let done = cpu::launch(target, run).is_ok();
    if done {
        LAUNCHED.of(target).fetch_add(1, Ordering::Relaxed);
    }
    LAUNCHING.of(target).fetch_sub(1, Ordering::AcqRel);
    drop(masked);
    done
}

// --- data -------------------------------------------------------------------------------------------------------------

/// Both locks: one at a time, and no update is lost. Who holds a mutex, or a pin, does not leave.
/// `own`: the CPU on which the caller stays. Without, it mostly gives up the CPU while it waits.
fn lock(own: Option<CpuId>, number: u64) -> bool {
    static INSIDE: AtomicBool = AtomicBool::new(false);
    *SPIN.lock() += 1;
    let mut mutex = loop {
        if own.is_some() || number >> 8 & 3 == 0 {
            break MUTEX.lock();
        }
        match MUTEX.try_lock() {
            Some(guard) => break guard,
            None if contexts::yield_now() => {}
            None => pause(),
        }
    };
    expect(!INSIDE.swap(true, Ordering::Relaxed), Wrong::Doubled, "a mutex excludes");
    *mutex += 1;
    if number & 7 == 0 {
        cpu::offline_point();
    }
    INSIDE.store(false, Ordering::Relaxed);
    drop(mutex);
    if let Some(own) = own.filter(|_| number & 7 == 1) {
        let life = fault::slot(own).generation;
        let pin = hotplug::pin();
        cpu::offline_point();
        expect(
            fault::slot(own).generation == life,
            Wrong::Unaccounted,
            "a CPU that is pinned does not leave",
        );
        drop(pin);
    }
    LOCKED.fetch_add(1, Ordering::Relaxed);
    true
}

/// Data of this CPU is this CPU's, in all its lives.
fn local(own: CpuId) -> bool {
    let expected = &EXPECTED[own.index()];
    let before = get(&LOCAL);
    expect(before == get(expected), Wrong::Lost, "a CPU finds its own data as it left it");
    expect(cpu::current() == own, Wrong::Unaccounted, "a CPU knows who it is");
    LOCAL.store(before + 1, Ordering::Relaxed);
    expected.store(before + 1, Ordering::Relaxed);
    true
}

// --- static keys ------------------------------------------------------------------------------------------------------

static_key!(KEY_A, false);
static_key!(KEY_B, true);
static_key!(PAIR_A, false);
static_key!(PAIR_B, false);

#[inline(never)]
fn key_a() -> bool {
    KEY_A.is_enabled()
}

#[inline(never)]
fn key_b() -> bool {
    KEY_B.is_enabled()
}

/// Both or neither: they change in one gathering.
#[inline(never)]
fn pair() -> (bool, bool) {
    let _masked = irq::mask();
    (PAIR_A.is_enabled(), PAIR_B.is_enabled())
}

/// One key, and who toggles it. It is on if the number of toggles is odd, or even if it begins as on.
struct Toggled {
    taken: AtomicBool,
    /// Toggles, counted before the change begins and after it is over.
    before: AtomicU32,
    after: AtomicU32,
    site: fn() -> bool,
    begins: bool,
}

impl Toggled {
    const fn new(site: fn() -> bool, begins: bool) -> Self {
        Self {
            taken: AtomicBool::new(false),
            before: AtomicU32::new(0),
            after: AtomicU32::new(0),
            site,
            begins,
        }
    }

    fn meant(&self, count: u32) -> bool {
        (count % 2 == 1) != self.begins
    }

    /// What a CPU sees lies between what was set before and after.
    fn look(&self) {
        let after = self.after.load(Ordering::Acquire);
        let seen = (self.site)();
        fence(Ordering::Acquire);
        let before = self.before.load(Ordering::Acquire);
        if before == after {
            expect(
                seen == self.meant(after),
                Wrong::Reordered,
                "no CPU takes the old branch after the toggle",
            );
        }
    }
}

static TOGGLED: [Toggled; 2] = [Toggled::new(key_a, false), Toggled::new(key_b, true)];
static PAIR_TAKEN: AtomicBool = AtomicBool::new(false);

fn toggle(number: u64) -> bool {
    let index = (number & 1) as usize;
    let key = &TOGGLED[index];
    // Acquire: pairs with the Release below. One at a time.
    if key.taken.swap(true, Ordering::Acquire) {
        return false;
    }
    let count = get32(&key.after) + 1;
    let wanted = key.meant(count);
    key.before.store(count, Ordering::Release);
    let result = match (index, wanted) {
        (0, true) => KEY_A.enable(),
        (0, false) => KEY_A.disable(),
        (_, true) => KEY_B.enable(),
        (_, false) => KEY_B.disable(),
    };
    let done = match result {
        Ok(sites) => {
            expect(sites == 1, Wrong::Lost, "a toggle patches its site");
            key.after.store(count, Ordering::Release);
            expect((key.site)() == wanted, Wrong::Lost, "the toggling CPU sees it at once");
            true
        }
        Err(error) => {
            expect(
                matches!(error, patch::PatchError::Stop(_) | patch::PatchError::Busy(_)),
                Wrong::Lost,
                "a patch is refused for a reason",
            );
            key.before.store(count - 1, Ordering::Release);
            expect((key.site)() != wanted, Wrong::Doubled, "a patch that was refused has changed nothing");
            false
        }
    };
    key.taken.store(false, Ordering::Release);
    done
}

fn get32(counter: &AtomicU32) -> u32 {
    counter.load(Ordering::Relaxed)
}

fn batch() -> bool {
    // Acquire: pairs with the Release below. One at a time.
    if PAIR_TAKEN.swap(true, Ordering::Acquire) {
        return false;
    }
    let (on, _) = pair();
    let batch = if on {
        Batch::new().disable(&PAIR_A).disable(&PAIR_B)
    } else {
        Batch::new().enable(&PAIR_A).enable(&PAIR_B)
    };
    let result = batch.apply();
    expect(
        pair() == if result.is_ok() { (!on, !on) } else { (on, on) },
        Wrong::Lost,
        "a batch changes all, or nothing",
    );
    expect(matches!(result, Ok(2) | Err(_)), Wrong::Lost, "a batch patches all its sites");
    PAIR_TAKEN.store(false, Ordering::Release);
    result.is_ok()
}

/// Static keys as set, slots as they may be.
fn look(cpu: CpuId) -> bool {
    TOGGLED.iter().for_each(Toggled::look);
    let (a, b) = pair();
    expect(a == b, Wrong::Reordered, "keys of one batch change together");
    faults::look_at(cpu);
    true
}

// --- gatherings -------------------------------------------------------------------------------------------------------

/// A job of stop-machine runs.
static INSIDE: AtomicBool = AtomicBool::new(false);

reveille::percpu! {
    /// Counts what this CPU does, so that others can tell whether it moves.
    static MOVES: AtomicU64 = AtomicU64::new(0);
}

/// Everyone is gathered: nobody moves, nobody is between two states.
fn gathered(own: Option<CpuId>, number: u64) {
    expect(!INSIDE.swap(true, Ordering::Relaxed), Wrong::Doubled, "one job at a time");
    expect(
        irq::is_masked() && own.is_none_or(|own| cpu::current() == own),
        Wrong::Unaccounted,
        "a job runs where it was asked for, masked",
    );
    let moves = || cpu::possible().iter().map(|cpu| get(MOVES.of(cpu))).sum::<u64>();
    let before = moves();
    for cpu in cpu::possible() {
        let slot = fault::slot(cpu);
        let here = match slot.state {
            State::Online => true,
            State::Offline | State::Gone | State::Revoked => false,
            _ => violated(Wrong::Unaccounted, format_args!("cpu {cpu} is {slot:?} while all are gathered")),
        };
        if PRESENT.of(cpu).load(Ordering::Relaxed) != here {
            violated(
                Wrong::Unaccounted,
                format_args!("cpu {cpu} is {slot:?}, but its callbacks say otherwise"),
            );
        }
    }
    if number >> 40 & 7 == 0 {
        // Lets others have a go, with something to do.
        count(Kind::Post, !post(any(number >> 48), 0));
        for _ in 0..4 {
            pause();
        }
    }
    if number >> 43 & 0x1ff == 0 {
        faults::stand_still(number);
    }
    expect(moves() == before, Wrong::Doubled, "nobody moves while the job runs");
    if number >> 36 & 7 == 0 && cpu::online().len() > 1 {
        let alone = patch::sites().any(|site| site.key == "ALONE" && site.enabled);
        expect(!alone, Wrong::Unaccounted, "with several CPUs online the locks are in the form for several");
    }
    INSIDE.store(false, Ordering::Relaxed);
}

/// `own`: the CPU on which the caller stays.
fn stop(own: Option<CpuId>, limit: Duration, number: u64) -> bool {
    MOVES.fetch_add(1, Ordering::Relaxed);
    let mut ran = 0;
    let limit = Deadline::after(limit);
    let result = stop_machine(limit, || {
        gathered(own, number);
        ran += 1;
        number
    });
    match result {
        Ok(value) => {
            expect(
                ran == 1 && value == number,
                if ran == 0 { Wrong::Lost } else { Wrong::Doubled },
                "a job runs once",
            );
            true
        }
        Err(StopError::Busy | StopError::TimedOut(_)) => {
            expect(ran == 0, Wrong::Doubled, "the job of a round that was called off does not run");
            expect(limit.has_passed(), Wrong::Lost, "a round is not called off before its time");
            false
        }
        Err(error) => violated(Wrong::Lost, format_args!("stop-machine: {error}")),
    }
}

fn stop_each(limit: Duration) -> bool {
    MOVES.fetch_add(1, Ordering::Relaxed);
    let (ran, again, online) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let limit = Deadline::after(limit);
    let result = stop_machine_each(limit, |cpu| {
        expect(
            cpu == cpu::current() && irq::is_masked(),
            Wrong::Unaccounted,
            "each runs it on its own CPU, masked",
        );
        online.store(bits(&cpu::online()), Ordering::Relaxed);
        if ran.fetch_or(bit(cpu), Ordering::Relaxed) & bit(cpu) != 0 {
            again.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (ran, again, online) = (ran.into_inner(), again.into_inner(), online.into_inner());
    match result {
        Ok(()) => {
            expect(online & !ran == 0, Wrong::Lost, "each CPU online runs it");
            expect(ran & !online == 0 && again == 0, Wrong::Doubled, "once each, and nobody else");
            true
        }
        Err(StopError::Busy | StopError::TimedOut(_)) => {
            expect(ran == 0, Wrong::Doubled, "the job of a round that was called off does not run");
            expect(limit.has_passed(), Wrong::Lost, "a round is not called off before its time");
            false
        }
        Err(error) => violated(Wrong::Lost, format_args!("stop-machine for each: {error}")),
    }
}

/// A function at NMI level.
fn ask(targets: &CpuSet) -> bool {
    fn mark() {
        // Release: pairs with the fence of `is_quiet`.
        NMIS_RAN.fetch_add(1, Ordering::Release);
    }
    ask_for(targets, mark)
}

/// `function`, which counts that it has run, at NMI level. What has not run when the answers come never does; what runs then
/// comes to its end.
pub fn ask_for(targets: &CpuSet, function: fn()) -> bool {
    let answers = nmi::on_each(targets, function);
    NMIS_ASKED.fetch_add((answers.done.len() + answers.running.len()) as u64, Ordering::Relaxed);
    let all = bits(&answers.done) | bits(&answers.running) | bits(&answers.silent) | bits(&answers.offline);
    expect(all == bits(targets), Wrong::Lost, "each has answered, or is named");
    answers.is_complete()
}

/// The watchdog, with periods that only a CPU that is really stuck outlasts.
fn watch(number: u64) -> bool {
    if number & 7 == 0 {
        watchdog::stop();
        return true;
    }
    watchdog::start(Duration::from_millis(2000 + (number >> 8 & 0x3ff))).is_ok()
}

// --- who is there -----------------------------------------------------------------------------------------------------

/// One CPU is taking all others down: nobody brings any up.
static ALONE: AtomicBool = AtomicBool::new(false);

/// Time for a CPU to leave. Most are at an offline point much sooner; one that waits to start, stop or gather CPUs itself
/// comes there only when this time is over. With many CPUs each has its turn less often, and to
/// gather them takes long.
pub fn patience() -> Duration {
    let cpus = cpu::possible().len() as u64;
    Duration::from_micros(300 + 100 * cpus + 500 * cpus.saturating_sub(8)) * crate::slowness()
}

/// Another CPU is taken down.
fn take_down(own: CpuId, target: CpuId) {
    if target == own {
        return leave(own);
    }
    down(target);
}

/// Takes `target` down, which is another CPU, and counts that. Whether it has left.
pub fn down(target: CpuId) -> bool {
    let result = hotplug::cpu_down(target, patience());
    note(Event::Taken, [target.index() as u64, result.is_err().into()]);
    match result {
        Ok(()) => check_gone(target),
        Err(
            HotplugError::LastCpu
            | HotplugError::NotOnline
            | HotplugError::Held(_)
            | HotplugError::TimedOut(_)
            | HotplugError::Busy,
        ) => {}
        Err(error) => violated(Wrong::Unaccounted, format_args!("cpu {target} does not leave: {error}")),
    }
    count(Kind::Down, result.is_err());
    result.is_ok()
}

/// This CPU goes, and comes back as if from nowhere; or it stays, and gets back here.
fn leave(own: CpuId) {
    // It does not come back here if it goes.
    count(Kind::Leave, false);
    match hotplug::cpu_down(own, patience()) {
        Ok(()) => violated(Wrong::Unaccounted, format_args!("cpu {own} has left, and goes on")),
        Err(
            HotplugError::LastCpu | HotplugError::Held(_) | HotplugError::TimedOut(_) | HotplugError::Busy,
        ) => {}
        Err(error) => violated(Wrong::Unaccounted, format_args!("cpu {own} does not leave: {error}")),
    }
    count_refused(Kind::Leave);
}

/// A CPU that is not online, if there is one, and nobody wants them all down.
pub fn pick_offline(number: u64) -> Option<CpuId> {
    if ALONE.load(Ordering::Relaxed) {
        return None;
    }
    let online = cpu::online();
    let left = cpu::possible().len().checked_sub(online.len()).filter(|left| *left != 0)?;
    cpu::possible().iter().filter(|cpu| !online.contains(*cpu)).nth((number % left as u64) as usize)
}

/// What a start may come to, as an event has it.
fn code(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Online => 1,
        Verdict::Revoked => 2,
        Verdict::Busy => 3,
        Verdict::Refused(code) => 0x1_0000_0000 | u64::from(code as u32),
        _ => 4,
    }
}

/// Starts `target`, and counts that as `kind`.
pub fn start(target: CpuId, span: Duration, kind: Kind) -> Verdict {
    let verdict = cpu_up(target, span);
    note(Event::Started, [target.index() as u64, code(verdict)]);
    faults::look_at(target);
    count(kind, verdict != Verdict::Online);
    verdict
}

/// Some CPU is brought up in time; `None` if there is none.
fn bring_up(number: u64) -> Option<()> {
    let target = pick_offline(number)?;
    let _shared = faults::share(target)?;
    match start(target, long(), Kind::Up) {
        Verdict::Online | Verdict::Busy => Some(()),
        verdict => {
            let slot = fault::slot(target);
            violated(Wrong::Unaccounted, format_args!("cpu {target} does not come up: {verdict:?}, {slot:?}"))
        }
    }
}

/// Some CPU is brought up in time or not; `None` if there is none.
fn bring_up_short(number: u64) -> Option<()> {
    let target = pick_offline(number)?;
    let _shared = faults::share(target)?;
    match start(target, Duration::from_nanos(number >> 8 & 0x3_ffff), Kind::UpShort) {
        // Refused: firmware said that it was on, and the time was over.
        Verdict::Online | Verdict::Busy | Verdict::Revoked | Verdict::Refused(-4 | -5) => Some(()),
        verdict => {
            let slot = fault::slot(target);
            violated(Wrong::Unaccounted, format_args!("cpu {target} is brought up: {verdict:?}, {slot:?}"))
        }
    }
}

/// Operations of a CPU that is alone.
const ALONE_OPERATIONS: u64 = 32;

/// All other CPUs are taken down, and the last one goes on for a while, its locks in the form for one.
fn alone(own: CpuId, random: &mut Random) {
    // As often as not that it comes to one operation each time.
    let others = cpu::possible().len() as u64 - 1;
    let operations = ALONE_OPERATIONS * others.max(1);
    if random.below(operations) != 0 || ALONE.swap(true, Ordering::Acquire) {
        return instead(own, random);
    }
    let limit = Deadline::after(Duration::from_millis(100 + 20 * others));
    loop {
        let others = cpu::online().without(own);
        if others.is_empty() || limit.has_passed() {
            break;
        }
        for cpu in others {
            down(cpu);
        }
    }
    // Who was on its way up when it began may still come.
    if cpu::online().len() == 1 {
        for _ in 0..operations {
            let form = patch::sites().find(|site| site.key == "ALONE").is_some_and(|site| site.enabled);
            lock(Some(own), random.number());
            post(own, 0);
            count(Kind::Alone, !form);
        }
        let key = random.number();
        count(Kind::Key, !toggle(key));
        count(Kind::Stop, !stop(Some(own), Duration::from_millis(1), key));
    }
    ALONE.store(false, Ordering::Release);
    // Half of them come back soon.
    for _ in 0..others.div_ceil(2) {
        if bring_up(random.number()).is_none() {
            break;
        }
    }
}
