//! The arriving CPU's side: from its porch to the system.

use super::{Reason, psci};
use crate::arch::{self, Hw, regs};
use crate::cpu::area::Area;
use crate::{call, gic, hotplug, irq, panic, patch, system, time, watchdog};
use aarch64_cpu::registers::{ID_AA64ISAR0_EL1, ID_AA64MMFR0_EL1, Readable};
use core::sync::atomic::{AtomicU64, Ordering};
use reveille_protocol::{Arch, Arrival, Entrance, Snapshot, State};

/// Tries to take up start `generation` of the CPU that `area` belongs to.
///
/// Runs on the porch: MMU and caches are on, and until the slot is won nothing else may be touched. Returns the
/// area if it was won; null sends the CPU to the pen.
#[unsafe(link_section = ".never_patch")]
pub(crate) extern "C" fn arrive(area: &'static Area, generation: u32) -> Option<&'static Area> {
    loop {
        match area.slot.0.arrive(generation) {
            Arrival::Won => {
                regs::set_thread_pointer(core::ptr::from_ref(area) as u64);
                // Of its former life, which ended masked.
                area.masking.reset();
                arch::sev();
                return Some(area);
            }
            Arrival::Lost => return None,
            // The booter is between its claim and its kick. If it was stopped there, nobody waits for us.
            Arrival::Early if panic::gate().is_taken_by_other(panic::me()) => return None,
            Arrival::Early => Hw::relax(),
            Arrival::Restarted(life) => {
                regs::set_thread_pointer(core::ptr::from_ref(area) as u64);
                panic::restarted(area, life)
            }
        }
    }
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
    let isar0 = crate::fault::features(_own.id, isar0);
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

/// Gives up, as its CPU's last act.
fn give_up(area: &'static Area, generation: u32, reason: Reason) -> ! {
    panic::must_not_be_the_last();
    if area.slot.0.fail(generation, reason as u16) {
        arch::sev();
        leave(area, generation)
    }
    // Wedged: final.
    panic::park_wedged()
}

/// The CPU of `area`, which runs this, has no part in the system any more: no timer, no interrupts, its own or shared.
pub(crate) fn quiet(area: &'static Area) {
    time::quiet_cpu();
    irq::move_away(area.id);
    gic::quiet_cpu();
}

/// Turns this CPU off, or sends it to the pen. Its slot says already that this life is over.
pub(crate) fn leave(area: &'static Area, generation: u32) -> ! {
    leave_with(area, generation, 0, 0)
}

/// The end of a CPU that has left the system: says `Gone` as its last act and is turned off, or goes to the pen. Its slot
/// is `Dying` with `generation`, its interrupts are masked, its part of the interrupt controller is quiet.
pub(crate) fn depart(area: &'static Area, generation: u32) -> ! {
    let gone = Snapshot { generation, reason: 0, state: State::Gone }.to_bits();
    leave_with(area, generation, core::ptr::from_ref(&area.slot.0) as u64, gone)
}

#[unsafe(link_section = ".never_patch")]
fn leave_with(area: &'static Area, generation: u32, slot: u64, gone: u64) -> ! {
    unsafe extern "C" {
        fn reveille_leave(
            conduit: u64,
            function: u32,
            line: u64,
            crumbs: u64,
            generation: u32,
            slot: u64,
            gone: u64,
        ) -> !;
    }
    regs::disable_nmi();
    let (conduit, function) = psci::cpu_off();
    let line = area.line.map_or(0, |line| core::ptr::from_ref(line) as u64);
    let crumbs = area.crumbs.map_or(0, |crumbs| core::ptr::from_ref(crumbs) as u64);
    // SAFETY: it uses no stack. `slot` is 0, and then this CPU's slot is `Failed`; or it is this CPU's, `Dying`, which
    // nobody else writes, and `gone` is the next word of it.
    unsafe { reveille_leave(conduit, function, line, crumbs, generation, slot, gone) }
}

/// A secondary on its own stacks: its slot is won.
pub(crate) extern "C" fn secondary(area: &'static Area) -> ! {
    let generation = area.slot.0.read().generation;
    regs::serror_open();
    panic::poll_gate();
    if let Some(reason) = lacks_features(area) {
        give_up(area, generation, reason);
    }
    #[cfg(feature = "fault-injection")]
    crate::fault::about_to_set_up_gic(area.id);
    if let Err(_error) = gic::init_cpu(system::firmware_is_ours()) {
        give_up(area, generation, Reason::Gic);
    }
    panic::poll_gate();
    time::init_cpu();
    gic::discard_pending();
    // The interrupt controller works before anyone can be told to interrupt us: device stores complete first.
    arch::dsb_sy();
    if hotplug::online_all(area.id).is_err() {
        // Of a life that there never was nothing is to happen in the next.
        time::drop_timers();
        quiet(area);
        give_up(area, generation, Reason::Callback);
    }
    // The callbacks may have taken long, and from here on its neighbour looks at it.
    watchdog::apply();
    #[cfg(feature = "fault-injection")]
    crate::fault::about_to_go_online(area.id);
    watchdog::arrived();
    match area.slot.0.go_online(generation, panic::gate(), panic::me()) {
        Entrance::Online => {}
        Entrance::Wedged => {
            // What the callbacks have had come here goes elsewhere.
            quiet(area);
            panic::park_wedged()
        }
        Entrance::Stop => panic::stop_noticed(),
    }
    // Not before: from here on nobody but this CPU decides whether it stays, so what it accepts it runs.
    area.launch.open();
    call::open(area);
    // Wakes the booter, which waits for the words just written.
    arch::dsb_ishst();
    arch::sev();
    // Behind the fence in `go_online`, which pairs with that of `irq::tell`: who did not find this CPU online has stored what
    // is to be found here.
    irq::arrive(area);
    // SAFETY: vectors, interrupt controller and stacks are in place.
    unsafe { area.masking.open_daif() };
    call::run_pending(area);
    system::run_secondary(area)
}
