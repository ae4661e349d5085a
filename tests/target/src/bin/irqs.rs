//! Interrupts and their handlers: taken away, held back one by one, by priority, with something of their own, on some CPUs, and sent by CPUs.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{self, Verdict};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::irq::{self, Handler, IrqError, Priority, Sgi, Trigger};
use reveille::time::Deadline;
use reveille::{ExitCode, System, call, hotplug, nmi, println};
use reveille_tests::{check, eventually, launch, nothing_left};

reveille::entry!(
    main,
    // SAFETY: the function keeps nothing on its stack that anything else refers to.
    leaving = unsafe { cpu::Leaving::new(secondary) }
);

const LONG: Duration = Duration::from_secs(60);

/// Interrupts to which nothing is wired on QEMU's `virt`.
const SPIS: [u32; 3] = [92, 93, 95];
const PPI: u32 = 22;
/// The virtual timer, on most machines.
const TIMER: u32 = 27;

reveille::percpu! {
    /// How often the CPU has taken the private interrupt.
    static PRIVATE: AtomicU32 = AtomicU32::new(0);
    /// How often it has taken an SGI.
    static SENT: AtomicU32 = AtomicU32::new(0);
    /// Handlers under way on it.
    static DEPTH: AtomicU32 = AtomicU32::new(0);
}

fn secondary(_: CpuId) -> ! {
    loop {
        cpu::idle();
    }
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let others = cpu::online().without(cpu::current());
    let Some(first) = others.iter().next() else { return ExitCode::FAILURE };
    misuse(system);
    one_by_one();
    if has_priorities() {
        by_priority();
    } else {
        println!("irqs: one priority");
    }
    no_nesting(first);
    taken_away(first);
    taken_away_under_fire(first);
    private(others);
    per_cpu(first);
    between_cpus(first);
    nothing_left();
    println!("irqs: all good");
    ExitCode::SUCCESS
}

fn spend(time: Duration) {
    let until = Deadline::after(time);
    while !until.has_passed() {
        core::hint::spin_loop();
    }
}

/// The numbers that were handled, the first in the highest digits.
static ORDER: AtomicU64 = AtomicU64::new(0);

fn note(intid: u32) {
    // Handlers run one after the other.
    check(DEPTH.fetch_add(1, Ordering::Relaxed) == 0, "no handler interrupts another");
    ORDER.store(ORDER.load(Ordering::Relaxed) << 8 | u64::from(intid), Ordering::Relaxed);
    DEPTH.fetch_sub(1, Ordering::Relaxed);
}

fn order(intids: &[u32]) -> u64 {
    intids.iter().fold(0, |order, intid| order << 8 | u64::from(*intid))
}

/// Whether the interrupt has this priority now, or there is one for all.
fn prioritised(intid: u32, priority: Priority) -> bool {
    matches!(irq::set_priority(intid, priority), Ok(()) | Err(IrqError::NoPriorities))
}

/// Whether firmware lets interrupts have priorities.
fn has_priorities() -> bool {
    let [spi, ..] = SPIS;
    let _ = irq::register(spi, Trigger::Edge, note);
    let set = irq::set_priority(spi, Priority::Normal);
    check(matches!(set, Ok(()) | Err(IrqError::NoPriorities)), "an interrupt has a priority");
    check(irq::unregister(spi, LONG) == Ok(()), "taken away");
    set.is_ok()
}

