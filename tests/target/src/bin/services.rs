//! The runtime's services beside bring-up: time, timers, interrupts, wake-ups, launched closures, memory.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId, LaunchError};
use reveille::irq::{self, IrqError, Trigger};
use reveille::time::{self, Deadline, Instant, TimerError};
use reveille::{ExitCode, MapError, System, println};
use reveille_tests::{check, eventually, has_gic, nothing_left, raise};

reveille::entry!(main, secondary = secondary);

static SECONDARIES: AtomicU32 = AtomicU32::new(0);

fn secondary(cpu: CpuId) -> ! {
    check(cpu == cpu::current(), "a secondary is told its own id");
    SECONDARIES.fetch_add(1, Ordering::Relaxed);
    loop {
        cpu::idle();
    }
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    check(cpu::online() == cpu::possible(), "online() and possible() agree");
    eventually("every secondary runs the secondary function", || {
        SECONDARIES.load(Ordering::Relaxed) as usize == cpu::possible().len() - 1
    });
    time_goes_on();
    timers();
    launches();
    device_interrupts(system);
    memory(system);
    nothing_left();
    println!("services: all good");
    ExitCode::SUCCESS
}

fn time_goes_on() {
    let start = Instant::now();
    check(!Deadline::after(Duration::from_secs(600)).has_passed(), "a deadline does not pass at once");
    let deadline = Deadline::after(Duration::from_millis(5));
    while !deadline.has_passed() {
        core::hint::spin_loop();
    }
    check(Instant::now() - start >= Duration::from_millis(5), "a deadline passes after its time");
    check(start.since(Instant::now()) == Duration::ZERO, "time before now is zero");
}

fn timers() {
    static FIRED: AtomicU32 = AtomicU32::new(0);
    static ORDER: AtomicU64 = AtomicU64::new(0);
    let fire = |digit: u64| {
        move || {
            ORDER.store(ORDER.load(Ordering::Relaxed) * 10 + digit, Ordering::Relaxed);
            FIRED.fetch_add(1, Ordering::Relaxed);
        }
    };
    // Which is due first, and that one can be cancelled before it is due, is certain only if all of that takes less time than lies
    // between them: the host may look away.
    let set = || {
        ORDER.store(0, Ordering::Relaxed);
        FIRED.store(0, Ordering::Relaxed);
        let start = Instant::now();
        let timers = [(30, 3), (10, 1), (20, 2)]
            .map(|(ms, digit)| time::after(Duration::from_millis(ms), fire(digit)));
        let never = time::after(Duration::from_millis(15), fire(9));
        (start, timers, never.is_ok_and(time::Timer::cancel))
    };
    let mut timers = set();
    eventually("they are set in less than 5 ms", || {
        if Instant::now() - timers.0 < Duration::from_millis(5) {
            return true;
        }
        for timer in timers.1.each_mut() {
            let _ = core::mem::replace(timer, Err(TimerError::Full)).is_ok_and(time::Timer::cancel);
        }
        timers = set();
        false
    });
    let (start, [late, soon, middle], cancelled) = timers;
    check(late.is_ok() && soon.is_ok() && middle.is_ok(), "timers can be set");
    check(cancelled, "a running timer can be cancelled");
    eventually("three timers fire", || {
        cpu::idle();
        FIRED.load(Ordering::Relaxed) == 3
    });
    check(Instant::now() - start >= Duration::from_millis(30), "no timer fires early");
    check(ORDER.load(Ordering::Relaxed) == 123, "timers fire in the order in which they are due");
    check(soon.is_ok_and(|timer| !timer.cancel()), "a timer that has fired cannot be cancelled");

    // The same if all are due by the time that the CPU takes the interrupt.
    ORDER.store(0, Ordering::Relaxed);
    FIRED.store(0, Ordering::Relaxed);
    let masked = irq::mask();
    // One that is set after it was due is due when it is set: then all are set anew.
    let set = || {
        let start = Instant::now() + Duration::from_millis(200);
        let timers = [3, 1, 4, 2].map(|digit| {
            let due = start + Duration::from_millis(50 * digit);
            time::after(due.since(Instant::now()), fire(digit))
        });
        (start, timers)
    };
    let mut timers = set();
    eventually("they are set in less than 200 ms", || {
        if Instant::now() < timers.0 {
            return true;
        }
        for timer in timers.1.each_mut() {
            let _ = core::mem::replace(timer, Err(TimerError::Full)).is_ok_and(time::Timer::cancel);
        }
        timers = set();
        false
    });
    let (start, timers) = timers;
    check(timers.iter().all(Result::is_ok), "timers can be set while masked");
    let until = Deadline::at(start + Duration::from_millis(300));
    while !until.has_passed() {
        core::hint::spin_loop();
    }
    check(FIRED.load(Ordering::Relaxed) == 0, "no timer fires while interrupts are masked");
    drop(masked);
    eventually("four timers fire", || FIRED.load(Ordering::Relaxed) == 4);
    check(
        ORDER.load(Ordering::Relaxed) == 1234,
        "timers that are late fire in the order in which they are due",
    );

    // All of them at once, and one more; masked, so that none makes room for it however long this takes.
    let masked = irq::mask();
    for _ in 0..time::TIMERS_PER_CPU {
        check(time::after(Duration::from_millis(200), fire(0)).is_ok(), "every timer can be used");
    }
    check(
        time::after(Duration::from_millis(200), fire(0)).err() == Some(TimerError::Full),
        "one timer too many is refused",
    );
    drop(masked);
    eventually("all timers fire", || {
        cpu::idle();
        FIRED.load(Ordering::Relaxed) as usize == 4 + time::TIMERS_PER_CPU
    });

    // Masked: not now, but not lost.
    let masked = irq::mask();
    check(irq::is_masked(), "mask() masks");
    check(time::after(Duration::from_millis(1), fire(0)).is_ok(), "a timer can be set while masked");
    let until = Deadline::after(Duration::from_millis(10));
    while !until.has_passed() {}
    check(FIRED.load(Ordering::Relaxed) as usize == 4 + time::TIMERS_PER_CPU, "no timer fires while masked");
    drop(masked);
    check(!irq::is_masked(), "dropping the guard unmasks");
    eventually("the timer fires once unmasked", || {
        FIRED.load(Ordering::Relaxed) as usize == 5 + time::TIMERS_PER_CPU
    });
}

