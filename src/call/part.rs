//! What each CPU has for calls, and the receiving side.

use super::CallError;
use super::post::{POST_BYTES, POSTS_PER_CPU};
use crate::arch::{Hw, HwWord, regs};
use crate::closure::ClosureCell;
use crate::cpu::CpuId;
use crate::cpu::area::{self, Area};
use crate::irq;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille_protocol::{Batch, DeadlineCall, Message, Pool, Queue, SyncCall};

/// Senders that share one queue of each target. Machines with more CPUs have several queues per CPU.
pub(super) const BLOCK: usize = Queue::<Hw>::CALLERS as usize;

/// One queue, alone on its cache line.
#[repr(C, align(64))]
pub(crate) struct QueueLine(pub(super) Queue<Hw>);

/// The nodes of up to [`BLOCK`] senders, those of one after those of another.
pub(crate) struct Block {
    pub(super) links: &'static [HwWord],
    pub(super) nodes: &'static [ClosureCell<POST_BYTES>],
    /// The index of its first sender.
    first: usize,
}

impl Block {
    /// The part of the sender in this place.
    #[inline(always)]
    fn sender(&self, place: usize) -> &'static Part {
        of(CpuId::from_index(self.first + place))
    }
}

/// What a sender lends to its callees.
#[derive(Clone, Copy)]
pub(super) struct Payload {
    pub(super) run: unsafe fn(*const (), CpuId),
    pub(super) data: *const (),
}

/// One CPU's part in calls, as sender and as receiver.
pub(crate) struct Part {
    /// Its queues, one for each block of senders.
    pub(super) queues: &'static [QueueLine],
    /// The nodes of all blocks, in the same order.
    blocks: &'static [Block],
    /// The block it belongs to as a sender, and its place there.
    block: usize,
    pub(super) place: u32,
    pub(super) pool: Pool<Hw>,
    pub(super) sync: SyncCall<Hw>,
    pub(super) payload: UnsafeCell<Payload>,
    pub(super) deadline: DeadlineCall<Hw>,
    /// The function of the call that it is running as a callee; 0: none. For reports.
    pub(super) activity: AtomicU64,
}

// SAFETY: `payload` is written by its own CPU between `SyncCall::begin` and the first `Queue::call`, and read by
// callees between taking the call and `finish`; the protocol orders the two. All else is atomic or constant.
unsafe impl Sync for Part {}

impl Part {
    pub(crate) const fn new(queues: &'static [QueueLine], cpu: CpuId) -> Self {
        unsafe fn nothing(_: *const (), _: CpuId) {}
        Self {
            queues,
            blocks: &[],
            block: cpu.index() / BLOCK,
            place: (cpu.index() % BLOCK) as u32,
            pool: Pool::from_parts(
                HwWord::with(Pool::<Hw>::all(POSTS_PER_CPU as u32)),
                HwWord::with(Pool::<Hw>::NONE),
            ),
            sync: SyncCall::from_parts(HwWord::with(SyncCall::<Hw>::IDLE)),
            payload: UnsafeCell::new(Payload { run: nothing, data: core::ptr::null() }),
            deadline: DeadlineCall::from_parts(HwWord::with(DeadlineCall::<Hw>::IDLE)),
            activity: AtomicU64::new(0),
        }
    }

    /// The queue of this CPU that `sender` uses.
    #[inline(always)]
    pub(super) fn queue_for(&self, sender: &Part) -> &Queue<Hw> {
        &self.queues[sender.block].0
    }

    /// The nodes that this CPU sends with.
    #[inline(always)]
    pub(super) fn own_block(&self) -> &'static Block {
        &self.blocks[self.block]
    }
}

/// Bytes that each CPU takes on a machine of at most [`BLOCK`] CPUs; one [`QueueLine`] more for each further block.
pub(crate) const BYTES_PER_CPU: usize =
    size_of::<QueueLine>() + POSTS_PER_CPU * (size_of::<HwWord>() + size_of::<ClosureCell<POST_BYTES>>());