fn misuse(system: &System) {
    let [spi, ..] = SPIS;
    let gone = Err(IrqError::NotRegistered { intid: spi });
    check(irq::unregister(spi, LONG) == gone, "what nobody handles is not taken away");
    check(irq::enable(spi) == gone && irq::disable(spi) == gone, "nor let in or held back");
    check(irq::set_pending(spi) == gone && irq::clear_pending(spi) == gone, "nor raised");
    check(irq::is_pending(spi).is_err() && irq::is_active(spi).is_err(), "nor looked at");
    check(irq::set_priority(spi, Priority::High) == gone, "nor given a priority");
    for intid in [0, 1, 2, 3, 6, 7, 1020, 1023, 8192, u32::MAX] {
        let bad = Err(IrqError::BadNumber { intid });
        check(
            irq::unregister(intid, LONG) == bad && irq::enable(intid) == bad,
            "the runtime's SGIs, and no interrupts",
        );
        check(irq::set_priority(intid, Priority::Low) == bad, "have no priority of the application's");
        check(irq::register_per_cpu(intid, &NOTHING) == bad, "and no handler");
    }
    check(
        irq::register_per_cpu(spi, &NOTHING) == Err(IrqError::BadNumber { intid: spi }),
        "a shared one is of no CPU",
    );
    let Some(timer) = system.machine().timer.ok().and_then(|timer| timer.virtual_timer) else {
        return check(cfg!(feature = "el2"), "the tree describes a virtual timer");
    };
    if !cfg!(feature = "el2") {
        let kept = Err(IrqError::Reserved { intid: timer.id });
        check(irq::unregister(timer.id, LONG) == kept, "the timer stays");
        check(irq::disable(timer.id) == kept && irq::clear_pending(timer.id) == kept, "and ticks");
    }
}

static NOTHING: Handler = Handler::new(&|_| ());

fn one_by_one() {
    let [spi, ..] = SPIS;
    struct Device {
        handled: AtomicU32,
    }
    static DEVICE: Device = Device { handled: AtomicU32::new(0) };
    static HANDLER: Handler = Handler::new(&|_| _ = DEVICE.handled.fetch_add(1, Ordering::Relaxed));
    let handled = || DEVICE.handled.load(Ordering::Relaxed);
    check(
        irq::register_with(spi, Trigger::Edge, &HANDLER).is_ok(),
        "a handler can have something of its own",
    );
    check(
        irq::register_with(spi, Trigger::Edge, &NOTHING) == Err(IrqError::Taken { intid: spi }),
        "there is one",
    );
    check(irq::set_pending(spi).is_ok(), "an interrupt can be raised");
    eventually("it comes to its handler", || handled() == 1);
    check(irq::disable(spi).is_ok() && irq::set_pending(spi).is_ok(), "it can be held back");
    spend(Duration::from_millis(2));
    check(handled() == 1 && irq::is_pending(spi) == Ok(true), "then it is pending");
    check(irq::is_active(spi) == Ok(false), "and nobody handles it");
    check(irq::enable(spi).is_ok(), "it can be let in");
    eventually("and comes", || handled() == 2);
    check(irq::disable(spi).is_ok() && irq::set_pending(spi).is_ok(), "it is held back again");
    check(irq::clear_pending(spi).is_ok() && irq::is_pending(spi) == Ok(false), "it can be forgotten");
    check(irq::enable(spi).is_ok(), "and then");
    spend(Duration::from_millis(2));
    check(handled() == 2, "it does not come");
    check(irq::unregister(spi, LONG) == Ok(()), "the handler can be taken away");
    check(irq::set_pending(spi) == Err(IrqError::NotRegistered { intid: spi }), "and is gone");
    check(
        irq::register(spi, Trigger::Edge, |intid| {
            check(irq::is_active(intid) == Ok(true), "it is handled");
            check(irq::unregister(intid, LONG) == Err(IrqError::WouldDeadlock), "not by itself");
            check(irq::disable(intid).is_ok(), "it holds itself back");
            DEVICE.handled.store(100, Ordering::Relaxed);
        })
        .is_ok(),
        "another one comes",
    );
    check(irq::set_pending(spi).is_ok(), "it is raised");
    eventually("the new one handles it", || handled() == 100);
    let masked = irq::mask();
    check(irq::unregister(spi, LONG) == Err(IrqError::WouldDeadlock), "not with interrupts masked");
    drop(masked);
    check(irq::unregister(spi, LONG) == Ok(()), "it can be taken away though it is held back");
}

