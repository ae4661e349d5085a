//! Thread mode: the loop of each CPU.

use crate::hotplug;
use crate::interrupt;
use crate::kind::Kind;
use crate::node::{GUESTS, HANDBACK, LOCAL, LOOK, MOVABLE, Node};
use core::sync::atomic::Ordering;
use embassy_executor::Spawner;
use reveille::context;
use reveille::cpu::{self, CpuId, Leaving};
use reveille::hotplug::{Pin, pin};
use reveille::time::{Instant, frequency};

/// A CPU that is never done looks so often, in rounds, whether anything was launched on it, and whether it is to leave.
const ROUNDS: u32 = 64;

/// What [`entry!`](reveille::entry) has other CPUs run, so that each polls its executors, and may still leave:
/// `entry!(main, leaving = reveille_embassy::EXECUTORS)`.
// SAFETY: `serve` is at an offline point in `idle_unless`, where its frame holds a reference to a node and a number, and nothing that has a
// destructor; whatever tasks have on the stack is there while they are polled, with the CPU pinned.
pub const EXECUTORS: Leaving = unsafe { Leaving::new(secondary) };

fn secondary(_: CpuId) -> ! {
    serve(begin())
}

/// Runs the executors of this CPU, for ever. `init` spawns the first tasks; its [`Spawner`] is for any task, and stays on this CPU.
///
/// For `main`, or for a secondary function of the application's. A `main` that ends in this keeps its CPU from leaving, as ever: one that
/// is to leave calls [`with_spawner`], and then [`become_secondary`](reveille::cpu::become_secondary).
///
/// # Panics
///
/// Anywhere but in what the CPU runs by itself, in thread context with interrupts open ([`cpu::is_home`]), and in a task.
///
/// # Examples
///
/// ```no_run
/// use reveille::{ExitCode, System};
///
/// reveille::entry!(main, leaving = reveille_embassy::EXECUTORS);
///
/// reveille_embassy::task! {
///     async fn hello() {}
/// }
///
/// fn main(system: &'static System) -> ExitCode {
///     system.bring_up_all(system.deadline());
///     reveille_embassy::run(|spawner| spawner.spawn(hello().unwrap()))
/// }
/// ```
pub fn run(init: impl FnOnce(Spawner)) -> ! {
    let node = begin();
    assert!(!node.polls.load(Ordering::Relaxed), "an executor cannot be run in one of its tasks");
    init(spawner(node));
    serve(node)
}

/// Gives `f` the [`Spawner`] of this CPU's executor, which need not run yet.
///
/// # Panics
///
/// Anywhere but in what the CPU runs by itself, in thread context with interrupts open ([`cpu::is_home`]).
///
/// # Examples
///
/// ```no_run
/// use reveille::{ExitCode, System, cpu};
/// use reveille_embassy::with_spawner;
///
/// reveille::entry!(main, leaving = reveille_embassy::EXECUTORS);
///
/// reveille_embassy::task! {
///     async fn hello() {}
/// }
///
/// fn main(system: &'static System) -> ExitCode {
///     system.bring_up_all(system.deadline());
///     with_spawner(|spawner| spawner.spawn(hello().unwrap()));
///     // Runs the executors, and may leave.
///     cpu::become_secondary()
/// }
/// ```
pub fn with_spawner<R>(f: impl FnOnce(Spawner) -> R) -> R {
    f(spawner(begin()))
}

/// Whether `cpu` has something to poll in thread mode, is in the middle of it, or has not looked for a while: for a scheduler, which
/// resumes the CPU's home then. From any context but NMI level.
///
/// "For a while" is a sixteenth of a second: a thread that is preempted in the middle of waking a task holds up others that wake tasks of
/// the same CPU, until that has looked by itself.
///
/// ```no_run
/// use reveille_embassy::has_work;
///
/// # fn example(cpu: reveille::cpu::CpuId) {
/// if !has_work(cpu) {
///     // All its tasks wait.
/// }
/// # }
/// ```
pub fn has_work(cpu: CpuId) -> bool {
    let node = Node::of(cpu);
    node.doze.is_raised() || node.polls.load(Ordering::Relaxed) || looked_long_ago(node, Instant::now())
}

