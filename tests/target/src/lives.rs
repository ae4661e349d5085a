//! A secondary that counts its lives, and leaves when it is told to: what the tests of bring-up run.

use crate::eventually;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use reveille::cpu::{self, CpuId, MAX_CPUS};
use reveille::fault::{self, State};

struct Life {
    /// Generation that came to run in thread context last, plus one; 0: none.
    ran: AtomicU64,
    leave: AtomicBool,
}

static LIVES: [Life; MAX_CPUS] =
    [const { Life { ran: AtomicU64::new(0), leave: AtomicBool::new(false) } }; MAX_CPUS];

/// For `entry!(main, secondary = secondary)`.
pub fn secondary(cpu: CpuId) -> ! {
    let life = &LIVES[cpu.index()];
    // Release: pairs with `last_run`.
    life.ran.store(u64::from(fault::slot(cpu).generation) + 1, Ordering::Release);
    loop {
        cpu::idle();
        if life.leave.swap(false, Ordering::Relaxed) {
            fault::leave();
        }
    }
}

/// The generation of `cpu` that ran in thread context last, if any has.
pub fn last_run(cpu: CpuId) -> Option<u32> {
    // Acquire: pairs with `secondary`.
    LIVES[cpu.index()].ran.load(Ordering::Acquire).checked_sub(1).map(|generation| generation as u32)
}

/// Waits until `cpu`, which is online, runs.
#[track_caller]
pub fn await_run(cpu: CpuId) {
    let found = fault::slot(cpu);
    assert!(found.state == State::Online, "cpu {cpu} is {found:?}, not online");
    eventually("a CPU that is online runs", || last_run(cpu) == Some(found.generation));
}

/// Makes `cpu` leave: afterwards it is off, or in the pen if firmware keeps it on.
#[track_caller]
pub fn leave(cpu: CpuId) {
    await_run(cpu);
    let generation = fault::slot(cpu).generation;
    // By a closure and not by `cpu::wake`: that can come just before the CPU waits, and then it waits on.
    let tell = || LIVES[cpu::current().index()].leave.store(true, Ordering::Relaxed);
    eventually("a CPU that is online takes a closure", || cpu::launch(cpu, tell).is_ok());
    eventually("a CPU that was told to leaves", || fault::slot(cpu).state == State::Gone);
    eventually("a CPU that left is off or in the pen", || {
        fault::is_off(cpu) == Some(true) || is_penned(cpu, generation)
    });
}

/// Whether `cpu` waits in the pen, having tried `generation`.
pub fn is_penned(cpu: CpuId, generation: u32) -> bool {
    fault::crumbs(cpu).is_some_and(|crumbs| crumbs.pen == Some(generation))
}
