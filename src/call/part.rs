//! What each CPU has for calls.

use crate::closure::ClosureCell;
use crate::gic::{self, Sgi};
use crate::percpu::CpuId;
use crate::percpu::area::{self, Area, Part as _};
use crate::sync::{AtomicWord, Atomics};
use core::cell::UnsafeCell;
use core::mem::{MaybeUninit, offset_of};
use core::sync::atomic::{AtomicU64, Ordering};
use reveille_protocol::{Bells, Caller, DeadlineCall, Pool, Queue, SyncCall};

/// There is something in the call queue.
pub(crate) const CALL: Sgi = Sgi::new(2);

/// Bytes that a posted closure may capture.
pub const POST_BYTES: usize = 64;
/// Closures that one CPU can have posted and not yet taken up by their targets, all targets together, however many CPUs the
/// machine has.
pub const POSTS_PER_CPU: usize = 16;

/// Senders that share one queue of each target. Machines with more CPUs have several queues per CPU.
pub(super) const BLOCK: usize = Queue::<Atomics>::CALLERS as usize;

/// One queue, alone on its cache line, with what its senders need beside it.
#[repr(C, align(64))]
pub(crate) struct QueueLine {
    pub(super) queue: Queue<Atomics>,
    /// Rung when something was pushed that finds the queue empty.
    pub(super) bell: gic::Doorbell,
}

/// The nodes of up to [`BLOCK`] senders, those of one after those of another.
pub(crate) struct Block {
    pub(super) links: &'static [AtomicWord],
    pub(super) nodes: &'static [ClosureCell<POST_BYTES>],
    /// The index of its first sender.
    first: usize,
}

/// Before the boot CPU has carved any.
static NO_BLOCK: Block = Block { links: &[], nodes: &[], first: 0 };

impl Block {
    /// The part of the sender in this place.
    #[inline(always)]
    pub(super) fn sender(&self, place: usize) -> &'static Part {
        of(CpuId::from_index(self.first + place))
    }

    /// This node, whose closure is not in it any more, goes back to its sender.
    #[inline(always)]
    pub(super) fn give_back(&self, node: u32) {
        let sender = self.sender(node as usize / POSTS_PER_CPU);
        sender.pool.release(node % POSTS_PER_CPU as u32);
    }
}

/// What runs a call at a callee, and ends it.
pub(super) type Run = unsafe fn(&'static Lent);

/// What a sender lends to its callees, alone on its cache line: all of a call that is small, so that it takes one line there and back.
#[repr(C, align(128))]
pub(super) struct Lent {
    pub(super) sync: SyncCall<Atomics>,
    pub(super) run: UnsafeCell<Run>,
    room: UnsafeCell<MaybeUninit<[u64; 6]>>,
}

// The word that says that the call is over comes with what it leaves.
const _: () = assert!(offset_of!(Lent, room) + size_of::<[u64; 6]>() == 64);

impl Lent {
    const fn new() -> Self {
        unsafe fn nothing(_: &'static Lent) {}
        Self {
            sync: SyncCall::from_parts(AtomicWord::with(SyncCall::<Atomics>::IDLE)),
            run: UnsafeCell::new(nothing),
            room: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Whether a `T` fits into the room.
    pub(super) const fn has_room_for<T>() -> bool {
        size_of::<T>() <= size_of::<[u64; 6]>() && align_of::<T>() <= align_of::<[u64; 6]>()
    }

    /// Where a `T` lies in the room.
    #[inline(always)]
    pub(super) fn room<T>(&self) -> *mut T {
        debug_assert!(Self::has_room_for::<T>());
        self.room.get().cast()
    }
}

// SAFETY: `run` and the room are written by their own CPU between `SyncCall::begin` and the first `Queue::call`, and read, and the room written by an
// only one, by callees between taking the call and the end; the protocol orders the two.
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
    pub(super) only_queue: Option<&'static QueueLine>,
    /// What each CPU lends, in the order of their ids.
    pub(super) lent_by: *const Lent,
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
    pub(super) queues: &'static [QueueLine],
    /// The nodes of all blocks, in the same order.
    pub(super) blocks: &'static [Block],
    pub(super) pool: Pool<Atomics>,
    pub(super) deadline: DeadlineCall<Atomics>,
    /// What was rung here.
    pub(super) bells: Bells<Atomics>,
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
                AtomicWord::with(Pool::<Atomics>::all(POSTS_PER_CPU as u32)),
                AtomicWord::with(Pool::<Atomics>::NONE),
            ),
            deadline: DeadlineCall::from_parts(AtomicWord::with(DeadlineCall::<Atomics>::IDLE)),
            bells: Bells::from_parts(AtomicWord::with(Bells::<Atomics>::CLOSED)),
        }
    }

    /// The queue of `target` that this CPU sends to.
    #[inline(always)]
    pub(super) fn queue_of(&self, target: CpuId) -> &'static QueueLine {
        // SAFETY: set up before the first call, with a queue for each CPU; a `CpuId` is below their number.
        unsafe { &*self.queues_out.add(target.index()) }
    }

    /// The queues of the CPU of `area`, in the order of the blocks of senders.
    #[inline(always)]
    pub(super) fn own_queues(area: &Area) -> impl Iterator<Item = (&'static QueueLine, &'static Block)> {
        let Self { queues, blocks, .. } = *Self::of(area);
        let mut index = area.id.index();
        blocks.iter().filter_map(move |block| {
            let line = queues.get(index)?;
            index += area::areas().len();
            Some((line, block))
        })
    }
}

