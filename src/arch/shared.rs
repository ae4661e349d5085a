//! What a CPU reads and writes before its MMU is on.
//!
//! Two kinds of lines, each kind alone on its cache writeback granules: the shared header and the boot
//! lines, written by CPUs with caches and read without; the breadcrumb lines, written without and read with.
//! Neither holds an atomic: exclusives on memory that is not cacheable are not architected.

use super::cache;
use super::mmio::Mmio;
use super::needs;
use super::regs;
use core::sync::atomic::{AtomicU64, Ordering};
use tock_registers::interfaces::Readable;

/// What every secondary needs to turn its MMU on, and where its own line is.
#[repr(C, align(2048))]
pub(crate) struct SharedHeader {
    /// Address of the first [`BootLine`]; 0 until all the rest is in place.
    lines: AtomicU64,
    /// Number of lines.
    count: AtomicU64,
    /// Address of the first [`Crumbs`].
    crumbs: AtomicU64,
    ttbr: AtomicU64,
    mair: AtomicU64,
    tcr: AtomicU64,
    sctlr: AtomicU64,
    vbar: AtomicU64,
    /// `CurrentEL` of all CPUs, with [`regs::e2h`]: the registers above are for it.
    el: AtomicU64,
    /// What the ID registers of every CPU have to show: see [`needs`]. There from the start.
    needed: [AtomicU64; needs::REGISTERS],
}

/// Offsets for the assembly.
pub(crate) mod offsets {
    use super::{BootLine, Crumbs, SharedHeader};
    use core::mem::offset_of;

    pub(crate) const SHARED_LINES: usize = offset_of!(SharedHeader, lines);
    pub(crate) const SHARED_COUNT: usize = offset_of!(SharedHeader, count);
    pub(crate) const SHARED_CRUMBS: usize = offset_of!(SharedHeader, crumbs);
    pub(crate) const SHARED_TTBR: usize = offset_of!(SharedHeader, ttbr);
    pub(crate) const SHARED_MAIR: usize = offset_of!(SharedHeader, mair);
    pub(crate) const SHARED_TCR: usize = offset_of!(SharedHeader, tcr);
    pub(crate) const SHARED_SCTLR: usize = offset_of!(SharedHeader, sctlr);
    pub(crate) const SHARED_VBAR: usize = offset_of!(SharedHeader, vbar);
    pub(crate) const SHARED_EL: usize = offset_of!(SharedHeader, el);
    pub(crate) const SHARED_NEEDED: usize = offset_of!(SharedHeader, needed);
    pub(crate) const LINE_MPIDR: usize = offset_of!(BootLine, mpidr);
    pub(crate) const LINE_GENERATION: usize = offset_of!(BootLine, generation);
    pub(crate) const LINE_PORCH: usize = offset_of!(BootLine, porch);
    pub(crate) const LINE_PERCPU: usize = offset_of!(BootLine, percpu);
    pub(crate) const LINE_SHIFT: u32 = size_of::<BootLine>().ilog2();
    pub(crate) const CRUMB_STAGE: usize = offset_of!(Crumbs, stage);
    pub(crate) const CRUMB_PEN: usize = offset_of!(Crumbs, pen);
    pub(crate) const CRUMB_CONTEXT: usize = offset_of!(Crumbs, context);
    pub(crate) const CRUMB_EL: usize = offset_of!(Crumbs, el);
    pub(crate) const CRUMB_SHIFT: u32 = size_of::<Crumbs>().ilog2();
    const _: () = assert!(size_of::<BootLine>().is_power_of_two() && size_of::<Crumbs>().is_power_of_two());
}

// `Sync` by its atomics; in the image, so its zeros are there before any CPU looks.
#[unsafe(link_section = ".boot_shared")]
#[unsafe(export_name = "reveille_shared")]
static SHARED: SharedHeader = SharedHeader {
    lines: AtomicU64::new(0),
    count: AtomicU64::new(0),
    crumbs: AtomicU64::new(0),
    ttbr: AtomicU64::new(0),
    mair: AtomicU64::new(0),
    tcr: AtomicU64::new(0),
    sctlr: AtomicU64::new(0),
    vbar: AtomicU64::new(0),
    el: AtomicU64::new(0),
    needed: {
        let [isar0, isar1, pfr0] = needs::NEEDED;
        [AtomicU64::new(isar0), AtomicU64::new(isar1), AtomicU64::new(pfr0)]
    },
};

/// The translation regime of every CPU.
#[derive(Clone, Copy)]
pub(crate) struct Regime {
    pub(crate) ttbr: u64,
    pub(crate) mair: u64,
    pub(crate) tcr: u64,
    pub(crate) sctlr: u64,
    pub(crate) vbar: u64,
}