/// Memory for the calls of all CPUs, carved at boot.
pub(crate) struct Shared {
    blocks: usize,
    queues: &'static [QueueLine],
    links: u64,
    nodes: u64,
}

impl Shared {
    /// Carves what `count` CPUs need.
    pub(crate) fn carve<E>(count: usize, mut carve: impl FnMut(u64) -> Result<u64, E>) -> Result<Self, E> {
        let blocks = count.div_ceil(BLOCK);
        let queues = carve((count * blocks * size_of::<QueueLine>()) as u64)? as *mut QueueLine;
        for index in 0..count * blocks {
            let queue = Queue::from_parts(
                HwWord::with(Queue::<Hw>::CLOSED),
                HwWord::with(Queue::<Hw>::ZERO),
                HwWord::with(Queue::<Hw>::ZERO),
            );
            // SAFETY: carved for as many, page-aligned, and nobody else's.
            unsafe { queues.add(index).write(QueueLine(queue)) };
        }
        // SAFETY: all written just now.
        let queues = unsafe { core::slice::from_raw_parts(queues, count * blocks) };
        // Zeros are valid links and empty cells.
        let links = carve((count * POSTS_PER_CPU * size_of::<HwWord>()) as u64)?;
        let nodes = carve((count * POSTS_PER_CPU * size_of::<ClosureCell<POST_BYTES>>()) as u64)?;
        Ok(Self { blocks, queues, links, nodes })
    }

    /// The queues of `cpu`.
    pub(crate) fn queues_of(&self, cpu: CpuId) -> &'static [QueueLine] {
        &self.queues[cpu.index() * self.blocks..][..self.blocks]
    }
}

/// Gives all CPUs the nodes. `room` is room for one [`Block`] per block of senders.
pub(crate) fn set_up(shared: &Shared, areas: &mut [Area], room: u64) {
    let blocks = room as *mut Block;
    // SAFETY: all written below, before any CPU but this one runs, and this one uses them later.
    let list = unsafe { core::slice::from_raw_parts(blocks, shared.blocks) };
    for area in &mut *areas {
        area.call.blocks = list;
    }
    for index in 0..shared.blocks {
        let first = index * BLOCK * POSTS_PER_CPU;
        let count = (areas.len() - index * BLOCK).min(BLOCK) * POSTS_PER_CPU;
        // SAFETY: `Shared::carve` carved zeroed room for the nodes of all CPUs, and for a link each; zeros are valid
        // links and, `ClosureCell` says so, empty cells. The room is the caller's promise.
        unsafe {
            let links = core::slice::from_raw_parts((shared.links as *const HwWord).add(first), count);
            let nodes = core::slice::from_raw_parts(
                (shared.nodes as *const ClosureCell<POST_BYTES>).add(first),
                count,
            );
            blocks.add(index).write(Block { links, nodes, first: index * BLOCK });
        }
    }
}

/// Lets calls in. By its own CPU, as it comes online, its interrupts still masked.
pub(crate) fn open(area: &Area) {
    for queue in area.call.queues {
        queue.0.open();
    }
}

/// Whether anything waits for this CPU. With interrupts masked, before a WFI.
#[inline(always)]
pub(crate) fn is_pending(area: &Area) -> bool {
    area.call.queues.iter().any(|queue| !queue.0.is_empty())
}

/// Runs everything that others want of this CPU. In interrupt context: normal interrupts are held back, so there is one
/// drainer at a time.
#[inline(always)]
pub(crate) fn drain(area: &'static Area) {
    let part = &area.call;
    // One call and nothing else is what most interrupts are about.
    if let ([queue], [block]) = (part.queues, part.blocks)
        && let Some(place) = queue.0.take_call()
    {
        return run_call(area, block.sender(place as usize));
    }
    drain_all(area);
}

#[inline(never)]
fn drain_all(area: &'static Area) {
    for (queue, block) in area.call.queues.iter().zip(area.call.blocks) {
        run_all(area, block, queue.0.take(block.links));
    }
}

