//! Breaks the machine in the way that the bootargs say. The panic report is the result.
//!
//! `case=NAME` is what fails, and where; `others=NAME` is what the other CPUs are doing meanwhile (default: nothing). With
//! `hook=NAME` the application has a word in what follows.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::fmt;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille::cpu::{self, CpuId, CpuSet};
use reveille::dt::Gic;
use reveille::panic::{self, Action, CrashReport};
use reveille::sync::SpinLock;
use reveille::time::{self, Deadline, Instant};
use reveille::{ExitCode, System, bringup, call, fault, hotplug, irq, nmi, power, println, stop_machine};
use reveille_tests::shim::{self, Plan};
use reveille_tests::{argument, check, eventually};

reveille::entry!(main);

/// More than a CPU takes to come, however busy its host is.
const LONG: Duration = Duration::from_secs(60);

/// The CPU that is to fail has the lock.
static HELD: AtomicBool = AtomicBool::new(false);
static LOCK: SpinLock<u32> = SpinLock::new(0);
static READY: AtomicU32 = AtomicU32::new(0);
/// CPUs that are to come to the lock, and those that are there.
static SPINNERS: AtomicU32 = AtomicU32::new(0);
static AT_LOCK: AtomicU32 = AtomicU32::new(0);
static FOR_EVER: AtomicBool = AtomicBool::new(true);

// Addresses among the constants, of a function. The first is in a table of its own, as the linker packs none that is in a section without
// alignment; the others are packed, some of them further apart than a bitmap is long. Each case of this image relies on both tables, and
// its build id has them in it.
global_asm!(
    ".section .rodata.unaligned, \"a\"",
    ".byte 0",
    "crash_unaligned: .quad {main}",
    ".section .rodata.aligned, \"a\"",
    ".balign 8",
    "crash_aligned: .quad {main}, 1, {main}",
    ".fill 80, 8, 1",
    ".quad {main}",
    ".fill 60, 8, 1",
    ".quad {main}",
    main = sym main,
);

/// Whether relocation has reached all of them, and nothing between them.
fn is_relocated() -> bool {
    unsafe extern "C" {
        #[link_name = "crash_unaligned"]
        static UNALIGNED: u8;
        #[link_name = "crash_aligned"]
        static ALIGNED: [u64; 145];
    }
    let wanted = main as *const () as u64;
    // SAFETY: the constants above, of this size.
    let (unaligned, aligned) = unsafe { ((&raw const UNALIGNED).cast::<u64>().read_unaligned(), &ALIGNED) };
    let places = [0, 2, 83, 144];
    unaligned == wanted
        && aligned.iter().enumerate().all(|(at, word)| *word == if places.contains(&at) { wanted } else { 1 })
}

fn main(system: &'static System) -> ExitCode {
    check(is_relocated(), "addresses in both tables are where the image is");
    match system.arg("hook") {
        None => {}
        Some("tell") => panic::set_action(Action::Hook(tell)),
        Some("panic") => panic::set_action(Action::Hook(fail_again)),
        Some("overflow") => panic::set_action(Action::Hook(|_| push_for_ever())),
        Some("deaf") => panic::set_action(Action::Hook(tell_without_console)),
        Some(what @ ("storm" | "storm-panic")) => {
            STORM_ENDS.store(what == "storm-panic", Ordering::Relaxed);
            if let Ok(Gic::V2 { distributor, .. }) = &system.machine().gic {
                DISTRIBUTOR.store(distributor.base, Ordering::Relaxed);
            }
            panic::set_action(Action::Hook(storm));
        }
        Some(other) => println!("hook={other}: unknown"),
    }
    let case = system.arg("case").unwrap_or("");
    let others = system.arg("others").unwrap_or("idle");
    if case == "bringup" {
        // The timer strikes somewhere in the middle, or before, or after.
        let us = argument(system, "us", 100);
        check(
            time::after(Duration::from_micros(us), || panic!("during bring-up")).is_ok(),
            "a timer can be set",
        );
    }
    if case.ends_with("serror") {
        check(shim::is_present(system), "the shim is there, which makes SErrors");
    }
    if case == "arriving-serror"
        && let Some(last) = cpu::possible().iter().last()
    {
        shim::plan(last, Plan::SError);
    }
    if case == "unmapped-console"
        && let Some(words) = panic::last_words()
    {
        // The boot after it.
        return words.is_nested().into();
    }
    if case == "kicked" {
        kicked(system);
    }
    if case.starts_with("before-gic") {
        before_gic(system, case);
    }
    let absent = if others == "offline" { cpu::possible().iter().last() } else { None };
    for cpu in cpu::possible().iter().filter(|cpu| absent != Some(*cpu) && case != "bringup") {
        check(bringup::cpu_up(cpu, system.deadline()) == bringup::Verdict::Online, "the CPU comes online");
    }
    if case == "bringup" {
        let _ = system.bring_up_all(system.deadline());
        wait();
    }
    occupy(others);
    fail(system, case);
    println!("survived case={case}");
    ExitCode::FAILURE
}

