//! What runs at EL1 under an image at EL2: entered, interrupted, called through, left.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille::context::{self, Ended, Ready, Scheduler};
use reveille::cpu::CpuId;
use reveille::exception::{self, EnterError, Frame, Handlers, Kind, Outcome};
use reveille::memory::Stack;
use reveille::sync::SpinLock;
use reveille::{ExitCode, System, call, cpu, irq, println, time};
use reveille_tests::{argument, check, eventually};

reveille::entry!(main, exceptions = Host, scheduler = Once);

/// The thread that has switched away for the one with a guest.
static HOME: SpinLock<Option<Ready>> = SpinLock::new(None);
/// Who is to run at the end of the next interrupt, and who was preempted for that.
static NEXT: SpinLock<Option<Ready>> = SpinLock::new(None);
static PREEMPTED: SpinLock<Option<Ready>> = SpinLock::new(None);

struct Once;

impl Scheduler for Once {
    fn preempt() -> Option<Ready> {
        // Others may be interrupted at that moment too, and could not run what is bound to this one.
        if cpu::current() == CpuId::BOOT { NEXT.lock().take() } else { None }
    }
    fn preempted(context: Ready) {
        *PREEMPTED.lock() = Some(context);
    }
    fn end() -> Ready {
        panic!("a context has ended");
    }
    fn ended(_: Ended) {}
}

/// Does not come back: its guest is preempted.
#[inline(never)]
fn runs_a_guest() {
    let mut frame = guest(guest_spins);
    frame.x[8] = 0x8888_8888;
    enter_after(&mut frame, || {
        *NEXT.lock() = HOME.lock().take();
        time::after(Duration::ZERO, || ()).expect("a timer");
    });
    core::hint::black_box(());
}

static HVCS: AtomicU64 = AtomicU64::new(0);
static IRQS: AtomicU64 = AtomicU64::new(0);
/// Whether guests stay when they are interrupted.
static STAY: AtomicBool = AtomicBool::new(false);

struct Host;

// SAFETY: a guest goes on behind its HVC, with x0 changed as it expects.
unsafe impl Handlers for Host {
    fn lower_synchronous(frame: &mut Frame, _: Kind) -> Outcome {
        if frame.esr >> 26 != 0x16 {
            return Outcome::NotMine;
        }
        match frame.esr & 0xffff {
            1 => {
                HVCS.fetch_add(1, Ordering::Relaxed);
                frame.x[0] += 1;
                Outcome::Resume
            }
            2 => Outcome::Leave,
            _ => Outcome::NotMine,
        }
    }

    fn lower_irq(_: &mut Frame) -> Outcome {
        let leaves = IRQS.fetch_add(1, Ordering::Relaxed) % 8 == 7 && !STAY.load(Ordering::Relaxed);
        if leaves { Outcome::Leave } else { Outcome::Resume }
    }
}

// x0 hypercalls, then one that leaves; or a spin for ever, everything masked.
global_asm!(
    ".global guest_calls",
    "guest_calls:",
    "1: hvc #1",
    "cmp x0, x1",
    "b.lo 1b",
    "hvc #2",
    "b guest_calls",
    ".global guest_spins",
    "guest_spins:",
    "msr daifset, #15",
    "1: add x0, x0, #1",
    "b 1b",
);

unsafe extern "C" {
    fn guest_calls();
    fn guest_spins();
}

/// EL1h, everything masked.
const EL1H: u64 = 0x3c5;

fn guest(at: unsafe extern "C" fn()) -> Frame {
    let mut frame = Frame::new();
    frame.elr = at as usize as u64;
    frame.spsr = EL1H;
    frame
}

fn enter(frame: &mut Frame) -> Kind {
    enter_after(frame, || ())
}

