//! The machine as the application sees it, and how it is set up.

pub(crate) mod boot;

pub(crate) mod memory;

use crate::arch::mmu::MapError;
use crate::bootargs::BootArgs;
use crate::bringup::{self, RollCall};
use crate::cpu::CpuId;
use crate::dt::{Machine, Region};
use crate::irq;
use crate::power::ExitCode;
use crate::time::Deadline;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
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
    pub(crate) fn memory_in_use(&self) -> Result<crate::ranges::Ranges<64>, crate::ranges::TooManyRanges> {
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
    /// A [`MapError`]: not a range of physical addresses, RAM, the image, where the runtime maps things of its own (from
    /// 0xf000_0000_0000 on), no memory left for page tables, or the caller is at NMI level. Part of the range may be mapped then, up to
    /// where the conflict is.
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
    safe fn reveille_secondary_main(cpu: CpuId) -> !;
}

/// What the application has for secondaries.
pub(crate) fn run_secondary(cpu: CpuId) -> ! {
    reveille_secondary_main(cpu)
}

/// Makes `main` the program, and `secondary` what the other CPUs run once they are online.
///
/// `main` is a `fn(&'static System) -> ExitCode`; it runs on the CPU that booted, in thread context, with
/// interrupts open and every other CPU still off. `secondary` is a `fn(CpuId) -> !`, by default
/// [`cpu::idle_loop`](crate::cpu::idle_loop).
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
        $crate::entry!($main, secondary = $crate::cpu::idle_loop);
    };
    ($main:path, secondary = $secondary:path) => {
        // SAFETY: the runtime calls these two names and nobody else defines them; the signatures are checked here.
        #[unsafe(no_mangle)]
        extern "Rust" fn reveille_main(system: &'static $crate::System) -> $crate::ExitCode {
            let main: fn(&'static $crate::System) -> $crate::ExitCode = $main;
            main(system)
        }
        #[unsafe(no_mangle)]
        extern "Rust" fn reveille_secondary_main(cpu: $crate::cpu::CpuId) -> ! {
            let secondary: fn($crate::cpu::CpuId) -> ! = $secondary;
            secondary(cpu)
        }
    };
}
