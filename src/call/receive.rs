//! The receiving side: running what others want of this CPU.

use super::bell::answer_these;
use super::part::{BLOCK, Block, Lent, Part, QueueLine};
use crate::closure::ClosureCell;
use crate::masking;
use crate::note::note;
use crate::percpu::MAX_CPUS;
use crate::percpu::area::{Area, Part as _};
use crate::sync::Atomics;
use core::sync::atomic::Ordering;
use reveille_protocol::{Message, Taken};

/// How far this CPU looks for what it was not told of, because that SGI was lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// At its queue, if it has but one: the same time, however many CPUs there are. Those of a CPU that has more are looked at
    /// with every interrupt that is no SGI, which it takes at least as often as it looks around.
    Near,
    /// At all its queues.
    All,
}

/// Whether anything waits for this CPU. With interrupts masked, before a WFI.
#[inline(always)]
pub(crate) fn is_pending(area: &Area, look: Look) -> bool {
    match Part::of(area).only_queue {
        Some(line) => !line.queue.is_empty(),
        None => look == Look::All && is_any_pending(area),
    }
}

#[inline(never)]
fn is_any_pending(area: &Area) -> bool {
    Part::own_queues(area).any(|(line, _)| !line.queue.is_empty())
}

/// Runs everything that others want of this CPU. In interrupt context: normal interrupts are held back, so there is one
/// drainer at a time.
#[inline(always)]
pub(crate) fn drain(area: &'static Area) {
    let Some(line) = Part::of(area).only_queue else { return drain_each(area) };
    let taken = line.queue.take();
    // One call and nothing else is what most interrupts are about.
    match taken.only_call() {
        // SAFETY: there is one block, so the place of the caller is the number of its CPU, and each has lent something.
        Some(place) => run_call(area, unsafe { &*Part::of(area).lent_by.add(place as usize) }),
        None => run_all(area, Part::of(area).block, taken),
    }
}

/// Runs what others want of this CPU as far as it looks for that. In interrupt context, as [`drain`].
#[inline(always)]
pub(crate) fn drain_as(area: &'static Area, look: Look) {
    if is_pending(area, look) {
        drain(area);
    }
}

/// A CPU that has several queues looks first: most of them are empty, and stay in its cache so.
#[cold]
#[inline(never)]
fn drain_each(area: &'static Area) {
    for (line, block) in Part::own_queues(area) {
        if line.queue.is_empty() {
            continue;
        }
        let taken = line.queue.take();
        match taken.only_call() {
            Some(place) => run_call(area, block.sender(place as usize).lent),
            None => run_all(area, block, taken),
        }
    }
}

/// Runs a batch. Nothing is locked meanwhile.
#[cold]
#[inline(never)]
fn run_all(area: &'static Area, block: &'static Block, taken: Taken) {
    for message in taken.in_order::<Atomics>(block.links) {
        match message {
            Message::Call(place) => run_call(area, block.sender(place as usize).lent),
            Message::Post(node) => run_post(area, block, node),
        }
    }
}

#[inline(always)]
fn run_call(area: &'static Area, lent: &'static Lent) {
    // SAFETY: taken from the queue, so the caller has written it and waits for the end.
    let run = unsafe { *lent.run.get() };
    Part::of(area).activity.store(run as usize as u64, Ordering::Relaxed);
    note!(RUN, core::ptr::from_ref(lent) as u64);
    // SAFETY: the room holds what `run` was made for, until `run` ends the call.
    unsafe { run(lent) };
    note!(RUN_END, 0);
    Part::of(area).activity.store(0, Ordering::Relaxed);
    Part::of(area).ran.add(1);
}

/// Not inlined: its frame holds the closure, which a call has no use for.
#[inline(never)]
fn run_post(area: &'static Area, block: &'static Block, node: u32) {
    let closure = ClosureCell::new();
    let cell = &block.nodes[node as usize];
    Part::of(area).activity.store(cell.function(), Ordering::Relaxed);
    note!(RUN_POST, core::ptr::from_ref(cell) as u64);
    // SAFETY: taken from the queue, so the node is ours until it is released; the new cell is nobody else's.
    unsafe { cell.move_to(&closure) };
    // Before it runs: a closure that waits for its sender must not hold what the sender may need.
    block.give_back(node);
    // SAFETY: ours alone.
    unsafe { closure.run() };
    note!(RUN_POST_END, 0);
    Part::of(area).activity.store(0, Ordering::Relaxed);
    Part::of(area).ran.add(1);
}

/// What a CPU had accepted when it closed its queues, and what was rung at it.
pub(crate) struct Kept {
    taken: [Taken; MAX_BLOCKS],
    /// Bells that were rung.
    rung: u64,
}

/// Blocks of the largest machine.
const MAX_BLOCKS: usize = MAX_CPUS.div_ceil(BLOCK);

impl Kept {
    /// Nothing.
    pub(crate) const NONE: Self = Self { taken: [Taken::NOTHING; MAX_BLOCKS], rung: 0 };
}

/// This CPU takes no more messages. What it had accepted is still to be run. With interrupts masked.
pub(crate) fn close(area: &'static Area) -> Kept {
    let mut kept = Kept::NONE;
    for ((line, _), taken) in Part::own_queues(area).zip(&mut kept.taken) {
        *taken = line.queue.close();
    }
    kept.rung = Part::of(area).bells.close();
    kept
}

/// The CPU of `area`, which is parked, takes no more messages, and what it had accepted never runs. By the CPU that stopped it.
pub(crate) fn condemn(area: &'static Area) {
    Part::of(area).bells.close();
    let condemn = |line: &QueueLine, block: &'static Block| {
        if let Some(lost) = line.queue.condemn() {
            lose(block, lost);
        }
    };
    if let Some(line) = Part::of(area).only_queue {
        return condemn(line, Part::of(area).block);
    }
    Part::own_queues(area).for_each(|(line, block)| condemn(line, block));
}

/// What these closures have captured is lost with them. The nodes are their senders' again, who may be the one that is left.
#[cold]
fn lose(block: &Block, lost: Taken) {
    for message in lost.in_order::<Atomics>(block.links) {
        if let Message::Post(node) = message {
            block.give_back(node);
        }
    }
}

/// Runs what [`close`] kept, in interrupt context.
pub(crate) fn run_kept(area: &'static Area, kept: Kept) {
    masking::as_interrupt(area, || {
        for (block, taken) in Part::of(area).blocks.iter().zip(kept.taken) {
            run_all(area, block, taken);
        }
        answer_these(area, kept.rung);
    });
}

/// Runs what waits for this CPU from its thread context, as if an interrupt had come.
#[inline(always)]
pub(crate) fn run_pending(area: &'static Area, look: Look) {
    if is_pending(area, look) {
        run_now(area);
    }
}

#[cold]
#[inline(never)]
fn run_now(area: &'static Area) {
    let _masked = masking::mask_on(area);
    masking::as_interrupt(area, || drain(area));
}
