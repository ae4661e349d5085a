//! CPUs that come after their deadline: they lose, touch nothing, wait in the pen, and are brought up later.
//!
//! With the shim at EL2 as firmware, which holds them back, and at least 3 CPUs. The bootarg `rounds=N` says how often
//! (default 20).

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId};
use reveille::dt::Region;
use reveille::fault::{self, State};
use reveille::{ExitCode, System, irq, println};
use reveille_tests::lives::{self, await_run, is_penned, last_run, secondary};
use reveille_tests::shim::{self, Plan};
use reveille_tests::{argument, check, eventually};

reveille::entry!(main, secondary = secondary);

/// Time for a start that is to succeed: machines that run tests are slow at times.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time for one that is not.
const SHORT: Duration = Duration::from_millis(5);

fn main(system: &'static System) -> ExitCode {
    if !shim::is_present(system) || cpu::possible().len() < 3 {
        println!("late: wants the shim as firmware, and 3 CPUs");
        return ExitCode::FAILURE;
    }
    let rounds = argument(system, "rounds", 20);
    let others = cpu::possible().without(CpuId::BOOT);
    let victim = others.into_iter().last().unwrap_or(CpuId::BOOT);

    // Alone on the machine, nothing but a late CPU can change memory.
    let bytes = alone(system, victim);
    println!("late: revoked, arrived, {bytes} bytes of memory untouched");

    check(cpu_up(victim, PATIENCE) == Verdict::Online, "it is brought up from the pen");
    await_run(victim);
    check(last_run(victim) == Some(2), "with the second generation");
    check(!fault::stacks_hold(victim, FILL), "and it uses the stack that was watched");
    println!("late: online with generation 2");

    check(system.bring_up_all(PATIENCE).is_complete(), "the others come up too");
    works_on();
    for _ in 0..rounds {
        once_more(victim);
    }
    println!("late: {rounds} times more, with all others online");

    for cpu in others {
        lives::leave(cpu);
    }
    for round in 0..rounds {
        all_at_once(system, round);
    }
    println!("late: {rounds} times all {} of them at once", others.len());
    ExitCode::SUCCESS
}

/// What stacks are filled with.
const FILL: u64 = 0x5afe_5afe_5afe_5afe;

/// Has `victim` arrive too late while nobody else is online, and checks all memory; returns how much that was.
fn alone(system: &System, victim: CpuId) -> u64 {
    fault::fill_stacks(victim, FILL);
    let generation = too_late(victim);
    // From here to the comparison this CPU writes to its own stack only.
    let masked = irq::mask();
    let Some(watched) = fault::untouchable(system, victim) else { panic!("memory is in too many pieces") };
    let free = || system.free_memory();
    let Some(spare) = free().max_by_key(|region| region.size) else { panic!("no free memory") };
    let mut copies = spare.base;
    for piece in watched.iter() {
        assert!(copies + piece.size <= spare.base + spare.size, "no room to copy what is watched");
        // SAFETY: mapped memory in use, of which only this CPU knows, and free memory of the same size.
        unsafe { core::ptr::copy(piece.base as *const u8, copies as *mut u8, piece.size as usize) };
        copies += piece.size;
    }
    let rest = |region: Region| {
        let base = if region.base == spare.base { copies } else { region.base };
        (base..region.base + region.size).step_by(8)
    };
    for at in free().flat_map(rest) {
        // SAFETY: free memory, which is mapped and ours.
        unsafe { (at as *mut u64).write(at ^ FILL) };
    }

    let_go(victim, generation);

    let mut bytes = 0;
    let mut copy = spare.base;
    for piece in watched.iter() {
        for at in (piece.base..piece.base + piece.size).step_by(8) {
            // SAFETY: as above.
            let (now, then) =
                unsafe { ((at as *const u64).read_volatile(), (copy as *const u64).read_volatile()) };
            assert!(now == then, "the late CPU wrote to {at:#x}: {now:#x}, was {then:#x}");
            copy += 8;
            bytes += 8;
        }
    }
    for at in free().flat_map(rest) {
        // SAFETY: as above.
        let now = unsafe { (at as *const u64).read_volatile() };
        assert!(now == at ^ FILL, "the late CPU wrote to free memory at {at:#x}: {now:#x}");
        bytes += 8;
    }
    drop(masked);
    check(fault::stacks_hold(victim, FILL), "it did not use its stacks");
    bytes
}

