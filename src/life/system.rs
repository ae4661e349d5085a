//! The machine as the application sees it.

use crate::arch::mmu::MapError;
use crate::bringup::{self, RollCall};
use crate::clock::Deadline;
use crate::dt::{Machine, Region};
use crate::masking;
use crate::memory::{self, MemoryMap};
use core::time::Duration;
use reveille_machine::BootArgs;
use spin::Once;

/// The machine that the image runs on. There is one; `main` gets it.
///
/// ```no_run
/// use reveille::{ExitCode, System, println};
///
/// reveille::entry!(main);
///
/// fn main(system: &'static System) -> ExitCode {
///     println!("{} CPUs, entered at EL{}", system.machine().cpus().count(), system.entry_el());
///     ExitCode::SUCCESS
/// }
/// ```
pub struct System {
    pub(super) machine: Machine<'static>,
    pub(super) args: BootArgs<'static>,
    pub(super) memory: MemoryMap,
    pub(super) deadline: Duration,
    pub(super) entry_el: u8,
}

pub(super) static SYSTEM: Once<System> = Once::new();

impl System {
    /// The description of the machine: by a device tree, or by ACPI tables.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(system: &reveille::System) {
    /// for cpu in system.machine().cpus() {
    ///     println!("{cpu:?}");
    /// }
    /// # }
    /// ```
    pub fn machine(&self) -> &Machine<'static> {
        &self.machine
    }

    /// The kernel command line.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(system: &reveille::System) {
    /// println!("started with '{}'", system.bootargs());
    /// # }
    /// ```
    pub fn bootargs(&self) -> &'static str {
        self.args.0
    }

    /// The value of the last `name=value` on the command line; empty for `name` alone.
    ///
    /// ```no_run
    /// # fn example(system: &reveille::System) {
    /// // `rounds=1000` on the command line.
    /// let rounds = system.arg("rounds").and_then(|value| value.parse().ok()).unwrap_or(100_u32);
    /// # }
    /// ```
    pub fn arg(&self, name: &str) -> Option<&'static str> {
        self.args.get(name)
    }

    /// The exception level at which the image was entered, 1 to 3.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(system: &reveille::System) {
    /// println!("firmware entered the image at EL{}", system.entry_el());
    /// # }
    /// ```
    pub fn entry_el(&self) -> u8 {
        self.entry_el
    }

    /// The time a CPU gets to arrive, and again to come online: bootarg `deadline_ms`, or five seconds.
    ///
    /// ```no_run
    /// # fn example(system: &reveille::System) {
    /// let roll_call = system.bring_up_all(system.deadline());
    /// # }
    /// ```
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Brings up every CPU that is not online: all kicked first, then awaited together.
    ///
    /// `deadline` ([`System::deadline`], a [`Duration`] or a [`Deadline`]) is for their arrival; to come online
    /// they have as long again. See [`cpu_up`](crate::bringup::cpu_up) for a single CPU.
    ///
    /// ```no_run
    /// use core::time::Duration;
    /// use reveille::println;
    ///
    /// # fn example(system: &reveille::System) {
    /// // A second for all of them together.
    /// let roll_call = system.bring_up_all(Duration::from_secs(1));
    /// println!("{roll_call}");
    /// # }
    /// ```
    pub fn bring_up_all(&self, deadline: impl Into<Deadline>) -> RollCall {
        bringup::bring_up_all(deadline.into())
    }

    /// The RAM that neither the runtime nor anything in that description uses, as it was when the machine was set up, in ascending order; all of
    /// it is mapped, readable, writable and not executable.
    ///
    /// From its first MiB on it belongs to the page allocator, which may give out any of it, has its own bookkeeping there, and serves the
    /// heap. So who wants to use some of it by its address takes that first: [`Pages::take`](crate::memory::Pages::take).
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(system: &reveille::System) {
    /// for region in system.free_memory() {
    ///     println!("{region:?}");
    /// }
    /// # }
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use core::arch::asm;
    ///
    /// # fn example(system: &reveille::System) -> Result<(), reveille::MapError> {
    /// // The data register of a PL061.
    /// let gpio = system.map_device(0x0903_0000, 0x1000)?;
    /// let pins: u32;
    /// // One plain load, which a hypervisor that emulates the device can decode: what the compiler makes of `read_volatile` may be another.
    /// // SAFETY: it is a register of a device that is there, and nobody else's.
    /// unsafe { asm!("ldrb {:w}, [{}, #0x3fc]", out(reg) pins, in(reg) gpio, options(nostack, preserves_flags)) };
    /// # Ok(()) }
    /// ```
    pub fn map_device(&self, phys: u64, len: u64) -> Result<*mut u8, MapError> {
        if masking::in_nmi() {
            return Err(MapError::Nmi);
        }
        memory::map_device(phys, len)?;
        Ok(phys as *mut u8)
    }
}