/// What the other CPUs are doing.
fn occupy(what: &str) {
    let set = cpu::online().without(cpu::current());
    let f: fn() = match what {
        "idle" | "offline" => return,
        "busy" => busy,
        "masked" => masked,
        "daif" => daif,
        "registers" => known_registers,
        "registers-masked" => known_registers_masked,
        "printing" => printing,
        "calling" => calling,
        "gone" => {
            let down = set.iter().last().unwrap_or(CpuId::BOOT);
            check(hotplug::cpu_down(down, LONG).is_ok(), "a CPU can leave");
            return;
        }
        // Each in its own way; and one of them spins on the lock that this CPU is about to take.
        "mixed" => {
            for (index, cpu) in set.iter().enumerate() {
                let f = [busy as fn(), masked, spinning, printing][index % 4];
                check(cpu::launch(cpu, f).is_ok(), "an idle CPU takes a closure");
            }
            return eventually("they are at it", || READY.load(Ordering::Relaxed) as usize == set.len());
        }
        "spinning" => spinning,
        other => {
            println!("others={other}: unknown");
            return;
        }
    };
    for cpu in set {
        check(cpu::launch(cpu, f).is_ok(), "an idle CPU takes a closure");
    }
    eventually("they are at it", || READY.load(Ordering::Relaxed) as usize == set.len());
}

fn spin() {
    READY.fetch_add(1, Ordering::Relaxed);
    while FOR_EVER.load(Ordering::Relaxed) {
        core::hint::spin_loop();
    }
}

fn busy() {
    spin();
}

fn masked() {
    let _masked = irq::mask();
    spin();
}

fn daif() {
    // SAFETY: masks interrupts behind the back of the runtime, for ever: that is the test.
    unsafe { asm!("msr daifset, #2") };
    spin();
}

/// Every general register but the frame pointer holds 0x100 and its number.
fn known_registers() {
    READY.fetch_add(1, Ordering::Relaxed);
    macro_rules! fill {
        ($($n:literal)*) => {
            // SAFETY: for ever, with nobody to need the registers.
            unsafe { asm!($(concat!("mov x", $n, ", #(0x100 + ", $n, ")"),)* "2: b 2b", options(noreturn)) }
        };
    }
    fill!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 30)
}

fn known_registers_masked() {
    let _masked = irq::mask();
    known_registers();
}

fn printing() {
    READY.fetch_add(1, Ordering::Relaxed);
    for line in 0.. {
        println!("cpu {} prints line {line}: {:?}", cpu::current(), [line; 12]);
    }
}

fn spinning() {
    SPINNERS.fetch_add(1, Ordering::Relaxed);
    READY.fetch_add(1, Ordering::Relaxed);
    // Until the failing CPU has it; that it is taken tells nothing, as the others try too.
    while !HELD.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    // Masked from before it is said that this CPU is there, as it is in the lock's own wait.
    let _masked = irq::mask();
    AT_LOCK.fetch_add(1, Ordering::Relaxed);
    *LOCK.lock() += 1;
    println!("got a lock that nobody gave back");
}

/// Calls the CPU that fails, again and again, and everybody else.
fn calling() {
    READY.fetch_add(1, Ordering::Relaxed);
    loop {
        for cpu in cpu::online().without(cpu::current()) {
            let _ = call::on(cpu, cpu::current);
        }
    }
}