fn launches() {
    static RAN: AtomicU32 = AtomicU32::new(0);
    static GATE: AtomicU32 = AtomicU32::new(0);
    for cpu in cpu::possible().without(cpu::current()) {
        for round in 0..100 {
            let before = RAN.load(Ordering::Relaxed);
            let launched = cpu::launch(cpu, move || {
                check(cpu::current() == cpu, "a launched closure runs where it was sent");
                check(!irq::in_interrupt() && !irq::is_masked(), "a launched closure runs in thread context");
                RAN.fetch_add(1, Ordering::Relaxed);
            });
            check(launched.is_ok() || round > 0, "an idle CPU takes a closure");
            if launched.is_ok() {
                eventually("a launched closure runs", || RAN.load(Ordering::Relaxed) == before + 1);
            }
        }
        // A CPU that is running one takes no other until it is done, and gives the refused one back.
        eventually("the CPU is free again", || {
            cpu::launch(cpu, || while GATE.load(Ordering::Relaxed) == 0 {}).is_ok()
        });
        let refused = cpu::launch(cpu, || {
            RAN.store(u32::MAX, Ordering::Relaxed);
        });
        check(matches!(refused, Err(LaunchError::Busy(_))), "a busy CPU refuses a closure");
        GATE.store(1, Ordering::Relaxed);
        eventually("the CPU is free once more", || cpu::launch(cpu, || {}).is_ok());
        GATE.store(0, Ordering::Relaxed);
        cpu::wake(cpu);
    }
    check(RAN.load(Ordering::Relaxed) != u32::MAX, "a refused closure does not run");
}

/// The last interrupt that was handled: number and CPU.
static HANDLED: AtomicU64 = AtomicU64::new(0);

fn handler(intid: u32) {
    HANDLED.store(u64::from(intid) << 16 | cpu::current().index() as u64, Ordering::Relaxed);
}