/// The same, with `last` just before: an interrupt that is sent from there on comes in the guest.
fn enter_after(frame: &mut Frame, last: impl FnOnce()) -> Kind {
    let mut told = None;
    let before = || {
        check(irq::is_masked(), "nothing comes between");
        last();
        // SAFETY: HCR_EL2.RW, and IMO, FMO, AMO: a guest in AArch64, whose interrupts are ours.
        unsafe { asm!("msr hcr_el2, {}", "isb", in(reg) (1_u64 << 31) | 0b111 << 3, options(nostack)) };
    };
    let after = |kind| {
        check(irq::is_masked(), "nothing comes behind");
        told = Some(kind);
    };
    // SAFETY: it touches registers alone.
    let kind = unsafe { exception::enter_with(frame, before, after) };
    let kind = kind.unwrap_or_else(|error| panic!("not entered: {error}"));
    check(told == Some(kind) && !irq::is_masked(), "which it was");
    kind
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let mut wrong = Frame::new();
    wrong.spsr = 0b1101;
    // SAFETY: nothing is entered.
    check(
        unsafe { exception::enter(&mut wrong) } == Err(EnterError::NotLower { spsr: 0b1101 }),
        "EL3 is not lower",
    );
    let mut frame = guest(guest_calls);
    frame.x[1] = 1000;
    for register in 2..31 {
        frame.x[register] = 0x1111 * register as u64;
    }
    frame.sp_el0 = 0x1234;
    frame.tpidrro_el0 = 0x5678;
    check(enter(&mut frame) == Kind::Lower, "left by an HVC");
    check(frame.x[0] == 1000 && HVCS.load(Ordering::Relaxed) == 1000, "as many hypercalls as the guest made");
    check((2..31).all(|register| frame.x[register] == 0x1111 * register as u64), "its registers are its own");
    check(frame.sp_el0 == 0x1234 && frame.tpidrro_el0 == 0x5678, "and those of EL0");
    println!("below: {} hypercalls", HVCS.load(Ordering::Relaxed));

    // Guests that take no interrupts, on all CPUs but this; calls come through.
    static LEFT: AtomicU64 = AtomicU64::new(0);
    let rounds = argument(system, "rounds", 10);
    for cpu in cpu::online().without(cpu::current()) {
        eventually("launched", || {
            cpu::launch(cpu, move || {
                for _ in 0..rounds {
                    let mut frame = guest(guest_spins);
                    check(enter(&mut frame) == Kind::LowerIrq, "left by an interrupt");
                    LEFT.fetch_add(1, Ordering::Relaxed);
                }
            })
            .is_ok()
        });
    }
    let others = cpu::online().len() as u64 - 1;
    let mut calls = 0_u64;
    while LEFT.load(Ordering::Relaxed) < others * rounds {
        for cpu in cpu::online().without(cpu::current()) {
            check(call::on(cpu, move || cpu::current() == cpu) == Ok(true), "a call while a guest runs");
            calls += 1;
        }
        check(reveille::stop_machine(Duration::from_secs(10), || ()).is_ok(), "a round while guests run");
    }
    println!("below: {calls} calls, {} interrupts of guests", IRQS.load(Ordering::Relaxed));
    if system.arg("panic").is_some() {
        static ENTERED: AtomicU64 = AtomicU64::new(0);
        STAY.store(true, Ordering::Relaxed);
        let stack = Stack::new("a guest's thread", 16384).expect("a stack");
        let ready = context::new(stack, runs_a_guest).expect("room");
        check(
            context::switch(ready, |home| *HOME.lock() = Some(home)).is_ok(),
            "back at the end of an interrupt",
        );
        for cpu in cpu::online().without(cpu::current()) {
            eventually("launched again", || {
                cpu::launch(cpu, || {
                    let mut frame = guest(guest_spins);
                    frame.x[7] = 0x7777_7777;
                    enter_after(&mut frame, || _ = ENTERED.fetch_add(1, Ordering::Relaxed));
                })
                .is_ok()
            });
        }
        eventually("all are in their guests", || ENTERED.load(Ordering::Relaxed) == others);
        time::after(Duration::ZERO, || panic!("with guests")).expect("a timer");
        loop {
            cpu::idle();
        }
    }
    ExitCode::SUCCESS
}
