//! Thread mode: the loop of each CPU.

use crate::hotplug;
use crate::kind::Kind;
use crate::node::{GUESTS, HANDBACK, LOCAL, MOVABLE, Node};
use core::sync::atomic::Ordering;
use embassy_executor::Spawner;
use reveille::cpu::{self, CpuId, Leaving};
use reveille::hotplug::pin;

/// A CPU that is never done looks so often, in rounds, whether anything was launched on it, and whether it is to leave.
const ROUNDS: u32 = 64;

/// What [`entry!`](reveille::entry) has other CPUs run, so that each polls its executors, and may still leave:
/// `entry!(main, leaving = reveille_embassy::EXECUTORS)`.
// SAFETY: `serve` is at an offline point in `idle_unless`, where its frame holds a reference to a node and a number, and nothing that has a destructor;
// whatever tasks have on the stack is there while they are polled, with the CPU pinned.
pub const EXECUTORS: Leaving = unsafe { Leaving::new(secondary) };

fn secondary(_: CpuId) -> ! {
    serve(begin())
}

/// Runs the executors of this CPU, for ever. `init` spawns the first tasks; its [`Spawner`] is for any task, and stays on this CPU.
///
/// For `main`, or for a secondary function of the application's. A `main` that ends in this keeps its CPU from leaving, as ever: one that is to leave calls
/// [`with_spawner`], and then [`become_secondary`](reveille::cpu::become_secondary).
///
/// # Panics
///
/// Anywhere but in what the CPU runs by itself, in thread context with interrupts open ([`cpu::is_home`]), and in a task.
pub fn run(init: impl FnOnce(Spawner)) -> ! {
    let node = begin();
    init(spawner(node));
    serve(node)
}

/// Gives `f` the [`Spawner`] of this CPU's executor, which need not run yet.
///
/// # Panics
///
/// Anywhere but in what the CPU runs by itself, in thread context with interrupts open ([`cpu::is_home`]).
pub fn with_spawner<R>(f: impl FnOnce(Spawner) -> R) -> R {
    f(spawner(begin()))
}

/// That of this CPU, which is at home: what a task captures stays in that one thread, moved or not.
fn spawner(node: &'static Node) -> Spawner {
    node.executor(Kind::Local).spawner()
}

/// The node of this CPU, which is at home.
fn begin() -> &'static Node {
    assert!(
        cpu::is_home(),
        "a thread-mode executor runs in what its CPU runs by itself, with interrupts open"
    );
    hotplug::begin();
    Node::here()
}

/// Polls what there is to poll, and waits where there is nothing, for the rest of this CPU's life.
fn serve(node: &'static Node) -> ! {
    hotplug::arrive(node);
    let mut rounds = 0_u32;
    loop {
        let mut bits = node.doze.take();
        if bits == 0 {
            idle(node, || !node.doze.lie_down());
            bits = node.doze.take();
            if bits == 0 {
                // Something else has ended the wait. Whoever was about to tell of a task may have been held up since.
                bits = LOCAL | MOVABLE;
            }
        }
        round(node, bits);
        rounds = rounds.wrapping_add(1);
        if rounds.is_multiple_of(ROUNDS) {
            idle(node, || true);
        }
    }
}

#[inline(always)]
fn idle(node: &'static Node, is_busy: impl FnOnce() -> bool) {
    cpu::idle_unless(is_busy);
    // Relaxed: written by this CPU. It was to leave, and stays.
    if !node.serves.load(Ordering::Relaxed) {
        hotplug::arrive(node);
    }
}

/// Polls the tasks that are ready, each once.
#[inline(always)]
fn round(node: &'static Node, bits: u32) {
    // A task that comes to an offline point by itself would be given up in the middle.
    let _pin = pin();
    assert!(!node.polls.replace(true), "an executor cannot be run in one of its tasks");
    if bits & LOCAL != 0 {
        // SAFETY: by the home thread of its own CPU alone, and not by what it has itself called, as the flag says.
        unsafe { node.executor(Kind::Local).poll() };
    }
    if bits & !LOCAL != 0 {
        poll_movable(node, bits);
    }
    node.polls.set(false);
}

#[inline(never)]
fn poll_movable(node: &'static Node, bits: u32) {
    if bits & MOVABLE != 0 {
        poll_of(node, node);
    }
    if bits & GUESTS != 0 {
        node.take_guests(|cpu| poll_of(node, Node::of(cpu)));
    }
    if bits & HANDBACK != 0 {
        hotplug::hand_back(node);
    }
}

/// Polls the movable tasks of `of`, if `node`, which is this CPU's, hosts them.
fn poll_of(node: &'static Node, of: &'static Node) {
    let host = of.hosting.host();
    if host == node.index() {
        // SAFETY: by the host, which alone gives that up, and not while it polls; in its home thread, and not by what that has itself called, as the flag says. Whatever the host
        // before it did came before (`Hosting::host`). The tasks may be polled by any CPU: `MovableToken` sees to it that they are `Send`.
        unsafe { of.executor(Kind::Movable).poll() };
    } else if let Some(host) = cpu::get(host as usize) {
        Node::of(host).tell_of_guest(of.index());
    }
}
