//! The machine as the application sees it, and how it is set up.

pub(crate) mod boot;

pub(crate) mod memory;

use crate::arch::mmu::MapError;
use crate::bringup::{self, RollCall};
use crate::cpu::Secondary;
use crate::cpu::area::Area;
use crate::irq;
use crate::power::ExitCode;
use crate::time::Deadline;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use reveille_machine::{BootArgs, Machine, Region};
use spin::Once;

/// The machine that the image runs on. There is one; `main` gets it.
pub struct System {
    machine: Machine<'static>,
    args: BootArgs<'static>,
    memory: memory::MemoryMap,
    deadline: Duration,
    entry_el: u8,
}

static SYSTEM: Once<System> = Once::new();

/// The image was entered at EL3: there is no firmware below.
static FIRMWARE_IS_OURS: AtomicBool = AtomicBool::new(false);
/// The bootargs name a host to exit to.
static EXITS_TO_HOST: AtomicBool = AtomicBool::new(false);

pub(crate) fn firmware_is_ours() -> bool {
    FIRMWARE_IS_OURS.load(Ordering::Relaxed)
}

pub(crate) fn exits_to_host() -> bool {
    EXITS_TO_HOST.load(Ordering::Relaxed)
}

impl System {
    /// The device tree's description of the machine.
    pub fn machine(&self) -> &Machine<'static> {
        &self.machine
    }

    /// The kernel command line.
    pub fn bootargs(&self) -> &'static str {
        self.args.0
    }

    /// The value of the last `name=value` on the command line; empty for `name` alone.
    pub fn arg(&self, name: &str) -> Option<&'static str> {
        self.args.get(name)
    }

    /// The exception level at which the image was entered, 1 to 3.
    pub fn entry_el(&self) -> u8 {
        self.entry_el
    }

    /// The time a CPU gets to arrive, and again to come online: bootarg `deadline_ms`, or five seconds.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Brings up every CPU that is not online: all kicked first, then awaited together.
    ///
    /// `deadline` ([`System::deadline`], a [`Duration`] or a [`Deadline`]) is for their arrival; to come online
    /// they have as long again. See [`cpu_up`](crate::bringup::cpu_up) for a single CPU.
    pub fn bring_up_all(&self, deadline: impl Into<Deadline>) -> RollCall {
        bringup::bring_up_all(deadline.into())
    }

    /// The RAM that neither the runtime nor anything in the device tree uses, in ascending order; all of it is
    /// mapped, readable, writable and not executable.
    pub fn free_memory(&self) -> impl Iterator<Item = Region> + '_ {
        self.memory.free()
    }

    /// All RAM that is mapped and not free: the runtime's own, but not the image, and what the tree reserves.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn memory_in_use(
        &self,
    ) -> Result<reveille_machine::Ranges<64>, reveille_machine::TooManyRanges> {
        self.memory.in_use()
    }

    /// Maps device registers: `len` bytes at physical address `phys`, whole pages, for ever.
    ///
    /// They are then accessible at the same virtual address, as Device-nGnRE memory; on another CPU once it has synchronised
    /// with this one, by a call or an interrupt (Arm ARM D8.13.1). Accesses
    /// should be single loads and stores with a plain base register: hypervisors cannot emulate others.
    ///
    /// # Errors
    ///
    /// A [`MapError`], and nothing has changed: not a range of physical addresses that can be mapped, or one that touches RAM,
    /// the image or the device tree; no memory left for page tables; or the caller is at NMI level.
    pub fn map_device(&self, phys: u64, len: u64) -> Result<*mut u8, MapError> {
        if irq::in_nmi() {
            return Err(MapError::Nmi);
        }
        memory::map_device(phys, len)?;
        Ok(phys as *mut u8)
    }
}

unsafe extern "Rust" {
    safe fn reveille_main(system: &'static System) -> ExitCode;
    safe fn reveille_secondary_main() -> Secondary;
}

/// The CPU of `own`, which is the calling one, runs what the application has for secondaries, for the rest of its life.
pub(crate) fn run_secondary(own: &'static Area) -> ! {
    let secondary = reveille_secondary_main();
    own.holds.set_frames(!secondary.may_be_left());
    secondary.function()(own.id)
}

/// Makes `main` the program, and says what the other CPUs run once they are online.
///
/// `main` is a `fn(&'static System) -> ExitCode`; it runs on the CPU that booted, in thread context, with
/// interrupts open and every other CPU still off.
///
/// | form | what the other CPUs run | may they leave |
/// |---|---|---|
/// | `entry!(main)` | [`cpu::idle_loop`](crate::cpu::idle_loop) | yes |
/// | `entry!(main, secondary = f)` | `f`, a `fn(CpuId) -> !` | no: [`Hold::Frames`](crate::hotplug::Hold::Frames) |
/// | `entry!(main, leaving = unsafe { Leaving::new(f) })` | `f` | yes |
///
/// A CPU that leaves gives up the frames of what it runs, without a destructor, and their memory is used again when it comes
/// back. That is sound for the runtime's own loop. For a function of the application's it is a promise that somebody has to
/// make: [`cpu::Leaving::new`](crate::cpu::Leaving::new) says which. The expression after `leaving =` has to be a constant.
///
/// ```ignore
/// reveille::entry!(main);
///
/// fn main(system: &'static reveille::System) -> reveille::ExitCode {
///     let roll_call = system.bring_up_all(system.deadline());
///     reveille::println!("{roll_call}");
///     roll_call.is_complete().into()
/// }
/// ```
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        $crate::entry!(@ $main, $crate::cpu::Secondary::Idle);
    };
    ($main:path, secondary = $secondary:path) => {
        $crate::entry!(@ $main, $crate::cpu::Secondary::Stays($secondary));
    };
    ($main:path, leaving = $leaving:expr) => {
        $crate::entry!(@ $main, $crate::cpu::Secondary::Leaves($leaving));
    };
    (@ $main:path, $secondary:expr) => {
        // SAFETY: the runtime calls these two names and nobody else defines them; the signatures are checked here.
        #[unsafe(no_mangle)]
        extern "Rust" fn reveille_main(system: &'static $crate::System) -> $crate::ExitCode {
            let main: fn(&'static $crate::System) -> $crate::ExitCode = $main;
            main(system)
        }
        #[unsafe(no_mangle)]
        extern "Rust" fn reveille_secondary_main() -> $crate::cpu::Secondary {
            const __REVEILLE_SECONDARY: $crate::cpu::Secondary = $secondary;
            __REVEILLE_SECONDARY
        }
    };
}
