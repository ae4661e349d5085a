//! Pages and registers that the application maps, with what it may do there, on all CPUs; and exceptions that are its own.

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille::exception::{Frame, Handlers, Kind, Outcome};
use reveille::memory::{self, Access, Memory, Pages, dma};
use reveille::{ExitCode, MapError, System, call, cpu, nmi, println};
use reveille_tests::{argument, check};

reveille::entry!(main, exceptions = Faults);

/// Faults that were expected, and came.
static FAULTS: AtomicU64 = AtomicU64::new(0);

struct Faults;

// SAFETY: only what `attempt` below does is gone on behind, with x0 changed, as it expects.
unsafe impl Handlers for Faults {
    fn synchronous(frame: &mut Frame, _: Kind) -> Outcome {
        // An abort of this level, by an instruction that says so in x9.
        if !matches!(frame.esr >> 26, 0x21 | 0x25) || frame.x[9] != 0x1234_5678 {
            return Outcome::NotMine;
        }
        FAULTS.fetch_add(1, Ordering::Relaxed);
        frame.x[0] = 1;
        // Behind the load or the store; what was fetched and could not be returns to who called it.
        frame.elr = if frame.esr >> 26 == 0x21 { frame.x[30] } else { frame.elr + 4 };
        Outcome::Resume
    }
}

#[derive(Clone, Copy)]
enum What {
    Read,
    Write,
    Call,
}

/// Whether it can be done at `at`.
fn attempt(what: What, at: *mut u8) -> bool {
    let mut failed: u64 = 0;
    // SAFETY: a load, a store of what is there, or a call of two instructions; where it faults the handler goes on behind it.
    unsafe {
        match what {
            What::Read => {
                asm!("ldrb w10, [{at}]", at = in(reg) at, inout("x0") failed, in("x9") 0x1234_5678_u64,
                out("x10") _, options(nostack))
            }
            What::Write => {
                asm!("strb wzr, [{at}]", at = in(reg) at, inout("x0") failed, in("x9") 0x1234_5678_u64,
                options(nostack))
            }
            What::Call => asm!("blr {at}", at = in(reg) at, inout("x0") failed, in("x9") 0x1234_5678_u64,
                out("x30") _, options(nostack)),
        }
    }
    match what {
        What::Call => failed == 42,
        _ => failed == 0,
    }
}

/// The same on every CPU.
fn everywhere(what: What, at: *mut u8, works: bool) {
    let at = at as usize;
    let offline = call::on_each(&cpu::online(), |cpu| {
        check(attempt(what, at as *mut u8) == works, if works { "it works" } else { "it faults" });
        let _ = cpu;
    });
    check(offline.is_ok_and(|set| set.is_empty()), "on all CPUs");
}

fn main(system: &'static System) -> ExitCode {
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    for memory in [Memory::Normal, Memory::NonCacheable] {
        let mut pages = Pages::new(3 * 4096).expect("three pages").zeroed();
        let own = pages.as_mut_ptr();
        // SAFETY: in the pages.
        unsafe { own.add(5000).write(7) };
        let mapping = memory::map(pages, memory, Access::ReadWrite).expect("a mapping");
        // SAFETY: in the mapping.
        check(unsafe { mapping.as_ptr().add(5000).read() } == 7, "what was there is there");
        // SAFETY: as above.
        unsafe { mapping.as_ptr().add(9000).write(9) };
        everywhere(What::Read, mapping.as_ptr(), true);
        everywhere(What::Write, mapping.as_ptr(), true);
        everywhere(What::Call, mapping.as_ptr(), false);
        let at = mapping.as_ptr();
        let mut pages = mapping.unmap().expect("unmapped");
        // SAFETY: in the pages.
        check(unsafe { pages.as_mut_ptr().add(9000).read() } == 9, "what was written stays");
        everywhere(What::Read, at, false);
        let mapping = memory::map(pages, memory, Access::ReadOnly).expect("a mapping");
        everywhere(What::Read, mapping.as_ptr(), true);
        everywhere(What::Write, mapping.as_ptr(), false);
    }
    code();
    registers();
    let failed = memory::map(Pages::new(4096).expect("a page"), Memory::NonCacheable, Access::Execute);
    check(
        failed.is_err_and(|failed| matches!(failed.error, MapError::BadRange { .. })),
        "never executed past the caches",
    );
    static AT_NMI: AtomicU64 = AtomicU64::new(0);
    let _ = nmi::on_each(&[cpu::current()].into_iter().collect(), || {
        let refused = memory::map_registers(0x0a00_0000, 0x1000).is_err_and(|error| error == MapError::Nmi);
        AT_NMI.store(1 + u64::from(refused), Ordering::Relaxed);
    });
    check(AT_NMI.load(Ordering::Relaxed) == 2, "nothing is mapped at NMI level");
    let mut buffer = [3_u8; 300];
    dma::clean(&buffer);
    dma::invalidate(&mut buffer);
    check(buffer == [3; 300], "caches are looked after, and nothing is lost");
    let rounds = argument(system, "rounds", 50);
    let before = memory::free().expect("free").bytes;
    all_at_once(rounds);
    check(memory::free().expect("free").bytes == before, "all pages are back");
    println!("mappings: {} faults, {} rounds on each CPU", FAULTS.load(Ordering::Relaxed), rounds);
    ExitCode::SUCCESS
}