fn fail(system: &'static System, case: &str) {
    let last = cpu::online().iter().last().unwrap_or(CpuId::BOOT);
    match case {
        "panic" => panic!("on purpose"),
        "read" => {
            // SAFETY: not safe at all: nothing is mapped there, which is what the test is about.
            let value = unsafe { (black_box(0x00de_ad00_0000_u64) as *const u64).read_unaligned() };
            println!("read {value}");
        }
        "write-text" => {
            let text = main as *const () as *mut u32;
            // SAFETY: not safe at all: text is read-only, which is what the test is about.
            unsafe { black_box(text).write(0) };
        }
        "write-constant" => {
            static CONSTANT: [u64; 4] = [1, 2, 3, 4];
            // SAFETY: not safe at all: constants are read-only, which is what the test is about.
            unsafe { black_box(CONSTANT.as_ptr().cast_mut()).write(0) };
        }
        "execute-data" => {
            let code: [u32; 2] = black_box([0xd65f_03c0, 0]);
            // SAFETY: not safe at all: the stack is not executable, which is what the test is about.
            let call: extern "C" fn() = unsafe { core::mem::transmute(code.as_ptr()) };
            call();
        }
        // SAFETY: raises an exception, which is what the test is about.
        "undefined" => unsafe { asm!("udf #0") },
        // SAFETY: as above: `cntb x0` of SVE, and `smstart` of SME, which nobody has opened.
        "sve" => unsafe { asm!(".inst 0x0420e3e0", out("x0") _) },
        // SAFETY: as above.
        "sme" => unsafe { asm!(".inst 0xd503477f") },
        "secondary-sve" => fail_on(last, || {
            // SAFETY: as above.
            unsafe { asm!(".inst 0x0420e3e0", out("x0") _) }
        }),
        "secondary-sme" => fail_on(last, || {
            // SAFETY: as above.
            unsafe { asm!(".inst 0xd503477f") }
        }),
        "fiq" => {
            fiq(system);
            wait();
        }
        "secondary-fiq" => fail_on(last, move || {
            fiq(system);
            wait();
        }),
        "overflow" => println!("{}", overflow(0)),
        "bad-sp" => bad_stack(),
        "bad-frames" => bad_frames(system),
        "full-stack" => println!("{}", fill_up(0)),
        "serror" => shim::serror(),
        "secondary-serror" => fail_on(last, shim::serror),
        "masked-serror" => {
            let _masked = irq::mask();
            shim::serror();
        }
        "timer-serror" => {
            // Held back until the handler is over.
            in_timer(|| {
                shim::serror();
                println!("the handler goes on");
            });
            wait();
        }
        "arriving-serror" => wait(),
        "secondary" => fail_on(last, || panic!("on a secondary")),
        "secondary-overflow" => fail_on(last, || println!("{}", overflow(0))),
        "secondary-exception" => fail_on(last, bad_stack),
        "masked" => {
            let _masked = irq::mask();
            panic!("in a masked section");
        }
        "holding" => {
            let _held = LOCK.lock();
            HELD.store(true, Ordering::Release);
            // Nothing in here may wait in a way that looks for the gate.
            while AT_LOCK.load(Ordering::Relaxed) != SPINNERS.load(Ordering::Relaxed) {
                core::hint::spin_loop();
            }
            panic!("while holding a lock");
        }
        "timer" => {
            in_timer(|| panic!("in an interrupt handler"));
            wait();
        }
        "timer-overflow" => {
            in_timer(|| println!("{}", overflow(0)));
            wait();
        }
        "timer-bad-sp" => {
            in_timer(bad_stack);
            wait();
        }
        "callback" => {
            check(call::post(last, || panic!("in a callback")).is_ok(), "a call can be posted");
            wait();
        }
        "sync-call" => {
            // The other calls back meanwhile, and waits for this CPU while this CPU waits for it.
            let own = cpu::current();
            launch(last, move || {
                let _ = call::on(own, || {
                    let until = Deadline::after(Duration::from_millis(2));
                    while !until.has_passed() {}
                    panic!("in both directions");
                });
            });
            loop {
                let _ = call::on(last, cpu::current);
            }
        }
        "nmi" => {
            let answers = nmi::on_each(&[last].into_iter().collect(), || panic!("in an NMI"));
            println!("{answers}");
        }
        "nmi-on-self" => {
            let _ = nmi::on_each(&[cpu::current()].into_iter().collect(), || panic!("in an NMI"));
        }
        "stop-machine" => {
            let _ = stop_machine(LONG, || panic!("with the machine stopped"));
        }
        "printing" => println!("a line that ends in {}", Panics),
        "message" => panic!("a message that ends in {}", Panics),
        "unmapped-console" => {
            fault::unmap_console();
            panic!("that nobody can read");
        }
        "stop-fails" => {
            fault::while_stopping(|| panic!("in the stop"));
            panic!("before it");
        }
        "emergency-overflow" => panic!("a message that ends in {}", Pushes),
        "twice" => panic!("{}", Faults),
        "print-loop" => {
            in_timer(|| panic!("in the middle of a line"));
            loop {
                println!("cpu {} prints: {:?}", cpu::current(), [0x5555_5555_u32; 16]);
            }
        }
        "lock-after-stop" => {
            launch(last, || {
                let _held = LOCK.lock();
                spin();
            });
            eventually("the lock is held", || READY.load(Ordering::Relaxed) == 1);
            check(panic::stop_others(Duration::from_millis(200)).is_complete(), "all are stopped");
            *LOCK.lock() += 1;
        }
        "call-after-stop" => {
            check(panic::stop_others(Duration::from_millis(200)).is_complete(), "all are stopped");
            let called = call::on(last, cpu::current);
            check(called == Err(call::CallError::Offline), "who was stopped takes no calls");
        }
        other => println!("case={other}: unknown"),
    }
}

