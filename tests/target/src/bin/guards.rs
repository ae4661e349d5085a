//! Guards that mask interrupts, in every order: masked exactly while one of them is alive on its CPU.
//!
//! The model is a count of those alive. What is true is asked twice: of `irq::is_masked`, and of the machine, by a post of the CPU to
//! itself, which runs as soon as interrupts are open and not before.
//!
//! Bootargs: `seed=N`, `rounds=N` of the random part.

#![no_std]
#![no_main]

use core::mem;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId};
#[cfg(feature = "lock_api")]
use reveille::fault;
use reveille::sync::{SpinGuard, SpinLock};
use reveille::time;
use reveille::{ExitCode, System, call, irq, println, stop_machine};
use reveille_tests::{Random, argument, check, eventually, pause};

reveille::entry!(main);

/// More than enough for what needs no time.
const LONG: Duration = Duration::from_secs(20);

static LOCKS: [SpinLock<u64>; MOST] = [const { SpinLock::new(0) }; MOST];

/// Guards alive at the same time.
const MOST: usize = 8;

reveille::percpu! {
    /// Posts of this CPU to itself that have run.
    static RAN: AtomicU64 = AtomicU64::new(0);
    /// Posts of this CPU to itself.
    static SENT: AtomicU64 = AtomicU64::new(0);
    /// Looks that were had.
    static LOOKS: AtomicU64 = AtomicU64::new(0);
}

