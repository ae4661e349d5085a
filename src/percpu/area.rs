//! The per-CPU area: one for each CPU of the machine, carved from RAM at boot and never given back.
//!
//! This room knows where a CPU finds its area, and what stands at its beginning: what assembly reads, and who the CPU is. What
//! else is in it belongs to the rooms above, each of which has a type for its part; `life/area.rs` lays the parts out.

use crate::arch::regs;
use crate::arch::shared::{BootLine, Crumbs};
use crate::arch::{Hw, HwSlot, HwWord};
#[cfg(feature = "trace")]
use crate::arch::{HwRing, closed_ring};
use crate::cpu_set::CpuId;
use core::mem::offset_of;
use core::ops::Deref;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use reveille_protocol::Owner;

/// Keeps its content alone on its cache lines: 128 bytes is a line pair on the CPUs that fetch in pairs.
#[repr(C, align(128))]
pub(crate) struct Line<T>(pub(crate) T);

/// How the areas are laid out. Implemented once, at the top of the house.
///
/// # Safety
///
/// An area begins with its [`Header`], which is what it dereferences to: assembly reads it there. `early` is a static, which is written for
/// good before the thread pointer is set to it.
pub(crate) unsafe trait Layout {
    /// One CPU's area: begins with its [`Header`].
    type Area: Deref<Target = Header> + Sync + 'static;

    /// The area of the boot CPU until the others are carved.
    fn early() -> *const Self::Area;
}

/// What [`Layout`] is implemented for.
pub(crate) struct Storage;

/// Everything that the runtime keeps for one CPU.
pub(crate) type Area = <Storage as Layout>::Area;

/// What a room keeps for each CPU.
pub(crate) trait Part {
    /// The part of the CPU of `area`.
    fn of(area: &Area) -> &Self;
}

/// The beginning of an area.
#[repr(C)]
pub(crate) struct Header {
    /// What it notes while somebody traces. First, where the thread pointer leads.
    #[cfg(feature = "trace")]
    trace: HwRing,
    // Read by assembly.
    exception_top: u64,
    /// Where its thread stack begins: on the CPU that booted the image, once `main` is over, below the frames of that.
    thread_top: AtomicU64,
    emergency_top: u64,
    /// What it runs on its own stacks: a `fn(&'static Area) -> !`.
    entry: AtomicU64,
    /// The lowest stack pointer with which it can take an exception for the application; 0: it cannot.
    exception_floor: u64,
    /// The record of the context that it runs, where the application has a scheduler.
    context: AtomicU64,
    /// The stack pointer of the thread that has entered a lower exception level; 0: none has.
    below: AtomicU64,
    /// What the application says that it does.
    label: AtomicPtr<&'static str>,

    /// Who it is to a lock.
    pub(crate) owner: Owner,
    pub(crate) id: CpuId,
    /// Affinity, as in the device tree.
    pub(crate) mpidr: u64,
    pub(crate) line: Option<&'static BootLine>,
    pub(crate) crumbs: Option<&'static Crumbs>,
    /// Its instances of per-CPU variables.
    pub(crate) locals: u64,
}

pub(crate) const EXCEPTION_TOP: usize = offset_of!(Header, exception_top);
pub(crate) const THREAD_TOP: usize = offset_of!(Header, thread_top);
pub(crate) const EMERGENCY_TOP: usize = offset_of!(Header, emergency_top);
pub(crate) const ENTRY: usize = offset_of!(Header, entry);
pub(crate) const EXCEPTION_FLOOR: usize = offset_of!(Header, exception_floor);
pub(crate) const CONTEXT: usize = offset_of!(Header, context);
pub(crate) const BELOW: usize = offset_of!(Header, below);