/// Has `cpu` fail by `f`, and waits for that.
fn fail_on(cpu: CpuId, f: impl FnOnce() + Send + 'static) {
    if cpu == cpu::current() {
        return f();
    }
    launch(cpu, f);
    wait();
}

fn launch(cpu: CpuId, f: impl FnOnce() + Send + 'static) {
    check(cpu::launch(cpu, f).is_ok(), "an idle CPU takes a closure");
}

fn in_timer(f: impl FnOnce() + Send + 'static) {
    check(time::after(Duration::from_millis(3), f).is_ok(), "a timer can be set");
}

/// For the failure of another, which comes soon where the host does not keep it waiting.
fn wait() {
    let until = Deadline::after(Duration::from_secs(20));
    while !until.has_passed() {
        cpu::idle();
    }
}

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    overflow(depth + 1) + frame[3]
}

/// Goes on until there is only just room on the stack for a panic to begin.
#[inline(never)]
fn fill_up(depth: u64) -> u64 {
    let frame = black_box([depth; 8]);
    let sp: u64;
    // SAFETY: reads the stack pointer.
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack)) };
    // A thread stack begins one page into 64 KiB of address space, above the page that is not mapped.
    assert!(sp & 0xffff > 0x1000 + 0x300 || depth < 8, "with a stack that is almost full");
    fill_up(depth + 1) + frame[3]
}

/// Makes an SGI to this CPU an FIQ, and sends it: on `virt` without Secure state, where Group 0 is everybody's.
fn fiq(system: &System) {
    const SGI: u32 = 5;
    // SAFETY: registers of the interrupt controller, which the runtime has mapped, and which does not come to use them again.
    let change = |at: u64, set: u32, clear: u32| unsafe {
        let register = at as *mut u32;
        register.write_volatile(register.read_volatile() & !clear | set);
    };
    match &system.machine().gic {
        Ok(Gic::V2 { distributor, cpu_interface, .. }) => {
            // GICC_CTLR.FIQEn; GICD_SGIR, to the CPU that asks.
            change(cpu_interface.base, 1 << 3, 0);
            change(distributor.base + 0xf00, 2 << 24 | SGI, !0);
        }
        Ok(Gic::V3 { distributor, redistributors, .. }) => {
            let own = redistributors[0].base + 0x2_0000 * cpu::current().index() as u64;
            // GICR_IGROUPR0; GICD_CTLR.EnableGrp0.
            change(own + 0x1_0080, 0, 1 << SGI);
            change(distributor.base, 1, 0);
            let sgi = u64::from(SGI) << 24 | 1 << cpu::current().index();
            // SAFETY: ICC_IGRPEN0_EL1 and ICC_SGI0R_EL1: what is wanted is that this CPU fails.
            unsafe {
                asm!("dsb sy", "msr S3_0_C12_C12_6, {}", "isb", "msr S3_0_C12_C11_7, {}", "isb", in(reg) 1_u64, in(reg) sgi);
            }
        }
        Ok(Gic::Bcm2836 { .. }) => println!("there is no group of interrupts"),
        Err(error) => println!("{error}"),
    }
}