fn by_priority() {
    let [low, high, normal] = SPIS;
    for spi in SPIS {
        check(irq::register(spi, Trigger::Edge, note).is_ok(), "registered");
    }
    check(irq::register(PPI, Trigger::Edge, note).is_ok(), "and a private one");
    let expect = |raised: &[u32], expected: &[u32], what: &str| {
        ORDER.store(0, Ordering::Relaxed);
        let masked = irq::mask();
        for intid in raised {
            check(irq::set_pending(*intid).is_ok(), "raised");
        }
        spend(Duration::from_millis(1));
        check(ORDER.load(Ordering::Relaxed) == 0, "a masked section holds every priority back");
        drop(masked);
        eventually("all are handled", || ORDER.load(Ordering::Relaxed) >> (8 * (raised.len() - 1)) != 0);
        check(ORDER.load(Ordering::Relaxed) == order(expected), what);
    };
    // Of one priority the lowest number is first.
    expect(&[normal, high, low], &[low, high, normal], "by number");
    check(irq::set_priority(high, Priority::High).is_ok(), "one comes first");
    check(irq::set_priority(low, Priority::Low).is_ok(), "and one last");
    for raised in [[low, normal, high], [normal, low, high], [high, low, normal]] {
        expect(&raised, &[high, normal, low], "by priority");
    }
    check(irq::set_priority(PPI, Priority::Low).is_ok(), "a private one has one as well");
    expect(&[PPI, normal, high], &[high, normal, PPI], "it comes last");
    check(irq::set_priority(PPI, Priority::High).is_ok(), "or otherwise");
    expect(&[low, normal, PPI], &[PPI, normal, low], "first");
    for priority in [Priority::Low, Priority::Normal] {
        // That of the timer, or of a timer that is not used.
        let set = irq::set_priority(TIMER, priority);
        check(
            matches!(set, Ok(()) | Err(IrqError::NotRegistered { .. })),
            "the runtime's own have priorities too",
        );
    }
    // A call is normal.
    ORDER.store(0, Ordering::Relaxed);
    let masked = irq::mask();
    check(irq::set_pending(low).is_ok(), "the last one");
    check(call::post(cpu::current(), || note(1)).is_ok(), "a closure");
    check(irq::set_pending(high).is_ok(), "the first one");
    drop(masked);
    eventually("all three run", || ORDER.load(Ordering::Relaxed) >> 16 != 0);
    // Behind the handler of a device calls are looked for too.
    check(ORDER.load(Ordering::Relaxed) == order(&[high, 1, low]), "calls are normal");
    for intid in [high, low, normal, PPI] {
        check(irq::unregister(intid, LONG) == Ok(()), "taken away");
    }
    // The next one begins anew.
    for intid in [low, high, PPI] {
        check(irq::register(intid, Trigger::Edge, note).is_ok(), "registered again");
    }
    expect(&[high, low, PPI], &[PPI, low, high], "by number once more");
    for intid in [high, low, PPI] {
        check(irq::unregister(intid, LONG) == Ok(()), "taken away again");
    }
}

/// What is urgent waits for what runs, whatever that is; what has NMI class does not.
fn no_nesting(cpu: CpuId) {
    static IN_HANDLER: AtomicBool = AtomicBool::new(false);
    static GO_ON: AtomicBool = AtomicBool::new(false);
    let [slow, urgent, _] = SPIS;
    for (mine, theirs) in [
        (Priority::Low, Priority::High),
        (Priority::Normal, Priority::High),
        (Priority::High, Priority::High),
    ] {
        ORDER.store(0, Ordering::Relaxed);
        IN_HANDLER.store(false, Ordering::Relaxed);
        GO_ON.store(false, Ordering::Relaxed);
        let registered = irq::register(slow, Trigger::Edge, |intid| {
            IN_HANDLER.store(true, Ordering::Release);
            eventually("it goes on", || GO_ON.load(Ordering::Acquire));
            // All that has come meanwhile would be in by now.
            spend(Duration::from_millis(2));
            check(ORDER.load(Ordering::Relaxed) == 0, "nothing interrupts a handler");
            note(intid);
        });
        check(registered.is_ok() && irq::register(urgent, Trigger::Edge, note).is_ok(), "registered");
        check(prioritised(slow, mine) && prioritised(urgent, theirs), "with priorities");
        check(irq::set_affinity(slow, cpu).is_ok() && irq::set_affinity(urgent, cpu).is_ok(), "sent there");
        check(irq::set_pending(slow).is_ok(), "raised");
        eventually("its handler runs", || IN_HANDLER.load(Ordering::Acquire));
        check(irq::set_pending(urgent).is_ok(), "raised too");
        let only: CpuSet = [cpu].into_iter().collect();
        check(nmi::on_each(&only, || ()).is_complete(), "an NMI-class interrupt comes in");
        GO_ON.store(true, Ordering::Release);
        eventually("both are handled", || ORDER.load(Ordering::Relaxed) >> 8 != 0);
        check(ORDER.load(Ordering::Relaxed) == order(&[slow, urgent]), "one after the other");
        for intid in [slow, urgent] {
            check(irq::unregister(intid, LONG) == Ok(()), "taken away");
        }
    }
}