impl Header {
    /// Of `cpu`, with the tops of its thread, exception and emergency stack, and the lowest stack pointer with which it can take an
    /// exception for the application.
    pub(crate) fn new(
        cpu: CpuId,
        mpidr: u64,
        [thread, exception, emergency]: [u64; 3],
        exception_floor: u64,
        entry: extern "C" fn(&'static Area) -> !,
        locals: u64,
    ) -> Self {
        Self {
            #[cfg(feature = "trace")]
            trace: closed_ring(),
            exception_top: exception,
            thread_top: AtomicU64::new(thread),
            emergency_top: emergency,
            entry: AtomicU64::new(entry as usize as u64),
            exception_floor,
            context: AtomicU64::new(0),
            below: AtomicU64::new(0),
            label: AtomicPtr::new(core::ptr::null_mut()),
            owner: Owner::of(cpu.number()),
            id: cpu,
            mpidr,
            line: None,
            crumbs: None,
            locals,
        }
    }

    /// Of a CPU that has nothing yet.
    pub(crate) const fn blank() -> Self {
        Self {
            #[cfg(feature = "trace")]
            trace: closed_ring(),
            exception_top: 0,
            thread_top: AtomicU64::new(0),
            emergency_top: 0,
            entry: AtomicU64::new(0),
            exception_floor: 0,
            context: AtomicU64::new(0),
            below: AtomicU64::new(0),
            label: AtomicPtr::new(core::ptr::null_mut()),
            owner: Owner::of(CpuId::BOOT.number()),
            id: CpuId::BOOT,
            mpidr: 0,
            line: None,
            crumbs: None,
            locals: 0,
        }
    }

    /// The boot CPU has an emergency stack, and a name. Before anything else refers to the header.
    pub(crate) fn set_early(&mut self, emergency_top: u64, mpidr: u64) {
        self.emergency_top = emergency_top;
        self.mpidr = mpidr;
    }

    /// What it notes while somebody traces.
    #[cfg(feature = "trace")]
    #[inline(always)]
    pub(crate) fn trace(&self) -> &HwRing {
        &self.trace
    }

    /// The slots of that are here.
    ///
    /// # Safety
    ///
    /// [`RING_SIZE`](crate::arch::RING_SIZE) bytes of memory that is mapped and nobody else's, at a multiple of that.
    #[cfg(feature = "trace")]
    pub(crate) unsafe fn set_trace(&mut self, slots: u64) {
        // SAFETY: the caller's.
        unsafe { self.trace.memory_mut().set_slots(slots) };
    }

    /// Upper end of its emergency stack; 0 before there is one.
    pub(crate) fn emergency_top(&self) -> u64 {
        self.emergency_top
    }

    /// The record of the context that it runs; 0: none. Relaxed, here and below: its CPU alone writes it, and reads it for more than a
    /// report.
    #[inline(always)]
    pub(crate) fn context(&self) -> u64 {
        self.context.load(Ordering::Relaxed)
    }

    /// This CPU, the calling one, runs the context of `record`.
    #[inline(always)]
    pub(crate) fn set_context(&self, record: u64) {
        self.context.store(record, Ordering::Relaxed);
    }

    /// The stack pointer of the thread that has entered a lower exception level; 0: none has.
    #[inline(always)]
    pub(crate) fn below(&self) -> u64 {
        self.below.load(Ordering::Relaxed)
    }

    /// The same for another thread, or none.
    #[inline(always)]
    pub(crate) fn set_below(&self, sp: u64) {
        self.below.store(sp, Ordering::Relaxed);
    }

    /// What the application says that it does.
    pub(crate) fn label(&self) -> Option<&'static str> {
        // SAFETY: only `set_label` stores here, besides null the address of a static.
        unsafe { self.label.load(Ordering::Relaxed).as_ref() }.copied()
    }

    /// The same from now on. What it was comes back. For its own CPU.
    #[inline(always)]
    pub(crate) fn set_label(&self, label: Option<&'static &'static str>) -> Option<&'static &'static str> {
        // Relaxed: what it leads to is constant. No read-modify-write: a handler that comes in between leaves it as it was.
        let before = self.label.load(Ordering::Relaxed);
        self.label.store(
            label.map_or(core::ptr::null_mut(), |label| core::ptr::from_ref(label).cast_mut()),
            Ordering::Relaxed,
        );
        // SAFETY: as in `label`.
        unsafe { before.as_ref() }
    }

    /// From its next life on this CPU, which is the calling one, uses its thread stack below `sp` alone: what lies above is
    /// never given up.
    pub(crate) fn begin_below(&self, sp: u64) {
        // Relaxed: read by this CPU itself, when it comes back, and ordered by the start that brings it.
        self.thread_top.store(sp & !0xf, Ordering::Relaxed);
    }

    /// From now on this CPU begins with `entry`: once it has booted the image it comes back like any other.
    pub(crate) fn set_entry(&self, entry: extern "C" fn(&'static Area) -> !) {
        // Relaxed: read by this CPU itself, when it comes back, and ordered by the start that brings it.
        self.entry.store(entry as usize as u64, Ordering::Relaxed);
    }
}

/// The state of a CPU; the word every other CPU may race on.
pub(crate) struct Slot(Line<HwSlot>);

impl Slot {
    /// Of a CPU that was never started.
    pub(crate) const fn new() -> Self {
        Self(Line(HwSlot::from_parts(HwWord::with(0))))
    }
}

/// Whether a CPU has parked, and how: a number of whoever parks CPUs.
pub(crate) struct Parked(reveille_protocol::Parked<Hw>);

impl Parked {
    /// Of a CPU that has not.
    pub(crate) const fn new() -> Self {
        Self(reveille_protocol::Parked::from_parts(HwWord::with(reveille_protocol::Parked::<Hw>::NOT)))
    }

    /// This CPU parks; `how` is not 0. `leave` writes down what it leaves behind, before anyone can ask for it, and says whether it has
    /// closed what others could send to it.
    ///
    /// # Safety
    ///
    /// It is the calling CPU's, which never leaves the frames that what it leaves refers to.
    #[inline(always)]
    pub(crate) unsafe fn park(&self, how: u8, leave: impl FnOnce() -> bool) {
        self.0.park(how, leave);
    }

    /// How it parked; `None` while it has not. After `Some` everything that it left behind may be read.
    #[inline(always)]
    pub(crate) fn how(&self) -> Option<u8> {
        self.0.how()
    }

