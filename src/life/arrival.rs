//! The arriving CPU's side: from its porch to the system.

#[cfg(feature = "fault-injection")]
use super::fault;
use super::leaving::{leave, quiet};
use super::news::apply_news;
use super::secondary::run_secondary;
use crate::arch::{self, Hw, cache, regs, timer};
use crate::bringup::{Reason, record};
use crate::call::Look;
use crate::gic::CpuPart;
use crate::launch::Mailbox;
use crate::masking::Masking;
use crate::note::note;
use crate::percpu::area::{self, Area, Part as _};
use crate::{call, clock, context, gate, gic, hotplug, irq, panic, patch, psci, time, watchdog};
use aarch64_cpu::registers::{ID_AA64ISAR0_EL1, ID_AA64MMFR0_EL1, Readable};
use core::sync::atomic::{AtomicU64, Ordering};
use reveille_protocol::{Arch, Arrival, Entrance};

/// Tries to take up start `generation` of the CPU that `area` belongs to.
///
/// Runs on the porch: MMU and caches are on, and until the slot is won nothing else may be touched. Returns the
/// area if it was won; null sends the CPU to the pen.
#[unsafe(link_section = ".never_patch")]
pub(crate) extern "C" fn arrive(area: &'static Area, generation: u32) -> Option<&'static Area> {
    loop {
        match area::slot(area).arrive(generation) {
            Arrival::Won => {
                regs::set_thread_pointer(core::ptr::from_ref(area) as u64);
                // Of its former life, which ended masked.
                Masking::of(area).reset();
                know_counter(area);
                // Whoever the SEV wakes has to find the word.
                arch::dsb_ishst();
                arch::sev();
                return Some(area);
            }
            Arrival::Lost => return None,
            // The booter is between its claim and its kick. If it was stopped there, nobody waits for us.
            Arrival::Early if gate::word().is_taken_by_other(gate::me()) => return None,
            Arrival::Early => Hw::relax(),
            Arrival::Restarted(life) => {
                regs::set_thread_pointer(core::ptr::from_ref(area) as u64);
                panic::restarted(area, life)
            }
        }
    }
}

/// The counter of this CPU reads right from here on, whatever kind of CPU it is: before it looks at the time at all, and while it
/// touches nothing else.
#[inline(always)]
fn know_counter(_own: &Area) {
    let midr = regs::midr();
    #[cfg(feature = "fault-injection")]
    let midr = fault::midr(_own.id, midr);
    timer::know_cpu(midr);
}

/// What the boot CPU can do; a CPU that can do less would run code it cannot run.
static FEATURES: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// (4-bit fields of ID_AA64ISAR0_EL1, of ID_AA64MMFR0_EL1) that must not be less than the boot CPU's: CRC32 and crypto
/// that code may be compiled for; the physical address size that the page tables use.
const ISAR0_FIELDS: [u32; 4] = [4, 8, 12, 16];
const MMFR0_FIELDS: [u32; 1] = [0];

/// Remembers what the boot CPU can do.
pub(crate) fn record_features() {
    FEATURES[0].store(ID_AA64ISAR0_EL1.get(), Ordering::Relaxed);
    FEATURES[1].store(ID_AA64MMFR0_EL1.get(), Ordering::Relaxed);
}

/// What this CPU lacks. It has taken no lock yet, and takes none if it lacks something.
fn lacks_features(_own: &Area) -> Option<Reason> {
    let isar0 = ID_AA64ISAR0_EL1.get();
    #[cfg(feature = "fault-injection")]
    let isar0 = fault::features(_own.id, isar0);
    let lacks = |boot: u64, own: u64, fields: &[u32]| {
        fields.iter().any(|shift| (own >> shift) & 0xf < (boot >> shift) & 0xf)
    };
    let lacks_atomics = !patch::has_lse(isar0);
    if lacks(FEATURES[0].load(Ordering::Relaxed), isar0, &ISAR0_FIELDS)
        || lacks(FEATURES[1].load(Ordering::Relaxed), ID_AA64MMFR0_EL1.get(), &MMFR0_FIELDS)
        || (gic::needs_feat_nmi() && !regs::has_feat_nmi())
        || (lacks_atomics && cfg!(target_feature = "lse"))
    {
        Some(Reason::Feature)
    } else {
        (lacks_atomics && patch::uses_lse()).then_some(Reason::Atomics)
    }
}

/// Has caches looked after from now on as this CPU needs it.
fn join_caches(_own: &Area) {
    let ctr = cache::own_type();
    #[cfg(feature = "fault-injection")]
    let ctr = fault::cache_type(_own.id, ctr);
    cache::join(ctr);
}

/// Gives up, as its CPU's last act.
fn give_up(area: &'static Area, generation: u32, reason: Reason) -> ! {
    panic::must_not_be_the_last();
    if area::slot(area).fail(generation, reason as u16) {
        // As above.
        arch::dsb_ishst();
        arch::sev();
        leave(area, generation)
    }
    // Wedged: final.
    panic::park_wedged()
}

/// A secondary on its own stacks: its slot is won.
pub(crate) extern "C" fn secondary(area: &'static Area) -> ! {
    let generation = area::slot(area).read().generation;
    if !regs::at_el2() && area.crumbs.is_some_and(|crumbs| crumbs.read().el > 1) {
        clock::apply_offset();
    }
    regs::serror_open();
    note!(ARRIVE, generation.into());
    context::begin(area);
    gate::poll();
    join_caches(area);
    // Before anything has a time limit here.
    if !clock::counts() {
        give_up(area, generation, Reason::Counter);
    }
    if let Some(reason) = lacks_features(area) {
        give_up(area, generation, reason);
    }
    #[cfg(feature = "fault-injection")]
    fault::about_to_set_up_gic(area.id);
    if let Err(error) = gic::init_cpu(psci::firmware_is_ours()).and_then(|()| gic::prove(time::interrupt())) {
        CpuPart::of(area).complain(&error);
        give_up(area, generation, Reason::Gic);
    }
    gate::poll();
    time::init_cpu();
    // The interrupt controller works before anyone can be told to interrupt us: device stores complete first.
    arch::dsb_sy();
    if hotplug::online_all(area.id).is_err() {
        // Of a life that there never was nothing is to happen in the next.
        time::drop_timers();
        quiet(area);
        give_up(area, generation, Reason::Callback);
    }
    #[cfg(feature = "fault-injection")]
    fault::about_to_go_online(area.id);
    // The callbacks may have taken long, and from here on its neighbour looks at it.
    watchdog::apply();
    record(area).arriving();
    match area::slot(area).go_online(generation, gate::word(), gate::me()) {
        Entrance::Online => {}
        Entrance::Wedged => {
            // What the callbacks have had come here goes elsewhere.
            quiet(area);
            panic::park_wedged()
        }
        Entrance::Stop => panic::stop_noticed(),
    }
    note!(ONLINE, generation.into());
    // Not before: from here on nobody but this CPU decides whether it stays, so what it accepts it runs.
    Mailbox::of(area).open();
    call::open(area);
    // Wakes the booter, which waits for the words just written.
    arch::dsb_ishst();
    arch::sev();
    // Behind the fence in `go_online`, which pairs with that of `irq::tell`: who did not find this CPU online has stored what
    // is to be found here.
    irq::apply(area, apply_news);
    // SAFETY: vectors, interrupt controller and stacks are in place.
    unsafe { Masking::of(area).open_daif() };
    call::run_pending(area, Look::All);
    run_secondary(area)
}