fn taken_away(cpu: CpuId) {
    static IN_HANDLER: AtomicBool = AtomicBool::new(false);
    static GO_ON: AtomicBool = AtomicBool::new(false);
    static ENDED: AtomicU32 = AtomicU32::new(0);
    let [spi, ..] = SPIS;
    let registered = irq::register(spi, Trigger::Edge, |_| {
        IN_HANDLER.store(true, Ordering::Release);
        eventually("it goes on", || GO_ON.load(Ordering::Acquire));
        ENDED.fetch_add(1, Ordering::Relaxed);
    });
    check(registered.is_ok() && irq::set_affinity(spi, cpu).is_ok(), "it goes to another CPU");
    check(irq::set_pending(spi).is_ok(), "raised");
    eventually("its handler runs", || IN_HANDLER.load(Ordering::Acquire));
    let still = Err(IrqError::StillRuns { intid: spi });
    check(irq::unregister(spi, Duration::from_millis(20)) == still, "it is not gone while it runs");
    check(
        irq::register(spi, Trigger::Edge, note) == Err(IrqError::Taken { intid: spi }),
        "and nobody comes after it",
    );
    check(irq::enable(spi) == Err(IrqError::NotRegistered { intid: spi }), "but it is taken away");
    check(irq::unregister(spi, Duration::ZERO) == still, "it still runs");
    GO_ON.store(true, Ordering::Release);
    check(irq::unregister(spi, LONG) == Ok(()), "now it does not");
    check(ENDED.load(Ordering::Relaxed) == 1, "it has come to its end");
    check(irq::unregister(spi, LONG) == Err(IrqError::NotRegistered { intid: spi }), "once is enough");
}

/// While another CPU raises the interrupt all the time: what a handler uses goes when it is taken away.
fn taken_away_under_fire(cpu: CpuId) {
    struct Used {
        alive: AtomicBool,
        handled: AtomicU32,
    }
    impl Used {
        const fn new() -> Self {
            Self { alive: AtomicBool::new(false), handled: AtomicU32::new(0) }
        }

        fn handle(&self) {
            for _ in 0..50 {
                check(self.alive.load(Ordering::Relaxed), "a handler runs while it has what it uses");
            }
            self.handled.fetch_add(1, Ordering::Relaxed);
        }
    }
    static USED: [Used; 2] = [const { Used::new() }; 2];
    static HANDLERS: [Handler; 2] =
        [Handler::new(&|_| USED[0].handle()), Handler::new(&|_| USED[1].handle())];
    static STOP: AtomicBool = AtomicBool::new(false);
    const ROUNDS: usize = 60;
    let [spi, ..] = SPIS;
    let handler_cpu = cpu;
    launch(cpu, || {
        while !STOP.load(Ordering::Relaxed) {
            // Sometimes it has no handler.
            let _ = irq::set_pending(SPIS[0]);
        }
    });
    for round in 0..ROUNDS {
        let used = &USED[round % 2];
        used.alive.store(true, Ordering::Relaxed);
        let before = used.handled.load(Ordering::Relaxed);
        check(irq::register_with(spi, Trigger::Edge, &HANDLERS[round % 2]).is_ok(), "registered");
        if round % 4 > 1 {
            check(irq::set_affinity(spi, handler_cpu).is_ok(), "the CPU raises it for itself");
        }
        eventually("it is handled", || used.handled.load(Ordering::Relaxed) > before);
        check(irq::unregister(spi, LONG) == Ok(()), "taken away");
        used.alive.store(false, Ordering::Relaxed);
    }
    STOP.store(true, Ordering::Relaxed);
    eventually("the CPU is free", || cpu::launch(cpu, || ()).is_ok());
}

