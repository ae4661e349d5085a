//! What each CPU has for calls, and the receiving side.

use super::CallError;
use super::post::{POST_BYTES, POSTS_PER_CPU};
use crate::arch::{Hw, HwWord, regs};
use crate::closure::ClosureCell;
use crate::cpu::CpuId;
use crate::cpu::area::{self, Area};
use crate::gic;
use crate::irq::{self, Sgi};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille_protocol::{Batch, Caller, DeadlineCall, Message, Pool, Queue, SyncCall};

/// Senders that share one queue of each target. Machines with more CPUs have several queues per CPU.
pub(super) const BLOCK: usize = Queue::<Hw>::CALLERS as usize;

/// One queue, alone on its cache line, with what its senders need beside it.
#[repr(C, align(64))]
pub(crate) struct QueueLine {
    pub(super) queue: Queue<Hw>,
    /// Rung when something was pushed that finds the queue empty.
    pub(super) bell: gic::Doorbell,
}

/// The nodes of up to [`BLOCK`] senders, those of one after those of another.
pub(crate) struct Block {
    pub(super) links: &'static [HwWord],
    pub(super) nodes: &'static [ClosureCell<POST_BYTES>],
    /// The index of its first sender.
    first: usize,
}

/// Before the boot CPU has carved any.
static NO_BLOCK: Block = Block { links: &[], nodes: &[], first: 0 };

impl Block {
    /// The part of the sender in this place.
    #[inline(always)]
    fn sender(&self, place: usize) -> &'static Part {
        of(CpuId::from_index(self.first + place))
    }

    /// This node, whose closure is not in it any more, goes back to its sender.
    #[inline(always)]
    fn give_back(&self, node: u32) {
        let sender = self.sender(node as usize / POSTS_PER_CPU);
        sender.pool.release(node % POSTS_PER_CPU as u32);
    }
}

/// What a sender lends to its callees: a function that runs the call and ends it.
#[derive(Clone, Copy)]
pub(super) struct Payload {
    pub(super) run: unsafe fn(*const (), &SyncCall<Hw>),
    pub(super) data: *const (),
}

/// What the callees of one CPU touch, alone on its cache lines.
#[repr(C, align(128))]
pub(super) struct Lent {
    pub(super) sync: SyncCall<Hw>,
    pub(super) payload: UnsafeCell<Payload>,
}

impl Lent {
    const fn new() -> Self {
        unsafe fn nothing(_: *const (), _: &SyncCall<Hw>) {}
        Self {
            sync: SyncCall::from_parts(HwWord::with(SyncCall::<Hw>::IDLE)),
            payload: UnsafeCell::new(Payload { run: nothing, data: core::ptr::null() }),
        }
    }
}

// SAFETY: `payload` is written by its own CPU between `SyncCall::begin` and the first `Queue::call`, and read by
// callees between taking the call and the end; the protocol orders the two.
unsafe impl Sync for Lent {}

/// For a CPU that cannot call yet.
static NO_LENT: Lent = Lent::new();

/// A number that its own CPU alone counts up, with interrupts masked, and anyone may read.
pub(super) struct Count(AtomicU64);

impl Count {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    // Relaxed: a figure to look at, which orders nothing.
    #[inline(always)]
    pub(super) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One CPU's part in calls, as sender and as receiver.
///
/// What every call uses stands first, within reach of the shortest loads.
#[repr(C, align(128))]
pub(crate) struct Part {
    /// Its queue, if it has only one: on machines with up to [`BLOCK`] CPUs.
    only_queue: Option<&'static QueueLine>,
    /// What each CPU lends, in the order of their ids.
    lent_by: *const Lent,
    /// What this one does.
    pub(super) lent: &'static Lent,
    /// The queues that it sends to, in the order of their CPUs' ids.
    queues_out: *const QueueLine,
    /// How those queues know it.
    pub(super) caller: Caller,
    /// The function of the call that it is running as a callee; 0: none. For reports.
    pub(super) activity: AtomicU64,
    /// Messages that it has sent, and messages that it has taken to their end.
    pub(super) sent: Count,
    pub(super) ran: Count,
    /// The nodes of the block to which it belongs as a sender, and its place there.
    pub(super) block: &'static Block,
    pub(super) place: u32,
    /// The queues of all CPUs, block after block.
    queues: &'static [QueueLine],
    /// The nodes of all blocks, in the same order.
    blocks: &'static [Block],
    pub(super) pool: Pool<Hw>,
    pub(super) deadline: DeadlineCall<Hw>,
}

// SAFETY: the pointers are to what is shared anyway, and never freed or moved. All else is atomic or constant.
unsafe impl Sync for Part {}

impl Part {
    /// Of `cpu`. Closed, and without queues and nodes until [`set_up`].
    pub(crate) const fn new(cpu: CpuId) -> Self {
        let place = (cpu.index() % BLOCK) as u32;
        Self {
            only_queue: None,
            lent_by: core::ptr::null(),
            lent: &NO_LENT,
            queues_out: core::ptr::null(),
            caller: Caller::new(place),
            activity: AtomicU64::new(0),
            sent: Count::new(),
            ran: Count::new(),
            block: &NO_BLOCK,
            place,
            queues: &[],
            blocks: &[],
            pool: Pool::from_parts(
                HwWord::with(Pool::<Hw>::all(POSTS_PER_CPU as u32)),
                HwWord::with(Pool::<Hw>::NONE),
            ),
            deadline: DeadlineCall::from_parts(HwWord::with(DeadlineCall::<Hw>::IDLE)),
        }
    }