fn bad_stack() {
    // SAFETY: not safe at all: there is no stack there, which is what the test is about.
    unsafe { asm!("mov sp, {}", "str xzr, [sp, #-16]!", in(reg) 0x00de_ad00_0000_u64, options(noreturn)) }
}

/// A chain of frames that no compiler has made.
fn bad_frames(system: &System) {
    static LOOP: [u64; 2] = [0, 0];
    let number = |name| system.arg(name).and_then(|value| u64::from_str_radix(value, 16).ok());
    let text = main as *const () as u64 + 8;
    let mut cycle = [LOOP; 2];
    cycle[0] = [cycle[1].as_ptr() as u64, text];
    cycle[1] = [cycle[0].as_ptr() as u64, text + 4];
    let fp = number("fp").unwrap_or(black_box(&cycle).as_ptr() as u64);
    // SAFETY: raises an exception with a frame pointer that leads nowhere, which is what the test is about.
    unsafe { asm!("mov x29, {}", "udf #0", in(reg) fp, options(noreturn)) }
}

/// Panics when it is to be printed.
struct Panics;

impl fmt::Display for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("while a line was printed");
    }
}

/// Takes an exception when it is to be printed.
struct Faults;

impl fmt::Display for Faults {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: raises an exception, which is what the test is about.
        unsafe { asm!("udf #1") };
        Ok(())
    }
}

/// Uses up a stack, 16 bytes at a time, until less of it is left than an exception saves.
fn push_for_ever() -> ! {
    // SAFETY: not safe at all: it ends below the stack, which is what the test is about.
    unsafe { asm!("2: sub sp, sp, #16", "stur xzr, [sp, #-240]", "b 2b", options(noreturn)) }
}

/// Needs more stack than there is when it is to be printed.
struct Pushes;

impl fmt::Display for Pushes {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        push_for_ever()
    }
}

/// Brings all CPUs up but the last, and says which that is. `None`: there is but one.
fn all_but_last(system: &'static System) -> Option<CpuId> {
    let mut cpus = cpu::possible();
    let last = cpus.iter().last().filter(|last| *last != CpuId::BOOT)?;
    cpus.remove(last);
    for cpu in cpus {
        check(bringup::cpu_up(cpu, system.deadline()) == bringup::Verdict::Online, "the CPU comes online");
    }
    Some(last)
}

/// While the last CPU is on its way: firmware has been asked to start it.
fn kicked(system: &'static System) {
    check(shim::is_present(system), "the shim is there, which holds CPUs");
    let Some(last) = all_but_last(system) else { return };
    shim::plan(last, Plan::Hold);
    let fail = || panic!("while one is on its way");
    check(time::after(Duration::from_millis(5), fail).is_ok(), "a timer can be set");
    let verdict = bringup::cpu_up(last, Deadline::after(Duration::from_secs(40)));
    println!("survived a start: {verdict:?}");
}