fn raise_private() -> Result<(), IrqError> {
    irq::set_pending(PPI)
}

/// A private interrupt that every CPU has; one holds it back for itself.
fn private(others: CpuSet) {
    let all = cpu::online();
    let taken = |cpu: CpuId| PRIVATE.of(cpu).load(Ordering::Relaxed);
    let count = |_| _ = PRIVATE.fetch_add(1, Ordering::Relaxed);
    check(irq::register(PPI, Trigger::Edge, count).is_ok(), "registered");
    // Everyone enables it sooner or later.
    for cpu in all {
        check(call::on(cpu, raise_private) == Ok(Ok(())), "raised");
        eventually("it is taken", || taken(cpu) == 1);
    }
    let Some(one) = others.iter().next() else { return };
    check(call::on(one, || irq::disable(PPI)) == Ok(Ok(())), "one holds it back");
    for cpu in all {
        check(call::on(cpu, raise_private) == Ok(Ok(())), "raised");
        eventually("the others take it", || cpu == one || taken(cpu) == 2);
    }
    // News of something else change nothing.
    check(irq::register(PPI + 1, Trigger::Edge, note).is_ok(), "another one");
    check(irq::unregister(PPI + 1, LONG) == Ok(()), "comes and goes");
    spend(Duration::from_millis(2));
    check(taken(one) == 1, "it is held back");
    check(call::on(one, || (irq::is_pending(PPI), irq::enable(PPI))) == Ok((Ok(true), Ok(()))), "and let in");
    eventually("it comes", || taken(one) == 2);
    check(call::on(one, || irq::disable(PPI)) == Ok(Ok(())), "held back again");
    check(hotplug::cpu_down(one, LONG) == Ok(()), "the CPU leaves");
    check(bringup::cpu_up(one, LONG) == Verdict::Online, "and comes back");
    check(call::on(one, raise_private) == Ok(Ok(())), "raised");
    eventually("it is as on any other that comes", || taken(one) == 3);
    check(call::on(one, || irq::disable(PPI)) == Ok(Ok(())), "held back once more");
    check(irq::unregister(PPI, LONG) == Ok(()), "taken away, on every CPU");
    for cpu in all {
        check(call::on(cpu, raise_private) == Ok(Err(IrqError::NotRegistered { intid: PPI })), "on each");
    }
    check(irq::register(PPI, Trigger::Edge, count).is_ok(), "registered again");
    check(call::on(one, raise_private) == Ok(Ok(())), "raised");
    eventually("on the one too that had held it back", || taken(one) == 4);
    check(irq::unregister(PPI, LONG) == Ok(()), "taken away again");
}

/// A private interrupt of those CPUs alone that ask for it.
fn per_cpu(cpu: CpuId) {
    static HANDLER: Handler = Handler::new(&|_| _ = PRIVATE.fetch_add(1, Ordering::Relaxed));
    let taken = |cpu: CpuId| PRIVATE.of(cpu).load(Ordering::Relaxed);
    let before = taken(cpu);
    let own = taken(cpu::current());
    check(irq::register_per_cpu(PPI, &HANDLER).is_ok(), "registered");
    let asks = || (raise_private(), irq::enable(PPI));
    check(raise_private().is_ok() && call::on(cpu, asks) == Ok((Ok(()), Ok(()))), "raised on two CPUs");
    eventually("one has asked for it", || taken(cpu) == before + 1);
    spend(Duration::from_millis(2));
    check(taken(cpu::current()) == own, "the other has not");
    check(hotplug::cpu_down(cpu, LONG) == Ok(()), "the CPU leaves");
    check(bringup::cpu_up(cpu, LONG) == Verdict::Online, "and comes back");
    check(call::on(cpu, raise_private) == Ok(Ok(())), "raised");
    spend(Duration::from_millis(2));
    check(taken(cpu) == before + 1, "it has to ask again");
    check(call::on(cpu, || irq::enable(PPI)) == Ok(Ok(())), "and does");
    eventually("and then it comes", || taken(cpu) == before + 2);
    check(irq::unregister(PPI, LONG) == Ok(()), "taken away");
    check(irq::enable(PPI) == Err(IrqError::NotRegistered { intid: PPI }), "for all");
}