/// Something that masks. The fields are there for their ends.
enum Guard {
    Mask(#[allow(dead_code, reason = "it is there for its end")] irq::Masked),
    Lock(#[allow(dead_code, reason = "it is there for its end")] SpinGuard<'static, u64>),
}

/// The ways to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Mask,
    Lock,
    TryLock,
}

const WAYS: [Way; 3] = [Way::Mask, Way::Lock, Way::TryLock];

impl Way {
    /// The `index`th guard that is alive.
    fn take(self, index: usize) -> Guard {
        let mut guard = match self {
            Self::Mask => return Guard::Mask(irq::mask()),
            Self::Lock => LOCKS[index].lock(),
            Self::TryLock => LOCKS[index].try_lock().expect("nobody else uses these"),
        };
        *guard += 1;
        Guard::Lock(guard)
    }
}

/// A post of this CPU to itself is sent, if it has none under way.
fn send() {
    if RAN.load(Ordering::Relaxed) == SENT.load(Ordering::Relaxed) {
        SENT.fetch_add(1, Ordering::Relaxed);
        let posted = call::post(cpu::current(), || {
            check(irq::is_masked() && irq::in_interrupt(), "a post runs masked");
            RAN.fetch_add(1, Ordering::Relaxed);
        });
        check(posted.is_ok(), "a post to itself is accepted");
    }
}

/// In thread context: interrupts are masked, or open, as `alive` guards have it.
#[track_caller]
fn look(alive: usize) {
    LOOKS.fetch_add(1, Ordering::Relaxed);
    assert!(irq::is_masked() == (alive != 0), "{alive} alive, and is_masked() says {}", irq::is_masked());
    send();
    if alive == 0 {
        eventually("interrupts are open", || RAN.load(Ordering::Relaxed) == SENT.load(Ordering::Relaxed));
        return;
    }
    for _ in 0..4 {
        pause();
        let open = RAN.load(Ordering::Relaxed) == SENT.load(Ordering::Relaxed);
        assert!(!open, "{alive} alive, and an interrupt was taken");
    }
}

/// Every way to take up to three guards, in turn, and to end them in every order, in between as well.
fn every_order() {
    /// `taken` of `ways` have been taken.
    fn go_on(
        ways: &[Way],
        taken: usize,
        guards: &mut [Option<Guard>; 3],
        replay: &mut [u8; 6],
        step: usize,
    ) -> u64 {
        let alive = guards.iter().flatten().count();
        look(alive);
        if taken == ways.len() && alive == 0 {
            return 1;
        }
        let mut histories = 0;
        // The next guard is taken.
        if taken < ways.len() {
            guards[taken] = Some(ways[taken].take(taken));
            replay[step] = 0;
            histories += go_on(ways, taken + 1, guards, replay, step + 1);
            come_back(ways, guards, &replay[..step]);
        }
        // Or one of those alive ends.
        for end in 0..taken {
            if guards[end].take().is_some() {
                replay[step] = 1 + end as u8;
                histories += go_on(ways, taken, guards, replay, step + 1);
                come_back(ways, guards, &replay[..step]);
            }
        }
        histories
    }
    /// Everything as it was after the first steps of a history.
    fn come_back(ways: &[Way], guards: &mut [Option<Guard>; 3], steps: &[u8]) {
        guards.iter_mut().for_each(|guard| *guard = None);
        look(0);
        let mut taken = 0;
        for step in steps {
            match step.checked_sub(1) {
                None => {
                    guards[taken] = Some(ways[taken].take(taken));
                    taken += 1;
                }
                Some(end) => guards[usize::from(end)] = None,
            }
        }
    }
    let mut histories = 0;
    for code in 0..27 + 9 + 3 {
        let ways: &[Way] = match code {
            0..27 => &[WAYS[code / 9], WAYS[code / 3 % 3], WAYS[code % 3]],
            27..36 => &[WAYS[(code - 27) / 3], WAYS[(code - 27) % 3]],
            _ => &[WAYS[code - 36]],
        };
        histories += go_on(ways, 0, &mut [None, None, None], &mut [0; 6], 0);
    }
    // Three guards have 15 histories, two 3, one 1.
    check(histories == 27 * 15 + 9 * 3 + 3, "every history was gone through");
}

/// The ways in which a program ends guards without saying so.
fn forms() {
    // First in, first out.
    {
        let both = (LOCKS[0].lock(), LOCKS[1].lock());
        look(2);
        drop(both.0);
        look(1);
    }
    look(0);
    {
        let _both = (LOCKS[0].lock(), irq::mask());
    }
    look(0);
    struct Two {
        _one: SpinGuard<'static, u64>,
        _two: irq::Masked,
    }
    drop(Two { _one: LOCKS[0].lock(), _two: irq::mask() });
    look(0);
    drop([Some(irq::mask()), None, Some(irq::mask())]);
    look(0);
    // Moved into a closure, which is called, or not.
    let (one, two) = (irq::mask(), LOCKS[2].lock());
    let called = move || drop(one);
    let not_called = move || drop(two);
    called();
    look(1);
    drop(not_called);
    look(0);
    // Another one in its place.
    let mut place = irq::mask();
    look(1);
    place = mem::replace(&mut place, irq::mask());
    look(1);
    drop(place);
    look(0);
    // On another path.
    let early = |early: bool| {
        let _outer = irq::mask();
        let inner = LOCKS[3].lock();
        if early {
            return *inner;
        }
        drop(inner);
        look(1);
        0
    };
    early(true);
    look(0);
    early(false);
    look(0);
    for round in 0..3 {
        let _masked = irq::mask();
        if round == 1 {
            continue;
        }
        look(1);
    }
    look(0);
    // A lock that is taken cannot be taken again, and that leaves nothing behind.
    let lock = LOCKS[4].lock();
    check(LOCKS[4].try_lock().is_none(), "a lock is taken once");
    look(1);
    drop(lock);
    look(0);
    // Brought out of a job that runs masked.
    let guard = stop_machine(LONG, irq::mask).expect("everyone comes");
    look(1);
    drop(guard);
    look(0);
    let guards = stop_machine(LONG, || (LOCKS[5].lock(), irq::mask())).expect("everyone comes");
    look(2);
    drop(guards);
    look(0);
}

/// The same locks in the terms of `lock_api`, with all of the others among them.
#[cfg(feature = "lock_api")]
fn raw_locks() {
    use lock_api::{MappedMutexGuard, Mutex, MutexGuard};
    use reveille::sync::{RawMutex, RawSpinLock};

    enum Third {
        Raw(
            #[allow(dead_code, reason = "it is there for its end")]
            MutexGuard<'static, RawSpinLock, (u64, u64)>,
        ),
        Another(#[allow(dead_code, reason = "it is there for its end")] Guard),
        Ended,
    }

    static SPIN: [Mutex<RawSpinLock, (u64, u64)>; 3] = [const { Mutex::new((0, 0)) }; 3];
    static MUTEX: Mutex<RawMutex, u64> = Mutex::new(0);

    // Three in every order of their ends, the middle one a guard of a part of the data, or another kind of guard.
    for (kind, order) in (0..3).flat_map(|kind| {
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]].map(|order| (kind, order))
    }) {
        let mut one = Some(SPIN[0].lock());
        let part = MutexGuard::map(SPIN[1].try_lock().expect("free"), |pair| &mut pair.1);
        let mut two: Option<MappedMutexGuard<'_, RawSpinLock, u64>> = Some(part);
        let mut three = match kind {
            0 => Third::Raw(SPIN[2].lock()),
            1 => Third::Another(Way::Mask.take(0)),
            _ => Third::Another(Way::Lock.take(0)),
        };
        look(3);
        check(SPIN[0].is_locked() && SPIN[0].try_lock().is_none(), "a lock is taken once");
        look(3);
        for (ended, end) in order.into_iter().enumerate() {
            match end {
                0 => drop(one.take()),
                1 => two.take().into_iter().for_each(|mut part| *part += 1),
                _ => drop(mem::replace(&mut three, Third::Ended)),
            }
            look(2 - ended);
        }
        check(SPIN.iter().all(|lock| !lock.is_locked()), "all are free again");
    }
    // Given back and taken again in between, with nobody and with something else that masks.
    let mut guard = SPIN[0].lock();
    MutexGuard::unlocked(&mut guard, || look(0));
    look(1);
    let masked = irq::mask();
    MutexGuard::unlocked_fair(&mut guard, || look(1));
    MutexGuard::bump(&mut guard);
    look(2);
    drop(masked);
    look(1);
    MutexGuard::unlock_fair(guard);
    look(0);
    // One that was forgotten.
    mem::forget(SPIN[0].lock());
    look(1);
    // SAFETY: the guard was forgotten, by this thread.
    unsafe { SPIN[0].force_unlock() };
    look(0);
    // A lock for threads leaves interrupts open, and can be had with interrupts masked where it is free.
    let holds = || fault::left_behind(cpu::current()) == Some("a mutex");
    let mut guard = MUTEX.lock();
    *guard += 1;
    look(0);
    check(holds(), "it holds the CPU");
    check(MUTEX.is_locked() && MUTEX.try_lock().is_none(), "a lock is taken once");
    let masked = irq::mask();
    drop(guard);
    drop(MUTEX.try_lock().expect("free"));
    look(1);
    drop(masked);
    check(!MUTEX.is_locked() && !holds(), "free again, and the CPU may leave");
    look(0);
}

