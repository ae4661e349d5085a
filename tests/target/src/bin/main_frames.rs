//! `main` ends, and its frames stay: the CPU that ran it leaves and comes back, and uses what is left of its stack.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::marker::PhantomPinned;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille::bringup::{Verdict, cpu_up};
use reveille::cpu::{self, CpuId};
use reveille::{ExitCode, System, call, hotplug, power, println};
use reveille_tests::{argument, check, eventually};

reveille::entry!(main);

const LONG: Duration = Duration::from_secs(60);
const WORD: u64 = 0x5afe_5afe_0bad_cafe;

/// Where the [`Node`] of `main` is. Safe code would have a list of such nodes in a crate that relies on their being pinned.
static NODE: AtomicU64 = AtomicU64::new(0);

struct Node {
    words: [AtomicU64; 32],
    _stays: PhantomPinned,
}

impl Node {
    fn link(self: Pin<&Self>) {
        NODE.store(core::ptr::from_ref(self.get_ref()) as u64, Ordering::Release);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        NODE.store(0, Ordering::Release);
    }
}

/// What is pinned may be looked at until it is dropped.
fn is_whole() -> bool {
    let node = NODE.load(Ordering::Acquire) as *const Node;
    check(!node.is_null(), "it was never dropped");
    // SAFETY: the address of a pinned node that was not dropped.
    unsafe { (*node).words.iter().all(|word| word.load(Ordering::Relaxed) == WORD) }
}

/// Writes over some of the stack.
#[inline(never)]
fn use_stack() {
    black_box(&mut [0xee_u8; 1024]);
}

fn main(system: &'static System) -> ExitCode {
    let rounds = argument(system, "rounds", 5);
    check(system.bring_up_all(system.deadline()).is_complete(), "all CPUs come online");
    let Some(other) = cpu::online().without(CpuId::BOOT).iter().next() else { return ExitCode::FAILURE };
    let node = pin!(Node { words: [const { AtomicU64::new(WORD) }; 32], _stays: PhantomPinned });
    node.as_ref().link();
    check(cpu::launch(other, move || conduct(rounds)).is_ok(), "an idle CPU takes a closure");
    cpu::become_secondary()
}

fn conduct(rounds: u64) -> ! {
    for _ in 0..rounds {
        check(is_whole(), "it is whole before");
        check(hotplug::cpu_down(CpuId::BOOT, LONG) == Ok(()), "the main CPU leaves");
        check(is_whole(), "it is whole while the CPU is gone");
        check(cpu_up(CpuId::BOOT, LONG) == Verdict::Online, "the main CPU comes back");
        check(call::on(CpuId::BOOT, use_stack).is_ok(), "it takes calls");
        eventually("and closures", || cpu::launch(CpuId::BOOT, use_stack).is_ok());
        eventually("which run", || cpu::launch(CpuId::BOOT, || ()).is_ok());
        check(is_whole(), "and it is whole when the CPU has worked since");
    }
    println!("main_frames: whole after {rounds} times down and up");
    power::exit(ExitCode::SUCCESS)
}