    /// Whether it parked, and has closed what others could send to it.
    #[inline(always)]
    pub(crate) fn has_closed(&self) -> bool {
        self.0.has_closed()
    }

    /// Whether it parked; as [`Self::how`].
    #[inline(always)]
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_set()
    }
}

/// The state of the CPU of `area`.
#[inline(always)]
pub(crate) fn slot(area: &Area) -> &HwSlot {
    &Slot::of(area).0.0
}

/// How the CPU of `area` was parked, once it was.
#[inline(always)]
pub(crate) fn parked(area: &Area) -> &Parked {
    Parked::of(area)
}

/// Whether the CPU of `area` is a member of the system and runs. One that was parked keeps its place in the slot, but never runs again.
pub(crate) fn is_online(area: &Area) -> bool {
    slot(area).is_online() && !parked(area).is_set()
}

/// First area and number of areas. Relaxed throughout: set by the boot CPU before any other runs, which `kick` and
/// `arrive` order.
static FIRST: AtomicPtr<Area> = AtomicPtr::new(core::ptr::null_mut());
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Makes the areas known. Called once, by the boot CPU.
pub(crate) fn publish(areas: &'static [Area]) {
    FIRST.store(areas.as_ptr().cast_mut(), Ordering::Relaxed);
    COUNT.store(areas.len(), Ordering::Relaxed);
}

/// The areas of all CPUs in id order; none before they are carved.
#[inline(always)]
pub(crate) fn areas() -> &'static [Area] {
    let count = COUNT.load(Ordering::Relaxed);
    if count == 0 {
        return &[];
    }
    // SAFETY: `publish` stored the parts of one slice, the count last, on the only CPU that ran.
    unsafe { core::slice::from_raw_parts(FIRST.load(Ordering::Relaxed), count) }
}

/// The area of `cpu`.
#[inline(always)]
pub(crate) fn of(cpu: CpuId) -> &'static Area {
    // SAFETY: a `CpuId` is below the number of areas: the runtime makes them from areas, and `cpu::get` checks; and
    // nobody has one before the areas are published.
    unsafe { &*FIRST.load(Ordering::Relaxed).add(cpu.index()) }
}

unsafe extern "Rust" {
    /// Whether the application has a scheduler; by [`entry!`](crate::entry).
    #[allow(non_upper_case_globals, reason = "a name of the application's")]
    safe static reveille_has_scheduler: bool;
}

/// Whether a thread may be preempted, and go on on another CPU. Known when the image is linked: a constant, and folded as one.
#[inline(always)]
pub(crate) fn threads_move() -> bool {
    reveille_has_scheduler
}

/// Runs `f` with the area of the CPU that this is, all the while: a thread that may move does so before or after that.
///
/// In thread context [`current`] says where a thread was. What is to be true for longer is asked in here; with interrupts masked, which
/// [`mask_here`](crate::masking::mask_here) does; or where preemption is put off.
#[inline(always)]
pub(crate) fn here<R>(f: impl FnOnce(&'static Area) -> R) -> R {
    if !threads_move() {
        return f(current());
    }
    let daif = regs::daif_mask();
    let result = f(current());
    regs::daif_restore(daif);
    result
}

/// The area of the CPU that this is, of which `before` was asked: for one who has masked interrupts since.
#[inline(always)]
pub(crate) fn settled(before: &'static Area) -> &'static Area {
    if threads_move() { current() } else { before }
}

/// This CPU's area; `None` on a CPU that has not won its slot.
#[inline(always)]
pub(crate) fn try_current() -> Option<&'static Area> {
    let pointer = regs::thread_pointer() as *const Area;
    // SAFETY: the thread pointer is 0 or was set to an area, and areas are never freed or moved.
    unsafe { pointer.as_ref() }
}

/// This CPU's area, for one that may have lost everything: the thread pointer is believed if it leads to the area with
/// this CPU's affinity, else the area is looked for.
pub(crate) fn find_current() -> Option<&'static Area> {
    let own = regs::affinity();
    let pointer = regs::thread_pointer() as *const Area;
    if areas().is_empty() {
        // The boot CPU, before the areas are carved.
        let early = <Storage as Layout>::early();
        return core::ptr::eq(pointer, early).then(|| {
            // SAFETY: the early area is a static, and whoever sets the thread pointer to it has written it for good.
            unsafe { &*early }
        });
    }
    let offset = (pointer as usize).wrapping_sub(areas().as_ptr() as usize);
    match areas().get(offset / size_of::<Area>()) {
        Some(area) if area.mpidr == own && core::ptr::eq(area, pointer) => Some(area),
        _ => find(own).map(of),
    }
}

/// This CPU's area.
#[inline(always)]
pub(crate) fn current() -> &'static Area {
    // SAFETY: as above; and Rust code other than `arrive` runs only on CPUs whose thread pointer is set.
    unsafe { &*(regs::thread_pointer() as *const Area) }
}

/// The id of the CPU with this affinity.
pub(crate) fn find(mpidr: u64) -> Option<CpuId> {
    areas().iter().find(|area| area.mpidr == mpidr).map(|area| area.id)
}