    /// The queue of `target` that this CPU sends to.
    #[inline(always)]
    pub(super) fn queue_of(&self, target: CpuId) -> &'static QueueLine {
        // SAFETY: set up before the first call, with a queue for each CPU; a `CpuId` is below their number.
        unsafe { &*self.queues_out.add(target.index()) }
    }

    /// The queues of this CPU, whose area it is, in the order of the blocks of senders.
    fn own_queues(area: &Area) -> impl Iterator<Item = (&'static QueueLine, &'static Block)> {
        let count = area.call.queues.len() / area.call.blocks.len().max(1);
        area.call.queues.iter().skip(area.id.index()).step_by(count.max(1)).zip(area.call.blocks)
    }
}

/// Bytes that each CPU takes on a machine of at most [`BLOCK`] CPUs; one [`QueueLine`] more for each further block.
pub(crate) const BYTES_PER_CPU: usize = size_of::<QueueLine>()
    + size_of::<Lent>()
    + POSTS_PER_CPU * (size_of::<HwWord>() + size_of::<ClosureCell<POST_BYTES>>());

/// Memory for the calls of all CPUs, carved at boot.
pub(crate) struct Shared {
    blocks: usize,
    queues: &'static [QueueLine],
    links: u64,
    nodes: u64,
    lent: &'static [Lent],
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
            let line = QueueLine { queue, bell: gic::Doorbell::new() };
            // SAFETY: carved for as many, page-aligned, and nobody else's.
            unsafe { queues.add(index).write(line) };
        }
        // SAFETY: all written just now.
        let queues = unsafe { core::slice::from_raw_parts(queues, count * blocks) };
        // Zeros are valid links and empty cells.
        let links = carve((count * POSTS_PER_CPU * size_of::<HwWord>()) as u64)?;
        let nodes = carve((count * POSTS_PER_CPU * size_of::<ClosureCell<POST_BYTES>>()) as u64)?;
        let lent = carve((count * size_of::<Lent>()) as u64)? as *mut Lent;
        for index in 0..count {
            // SAFETY: as above.
            unsafe { lent.add(index).write(Lent::new()) };
        }
        // SAFETY: all written just now.
        let lent = unsafe { core::slice::from_raw_parts(lent, count) };
        Ok(Self { blocks, queues, links, nodes, lent })
    }
}

/// Gives all CPUs queues and nodes. `room` is room for one [`Block`] per block of senders.
pub(crate) fn set_up(shared: &Shared, areas: &mut [Area], room: u64) {
    let blocks = room as *mut Block;
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
    // SAFETY: all written just now.
    let list = unsafe { core::slice::from_raw_parts(blocks, shared.blocks) };
    let count = areas.len();
    for (index, area) in areas.iter_mut().enumerate() {
        let block = index / BLOCK;
        area.call.lent_by = shared.lent.as_ptr();
        area.call.lent = &shared.lent[index];
        area.call.queues = shared.queues;
        area.call.blocks = list;
        area.call.block = &list[block];
        area.call.queues_out = &raw const shared.queues[block * count];
        area.call.only_queue = (shared.blocks == 1).then(|| &shared.queues[index]);
    }
}

