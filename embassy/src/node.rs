//! What each CPU has: its executors, what it is told, and who is there.

use crate::kind::Kind;
use crate::roll::Roll;
use crate::word::Cpus;
use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};
use core::task::Waker;
use embassy_executor::raw;
use reveille::context;
use reveille::cpu::{self, CpuId, MAX_CPUS};
use reveille::hotplug::Pin;
use reveille::irq;
use reveille_protocol::{Door, Doze, Hosting};
use spin::Once;

/// Tasks that stay on their CPU are to be polled.
pub(crate) const LOCAL: u32 = 1;
/// Tasks of this CPU's that may move are.
pub(crate) const MOVABLE: u32 = 2;
/// Those of another CPU, which has left, are.
pub(crate) const GUESTS: u32 = 4;
/// Another CPU wants its tasks back.
pub(crate) const HANDBACK: u32 = 8;
/// All that this CPU polls is to be polled, whatever it was told of.
pub(crate) const LOOK: u32 = 16;

/// What one CPU has. Never moved or freed.
#[repr(C, align(128))]
pub(crate) struct Node {
    // One line of those who wake tasks.
    local: raw::Executor,
    pub(crate) doze: Doze<Cpus>,
    movable: raw::Executor,
    /// Who polls the movable tasks.
    pub(crate) hosting: Hosting<Cpus>,
    interrupt: raw::Executor,
    pub(crate) cpu: CpuId,

    /// Tasks that stay on this CPU; closed while it leaves, and until it comes back.
    pub(crate) door: Door<Cpus>,
    /// Tasks that may move.
    pub(crate) movables: AtomicU64,
    /// CPUs whose movable tasks are to be polled here: a bit for each.
    guests: [AtomicU64; MAX_CPUS / 64],
    /// Whether there may be any that it hosts.
    pub(crate) has_guests: AtomicBool,
    /// What happens to movable tasks when the CPU leaves.
    pub(crate) policy: AtomicU8,
    /// How often the CPU was asked to leave.
    pub(crate) asked: AtomicU64,
    /// Whether its loop runs, and takes the movable tasks of CPUs that leave.
    pub(crate) serves: AtomicBool,
    /// Its tasks that have a name.
    pub(crate) tasks: Roll,
    /// Tasks here that want to know when the CPU is asked to leave.
    pub(crate) leavers: Roll,

    // Written by its own CPU alone.
    /// Its thread-mode executors are being polled.
    pub(crate) polls: AtomicBool,
    /// When it last looked for what nobody has told of, ticks.
    pub(crate) looked: AtomicU64,
    // For its own CPU alone.
    /// Its executor of interrupt mode is being polled.
    pub(crate) interrupted: Cell<bool>,
    /// And is to be once more.
    pub(crate) again: Cell<bool>,
    /// Keeps the CPU from leaving, as a task came after it was asked.
    pub(crate) pin: Cell<Option<Pin>>,
}

// SAFETY: the executors may be woken and spawned to from any CPU; they are polled by one at a time: `local` and `interrupt` by their own,
// each guarded by its flag against itself, `movable` by its host (`Hosting`). The cells, and the `Pin` in one, are touched by their own CPU
// alone, each in one kind of context: `interrupted` and `again` in interrupt context, `pin` in hotplug callbacks.
unsafe impl Sync for Node {}

/// Where a node is made.
struct Place {
    made: Once<()>,
    node: UnsafeCell<MaybeUninit<Node>>,
}

// SAFETY: the node is written once, by who makes it, before `made` says so, and shared after that; it is `Sync`, and what it is made of may
// be made on any CPU.
unsafe impl Sync for Place {}

reveille::percpu! {
    static PLACES: Place = Place { made: Once::new(), node: UnsafeCell::new(MaybeUninit::uninit()) };
}

/// The nodes that were made, by the numbers of their CPUs: one look, and one line that nobody writes, where the way to `PLACES` takes several.
static MADE: [AtomicPtr<Node>; MAX_CPUS] = [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];

