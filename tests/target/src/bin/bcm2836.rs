//! Interrupts where there is no GIC, on a Raspberry Pi 3: what its controllers cannot do is refused, and those of peripherals, which all
//! go the same way, come wherever that leads. The system timer makes them.

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{self, Verdict};
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::irq::{self, Handler, IrqError, Priority, Trigger};
use reveille::time::Deadline;
use reveille::{ExitCode, System, hotplug, nmi, println};
use reveille_tests::{check, eventually, has_gic, nothing_left};

reveille::entry!(main);

const LONG: Duration = Duration::from_secs(60);

/// Channels of the system timer that firmware leaves to the Arm cores ("BCM2835 ARM Peripherals", 12), and what they interrupt by.
const CHANNELS: [u32; 2] = [1, 3];
const SPIS: [u32; 2] = [32 + CHANNELS[0], 32 + CHANNELS[1]];

/// Where the system timer is.
static TIMER: AtomicU64 = AtomicU64::new(0);

fn read(at: u64) -> u32 {
    let value: u32;
    // SAFETY: a register of the system timer, mapped; nothing changes by being read.
    unsafe {
        asm!("ldr {:w}, [{}]", out(reg) value, in(reg) TIMER.load(Ordering::Relaxed) + at, options(nostack))
    };
    value
}

fn write(at: u64, value: u32) {
    // SAFETY: a register of the system timer, mapped, which nobody else uses.
    unsafe {
        asm!("str {:w}, [{}]", in(reg) value, in(reg) TIMER.load(Ordering::Relaxed) + at, options(nostack))
    };
}

/// Has the interrupt `spi` signal, until [`quiet`]; when this is over it does, or was handled. Whatever holds it back.
fn fire(spi: u32) {
    let signalled = || read(0) >> (spi - 32) & 1 != 0 || handled(spi).is_some();
    loop {
        // From the low word of the counter, in microseconds, to the compare register, which is compared for equality: once passed, it is for
        // more than an hour.
        let at = read(4).wrapping_add(200);
        write(0xc + 4 * u64::from(spi - 32), at);
        let was_in_time = read(4).wrapping_sub(at).cast_signed() < 0;
        let limit = Deadline::after(Duration::from_secs(2));
        eventually("it signals", || signalled() || !was_in_time && limit.has_passed());
        if signalled() {
            return;
        }
    }
}

/// One more than the index of the CPU that has handled each.
static HANDLED: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
static DEPTH: AtomicU32 = AtomicU32::new(0);

fn quiet(spi: u32) {
    write(0, 1 << (spi - 32));
}

fn handler(spi: u32) {
    check(DEPTH.fetch_add(1, Ordering::Relaxed) == 0, "no handler interrupts another");
    quiet(spi);
    let own = 1 + cpu::current().index() as u32;
    HANDLED[usize::from(spi == SPIS[1])].store(own, Ordering::Relaxed);
    DEPTH.fetch_sub(1, Ordering::Relaxed);
}

fn handled(spi: u32) -> Option<CpuId> {
    let by = HANDLED[usize::from(spi == SPIS[1])].load(Ordering::Relaxed);
    cpu::get((by as usize).checked_sub(1)?)
}

/// Who handles `spi`, when it comes?
#[track_caller]
fn handler_of(spi: u32) -> Option<CpuId> {
    HANDLED[usize::from(spi == SPIS[1])].store(0, Ordering::Relaxed);
    fire(spi);
    eventually("the interrupt is handled", || handled(spi).is_some());
    handled(spi)
}

fn spend(time: Duration) {
    let until = Deadline::after(time);
    while !until.has_passed() {
        core::hint::spin_loop();
    }
}

fn main(system: &'static System) -> ExitCode {
    check(!has_gic(system), "there is no GIC");
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let others = cpu::online().without(cpu::current());
    let (Some(first), Some(last)) = (others.iter().next(), others.iter().last()) else {
        return ExitCode::FAILURE;
    };
    let found = system.machine().device_regions("brcm,bcm2835-system-timer");
    let Some(timer) = found.ok().and_then(|regions| regions.first().copied()) else {
        return ExitCode::FAILURE;
    };
    check(system.map_device(timer.base, timer.size).is_ok(), "the system timer is mapped");
    TIMER.store(timer.base, Ordering::Relaxed);
    for spi in SPIS {
        quiet(spi);
    }
    refused();
    routed(first, last);
    held_back();
    from_cpu_to_cpu(&others);
    unreached(first);
    nothing_left();
    println!("bcm2836: all good");
    ExitCode::SUCCESS
}

fn refused() {
    let [spi, _] = SPIS;
    for intid in (20..25).chain(26..32).chain([104, 1019]) {
        check(
            irq::register(intid, Trigger::Level, handler) == Err(IrqError::BadNumber { intid }),
            "no such interrupt",
        );
    }
    // The performance monitors' is one.
    check(
        irq::register(25, Trigger::Level, handler).is_ok() && irq::unregister(25, LONG).is_ok(),
        "a private one",
    );
    check(irq::register(spi, Trigger::Level, handler).is_ok(), "a shared one");
    check(irq::set_pending(spi) == Err(IrqError::NoState), "it cannot be made pending");
    check(irq::is_active(spi) == Err(IrqError::NoState), "nor is it active");
    check(
        irq::clear_pending(spi) == Ok(()) && irq::is_pending(spi) == Ok(false),
        "there is nothing to be forgotten",
    );
    check(irq::set_priority(spi, Priority::High) == Err(IrqError::NoPriorities), "it has no priority");
    check(handler_of(spi) == Some(cpu::current()), "it comes where it was registered");
}

