//! CPUs that leave and come: what becomes of their tasks.

use crate::node::{HANDBACK, LOCAL, MOVABLE, Node};
use crate::{interrupt, time};
use core::sync::atomic::{AtomicBool, Ordering};
use reveille::cpu::{self, CpuId};
use reveille::hotplug::{Callbacks, pin, register_callbacks};
use reveille::sync::SpinLock;

/// What becomes of the movable tasks of a CPU that is asked to leave.
///
/// ```no_run
/// use reveille_embassy::{Policy, set_policy};
///
/// # fn example(cpu: reveille::cpu::CpuId) {
/// // Its tasks are not to move: it stays until they are over.
/// set_policy(cpu, Policy::Finish);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Policy {
    /// They go on on another CPU that runs executors, and come back when theirs does.
    Move = 0,
    /// They stay, and the CPU with them until the last is over, like those that cannot move.
    Finish = 1,
}

/// What becomes of the movable tasks of `cpu` when it is asked to leave; [`Policy::Move`] if nobody says anything. From any context but NMI
/// level.
///
/// ```no_run
/// use reveille_embassy::{Policy, set_policy};
///
/// # fn example(cpu: reveille::cpu::CpuId) {
/// set_policy(cpu, Policy::Move);
/// # }
/// ```
pub fn set_policy(cpu: CpuId, policy: Policy) {
    // Relaxed: it is looked at when the CPU is asked, and a moment earlier or later is as good.
    Node::of(cpu).policy.store(policy as u8, Ordering::Relaxed);
}

/// Begins, once: the doorbells and the callbacks. They are there when this returns.
///
/// # Panics
///
/// At NMI level, the first time; where there is no room for them.
pub(crate) fn begin() {
    static BEGUN: AtomicBool = AtomicBool::new(false);
    static LOCK: SpinLock<()> = SpinLock::new(());
    // Acquire: pairs with the store below.
    if BEGUN.load(Ordering::Acquire) {
        return;
    }
    let _one = LOCK.lock();
    if BEGUN.load(Ordering::Relaxed) {
        return;
    }
    for bell in [&interrupt::BELL, &time::BELL] {
        if let Err(error) = bell.register() {
            panic!("reveille-embassy: {error}");
        }
    }
    if let Err(error) = register_callbacks(Callbacks { online, offline, asked }) {
        panic!("reveille-embassy: {error}");
    }
    // Release: pairs with the load above.
    BEGUN.store(true, Ordering::Release);
}

/// The loop of `node`'s CPU begins: its own movable tasks are to come back.
pub(crate) fn arrive(node: &'static Node) {
    // Relaxed: whoever gives it something does so by a word of its own.
    node.serves.store(true, Ordering::Relaxed);
    if let Some(host) = node.hosting.want(node.index()).and_then(|host| Node::at(host as usize)) {
        host.tell(HANDBACK);
    }
    // What was spawned before, and rung when it was not heard yet.
    node.tell(LOCAL | MOVABLE);
    interrupt::pend(node);
    time::look(node.cpu);
}

/// Gives back what others want that `node`, which is this CPU's, hosts. Between two polls.
pub(crate) fn hand_back(node: &'static Node) {
    each_hosted(node, |of| give(node, of, None));
}

/// Does `f` with every node whose movable tasks this CPU hosts.
pub(crate) fn each_hosted(node: &'static Node, mut f: impl FnMut(&'static Node)) {
    for of in cpu::possible().iter().filter_map(Node::if_made) {
        if of.hosting.host() == node.index() {
            f(of);
        }
    }
}

fn give(node: &'static Node, of: &'static Node, to: Option<u32>) {
    if let Some(host) = of.hosting.give(node.index(), to).and_then(|host| Node::at(host as usize)) {
        // Whatever there is: who queued something may have told the old host.
        host.tell_of_guest(of.index());
    }
}

/// A CPU that could host the movable tasks of `node`: the next that runs executors.
fn successor(node: &Node) -> Option<&'static Node> {
    let count = cpu::possible().len();
    (1..count)
        .filter_map(|step| cpu::get((node.cpu.index() + step) % count))
        .filter(|cpu| cpu::is_online(*cpu))
        .filter_map(Node::if_made)
        // Relaxed: with `LEAVING` held it does not cease to serve.
        .find(|other| other.serves.load(Ordering::Relaxed) && !other.door.is_closed())
}

/// Whether anything hosted by `node` keeps its CPU: the name of a task.
fn kept_movable(node: &'static Node) -> Option<&'static str> {
    let mut kept = None;
    let mut can_move = None;
    each_hosted(node, |of| {
        if kept.is_some() || of.movables.load(Ordering::Relaxed) == 0 {
            return;
        }
        let stays = of.cpu == node.cpu && node.policy.load(Ordering::Relaxed) == Policy::Finish as u8;
        if stays || !*can_move.get_or_insert_with(|| successor(node).is_some()) {
            kept = Some(of.tasks.name(|kind| !kind.stays()).unwrap_or("a movable task"));
        }
    });
    kept
}

/// What keeps `node`'s CPU: the name of a task.
fn kept(node: &'static Node) -> Option<&'static str> {
    if node.door.inside() != 0 {
        return Some(node.tasks.name(|kind| kind.stays()).unwrap_or("a task of embassy's"));
    }
    kept_movable(node)
}

/// The CPU is asked to leave. In interrupt context, or masked.
fn asked(cpu: CpuId) -> Result<(), &'static str> {
    let node = Node::of(cpu);
    // Relaxed: whoever it wakes looks behind the waking.
    node.asked.fetch_add(1, Ordering::Relaxed);
    node.leavers.wake();
    kept(node).map_or(Ok(()), Err)
}

/// Held by a CPU that looks for another to give its tasks to.
static LEAVING: SpinLock<()> = SpinLock::new(());

/// The CPU is about to leave. In its home thread, or masked if it only just came, between two polls.
fn offline(cpu: CpuId) {
    let node = Node::of(cpu);
    // Two may be here at once, if nobody waits any more for the first to leave: neither gives anything to the other.
    let one = LEAVING.lock();
    let must_stay = node.door.close().is_err() || kept_movable(node).is_some();
    // One that does not come after all cannot be kept; who is inside is about to see that it is not online.
    if must_stay && cpu::is_online(cpu) {
        // A task came after it was asked.
        node.door.open();
        node.pin.set(Some(pin()));
        return;
    }
    node.serves.store(false, Ordering::Relaxed);
    // Given back to it already, or not any more.
    let _ = node.hosting.forgo(node.index());
    let next = successor(node);
    // Without a successor there are no tasks: each is for its own CPU again.
    each_hosted(node, |of| give(node, of, Some(next.unwrap_or(of).index())));
    time::close(cpu, next.map(|next| next.cpu));
    drop(one);
    // While nobody is inside, what sleeps and stays here is over, and waits for what does not matter any more. Woken, it could not be
    // spawned again before this CPU is back.
    time::hand_over(cpu, |waker| node.door.inside() != 0 || !node.stays_here(waker));
}

/// The CPU is about to be online, or stays. With interrupts masked.
fn online(cpu: CpuId) -> Result<(), ()> {
    let node = Node::of(cpu);
    node.door.open();
    drop(node.pin.take());
    time::open(cpu);
    interrupt::arrive();
    Ok(())
}