/// What the last CPU does before its part of the interrupt controller is set up: waits for ever, or fails, or goes on a
/// little after another has begun to fail.
fn before_gic(system: &'static System, case: &str) {
    static THERE: AtomicBool = AtomicBool::new(false);
    static FAILING: AtomicBool = AtomicBool::new(false);
    fn stays(_: CpuId) {
        THERE.store(true, Ordering::Relaxed);
        while FOR_EVER.load(Ordering::Relaxed) {
            core::hint::spin_loop();
        }
    }
    fn goes_on(_: CpuId) {
        THERE.store(true, Ordering::Relaxed);
        while !FAILING.load(Ordering::Relaxed) {
            core::hint::spin_loop();
        }
        let until = Deadline::after(Duration::from_millis(20));
        while !until.has_passed() {}
    }
    fn fails(cpu: CpuId) {
        panic!("cpu {cpu} has no interrupts yet");
    }
    let Some(last) = all_but_last(system) else { return };
    let online = |_| {
        // Whoever was told to stop, and lost that as its interrupt controller was set up, has to see it before it gets here.
        while FAILING.load(Ordering::Relaxed) {
            core::hint::spin_loop();
        }
        Ok(())
    };
    check(hotplug::register(online, |_| ()).is_ok(), "a callback can be registered");
    fault::before_gic(Some(match case {
        "before-gic-stays" | "before-gic-wedged" => stays,
        "before-gic-goes-on" => goes_on,
        _ => fails,
    }));
    if case == "before-gic-wedged" {
        let verdict = bringup::cpu_up(last, Deadline::after(Duration::from_millis(100)));
        check(verdict == bringup::Verdict::Wedged, "it comes too late");
        panic!("while one is wedged");
    }
    if case != "before-gic-fails" {
        // Somebody else, as the booter waits.
        let other = cpu::online().without(cpu::current()).iter().next().unwrap_or(CpuId::BOOT);
        launch(other, || {
            while !THERE.load(Ordering::Relaxed) {
                core::hint::spin_loop();
            }
            FAILING.store(true, Ordering::Relaxed);
            panic!("while one comes");
        });
    }
    let verdict = bringup::cpu_up(last, Deadline::after(Duration::from_secs(40)));
    println!("survived {case}: {verdict:?}");
}

/// Whether the report says why it has no end.
fn tell_without_console(report: &CrashReport) -> ! {
    let nested = report.text().contains("\npanic while a panic was reported: ESR ");
    power::exit(ExitCode::from(if report.stop().is_complete() && nested { 7 } else { 8 }))
}

/// The application's own end.
fn tell(report: &CrashReport) -> ! {
    let stop = report.stop();
    let parked: CpuSet = stop.fates().filter(|(_, fate)| fate.is_parked()).map(|(cpu, _)| cpu).collect();
    println!("hook: cpu {:?}, parked {parked}, left {}", report.cpu(), stop.left());
    println!("hook: {} lines of report", report.text().lines().count());
    let complete = stop.is_complete() && report.text().contains("end of the report: ");
    power::exit(ExitCode::from(if complete { 7 } else { 8 }))
}

fn fail_again(_: &CrashReport) -> ! {
    panic!("in the hook")
}

/// Base of a GICv2's distributor; 0: it is a GICv3.
static DISTRIBUTOR: AtomicU64 = AtomicU64::new(0);

/// The storm ends with another panic.
static STORM_ENDS: AtomicBool = AtomicBool::new(false);

/// Sends every SGI there is to every other CPU, and events, for ever or for long.
fn storm(_: &CrashReport) -> ! {
    let distributor = DISTRIBUTOR.load(Ordering::Relaxed);
    println!("hook: storm");
    let mut sent = 0_u64;
    let (mut told, mut lines) = (Instant::now(), 0);
    loop {
        for sgi in 0..16_u64 {
            // SAFETY: sends an SGI to all CPUs but this one, in the way that this kind of controller has (IHI 0048B 4.3.15,
            // IHI 0069 12.2.19); and an event.
            unsafe {
                if distributor == 0 {
                    asm!("msr S3_0_C12_C11_5, {}", "isb", "sev", in(reg) sgi << 24 | 1 << 40, options(nostack));
                } else {
                    asm!("str {:w}, [{}]", "dsb sy", "sev", in(reg) 1 << 24 | sgi, in(reg) distributor + 0xf00, options(nostack));
                }
            }
            sent += 1;
        }
        if Instant::now() - told > Duration::from_millis(500) {
            told = Instant::now();
            println!("hook: {sent} SGIs sent");
            lines += 1;
            assert!(lines < 6 || !STORM_ENDS.load(Ordering::Relaxed), "after the storm");
        }
    }
}