/// Tells CPUs with the MMU off where everything is. Called once, by the boot CPU; `lines` is sorted by affinity, and
/// the breadcrumbs of the CPU of `lines[n]` are the `n`th at `crumbs`.
pub(crate) fn publish(lines: &'static [BootLine], crumbs: usize, regime: Regime) {
    // Relaxed throughout: the reader has no caches and is ordered by the maintenance below.
    SHARED.count.store(lines.len() as u64, Ordering::Relaxed);
    SHARED.crumbs.store(crumbs as u64, Ordering::Relaxed);
    SHARED.ttbr.store(regime.ttbr, Ordering::Relaxed);
    SHARED.mair.store(regime.mair, Ordering::Relaxed);
    SHARED.tcr.store(regime.tcr, Ordering::Relaxed);
    SHARED.sctlr.store(regime.sctlr, Ordering::Relaxed);
    SHARED.vbar.store(regime.vbar, Ordering::Relaxed);
    SHARED.el.store(aarch64_cpu::registers::CurrentEL.get() | regs::e2h(), Ordering::Relaxed);
    cache::clean_invalidate_value(&SHARED);
    cache::clean_invalidate(lines.as_ptr() as usize, size_of_val(lines));
    // Published last: in the pen, a CPU that reads a base other than 0 then reads the rest (its `dmb` is the
    // partner of the `dsb` in the maintenance above).
    SHARED.lines.store(lines.as_ptr() as u64, Ordering::Relaxed);
    cache::clean_invalidate_value(&SHARED);
    super::sev();
}

/// From now on more is asked of the ID registers of CPUs that arrive than any has, or no more than what the code is compiled for.
#[cfg(feature = "fault-injection")]
pub(crate) fn ask_too_much(ask: bool) {
    // Relaxed: as in `publish`. ID_AA64ISAR1_EL1 has no field that is at its end.
    SHARED.needed[1].store(if ask { 0xf << 20 } else { needs::NEEDED[1] }, Ordering::Relaxed);
    cache::clean_invalidate_value(&SHARED);
}

/// What one CPU needs to know to come up. Written with caches on and cleaned; read with the MMU off.
#[repr(C, align(64))]
pub(crate) struct BootLine {
    mpidr: u64,
    /// The generation that may leave the pen, and that a start without a readable token belongs to, in 31:0; 0: none.
    /// [`BOOTED`] above it.
    generation: AtomicU64,
    porch: u64,
    percpu: u64,
}

/// The CPU of the line runs since the image was booted.
const BOOTED: u64 = 1 << 32;

impl BootLine {
    /// The line of the CPU with affinity `mpidr`.
    pub(crate) const fn new(mpidr: u64, porch: u64, percpu: u64) -> Self {
        Self { mpidr, generation: AtomicU64::new(0), porch, percpu }
    }

    /// Affinity of its CPU.
    pub(crate) fn mpidr(&self) -> u64 {
        self.mpidr
    }

    /// This CPU boots the image, and lives with generation 0: an arrival of it is a second start.
    pub(crate) fn mark_booted(&self) {
        self.generation.store(BOOTED, Ordering::Relaxed);
        cache::clean_invalidate_value(self);
    }

    /// Lets `generation` out of the pen.
    pub(crate) fn release(&self, generation: u32) {
        // Relaxed: the reader's MMU is off; cleaning to the Point of Coherency is what publishes it.
        self.generation.store(u64::from(generation), Ordering::Relaxed);
        cache::clean_invalidate_value(self);
        super::sev();
    }
}

/// How far a CPU has come with its MMU off. Written by that CPU alone, with plain uncached stores.
#[repr(C, align(64))]
pub(crate) struct Crumbs {
    stage: Mmio<u64>,
    pen: Mmio<u64>,
    context: Mmio<u64>,
    el: Mmio<u64>,
}

/// A reading of a CPU's breadcrumbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CrumbReading {
    /// The last stage with the MMU off.
    pub(crate) stage: u64,
    /// `Some(generation it tried last)` while it waits in the pen.
    pub(crate) pen: Option<u32>,
    /// What firmware passed as context id.
    pub(crate) context: u64,
    /// The exception level it arrived at.
    pub(crate) el: u64,
}

/// Entered, its own line found.
pub(crate) const STAGE_ENTERED: u64 = 1;
/// About to turn the MMU on.
pub(crate) const STAGE_TABLES: u64 = 2;
/// Sent to the pen: it lacks what the code is compiled for.
pub(crate) const STAGE_UNFIT: u64 = 3;

impl Crumbs {
    /// Clears the stage. The CPU is not on its way, so nobody else writes the line.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn forget_stage(&self) {
        use tock_registers::interfaces::Writeable;
        // Nothing older may be left in a cache, where it would come out over what the CPU writes next.
        cache::clean_invalidate_value(self);
        self.stage.set(0);
        cache::clean_invalidate_value(self);
    }

    /// Reads the line past whatever a cache holds of it.
    pub(crate) fn read(&self) -> CrumbReading {
        cache::clean_invalidate_value(self);
        let pen = self.pen.get();
        CrumbReading {
            stage: self.stage.get(),
            pen: (pen >> 32 != 0).then_some(pen as u32),
            context: self.context.get(),
            el: self.el.get(),
        }
    }
}