/// Lets calls in. By its own CPU, when it has come online, its interrupts still masked.
pub(crate) fn open(area: &Area) {
    for (line, _) in Part::own_queues(area) {
        line.bell.connect(Sgi::Call, area);
        line.queue.open();
    }
}

/// Whether the CPU of `area` lets calls in.
pub(crate) fn is_open(area: &Area) -> bool {
    Part::own_queues(area).all(|(line, _)| !line.queue.is_closed())
}

/// How often the CPU of `area` has taken something from its queues.
pub(crate) fn taken(area: &Area) -> u64 {
    Part::own_queues(area).map(|(line, _)| line.queue.takes()).sum()
}

/// How many messages the CPU of `area` has sent, and how many of others' it has run.
pub(crate) fn counts(area: &Area) -> (u64, u64) {
    (area.call.sent.get(), area.call.ran.get())
}

/// Whether anything waits for this CPU. With interrupts masked, before a WFI.
#[inline(always)]
pub(crate) fn is_pending(area: &Area) -> bool {
    Part::own_queues(area).any(|(line, _)| !line.queue.is_empty())
}

/// Runs everything that others want of this CPU. In interrupt context: normal interrupts are held back, so there is one
/// drainer at a time.
#[inline(always)]
pub(crate) fn drain(area: &'static Area) {
    // One call and nothing else is what most interrupts are about.
    if let Some(line) = area.call.only_queue
        && let Some(place) = line.queue.take_call()
    {
        // SAFETY: there is one block, so the place of the caller is the number of its CPU, and each has lent something.
        return run_call(area, unsafe { &*area.call.lent_by.add(place as usize) });
    }
    drain_all(area);
}

#[inline(never)]
fn drain_all(area: &'static Area) {
    for (line, block) in Part::own_queues(area) {
        run_all(area, block, line.queue.take(block.links));
    }
}

/// Runs a batch. Nothing is locked meanwhile.
#[inline(always)]
pub(super) fn run_all(area: &'static Area, block: &'static Block, batch: Batch<'static, Hw>) {
    for message in batch {
        match message {
            Message::Call(place) => run_call(area, block.sender(place as usize).lent),
            Message::Post(node) => run_post(area, block, node),
        }
    }
}

#[inline(always)]
fn run_call(area: &'static Area, lent: &Lent) {
    // SAFETY: taken from the queue, so the caller has written it and waits for the end.
    let Payload { run, data } = unsafe { *lent.payload.get() };
    area.call.activity.store(run as usize as u64, Ordering::Relaxed);
    // SAFETY: `data` is what `run` was made for, and lives until `run` ends the call.
    unsafe { run(data, &lent.sync) };
    area.call.activity.store(0, Ordering::Relaxed);
    area.call.ran.add(1);
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
    block.give_back(node);
    // SAFETY: ours alone.
    unsafe { closure.run() };
    area.call.activity.store(0, Ordering::Relaxed);
    area.call.ran.add(1);
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
    for ((line, block), kept) in Part::own_queues(area).zip(&mut kept.0) {
        *kept = Some(line.queue.close(block.links));
    }
    kept
}

/// The CPU of `area`, which is parked, takes no more messages, and what it had accepted never runs. By the CPU that stopped it.
pub(crate) fn condemn(area: &'static Area) {
    let condemn = |line: &QueueLine, block: &'static Block| {
        if let Some(lost) = line.queue.condemn(block.links) {
            lose(block, lost);
        }
    };
    if let Some(line) = area.call.only_queue {
        return condemn(line, area.call.block);
    }
    let mut index = area.id.index();
    for block in area.call.blocks {
        if let Some(line) = area.call.queues.get(index) {
            condemn(line, block);
        }
        index += area::areas().len();
    }
}

/// What these closures have captured is lost with them. The nodes are their senders' again, who may be the one that is left.
#[cold]
fn lose(block: &Block, lost: Batch<'_, Hw>) {
    for message in lost {
        if let Message::Post(node) = message {
            block.give_back(node);
        }
    }
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
pub(super) fn mask_to_wait(own: &Area) -> Result<irq::Masked, CallError> {
    // What a CPU runs from its thread context as if it were interrupted, it runs masked.
    if regs::on_exception_stack() {
        return Err(CallError::WouldDeadlock);
    }
    irq::mask_if_open(own).ok_or(CallError::WouldDeadlock)
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