/// Starts `victim`, which firmware holds back until its time is over. Returns the generation.
#[track_caller]
fn too_late(victim: CpuId) -> u32 {
    shim::plan(victim, Plan::Honest);
    shim::plan(victim, Plan::Hold);
    check(cpu_up(victim, SHORT) == Verdict::Revoked, "who does not come in time is called off");
    eventually("it is held", || shim::look(victim).stage == shim::HELD);
    fault::slot(victim).generation
}

/// Lets `victim` arrive, whose start `generation` has been called off: it loses, and waits in the pen.
#[track_caller]
fn let_go(victim: CpuId, generation: u32) {
    let entries = shim::look(victim).entries;
    shim::release(victim);
    eventually("it waits in the pen", || is_penned(victim, generation));
    check(shim::look(victim).entries == entries + 1, "it arrived");
    let slot = fault::slot(victim);
    check(
        slot.state == State::Revoked && slot.generation == generation,
        "what was called off stays called off",
    );
    check(last_run(victim) != Some(generation), "and does not run");
}

/// `victim`, which is online, leaves, comes too late, loses, and is brought up again from the pen.
fn once_more(victim: CpuId) {
    lives::leave(victim);
    let generation = too_late(victim);
    fault::fill_stacks(victim, FILL);
    let_go(victim, generation);
    works_on();
    check(fault::stacks_hold(victim, FILL), "it did not use its stacks");
    let calls = shim::look(victim).calls;
    check(cpu_up(victim, PATIENCE) == Verdict::Online, "it is brought up from the pen");
    check(shim::look(victim).calls == calls, "without asking firmware");
    await_run(victim);
    check(last_run(victim) == Some(generation + 1), "with the next generation");
}

/// All CPUs but this one come too late together; the roll call says so, and the next one has them all.
fn all_at_once(system: &System, round: u64) {
    let others = cpu::possible().without(CpuId::BOOT);
    for cpu in others {
        shim::plan(cpu, Plan::Honest);
        shim::plan(cpu, Plan::Hold);
    }
    let roll_call = system.bring_up_all(SHORT);
    for entry in roll_call.iter().filter(|entry| !entry.boot) {
        assert!(entry.verdict == Verdict::Revoked, "{entry}: held, but not called off");
    }
    if round.is_multiple_of(2) {
        for cpu in others {
            eventually("it is held", || shim::look(cpu).stage == shim::HELD);
            let_go(cpu, fault::slot(cpu).generation);
        }
    } else {
        // In the middle of the next roll call, if they are quick enough; the shim lets them go at once.
        others.into_iter().for_each(shim::release);
    }
    let roll_call = system.bring_up_all(PATIENCE);
    assert!(roll_call.is_complete(), "after they were late:\n{roll_call}");
    for cpu in others {
        lives::leave(cpu);
    }
}

/// The machine works on: every CPU that is online runs what it is given.
fn works_on() {
    static SUM: AtomicU64 = AtomicU64::new(0);
    let before = SUM.load(Ordering::Relaxed);
    let online = cpu::online().without(CpuId::BOOT);
    for cpu in online {
        let add = || {
            SUM.fetch_add(1, Ordering::Relaxed);
        };
        eventually("a CPU that is online takes a closure", || cpu::launch(cpu, add).is_ok());
    }
    let sum = before + online.len() as u64;
    eventually("all of them run", || SUM.load(Ordering::Relaxed) == sum);
}