fn device_interrupts(system: &System) {
    // Nothing on QEMU's virt is wired to it, and no Raspberry Pi device that is on.
    const SPI: u32 = 32 + 60;
    check(irq::register(SPI, Trigger::Edge, handler).is_ok(), "a shared interrupt can be registered");
    check(
        irq::register(SPI, Trigger::Edge, handler) == Err(IrqError::Taken { intid: SPI }),
        "a second handler is refused",
    );
    check(
        irq::register(5, Trigger::Edge, handler) == Err(IrqError::BadNumber { intid: 5 }),
        "an SGI cannot be registered",
    );
    check(
        irq::register(1020, Trigger::Edge, handler) == Err(IrqError::BadNumber { intid: 1020 }),
        "a number that is no interrupt is refused",
    );
    check(
        irq::set_affinity(20, CpuId::BOOT) == Err(IrqError::Private { intid: 20 }),
        "a private interrupt has no affinity",
    );
    if has_gic(system) {
        raised_by_hand(system, SPI, SPI + 1);
    }

    // A private one: the EL1 physical timer, which the runtime leaves alone.
    let Some(timer) = system.machine().timer.ok().and_then(|timer| timer.physical) else {
        return check(false, "the tree describes a physical timer");
    };
    check(
        irq::register(timer.id, Trigger::Level, |intid| {
            // SAFETY: turns the physical timer off, which only this test uses.
            unsafe { core::arch::asm!("msr cntp_ctl_el0, xzr", "isb", options(nostack)) };
            handler(intid);
        })
        .is_ok(),
        "a private interrupt can be registered",
    );
    for cpu in cpu::online() {
        HANDLED.store(0, Ordering::Relaxed);
        let start = || {
            // SAFETY: fires the physical timer at once, which only this test uses.
            unsafe {
                core::arch::asm!("msr cntp_tval_el0, xzr", "msr cntp_ctl_el0, {}", "isb", in(reg) 1_u64, options(nostack));
            }
        };
        if cpu == cpu::current() {
            start();
        } else {
            eventually("a CPU takes the closure", || cpu::launch(cpu, start).is_ok());
        }
        eventually("the private interrupt arrives on its CPU", || {
            HANDLED.load(Ordering::Relaxed) == u64::from(timer.id) << 16 | cpu.index() as u64
        });
    }
}

/// `spi` has a handler, and goes where it is sent; `nobodys` has none.
fn raised_by_hand(system: &System, spi: u32, nobodys: u32) {
    for cpu in cpu::online() {
        check(irq::set_affinity(spi, cpu).is_ok(), "an interrupt can be sent to any online CPU");
        HANDLED.store(0, Ordering::Relaxed);
        raise(system, spi);
        eventually("the interrupt arrives where it was sent", || {
            HANDLED.load(Ordering::Relaxed) == u64::from(spi) << 16 | cpu.index() as u64
        });
        // Its handler is over, and Xen knows: it loses an interrupt that is raised after it was moved away from a CPU that handles it,
        // and sees the end of that at the next exit of the CPU. The SGI of the first call may be an exit before the end.
        for _ in 0..2 {
            check(reveille::call::on(cpu, || ()).is_ok(), "the CPU goes on");
        }
    }

    // One that nobody handles, and that is enabled all the same (`GICD_ISENABLER`, at 0x100 in both kinds of GIC): it is turned off
    // when it comes, as a level would not cease to.
    let Ok(gic) = &system.machine().gic else { return check(false, "there is a GIC") };
    let register = gic.distributor().base + 0x100 + 4 * u64::from(nobodys / 32);
    let bit = 1_u32 << (nobodys % 32);
    // SAFETY: a register of the distributor, which the runtime has mapped; nothing is wired to the interrupt.
    unsafe { core::arch::asm!("str {:w}, [{}]", in(reg) bit, in(reg) register, options(nostack)) };
    raise(system, nobodys);
    eventually("an interrupt without a handler is turned off", || {
        let enabled: u32;
        // SAFETY: as above; to read it changes nothing.
        unsafe {
            core::arch::asm!("ldr {:w}, [{}]", out(reg) enabled, in(reg) register, options(nostack));
        }
        enabled & bit == 0
    });
}

fn memory(system: &'static System) {
    let mut total = 0;
    let mut end = 0;
    for piece in system.free_memory() {
        check(piece.base >= end && piece.size > 0, "free memory is sorted and disjoint");
        end = piece.base + piece.size;
        total += piece.size;
        for at in [piece.base, (piece.base + piece.size / 2) & !7, end - 8] {
            let word = at as *mut u64;
            // SAFETY: free memory is the application's.
            unsafe {
                word.write_volatile(at ^ 0x5555);
                check(word.read_volatile() == at ^ 0x5555, "free memory can be written and read");
            }
        }
    }
    println!("free memory: {total} bytes");
    check(total > 0, "there is free memory");
    let Some(piece) = system.free_memory().next() else { return };
    check(
        matches!(system.map_device(piece.base, 4096), Err(MapError::Conflict { .. })),
        "RAM cannot be mapped as a device",
    );
    check(matches!(system.map_device(0, 0), Err(MapError::BadRange { .. })), "an empty range is refused");
    check(
        matches!(system.map_device(u64::MAX - 100, 4096), Err(MapError::BadRange { .. })),
        "a range that wraps is refused",
    );
}