#[cfg(not(feature = "lock_api"))]
fn raw_locks() {}

/// Critical sections among them: nobody else is inside, whatever ends in the middle of one.
#[cfg(feature = "critical-section")]
fn critical_sections() {
    use core::cell::Cell;
    use critical_section::Mutex;

    static INSIDE: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

    let before = critical_section::with(|cs| INSIDE.borrow(cs).get());
    let outer = irq::mask();
    critical_section::with(|cs| {
        drop(outer);
        look(1);
        let ticks = INSIDE.borrow(cs).get();
        let timer = time::after(Duration::ZERO, || {
            critical_section::with(|cs| INSIDE.borrow(cs).set(INSIDE.borrow(cs).get() + 1));
        });
        check(timer.is_ok(), "a timer is set in a critical section");
        for _ in 0..1000 {
            check(INSIDE.borrow(cs).get() == ticks, "nobody else is inside");
        }
    });
    look(0);
    eventually("the timer's section comes", || {
        critical_section::with(|cs| INSIDE.borrow(cs).get()) == before + 1
    });
    let guard = critical_section::with(|_| irq::mask());
    look(1);
    drop(guard);
    look(0);
    let lock = LOCKS[0].lock();
    let guard = critical_section::with(|_| {
        drop(lock);
        look(1);
        critical_section::with(|_| {
            let guard = irq::mask();
            look(2);
            guard
        })
    });
    look(1);
    drop(guard);
    look(0);
    INSIDE_IS_FREE.store(true, Ordering::Relaxed);
}

#[cfg(not(feature = "critical-section"))]
fn critical_sections() {
    INSIDE_IS_FREE.store(true, Ordering::Relaxed);
}

static INSIDE_IS_FREE: AtomicBool = AtomicBool::new(false);

/// Takes and ends as the numbers will have it.
fn at_random(random: &mut Random, rounds: u64) {
    let mut guards: [Option<Guard>; MOST] = [const { None }; MOST];
    for _ in 0..rounds {
        let place = random.below(MOST as u64) as usize;
        guards[place] = match guards[place].take() {
            Some(guard) => {
                drop(guard);
                None
            }
            None if random.below(3) == 0 => None,
            None => Some(WAYS[random.below(3) as usize].take(place)),
        };
        look(guards.iter().flatten().count());
    }
    drop(guards);
    look(0);
}