/// Runs a batch. Nothing is locked meanwhile.
#[inline(always)]
pub(super) fn run_all(area: &'static Area, block: &'static Block, batch: Batch<'static, Hw>) {
    for message in batch {
        match message {
            Message::Call(place) => run_call(area, block.sender(place as usize)),
            Message::Post(node) => run_post(area, block, node),
        }
    }
}

#[inline(always)]
fn run_call(area: &'static Area, caller: &Part) {
    // SAFETY: taken from the queue, so the caller has written it and waits for `finish`.
    let payload = unsafe { *caller.payload.get() };
    area.call.activity.store(payload.run as usize as u64, Ordering::Relaxed);
    // SAFETY: `data` is what `run` was made for, and lives until `finish`.
    unsafe { (payload.run)(payload.data, area.id) };
    caller.sync.finish();
    area.call.activity.store(0, Ordering::Relaxed);
}

/// Not inlined: its frame holds the closure, which a call has no use for.
#[inline(never)]
fn run_post(area: &'static Area, block: &'static Block, node: u32) {
    let closure = ClosureCell::new();
    let cell = &block.nodes[node as usize];
    area.call.activity.store(cell.function(), Ordering::Relaxed);
    // SAFETY: taken from the queue, so the node is ours until it is released; the new cell is nobody else's.
    unsafe { cell.move_to(&closure) };
    // Before it runs: a closure that waits for its sender must not hold what the sender may need.
    let sender = node as usize / POSTS_PER_CPU;
    block.sender(sender).pool.release(node % POSTS_PER_CPU as u32);
    // SAFETY: ours alone.
    unsafe { closure.run() };
    area.call.activity.store(0, Ordering::Relaxed);
}

/// What a CPU had accepted when it closed its queues.
pub(crate) struct Kept([Option<Batch<'static, Hw>>; MAX_BLOCKS]);

/// Blocks of the largest machine.
const MAX_BLOCKS: usize = crate::cpu::MAX_CPUS.div_ceil(BLOCK);

impl Kept {
    /// Nothing.
    pub(crate) const NONE: Self = Self([const { None }; MAX_BLOCKS]);
}

/// This CPU takes no more messages. What it had accepted is still to be run. With interrupts masked.
pub(crate) fn close(area: &'static Area) -> Kept {
    let mut kept = Kept::NONE;
    for ((queue, block), kept) in area.call.queues.iter().zip(area.call.blocks).zip(&mut kept.0) {
        *kept = Some(queue.0.close(block.links));
    }
    kept
}

/// Runs what [`close`] kept, in interrupt context.
pub(crate) fn run_kept(area: &'static Area, kept: Kept) {
    let depth = area.interrupt_depth.load(Ordering::Relaxed);
    area.interrupt_depth.store(depth + 1, Ordering::Relaxed);
    for (block, batch) in area.call.blocks.iter().zip(kept.0) {
        if let Some(batch) = batch {
            run_all(area, block, batch);
        }
    }
    area.interrupt_depth.store(depth, Ordering::Relaxed);
}

/// Runs what waits for this CPU from its thread context, as if an interrupt had come.
pub(crate) fn run_pending(area: &'static Area) {
    if !is_pending(area) {
        return;
    }
    let _masked = irq::mask();
    let depth = area.interrupt_depth.load(Ordering::Relaxed);
    area.interrupt_depth.store(depth + 1, Ordering::Relaxed);
    drain(area);
    area.interrupt_depth.store(depth, Ordering::Relaxed);
}

/// Masks interrupts to send, if this CPU may wait for another afterwards: in thread context, interrupts open.
#[inline(always)]
pub(super) fn mask_to_wait() -> Result<irq::Masked, CallError> {
    let masked = irq::mask();
    // What a CPU runs from its thread context as if it were interrupted, it runs masked.
    if masked.was_masked() || regs::on_exception_stack() || regs::is_daif_masked() {
        return Err(CallError::WouldDeadlock);
    }
    Ok(masked)
}

/// The part of `cpu`.
#[inline(always)]
pub(super) fn of(cpu: CpuId) -> &'static Part {
    &area::of(cpu).call
}

/// Ticks of the counter, for the stall check.
#[inline(always)]
pub(super) fn now() -> u64 {
    regs::counter()
}