/// Bytes that each CPU takes on a machine of at most [`BLOCK`] CPUs; one [`QueueLine`] more for each further block.
pub(crate) const BYTES_PER_CPU: usize = size_of::<QueueLine>()
    + size_of::<Lent>()
    + POSTS_PER_CPU * (size_of::<AtomicWord>() + size_of::<ClosureCell<POST_BYTES>>());

/// Memory for the calls of all CPUs, carved at boot.
pub(crate) struct Shared {
    count: usize,
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
                AtomicWord::with(Queue::<Atomics>::CLOSED),
                AtomicWord::with(Queue::<Atomics>::ZERO),
            );
            let line = QueueLine { queue, bell: gic::Doorbell::new() };
            // SAFETY: carved for as many, page-aligned, and nobody else's.
            unsafe { queues.add(index).write(line) };
        }
        // SAFETY: all written just now.
        let queues = unsafe { core::slice::from_raw_parts(queues, count * blocks) };
        // Zeros are valid links and empty cells.
        let links = carve((count * POSTS_PER_CPU * size_of::<AtomicWord>()) as u64)?;
        let nodes = carve((count * POSTS_PER_CPU * size_of::<ClosureCell<POST_BYTES>>()) as u64)?;
        let lent = carve((count * size_of::<Lent>()) as u64)? as *mut Lent;
        for index in 0..count {
            // SAFETY: as above.
            unsafe { lent.add(index).write(Lent::new()) };
        }
        // SAFETY: all written just now.
        let lent = unsafe { core::slice::from_raw_parts(lent, count) };
        Ok(Self { count, blocks, queues, links, nodes, lent })
    }
}

/// Gives all CPUs queues and nodes.
///
/// # Safety
///
/// `parts` are those of all CPUs that `shared` was carved for, in the order of their ids. `room` is room for one [`Block`] per block of
/// senders, and nobody else's.
pub(crate) unsafe fn set_up<'a>(shared: &Shared, parts: impl Iterator<Item = &'a mut Part>, room: u64) {
    let count = shared.count;
    let blocks = room as *mut Block;
    for index in 0..shared.blocks {
        let first = index * BLOCK * POSTS_PER_CPU;
        let here = (count - index * BLOCK).min(BLOCK) * POSTS_PER_CPU;
        // SAFETY: `Shared::carve` carved zeroed room for the nodes of all CPUs, and for a link each; zeros are valid
        // links and, `ClosureCell` says so, empty cells. The room is the caller's promise.
        unsafe {
            let links = core::slice::from_raw_parts((shared.links as *const AtomicWord).add(first), here);
            let nodes = core::slice::from_raw_parts(
                (shared.nodes as *const ClosureCell<POST_BYTES>).add(first),
                here,
            );
            blocks.add(index).write(Block { links, nodes, first: index * BLOCK });
        }
    }
    // SAFETY: all written just now.
    let list = unsafe { core::slice::from_raw_parts(blocks, shared.blocks) };
    for (index, part) in parts.enumerate() {
        let block = index / BLOCK;
        part.lent_by = shared.lent.as_ptr();
        part.lent = &shared.lent[index];
        part.queues = shared.queues;
        part.blocks = list;
        part.block = &list[block];
        part.queues_out = &raw const shared.queues[block * count];
        part.only_queue = (shared.blocks == 1).then(|| &shared.queues[index]);
    }
}

/// Lets calls and bells in. By its own CPU, when it has come online, its interrupts still masked.
pub(crate) fn open(area: &Area) {
    Part::of(area).bells.open();
    for (line, _) in Part::own_queues(area) {
        #[cfg(feature = "fault-injection")]
        super::fault::about_to_open(area.id);
        line.bell.connect(CALL, area);
        line.queue.open();
    }
}

/// Whether the CPU of `area` lets calls in.
pub(crate) fn is_open(area: &Area) -> bool {
    Part::own_queues(area).all(|(line, _)| !line.queue.is_closed())
}

/// Where the state of all CPUs lies, from their areas to the last that calls need, as it was carved in a row: its address, and bytes; no more
/// than `most` for each.
pub(crate) fn state(areas: &[Area], most: usize) -> (u64, usize) {
    let start = areas.as_ptr() as u64;
    let end = areas.last().map_or(start, |area| Part::of(area).blocks.as_ptr_range().end as u64);
    // Before there is anything for calls, and where it lies elsewhere, the areas themselves.
    let bytes = end.saturating_sub(start) as usize;
    (start, bytes.min(areas.len() * most).max(size_of_val(areas)))
}

/// How many messages the CPU of `area` has run.
#[inline(always)]
pub(crate) fn ran(area: &Area) -> u64 {
    Part::of(area).ran.get()
}

/// How many messages the CPU of `area` has sent, and how many of others' it has run.
pub(crate) fn counts(area: &Area) -> (u64, u64) {
    (Part::of(area).sent.get(), Part::of(area).ran.get())
}

/// Whether nothing that the CPU of `area` has sent is under way, and nothing waits for it.
#[cfg(feature = "fault-injection")]
pub(crate) fn is_quiet(area: &Area) -> bool {
    let part = Part::of(area);
    part.pool.is_whole(POSTS_PER_CPU as u32)
        && part.lent.sync.is_idle()
        && part.deadline.is_idle()
        && Part::own_queues(area).all(|(line, _)| line.queue.is_empty())
}

/// The part of `cpu`.
#[inline(always)]
pub(super) fn of(cpu: CpuId) -> &'static Part {
    Part::of(area::of(cpu))
}