/// A function that is written, and then executed by all.
fn code() {
    let mut pages = Pages::new(4096).expect("a page");
    // SAFETY: in the page, aligned. mov x0, #42; ret
    unsafe {
        pages.as_mut_ptr().cast::<u32>().write(0xd280_0540);
        pages.as_mut_ptr().cast::<u32>().add(1).write(0xd65f_03c0);
    }
    let mapping = memory::map(pages, Memory::Normal, Access::Execute).expect("a mapping");
    everywhere(What::Call, mapping.as_ptr(), true);
    everywhere(What::Write, mapping.as_ptr(), false);
}

/// Registers, where QEMU's `virt` has devices that nobody uses.
fn registers() {
    let device = memory::map_registers(0x0a00_0004, 8).expect("registers");
    // SAFETY: the version of a virtio device.
    check(unsafe { device.as_ptr().cast::<u32>().read_volatile() } == 1, "a register");
    check(
        memory::map_registers(0x0a00_0000, 1)
            .is_err_and(|error| error == MapError::Conflict { at: 0x0a00_0000 }),
        "once",
    );
    let at = device.as_ptr();
    everywhere(What::Read, at, true);
    drop(device);
    everywhere(What::Read, at, false);
    check(memory::map_registers(0x0a00_0000, 0x200).is_ok(), "again");
    let page = Pages::new(4096).expect("a page");
    check(
        memory::map_registers(page.physical(), 16)
            .is_err_and(|error| matches!(error, MapError::Conflict { .. })),
        "no RAM",
    );
    check(memory::map_registers(1 << 43, 16).is_err(), "nothing that far");
    check(memory::map_registers(0x0a00_0000, 0).is_err(), "not nothing");
}

/// Every CPU maps and unmaps what is its own.
fn all_at_once(rounds: u64) {
    static DONE: AtomicU64 = AtomicU64::new(0);
    let work = move || {
        for round in 0..rounds {
            let pages = Pages::new(4096 * (1 + round as usize % 80)).expect("pages").zeroed();
            let mapping = memory::map(pages, Memory::Normal, Access::ReadWrite).expect("a mapping");
            let last = mapping.as_ptr().wrapping_add(mapping.len() - 1);
            // SAFETY: in the mapping.
            unsafe { last.write(round as u8) };
            let at = mapping.as_ptr();
            // Held until it was looked at: another CPU may map them at the same place once they are given back.
            let pages = mapping.unmap().expect("unmapped");
            check(!attempt(What::Read, at), "gone");
            drop(pages);
        }
        DONE.fetch_add(1, Ordering::Relaxed);
    };
    reveille_tests::on_all_others(work);
    work();
    reveille_tests::eventually("all are done", || DONE.load(Ordering::Relaxed) == cpu::online().len() as u64);
}