impl Node {
    /// That of `cpu`. Made by whoever asks first.
    ///
    /// # Panics
    ///
    /// At NMI level if nobody has asked yet.
    #[inline(always)]
    pub(crate) fn of(cpu: CpuId) -> &'static Self {
        Self::if_made(cpu).unwrap_or_else(|| make(cpu))
    }

    /// That of `cpu`, if anybody has asked yet.
    #[inline(always)]
    pub(crate) fn if_made(cpu: CpuId) -> Option<&'static Self> {
        Self::numbered(cpu.index())
    }

    /// That of the calling CPU, for a thread that is not moved, in interrupt context, or with interrupts masked.
    #[inline]
    pub(crate) fn here() -> &'static Self {
        Self::of(cpu::current())
    }

    /// That of the CPU with this number, if the machine has it.
    pub(crate) fn at(index: usize) -> Option<&'static Self> {
        Self::numbered(index).or_else(|| cpu::get(index).map(Self::of))
    }

    /// Who polls the movable tasks of this CPU.
    pub(crate) fn host(&self) -> Option<&'static Self> {
        Self::at(self.hosting.host() as usize)
    }

    /// That of the CPU with this number, if the machine has it and anybody has asked yet.
    #[inline(always)]
    fn numbered(index: usize) -> Option<&'static Self> {
        // Acquire: pairs with `make`.
        let node = MADE.get(index)?.load(Ordering::Acquire);
        // SAFETY: null, or a node that was made, is never freed, and only shared since.
        unsafe { node.as_ref() }
    }

    fn new(cpu: CpuId) -> Self {
        // What the pender is told: a number, as anybody may make an executor with any context.
        let executor =
            |kind: Kind| raw::Executor::new(ptr::without_provenance_mut(cpu.index() << 2 | kind as usize));
        Self {
            local: executor(Kind::Local),
            doze: Doze::from_parts(AtomicU64::new(Doze::<Cpus>::AWAKE)),
            movable: executor(Kind::Movable),
            hosting: Hosting::from_parts(AtomicU64::new(Hosting::<Cpus>::hosted_by(cpu.index() as u32))),
            interrupt: executor(Kind::Interrupt),
            cpu,
            door: Door::from_parts(AtomicU64::new(Door::<Cpus>::OPEN)),
            movables: AtomicU64::new(0),
            guests: [const { AtomicU64::new(0) }; MAX_CPUS / 64],
            has_guests: AtomicBool::new(false),
            policy: AtomicU8::new(0),
            asked: AtomicU64::new(0),
            serves: AtomicBool::new(false),
            tasks: Roll::new(),
            leavers: Roll::new(),
            polls: AtomicBool::new(false),
            looked: AtomicU64::new(0),
            interrupted: Cell::new(false),
            again: Cell::new(false),
            pin: Cell::new(None),
        }
    }

    /// The one of its executors.
    #[inline(always)]
    pub(crate) fn executor(&'static self, kind: Kind) -> &'static raw::Executor {
        match kind {
            Kind::Local => &self.local,
            Kind::Movable => &self.movable,
            Kind::Interrupt => &self.interrupt,
        }
    }

    /// Its number.
    #[inline(always)]
    pub(crate) fn index(&self) -> u32 {
        self.cpu.index() as u32
    }

    /// Tells its CPU's loop of work, which was queued before. From any context.
    #[inline(always)]
    pub(crate) fn tell(&self, bits: u32) {
        // Until the SGI is sent, or whoever tells it meanwhile relies on one that does not come while this thread is preempted.
        let _masked = context::has_scheduler().then(irq::mask);
        if self.doze.raise(bits) {
            self.rouse();
        }
    }

    /// Ends the wait of its CPU's loop. Apart, so that to tell one that is awake saves no registers.
    #[inline(never)]
    fn rouse(&self) {
        // On that CPU itself the wait is over, or has not begun: it waits with interrupts closed, so nothing but what is at NMI level runs there
        // meanwhile.
        if cpu::current() != self.cpu || irq::in_nmi() {
            cpu::wake(self.cpu);
        }
    }

    /// Tells its CPU's loop that the movable tasks of `of` are to be polled, which it hosts.
    pub(crate) fn tell_of_guest(&self, of: u32) {
        if of == self.index() {
            return self.tell(MOVABLE);
        }
        let (word, bit) = (of as usize / 64, of % 64);
        // Relaxed: the bit that is raised hands it over.
        self.has_guests.store(true, Ordering::Relaxed);
        self.guests[word].fetch_or(1 << bit, Ordering::Relaxed);
        self.tell(GUESTS);
    }

    /// Takes the CPUs whose movable tasks are to be polled here.
    pub(crate) fn take_guests(&self, mut each: impl FnMut(CpuId)) {
        for (word, bits) in self.guests.iter().enumerate() {
            // Relaxed: `Doze` has handed it over. Looked at first, as most are empty.
            if bits.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut rest = bits.swap(0, Ordering::Relaxed);
            while rest != 0 {
                let index = word * 64 + rest.trailing_zeros() as usize;
                rest &= rest - 1;
                if let Some(cpu) = cpu::get(index) {
                    each(cpu);
                }
            }
        }
    }

    /// The CPU and kind of the executor with this id, as embassy numbers them: the lower half of its address.
    pub(crate) fn of_executor(id: u32) -> Option<(&'static Self, Kind)> {
        let low = |cpu| ptr::from_ref(PLACES.of(cpu)).addr() as u32;
        // One behind the other, as far as anybody knows: then it takes as long for any CPU.
        let first = low(CpuId::BOOT);
        let distance = cpu::get(1).map_or(u32::MAX, |second| low(second).wrapping_sub(first));
        let likely = id.wrapping_sub(first).checked_div(distance);
        likely
            .and_then(|index| Self::numbered(index as usize)?.with_executor(id))
            .or_else(|| Self::search(id))
    }

    #[cold]
    fn search(id: u32) -> Option<(&'static Self, Kind)> {
        cpu::possible().iter().filter_map(Self::if_made).find_map(|node| node.with_executor(id))
    }

    /// If one of its executors has this id.
    #[inline(always)]
    fn with_executor(&'static self, id: u32) -> Option<(&'static Self, Kind)> {
        let kind =
            Kind::ALL.into_iter().find(|kind| ptr::from_ref(self.executor(*kind)).addr() as u32 == id)?;
        Some((self, kind))
    }

    /// Where the task of `waker`, which is one of embassy's, was spawned.
    pub(crate) fn of_task(waker: &Waker) -> Option<(&'static Self, Kind)> {
        // SAFETY: only its address is used.
        let executor = unsafe { raw::task_from_waker(waker).executor() }?;
        Self::of_executor(ptr::from_ref(executor).addr() as u32)
    }

    /// Whether the task of `waker`, which is one of embassy's, was spawned to this CPU to stay.
    pub(crate) fn stays_here(&self, waker: &Waker) -> bool {
        Self::of_task(waker).is_some_and(|(node, kind)| node.cpu == self.cpu && kind.stays())
    }

    /// What the context of an executor stands for, if it is that of a node.
    pub(crate) fn of_context(context: *mut ()) -> Option<(&'static Self, Kind)> {
        let kind = match context.addr() & 3 {
            0 => Kind::Local,
            1 => Kind::Movable,
            2 => Kind::Interrupt,
            _ => return None,
        };
        Some((Self::at(context.addr() >> 2)?, kind))
    }

    /// The same for the kind that is asked for most, if its node was made.
    #[inline(always)]
    pub(crate) fn of_local_context(context: *mut ()) -> Option<&'static Self> {
        let number = context.addr();
        if number & 3 == Kind::Local as usize { Self::numbered(number >> 2) } else { None }
    }
}

#[cold]
fn make(cpu: CpuId) -> &'static Node {
    assert!(!irq::in_nmi(), "reveille-embassy is used at NMI level before it has begun");
    // A handler of this CPU might want it too, and wait for ever.
    let _masked = irq::mask();
    let place = PLACES.of(cpu);
    place.made.call_once(|| {
        let node = place.node.get().cast::<Node>();
        // SAFETY: once, before anybody refers to it.
        unsafe { node.write(Node::new(cpu)) };
        // Release: pairs with `numbered`.
        MADE[cpu.index()].store(node, Ordering::Release);
    });
    // SAFETY: made, and only shared since.
    unsafe { (*place.node.get()).assume_init_ref() }
}