/// Both go the same way, and never to one that has left.
fn routed(first: CpuId, last: CpuId) {
    let [a, b] = SPIS;
    check(irq::register(b, Trigger::Level, handler).is_ok(), "another one");
    for cpu in cpu::online() {
        check(irq::set_affinity(a, cpu).is_ok(), "it can be sent to any CPU");
        check(handler_of(a) == Some(cpu) && handler_of(b) == Some(cpu), "and both come there");
    }
    check(irq::set_affinity(b, first).is_ok(), "sent to one");
    check(hotplug::cpu_down(first, LONG) == Ok(()), "which leaves");
    check(irq::set_affinity(a, first) == Err(IrqError::Offline { cpu: first }), "to which nothing is sent");
    for spi in SPIS {
        check(handler_of(spi).is_some_and(|cpu| cpu::online().contains(cpu)), "both come elsewhere");
    }
    check(bringup::cpu_up(first, LONG) == Verdict::Online, "it comes back");
    // The last word was about one that is there no more.
    check(irq::set_affinity(a, first).is_ok() && irq::set_affinity(b, last).is_ok(), "sent to two");
    check(irq::unregister(b, LONG) == Ok(()), "the second goes");
    check(hotplug::cpu_down(last, LONG) == Ok(()), "and its CPU too");
    check(handler_of(a).is_some_and(|cpu| cpu::online().contains(cpu)), "the first still comes");
    check(bringup::cpu_up(last, LONG) == Verdict::Online, "it comes back");
    check(irq::register(b, Trigger::Level, handler).is_ok(), "registered again");
}

fn held_back() {
    let [a, b] = SPIS;
    HANDLED[0].store(0, Ordering::Relaxed);
    check(irq::disable(a) == Ok(()), "one is held back");
    fire(a);
    check(handled(a).is_none() && irq::is_pending(a) == Ok(false), "it does not come");
    check(handler_of(b).is_some(), "the other does");
    check(irq::enable(a) == Ok(()), "it is let in");
    eventually("and comes", || handled(a).is_some());
    HANDLED[0].store(0, Ordering::Relaxed);
    check(irq::set_affinity(a, cpu::current()).is_ok(), "it comes to this CPU");
    let masked = irq::mask();
    fire(a);
    eventually("it is pending", || irq::is_pending(a) == Ok(true));
    check(handled(a).is_none(), "a masked section holds it back");
    drop(masked);
    eventually("until it ends", || handled(a).is_some());
    // A handler that is slow, and the other one meanwhile.
    check(irq::unregister(a, LONG) == Ok(()), "taken away");
    let slow = |spi: u32| {
        DEPTH.fetch_add(1, Ordering::Relaxed);
        fire(SPIS[1]);
        spend(Duration::from_millis(2));
        DEPTH.fetch_sub(1, Ordering::Relaxed);
        handler(spi);
    };
    HANDLED[1].store(0, Ordering::Relaxed);
    check(irq::register(a, Trigger::Level, slow).is_ok(), "a slow one");
    check(handler_of(a).is_some(), "it is handled");
    eventually("and then the other", || handled(b).is_some());
    for spi in SPIS {
        check(irq::unregister(spi, LONG) == Ok(()), "taken away");
    }
}

reveille::percpu! {
    /// How often the CPU has taken an SGI.
    static SENT: AtomicU32 = AtomicU32::new(0);
}

/// No firmware keeps any: there are as many for the application as there can be.
fn from_cpu_to_cpu(others: &CpuSet) {
    static HANDLER: Handler = Handler::new(&|_| _ = SENT.fetch_add(1, Ordering::Relaxed));
    let mut sgis = [None; 16];
    let count = sgis
        .iter_mut()
        .map_while(|sgi| {
            *sgi = irq::register_sgi(&HANDLER).ok();
            *sgi
        })
        .count();
    check(count == 9, "nine SGIs");
    for sgi in sgis.iter().flatten() {
        check(sgi.send(others) == Ok(()), "each can be sent");
    }
    for cpu in others {
        eventually("all come", || SENT.of(cpu).load(Ordering::Relaxed) == 9);
    }
    // All at once: none takes another's place.
    let own: CpuSet = [cpu::current()].into_iter().collect();
    let masked = irq::mask();
    for sgi in sgis.iter().flatten() {
        check(sgi.send(&own) == Ok(()), "sent to oneself");
    }
    drop(masked);
    eventually("all come", || SENT.load(Ordering::Relaxed) == 9);
    for sgi in sgis.iter().flatten() {
        check(irq::unregister(sgi.intid(), LONG) == Ok(()), "taken away");
    }
}

/// A CPU that handles an interrupt takes none, whatever its class.
fn unreached(cpu: CpuId) {
    static IN_HANDLER: AtomicBool = AtomicBool::new(false);
    static GO_ON: AtomicBool = AtomicBool::new(false);
    static HANDLER: Handler = Handler::new(&|_| {
        IN_HANDLER.store(true, Ordering::Relaxed);
        eventually("it goes on", || GO_ON.load(Ordering::Relaxed));
    });
    let one: CpuSet = [cpu].into_iter().collect();
    check(nmi::on_each(&one, || ()).is_complete(), "one that waits takes it");
    let Ok(sgi) = irq::register_sgi(&HANDLER) else { return check(false, "there is an SGI") };
    check(sgi.send(&one) == Ok(()), "sent");
    eventually("its handler runs", || IN_HANDLER.load(Ordering::Relaxed));
    check(nmi::on_each(&one, || ()).silent == one, "one in a handler does not");
    GO_ON.store(true, Ordering::Relaxed);
    check(irq::unregister(sgi.intid(), LONG) == Ok(()), "taken away");
    check(nmi::on_each(&one, || ()).is_complete(), "and then it does again");
}