/// In a handler they end in any order too, and the thread finds its interrupts open.
fn in_handlers(own: CpuId) {
    static DONE: AtomicU64 = AtomicU64::new(0);
    fn use_guards() {
        check(irq::is_masked(), "a handler runs masked");
        let both = (LOCKS[6].lock(), irq::mask());
        drop(both);
        let (one, two) = (irq::mask(), LOCKS[7].lock());
        drop(one);
        check(irq::is_masked(), "and so it stays");
        drop(two);
        DONE.fetch_add(1, Ordering::Relaxed);
    }
    let before = DONE.load(Ordering::Relaxed);
    check(call::post(own, use_guards).is_ok(), "a post is accepted");
    check(time::after(Duration::ZERO, use_guards).is_ok(), "a timer is set");
    check(call::on(own, use_guards).is_ok(), "a call is taken");
    eventually("all have run", || DONE.load(Ordering::Relaxed) == before + 3);
    look(0);
}

/// What every CPU does in its thread context.
fn everything(seed: u64, rounds: u64) {
    let own = cpu::current();
    look(0);
    every_order();
    forms();
    critical_sections();
    raw_locks();
    in_handlers(own);
    at_random(&mut Random::new(seed ^ own.index() as u64), rounds);
}

/// A guard that is forgotten masks its CPU for ever, in a handler as in a thread. The last thing that `cpu` does.
fn forgotten(cpu: CpuId, in_handler: bool) {
    static LOOKING: AtomicU64 = AtomicU64::new(0);
    static RAN_LATE: AtomicBool = AtomicBool::new(false);
    static WATCHES: AtomicBool = AtomicBool::new(false);
    let watch = move || {
        WATCHES.store(true, Ordering::Relaxed);
        if !in_handler {
            mem::forget(irq::mask());
        }
        loop {
            // Masked by whoever forgot a guard, if anybody has.
            if irq::is_masked() && !irq::in_interrupt() {
                LOOKING.fetch_add(1, Ordering::Relaxed);
                // One more that comes and goes changes nothing.
                drop(irq::mask());
            }
            pause();
        }
    };
    LOOKING.store(0, Ordering::Relaxed);
    WATCHES.store(false, Ordering::Relaxed);
    eventually("a closure is taken", || cpu::launch(cpu, watch).is_ok());
    // In idle a guard that is forgotten is a panic: nothing would end the wait.
    eventually("it runs", || WATCHES.load(Ordering::Relaxed));
    if in_handler {
        check(call::post(cpu, || mem::forget(irq::mask())).is_ok(), "a post is accepted");
    }
    eventually("it is masked", || LOOKING.load(Ordering::Relaxed) > 10);
    check(call::post(cpu, || RAN_LATE.store(true, Ordering::Relaxed)).is_ok(), "a post is accepted");
    let looks = LOOKING.load(Ordering::Relaxed);
    eventually("it stays masked", || LOOKING.load(Ordering::Relaxed) > looks + 100);
    check(!RAN_LATE.load(Ordering::Relaxed), "it takes no interrupt any more");
}

fn main(system: &'static System) -> ExitCode {
    let (seed, rounds) = (argument(system, "seed", 1), argument(system, "rounds", 2000));
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    static DONE: AtomicU64 = AtomicU64::new(0);
    // One after the other: they have the same locks.
    everything(seed, rounds);
    for cpu in cpu::online().without(cpu::current()) {
        let there = move || {
            everything(seed, rounds);
            DONE.fetch_add(1, Ordering::Release);
        };
        let before = DONE.load(Ordering::Acquire);
        eventually("a closure is taken", || cpu::launch(cpu, there).is_ok());
        let limit = time::Deadline::after(Duration::from_secs(300));
        while DONE.load(Ordering::Acquire) == before {
            check(!limit.has_passed(), "in time");
            cpu::idle();
        }
    }
    let looks: u64 = cpu::possible().iter().map(|cpu| LOOKS.of(cpu).load(Ordering::Relaxed)).sum();
    check(INSIDE_IS_FREE.load(Ordering::Relaxed), "critical sections were tried");
    let others = cpu::online().without(cpu::current());
    for (cpu, in_handler) in others.into_iter().zip([true, false]) {
        forgotten(cpu, in_handler);
    }
    println!("guards: {looks} looks on {} CPUs, masked exactly while one is alive", cpu::online().len());
    ExitCode::SUCCESS
}
