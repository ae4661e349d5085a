//! What the tests do on the ways of CPUs.

use super::leaving::depart;
use crate::arch::regs::{self, DAIF_I};
use crate::arch::{cache, shared, timer};
use crate::hook::Hook;
use crate::launch::Mailbox;
use crate::memory::Blob;
use crate::percpu::CpuId;
use crate::percpu::area::{self, Part as _};
use crate::{call, gic, masking, time};
use core::sync::atomic::{AtomicU64, Ordering};

static BEFORE_ONLINE: Hook<fn(CpuId)> = Hook::none();
static BEFORE_GIC: Hook<fn(CpuId)> = Hook::none();

/// From now on each CPU calls `hook` when it has arrived and set itself up, just before it goes online. Interrupts
/// are masked there by `DAIF`, and the CPU is no member of the system: no locks, no console.
pub fn before_online(hook: Option<fn(CpuId)>) {
    BEFORE_ONLINE.set(hook);
}

pub(super) fn about_to_go_online(cpu: CpuId) {
    if let Some(hook) = BEFORE_ONLINE.get() {
        hook(cpu);
    }
}

/// From now on each CPU that arrives calls `hook` before it sets up its part of the interrupt controller. As for
/// [`before_online`].
pub fn before_gic(hook: Option<fn(CpuId)>) {
    BEFORE_GIC.set(hook);
}

pub(super) fn about_to_set_up_gic(cpu: CpuId) {
    if let Some(hook) = BEFORE_GIC.get() {
        hook(cpu);
    }
}

/// # Panics
///
/// If `DAIF.I` is not set at the end of an interrupt: another one would come before what this one saved is back.
pub(super) fn about_to_return(cpu: CpuId) {
    assert!(regs::daif() & DAIF_I != 0, "cpu {cpu} returns from an interrupt with interrupts open");
}

/// With `fault=boot-stack` anywhere in the tree, as a boot argument, the boot CPU does not get by with the stack that it begins on.
pub(super) fn about_to_read_the_tree(blob: &Blob) {
    #[inline(never)]
    fn dig(depth: u64) -> u64 {
        let room = core::hint::black_box([depth; 64]);
        if room[0] == u64::MAX { 0 } else { dig(depth + 1) + room[1] }
    }
    let word = b"fault=boot-stack";
    if blob.bytes.windows(word.len()).any(|bytes| bytes == word) {
        core::hint::black_box(dig(0));
    }
}

/// One more than the index of the CPU that lacks something, and what.
static LACKING: AtomicU64 = AtomicU64::new(0);
static LACKED: AtomicU64 = AtomicU64::new(0);

/// From now on `cpu`, as it arrives, finds none of the `bits` in its ID_AA64ISAR0_EL1, as on a machine with CPUs of several
/// kinds; with `None` every CPU finds what it has.
pub fn lacks_features(cpu: Option<CpuId>, bits: u64) {
    // Relaxed: the start of the CPU orders them.
    LACKED.store(bits, Ordering::Relaxed);
    LACKING.store(cpu.map_or(0, |cpu| cpu.index() as u64 + 1), Ordering::Relaxed);
}

pub(super) fn features(cpu: CpuId, isar0: u64) -> u64 {
    let lacks = LACKING.load(Ordering::Relaxed) == cpu.index() as u64 + 1;
    if lacks { isar0 & !LACKED.load(Ordering::Relaxed) } else { isar0 }
}

/// One more than the index of the CPU of another make, and its MIDR_EL1.
static ODD_CPU: AtomicU64 = AtomicU64::new(0);
static ODD_MIDR: AtomicU64 = AtomicU64::new(0);

/// From now on `cpu`, as it arrives, finds `midr` in its MIDR_EL1, as on a machine with CPUs of several kinds.
pub fn has_midr(cpu: CpuId, midr: u64) {
    // Relaxed: the start of the CPU orders them.
    ODD_MIDR.store(midr, Ordering::Relaxed);
    ODD_CPU.store(cpu.index() as u64 + 1, Ordering::Relaxed);
}

/// From now on each reading of the counter can be wrong, as it is with the errata that the tree tells.
pub fn spoil_counter() {
    timer::spoil();
}

pub(super) fn midr(cpu: CpuId, midr: u64) -> u64 {
    let odd = ODD_CPU.load(Ordering::Relaxed) == cpu.index() as u64 + 1;
    if odd { ODD_MIDR.load(Ordering::Relaxed) } else { midr }
}

/// From now on each CPU that arrives lacks what the code is compiled for, as far as it can tell without running any of it, or none does.
pub fn lacks_instructions(lacks: bool) {
    shared::ask_too_much(lacks);
}

/// One more than the index of the CPU with caches of its own kind, and its CTR_EL0.
static ODD_CACHE: AtomicU64 = AtomicU64::new(0);
static ODD_TYPE: AtomicU64 = AtomicU64::new(0);

/// From now on `cpu`, as it arrives, finds `ctr` in its CTR_EL0, as on a machine with clusters of several kinds.
pub fn has_cache_type(cpu: CpuId, ctr: u64) {
    // Relaxed: the start of the CPU orders them.
    ODD_TYPE.store(ctr, Ordering::Relaxed);
    ODD_CACHE.store(cpu.index() as u64 + 1, Ordering::Relaxed);
}

pub(super) fn cache_type(cpu: CpuId, ctr: u64) -> u64 {
    let odd = ODD_CACHE.load(Ordering::Relaxed) == cpu.index() as u64 + 1;
    if odd { ODD_TYPE.load(Ordering::Relaxed) } else { ctr }
}

/// The fields of CTR_EL0 by which caches are looked after: DminLine, IDC and DIC.
pub fn common_cache_type() -> u64 {
    cache::common_type() & !(1 << 63)
}

/// This CPU goes, as [`cpu_down`](crate::hotplug::cpu_down) has it go, but without the gathering before: `Online` to
/// `Dying` to `Gone`, off by firmware, or to the pen if firmware will not have it.
///
/// From the thread context of a secondary: its own function, not a closure that was launched there. Nobody else may be
/// sending it anything.
///
/// # Panics
///
/// If a closure is on its way to this CPU or runs there, or if it is not online.
pub fn leave() -> ! {
    assert!(!masking::in_interrupt(), "fault::leave() in interrupt context");
    let area = area::current();
    let masked = masking::mask();
    let generation = area::slot(area).read().generation;
    assert!(Mailbox::of(area).close(), "fault::leave() with a closure to run");
    assert!(area::slot(area).begin_leave(generation), "fault::leave() while not online");
    let kept = call::close(area);
    call::run_kept(area, kept);
    time::quiet_cpu();
    gic::quiet_cpu();
    // Masked to the end.
    core::mem::forget(masked);
    depart(area, generation)
}
