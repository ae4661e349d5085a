//! What the on-target tests share.

#![no_std]

mod checks {
    use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use core::time::Duration;
    use reveille::cpu::{self, CpuId};
    use reveille::time::Deadline;
    use reveille::{System, fault};

    /// Numbers that look random, the same for the same seed (xorshift64*).
    pub struct Random(u64);

    impl Random {
        /// The sequence of this seed.
        pub fn new(seed: u64) -> Self {
            Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
        }

        /// The sequence from where [`Random::state`] says on.
        pub fn resume(state: u64) -> Self {
            Self(state | u64::from(state == 0))
        }

        /// Where the sequence is.
        pub fn state(&self) -> u64 {
            self.0
        }

        /// The next number.
        pub fn number(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
        }

        /// The next number below `limit`, which is not 0.
        pub fn below(&mut self, limit: u64) -> u64 {
            (self.number() >> 33) % limit
        }
    }

    /// The number that the boot argument `name` gives, or `default`. Panics where it is no number.
    #[track_caller]
    pub fn argument(system: &System, name: &str, default: u64) -> u64 {
        system.arg(name).map_or(default, |value| match value.parse() {
            Ok(number) => number,
            Err(_) => panic!("{name}: '{value}' is not a number"),
        })
    }

    /// Launches `f` on every other CPU.
    pub fn on_all_others<F: FnOnce() + Copy + Send + 'static>(f: F) {
        for cpu in cpu::online().without(cpu::current()) {
            launch(cpu, f);
        }
    }

    /// The body of a wait loop: lets other CPUs go first. The event stream bounds it.
    pub fn pause() {
        // SAFETY: WFE only waits.
        unsafe { core::arch::asm!("wfe", options(nostack, preserves_flags)) };
    }

    /// Panics with `what` unless it holds.
    #[track_caller]
    pub fn check(holds: bool, what: &str) {
        assert!(holds, "not so: {what}");
    }

    /// How long [`eventually`] waits, ms.
    static PATIENCE: AtomicU64 = AtomicU64::new(30_000);

    /// Changes how long [`eventually`] waits.
    pub fn set_patience(patience: Duration) {
        PATIENCE.store(patience.as_millis() as u64, Ordering::Relaxed);
    }

    /// How long [`short`] is, ms.
    static SHORT: AtomicU64 = AtomicU64::new(0);

    /// The bootarg `short_ms` was there.
    static WAITS: AtomicBool = AtomicBool::new(false);

    /// Sets what [`short`] says: the bootarg `short_ms`, for machines whose CPUs do not run all the time, or `default`.
    pub fn set_short(system: &System, default: Duration) {
        let wanted = system.arg("short_ms").and_then(|ms| ms.parse().ok());
        WAITS.store(wanted.is_some(), Ordering::Relaxed);
        SHORT.store(wanted.unwrap_or(default.as_millis() as u64), Ordering::Relaxed);
    }

    /// A time that is to run out, with enough in it for what does not take part in that.
    pub fn short() -> Duration {
        Duration::from_millis(SHORT.load(Ordering::Relaxed))
    }

    /// Whether CPUs of this machine run all the time, but for what they wait for: without the bootarg `short_ms`.
    pub fn run_all_the_time() -> bool {
        !WAITS.load(Ordering::Relaxed)
    }

    /// Makes `time`, which was too short for a CPU that takes part, twice as long, and says whether that may be tried: where CPUs do not
    /// run all the time (bootarg `short_ms`), up to half a minute.
    pub fn longer(time: &mut Duration) -> bool {
        *time *= 2;
        !run_all_the_time() && *time < Duration::from_secs(30)
    }

    /// Waits until `done`, at most half a minute or what [`set_patience`] says.
    ///
    /// # Panics
    ///
    /// With `what` if it takes longer.
    #[track_caller]
    pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Deadline::after(Duration::from_millis(PATIENCE.load(Ordering::Relaxed)));
        while !done() {
            assert!(!deadline.has_passed(), "not in time: {what}");
            pause();
        }
    }

    /// Waits until `cpu`, another one, has come to `cpu::idle` in its own thread since this was called.
    pub fn come_to_idle(cpu: CpuId) {
        static CAME: AtomicU64 = AtomicU64::new(0);
        // The first closure may wait there for long; that there is room for a second says that the first has run. And nothing is
        // left to wait there.
        eventually("it takes a closure", || cpu::launch(cpu, || ()).is_ok());
        let before = CAME.load(Ordering::Relaxed);
        let come = || _ = CAME.fetch_add(1, Ordering::Relaxed);
        eventually("it comes to idle", || cpu::launch(cpu, come).is_ok());
        eventually("it runs what waits there", || CAME.load(Ordering::Relaxed) != before);
    }

    /// All is over, and every CPU has come to rest: none has anything left that it should have given back.
    ///
    /// # Panics
    ///
    /// If one has, still after a while, and says which and what.
    #[track_caller]
    pub fn nothing_left() {
        let deadline = Deadline::after(Duration::from_millis(PATIENCE.load(Ordering::Relaxed)));
        for cpu in cpu::possible() {
            while let Some(what) = fault::left_behind(cpu) {
                assert!(!deadline.has_passed(), "cpu {cpu} has {what} left");
                pause();
            }
        }
    }

    /// Whether the machine has a GIC: what latches interrupts that are raised by hand, and has priorities. A BCM2836 has neither.
    pub fn has_gic(system: &System) -> bool {
        !matches!(&system.machine().gic, Ok(reveille::dt::Gic::Bcm2836 { .. }))
    }

    /// Makes the shared interrupt `spi`, which has a handler, pending by hand: `GICD_ISPENDR`, which both kinds of GIC have at
    /// 0x200.
    pub fn raise(system: &System, spi: u32) {
        let Ok(gic) = &system.machine().gic else { return check(false, "there is a GIC") };
        let register = gic.distributor().base + 0x200 + 4 * u64::from(spi / 32);
        // SAFETY: a register of the distributor, which the runtime has mapped; the interrupt has a handler.
        unsafe {
            core::arch::asm!("dsb sy", "str {:w}, [{}]", in(reg) 1_u32 << (spi % 32), in(reg) register, options(nostack))
        };
    }

    /// Launches `f` on `cpu`, once that has room for it.
    #[track_caller]
    pub fn launch<F: FnOnce() + Copy + Send + 'static>(cpu: CpuId, f: F) {
        eventually("it takes a closure", || cpu::launch(cpu, f).is_ok());
    }
}

pub use checks::{
    Random, argument, check, come_to_idle, eventually, has_gic, launch, longer, nothing_left, on_all_others,
    pause, raise, run_all_the_time, set_patience, set_short, short,
};

pub mod books;
pub mod lives;
pub mod reboots;
pub mod registers;
pub mod shim;
pub mod trace;