/// Makes `main` the program, and says what the other CPUs run once they are online.
///
/// `main` is a `fn(&'static System) -> ExitCode`; it runs on the CPU that booted, in thread context, with
/// interrupts open and every other CPU still off.
///
/// | key | what the other CPUs run | may they leave |
/// |---|---|---|
/// | neither of these | [`cpu::idle_loop`](crate::cpu::idle_loop) | yes |
/// | `secondary = f` | `f`, a `fn(CpuId) -> !` | no: [`Hold::Frames`](crate::hotplug::Hold::Frames) |
/// | `leaving = unsafe { Leaving::new(f) }` | `f` | yes |
///
/// | key | what it is for |
/// |---|---|
/// | `exceptions = H` | exceptions that are the application's: `H` implements [`exception::Handlers`](crate::exception::Handlers) |
/// | `scheduler = S` | threads of the application's: `S` implements [`context::Scheduler`](crate::context::Scheduler) |
///
/// A CPU that leaves gives up the frames of what it runs, without a destructor, and their memory is used again when it comes
/// back. That is sound for the runtime's own loop. For a function of the application's it is a promise that somebody has to
/// make: [`cpu::Leaving::new`](crate::cpu::Leaving::new) says which.
///
/// Besides, `stacks = Stacks { thread: .., exception: .. }` chooses the sizes of the stacks of every CPU:
/// [`cpu::Stacks`](crate::cpu::Stacks).
///
/// It stands in the package of the program, whose build script calls `reveille_build::image()` of the crate `reveille-build`.
///
/// Keys follow `main` in any order, each at most once; what is wrong with them is said when the image is compiled. Their values are
/// constants.
///
/// ```no_run
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
    // One key is taken off the front, and becomes a call of the method of `Options` that has its name, or a type of its own.
    (@keys [$main:path] [$($options:tt)*] $handlers:tt $scheduler:tt secondary = $secondary:path $(, $($keys:tt)*)?) => {
        $crate::entry!(@keys [$main] [$($options)* .secondary($secondary)] $handlers $scheduler $($($keys)*)?);
    };
    (@keys [$main:path] [$($options:tt)*] $handlers:tt $scheduler:tt leaving = $leaving:expr $(, $($keys:tt)*)?) => {
        $crate::entry!(@keys [$main] [$($options)* .leaving($leaving)] $handlers $scheduler $($($keys)*)?);
    };
    (@keys [$main:path] [$($options:tt)*] $handlers:tt $scheduler:tt stacks = $stacks:expr $(, $($keys:tt)*)?) => {
        $crate::entry!(@keys [$main] [$($options)* .stacks($stacks)] $handlers $scheduler $($($keys)*)?);
    };
    (@keys [$main:path] $options:tt [] $scheduler:tt exceptions = $handlers:path $(, $($keys:tt)*)?) => {
        $crate::entry!(@keys [$main] $options [$handlers] $scheduler $($($keys)*)?);
    };
    (@keys [$main:path] $options:tt $handlers:tt [] scheduler = $scheduler:path $(, $($keys:tt)*)?) => {
        $crate::entry!(@keys [$main] $options $handlers [$scheduler] $($($keys)*)?);
    };
    (@keys [$main:path] $options:tt $handlers:tt $scheduler:tt $key:ident $($keys:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "entry!: `", ::core::stringify!($key),
            "` is not one of the keys `secondary`, `leaving`, `stacks`, `exceptions`, `scheduler`, has no value, or is there twice"
        ));
    };
    (@keys [$main:path] [$($options:tt)*] [$($handlers:path)?] [$($scheduler:path)?]) => {
        // SAFETY: the runtime calls these names and nobody else defines them; the signatures are checked here.
        #[unsafe(no_mangle)]
        extern "Rust" fn reveille_main(system: &'static $crate::System) -> $crate::ExitCode {
            let main: fn(&'static $crate::System) -> $crate::ExitCode = $main;
            main(system)
        }
        #[unsafe(no_mangle)]
        extern "Rust" fn reveille_name() -> ::core::option::Option<&'static ::core::primitive::str> {
            ::core::option_env!("CARGO_BIN_NAME")
        }
        #[unsafe(no_mangle)]
        extern "Rust" fn reveille_options() -> $crate::cpu::Options {
            __REVEILLE_OPTIONS
        }
        #[unsafe(no_mangle)]
        extern "Rust" fn reveille_stacks() -> &'static $crate::cpu::Layout {
            const { &__REVEILLE_OPTIONS.layout() }
        }
        #[doc(hidden)]
        const __REVEILLE_OPTIONS: $crate::cpu::Options = $crate::cpu::Options::new(::core::env!(
            "REVEILLE_IMAGE",
            "entry!: the build script of this package has to call `reveille_build::image()`: have `reveille-build` in the \
             [build-dependencies] of Cargo.toml, and `fn main() { reveille_build::image() }` in build.rs beside it"
        )) $($options)*;
        $crate::entry!(@exceptions $($handlers)?);
        $crate::entry!(@scheduler $($scheduler)?);
        // There only where `cargo test` asks for the harness of the standard library, of which rustc says no more than that it cannot be found.
        #[::core::prelude::v1::test]
        fn reveille_has_no_such_harness() {
            ::core::compile_error!(
                "`cargo test` builds this program with the test harness of the standard library, which does not exist for this target: \
                 say `test = false` in its section of Cargo.toml ([[bin]], [[example]], ..), and in that of `reveille::tests!` ([[test]], [lib], ..) \
                 `harness = false`"
            );
        }
    };
    (@exceptions) => {
        $crate::entry!(@handlers false, $crate::exception::Nobody);
    };
    (@exceptions $handlers:path) => {
        $crate::entry!(@handlers true, $handlers);
    };
    (@handlers $are:expr, $handlers:path) => {
        // For the vectors.
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals, reason = "assembly knows it by this name")]
        static reveille_exceptions: u32 = $are as u32;
        #[unsafe(no_mangle)]
        extern "Rust" fn reveille_has_handlers() -> bool {
            $are
        }
        #[unsafe(no_mangle)]
        extern "Rust" fn reveille_handle(
            frame: &mut $crate::exception::Frame,
            kind: $crate::exception::Kind,
        ) -> $crate::exception::Outcome {
            $crate::exception::dispatch::<$handlers>(frame, kind)
        }
    };
    (@scheduler) => {
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals, reason = "the runtime knows it by this name")]
        static reveille_has_scheduler: bool = false;
        #[unsafe(no_mangle)]
        extern "Rust" fn reveille_scheduler() -> ::core::option::Option<$crate::context::Table> {
            ::core::option::Option::None
        }
    };
    (@scheduler $scheduler:path) => {
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals, reason = "the runtime knows it by this name")]
        static reveille_has_scheduler: bool = true;
        #[unsafe(no_mangle)]
        extern "Rust" fn reveille_scheduler() -> ::core::option::Option<$crate::context::Table> {
            $crate::percpu! {
                static __REVEILLE_HOME: $crate::context::Home = $crate::context::Home::new();
            }
            const { ::core::option::Option::Some($crate::context::table::<$scheduler>(|| &__REVEILLE_HOME)) }
        }
    };
    ($main:path $(, $($keys:tt)*)?) => {
        $crate::entry!(@keys [$main] [] [] [] $($($keys)*)?);
    };
}