/// Relaxed: its home thread writes it, and a guess will do.
fn looked_long_ago(node: &Node, now: Instant) -> bool {
    now.ticks().saturating_sub(node.looked.load(Ordering::Relaxed)) >= frequency() / 16
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
    let mut at_work = AtWork::begin(node);
    loop {
        let mut bits = node.doze.take();
        if bits == 0 {
            drop(at_work);
            idle(node, || !node.doze.lie_down());
            at_work = AtWork::begin(node);
            bits = node.doze.take();
            if bits == 0 {
                bits = unasked();
            }
        }
        round(node, bits);
        rounds = rounds.wrapping_add(1);
        if rounds.is_multiple_of(ROUNDS) {
            drop(at_work);
            idle(node, || true);
            at_work = AtWork::begin(node);
            round(node, unasked());
        }
    }
}

/// What is polled now and then although nobody has told of it: whoever was about to may have been held up, by an interrupt, or for long where
/// threads are preempted, and others rely on him.
fn unasked() -> u32 {
    if context::has_scheduler() { LOCAL | LOOK } else { LOCAL | MOVABLE }
}

/// A CPU is at its tasks, and at no offline point: a task that comes to one by itself would be given up in the middle.
struct AtWork {
    node: &'static Node,
    _pin: Pin,
}

impl AtWork {
    #[inline(always)]
    fn begin(node: &'static Node) -> Self {
        let pin = pin();
        // Relaxed, all of them: its home thread alone writes it. No read-modify-write: nothing comes in between that does.
        assert!(!node.polls.load(Ordering::Relaxed), "an executor cannot be run in one of its tasks");
        node.polls.store(true, Ordering::Relaxed);
        Self { node, _pin: pin }
    }
}

impl Drop for AtWork {
    #[inline(always)]
    fn drop(&mut self) {
        self.node.polls.store(false, Ordering::Relaxed);
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
    if bits & LOCAL != 0 {
        // SAFETY: by the home thread of its own CPU alone, and not by what it has itself called, as the flag says.
        unsafe { node.executor(Kind::Local).poll() };
    }
    if bits & !LOCAL != 0 {
        poll_movable(node, bits);
    }
}

#[inline(never)]
fn poll_movable(node: &'static Node, bits: u32) {
    if bits & (MOVABLE | LOOK) != 0 {
        poll_of(node, node);
    }
    if bits & GUESTS != 0 {
        node.take_guests(|cpu| poll_of(node, Node::of(cpu)));
    }
    if bits & HANDBACK != 0 {
        hotplug::hand_back(node);
    }
    if bits & LOOK != 0 {
        look(node);
    }
}

/// Polls what this CPU hosts for others, and has it poll its executor of interrupt mode, now and then.
#[cold]
fn look(node: &'static Node) {
    // Relaxed: whoever gives this CPU something raises it before he tells. Taken down before the look, which raises it again.
    if node.has_guests.load(Ordering::Relaxed) && node.has_guests.swap(false, Ordering::Relaxed) {
        hotplug::each_hosted(node, |of| {
            if of.cpu != node.cpu {
                node.has_guests.store(true, Ordering::Relaxed);
                poll_of(node, of);
            }
        });
    }
    let now = Instant::now();
    if looked_long_ago(node, now) {
        node.looked.store(now.ticks(), Ordering::Relaxed);
        interrupt::pend(node);
    }
}

/// Polls the movable tasks of `of`, if `node`, which is this CPU's, hosts them.
fn poll_of(node: &'static Node, of: &'static Node) {
    let Some(host) = of.host() else { return };
    if host.cpu == node.cpu {
        // SAFETY: by the host, which alone gives that up, and not while it polls; in its home thread, and not by what that has itself
        // called, as the flag says. Whatever the host before it did came before (`Hosting::host`). The tasks may be polled by any CPU:
        // `MovableToken` sees to it that they are `Send`.
        unsafe { of.executor(Kind::Movable).poll() };
    } else {
        host.tell_of_guest(of.index());
    }
}
