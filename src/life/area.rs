//! What one CPU has: a part of each room, one after the other.

use super::count;
use crate::arch::regs;
use crate::arch::shared::{BootLine, Crumbs};
use crate::bringup::{self, Method};
use crate::exception::Below;
use crate::gic::CpuPart;
use crate::holds::Holds;
use crate::irq::{self, Applied};
use crate::launch::Mailbox;
use crate::lifecycle::Requests;
use crate::masking::{Callbacks, Masking};
use crate::memory::stacks::{self, BOOT_STACKS, Layout, Stacks};
use crate::panic::ParkMark;
use crate::percpu::CpuId;
use crate::percpu::area::{self, Header, Parked, Part, Slot, Storage};
use crate::sync::{Section, Waiting};
use crate::time::Timers;
use crate::{call, context, nmi, panic, stop, watchdog};
use core::cell::UnsafeCell;
use core::fmt;
use core::mem::offset_of;
use core::ops::Deref;

/// The parts: the name of each, its type, and what it begins as.
macro_rules! parts {
    ($($(#[$attribute:meta])* $name:ident: $type:ty = $value:expr,)*) => {
        /// Everything that the runtime keeps for one CPU.
        #[repr(C, align(128))]
        pub(crate) struct Area {
            header: Header,
            $($(#[$attribute])* $name: $type,)*
        }

        impl Area {
            /// Of a CPU that has nothing yet.
            const fn blank() -> Self {
                Self { header: Header::blank(), $($name: $value,)* }
            }
        }

        $(impl Part for $type {
            #[inline(always)]
            fn of(area: &Area) -> &Self {
                &area.$name
            }
        })*
    };
}

parts! {
    /// What the interrupt controller knows of it.
    gic: CpuPart = CpuPart::new(0),
    /// What holds its interrupts back.
    masking: Masking = Masking::new(),
    /// Calls, its own and those to it. Near the beginning, within reach of short loads.
    call: call::Part = call::Part::new(CpuId::BOOT),
    /// Its state; the word every other CPU may race on.
    slot: Slot = Slot::new(),
    /// How it is started, and what the last attempt came to.
    bringup: bringup::Part = bringup::Part::new(Method::None),
    /// Whether it was parked.
    parked: Parked = Parked::new(),
    /// Where, and what it was doing.
    evidence: ParkMark = ParkMark::new(),
    /// What it is asked for that nothing holds back.
    nmi: nmi::Part = nmi::Part::new(),
    /// How it is asked to leave. Apart from what it writes all the time itself.
    leave: Requests = Requests::new(),
    /// Closures for its thread context.
    launch: Mailbox = Mailbox::new(),
    /// Callbacks under way in thread context.
    callbacks: Callbacks = Callbacks::new(),
    /// Interrupts, and time spent waiting for them.
    counts: count::Part = count::Part::new(),
    /// What keeps it from leaving.
    holds: Holds = Holds::new(),
    /// Whether it is in a critical section.
    section: Section = Section::new(),
    /// Which lock it waits for.
    waiting: Waiting = Waiting::new(),
    /// Rounds of stop-machine.
    stop: stop::Part = stop::part(),
    /// What runs below it.
    below: Below = Below::new(),
    /// The contexts of the application's.
    contexts: context::Part = context::Part::new(),
    /// Its own timers.
    timers: Timers = Timers::new(),
    /// Whether it is alive.
    watchdog: watchdog::Part = watchdog::part(),
    /// Which news it has applied of what every CPU does for itself.
    applied: Applied = irq::applied(),
}

impl Area {
    /// Of `cpu`.
    pub(super) fn new(
        cpu: CpuId,
        mpidr: u64,
        method: Method,
        entry: extern "C" fn(&'static Area) -> !,
        locals: u64,
    ) -> Self {
        Self {
            header: Header::new(cpu, mpidr, stacks::tops(cpu), stacks::exception_floor(cpu), entry, locals),
            gic: CpuPart::new(mpidr),
            call: call::Part::new(cpu),
            bringup: bringup::Part::new(method),
            ..Self::blank()
        }
    }

    /// What it needs with its MMU off.
    pub(super) fn set_lines(&mut self, line: &'static BootLine, crumbs: &'static Crumbs) {
        self.header.line = Some(line);
        self.header.crumbs = Some(crumbs);
    }

    /// Where it notes what it does.
    ///
    /// # Safety
    ///
    /// As for [`Header::set_trace`].
    #[cfg(feature = "trace")]
    pub(super) unsafe fn set_trace(&mut self, slots: u64) {
        // SAFETY: the caller's.
        unsafe { self.header.set_trace(slots) };
    }

    /// Its part in calls, while nobody else refers to it.
    pub(super) fn call_mut(&mut self) -> &mut call::Part {
        &mut self.call
    }
}

const _: () = assert!(offset_of!(Area, header) == 0);

impl Deref for Area {
    type Target = Header;

    #[inline(always)]
    fn deref(&self) -> &Header {
        &self.header
    }
}

impl fmt::Debug for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.id)
    }
}

/// The boot CPU's area until the real ones are carved: a panic needs its emergency stack.
struct EarlyArea(UnsafeCell<Area>);
// SAFETY: written once by `enter_early`, before anything else refers to it.
unsafe impl Sync for EarlyArea {}
static EARLY: EarlyArea = EarlyArea(UnsafeCell::new(Area::blank()));

// SAFETY: see the assertion; `EARLY` is a static, and `enter_early` writes it before it sets the thread pointer.
unsafe impl area::Layout for Storage {
    type Area = Area;

    fn early() -> *const Area {
        EARLY.0.get()
    }
}

/// Gives the boot CPU an area to panic in.
///
/// # Safety
///
/// Called once, first thing, by the boot CPU.
pub(super) unsafe fn enter_early() {
    // SAFETY: alone and first (the caller's).
    let area = unsafe { &mut *EARLY.0.get() };
    area.header.set_early(BOOT_STACKS.emergency_top() as u64, regs::affinity());
    regs::set_thread_pointer(core::ptr::from_ref(area) as u64);
}

/// Bytes of RAM that each CPU takes in an image that leaves the stacks as they are: stacks and their share of a page table, area,
/// boot line, breadcrumbs, call queue and nodes, its part of the last words; with the feature `trace` its ring. Per-CPU variables of the application come on top, and
/// 64 bytes for each 48 CPUs of the machine beyond the first 48.
///
/// [`bytes_per_cpu`] says it of this image.
pub const BYTES_PER_CPU: usize = with_stacks(&Layout::of(Stacks::DEFAULT));
const _: () = assert!(
    cfg!(unoptimised) || BYTES_PER_CPU - TRACE_BYTES <= 40 * 1024,
    "a CPU may take at most 40 KiB of RAM"
);

const fn with_stacks(layout: &Layout) -> usize {
    layout.bytes()
        + size_of::<Area>()
        + size_of::<BootLine>()
        + size_of::<Crumbs>()
        + call::BYTES_PER_CPU
        + panic::BYTES_PER_CPU
        + TRACE_BYTES
}

/// What it notes while somebody traces.
#[cfg(feature = "trace")]
const TRACE_BYTES: usize = crate::arch::RING_SIZE;
#[cfg(not(feature = "trace"))]
const TRACE_BYTES: usize = 0;

/// What [`BYTES_PER_CPU`] says, with the stacks that this image has: [`Stacks`].
///
/// ```no_run
/// use reveille::{cpu, println};
///
/// # fn example() {
/// println!("{} KiB of RAM for each CPU", cpu::bytes_per_cpu() / 1024);
/// # }
/// ```
#[must_use]
pub fn bytes_per_cpu() -> usize {
    with_stacks(stacks::layout())
}