fn between_cpus(cpu: CpuId) {
    static HANDLER: Handler = Handler::new(&|intid| {
        check(intid == NUMBER.load(Ordering::Relaxed), "it is told which one");
        SENT.fetch_add(1, Ordering::Relaxed);
    });
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let taken = |cpu: CpuId| SENT.of(cpu).load(Ordering::Relaxed);
    let everyone = || core::array::from_fn::<u32, 4, _>(|index| cpu::get(index).map_or(0, taken));
    let Ok(sgi) = irq::register_sgi(&HANDLER) else { return check(false, "there is an SGI") };
    NUMBER.store(sgi.intid(), Ordering::Relaxed);
    // All that there are, and one more.
    let mut more = [None; 16];
    let count = more
        .iter_mut()
        .map_while(|one| {
            *one = irq::register_sgi(&NOTHING).ok();
            *one
        })
        .count();
    println!("irqs: {} SGIs", count + 1);
    check(irq::register_sgi(&NOTHING) == Err(IrqError::NoSgi), "no more");
    for one in more.iter().flatten() {
        check(one.send(&cpu::online()) == Ok(()), "each can be sent");
        check(irq::unregister(one.intid(), LONG) == Ok(()), "and taken away");
        check(
            one.send(&cpu::online()) == Err(IrqError::NotRegistered { intid: one.intid() }),
            "then it cannot be sent",
        );
    }
    let all = cpu::online();
    // On CPUs that have not heard of it yet it comes as soon as they have.
    check(sgi.send(&all) == Ok(()), "sent to everyone");
    eventually("everyone takes it", || everyone() == [1; 4]);
    check(sgi.send(&[cpu].into_iter().collect()) == Ok(()), "sent to one");
    eventually("that takes it", || taken(cpu) == 2);
    let from_there = move || sgi.send(&[CpuId::BOOT].into_iter().collect());
    check(call::on(cpu, from_there) == Ok(Ok(())), "sent by another CPU");
    eventually("and taken here", || everyone() == [2, 2, 1, 1]);
    let at_nmi_level = || {
        let sgi = Sgi::with_intid(NUMBER.load(Ordering::Relaxed));
        let sent = sgi.map(|sgi| sgi.send(&[CpuId::BOOT].into_iter().collect()));
        check(irq::in_nmi() && sent == Some(Ok(())), "sent at NMI level");
    };
    check(
        Sgi::with_intid(sgi.intid()) == Some(sgi) && Sgi::with_intid(0).is_none(),
        "it is known by its number",
    );
    check(nmi::on_each(&[cpu].into_iter().collect(), at_nmi_level).is_complete(), "a function at NMI level");
    eventually("it comes from there", || everyone() == [3, 2, 1, 1]);
    check(prioritised(sgi.intid(), Priority::Low), "it has a priority");
    check(
        irq::disable(sgi.intid()) == Err(IrqError::BadNumber { intid: sgi.intid() }),
        "it is always let in",
    );
    check(hotplug::cpu_down(cpu, LONG) == Ok(()), "a CPU leaves");
    check(sgi.send(&all) == Ok(()), "sent to all that there were");
    eventually("the others take it", || everyone() == [4, 2, 2, 2]);
    check(bringup::cpu_up(cpu, LONG) == Verdict::Online, "it comes back");
    check(taken(cpu) == 2, "it was not told");
    check(sgi.send(&all) == Ok(()), "sent again");
    eventually("it is told", || everyone() == [5, 3, 3, 3]);
    check(irq::unregister(sgi.intid(), LONG) == Ok(()), "taken away");
    check(sgi.send(&all) == Err(IrqError::NotRegistered { intid: sgi.intid() }), "and gone");
}
