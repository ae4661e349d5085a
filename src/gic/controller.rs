//! The controller of this machine, and each CPU's part of it.

use super::common::{
    BCM2836, CpuInterface, Deafness, GicError, Priority, SETTLES, SGIS, Trigger, V2, V3, V3_NMI,
};
use super::number::WAKE;
use super::part::{CpuPart, TARGET_BCM2836, TARGET_V2, with_sgi};
use super::{bcm2836, sgi, v2, v3, v3_cpu};
use crate::arch::regs;
use crate::clock::HardwareLimit;
use crate::dt;
use crate::masking::{self, BY_V2, BY_V3, BY_V3_HINT};
use crate::percpu::CpuId;
use crate::percpu::area::{self, Area, Part};
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use spin::Once;

/// Which controller there is; 0 until it works.
static KIND: AtomicU8 = AtomicU8::new(0);

/// Whether the binary point is ours to set on every CPU, so that no class of priorities interrupts another's handlers: one of the three
/// below.
static CLASSES: AtomicU8 = AtomicU8::new(NO_CLASSES);
/// It is not, or there is no controller yet.
const NO_CLASSES: u8 = 0;
/// It is on all CPUs that have come, and no interrupt has another class than the rest.
const CAN_HAVE_CLASSES: u8 = 1;
/// Some may have, for good.
const HAS_CLASSES: u8 = 2;

/// What an NMI-class interrupt gets at, beyond CPUs that take any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NmiReach {
    /// Nothing: the controller has no priorities. Not even a CPU in a handler takes any.
    Never,
    /// Nothing: masking is by `DAIF.I`, and there is no FEAT_NMI.
    Unmasked,
    /// CPUs that have masked interrupts by priority, which is how the runtime does it.
    Priority,
    /// CPUs that have set `DAIF.I` as well.
    Daif,
}

/// How far NMI-class interrupts reach on this machine.
pub(crate) fn nmi_reach() -> NmiReach {
    if kind() == BCM2836 {
        return NmiReach::Never;
    }
    match (regs::has_allint(), masking::by_daif_alone()) {
        (true, _) => NmiReach::Daif,
        (false, true) => NmiReach::Unmasked,
        (false, false) => NmiReach::Priority,
    }
}

static GIC_V2: Once<v2::GicV2> = Once::new();
static GIC_V3: Once<v3::GicV3> = Once::new();
/// There is no GIC, but what a BCM2836 has. Relaxed: set by the boot CPU before any other runs.
static IS_BCM2836: AtomicBool = AtomicBool::new(false);

/// Which controller there is: [`V2`], [`V3`], [`BCM2836`], or 0 while there is none.
#[inline(always)]
pub(crate) fn kind() -> u8 {
    // Relaxed: set by the boot CPU before any other runs, which `kick` and `arrive` order.
    KIND.load(Ordering::Relaxed)
}

fn v2() -> &'static v2::GicV2 {
    GIC_V2.get().expect("set before KIND says so")
}

fn v3() -> &'static v3::GicV3 {
    GIC_V3.get().expect("set before KIND says so")
}

/// Finds and sets up the controller's shared part. By the boot CPU, once; each CPU's own part comes with
/// [`init_cpu`]. `firmware_is_ours`: entered at EL3, so the Secure half has to be set up too.
pub(crate) fn init(gic: &dt::Gic<'_>, firmware_is_ours: bool) -> Result<(), GicError> {
    match gic {
        dt::Gic::V2 { distributor, cpu_interface, .. } => {
            let v2 = v2::GicV2::new(*distributor, *cpu_interface)?;
            v2.init(firmware_is_ours);
            GIC_V2.call_once(|| v2);
        }
        dt::Gic::V3 { path, distributor, redistributors, dropped, stride, one_by_one } => {
            if *dropped != 0 {
                let used = redistributors.len();
                log::error!(
                    "{path}: {dropped} redistributor regions ignored: only the {used} largest are used"
                );
            }
            let v3 = v3::GicV3::new(*distributor, redistributors, *stride, *one_by_one)?;
            v3.init(firmware_is_ours)?;
            GIC_V3.call_once(|| v3);
        }
        dt::Gic::Bcm2836 { local, peripherals, .. } => {
            bcm2836::init(*local, *peripherals)?;
            IS_BCM2836.store(true, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Sets up this CPU's own part: SGIs enabled, nothing pending or active, everything at its priority, mask
/// open. Called with `DAIF.I` set; from the boot CPU's call on, masking is by priority, where there are any.
pub(crate) fn init_cpu(firmware_is_ours: bool) -> Result<(), GicError> {
    let area = area::current();
    let part = CpuPart::of(area);
    if let Some(v2) = GIC_V2.get() {
        let (bit, grouped) = v2.init_cpu(firmware_is_ours);
        note_classes(grouped)?;
        part.target.store(TARGET_V2 | u64::from(bit), Ordering::Relaxed);
        note_kind(part, V2, V2);
        // SAFETY: this CPU's, set up just now, with `DAIF.I` set by whoever calls this: no guard is alive. `new` has mapped the interface.
        unsafe { masking::choose(area, BY_V2, v2::mask_address()) };
    } else if let Some(v3) = GIC_V3.get() {
        let (hint, grouped) = v3.init_cpu(part.redistributor.load(Ordering::Relaxed), firmware_is_ours)?;
        note_classes(grouped)?;
        note_kind(part, if v3.has_nmi() { V3_NMI } else { V3 }, V3);
        // SAFETY: as above, and the system registers of a GICv3 are on.
        unsafe { masking::choose(area, if hint { BY_V3_HINT } else { BY_V3 }, 0) };
    } else if IS_BCM2836.load(Ordering::Relaxed) {
        bcm2836::init_cpu()?;
        note_classes(false)?;
        note_kind(part, BCM2836, BCM2836);
    }
    Ok(())
}

/// This CPU, whose part it is, takes its interrupts by `entry`, and the controller is of this `kind`. In a later life both are known:
/// others read them, and so they are not written again.
#[inline(never)]
fn note_kind(part: &CpuPart, entry: u8, kind: u8) {
    if part.entry() != entry {
        part.entry.store(entry, Ordering::Relaxed);
    }
    if self::kind() != kind {
        KIND.store(kind, Ordering::Relaxed);
    }
}

/// The binary point of this CPU is ours, or not: said before [`KIND`] is, by the boot CPU first.
#[inline(never)]
fn note_classes(grouped: bool) -> Result<(), GicError> {
    // Relaxed: it stands for nothing else. Either this CPU finds that there are classes, or nobody uses them any more.
    if kind() == 0 {
        CLASSES.store(if grouped { CAN_HAVE_CLASSES } else { NO_CLASSES }, Ordering::Relaxed);
    } else if !grouped && change_classes(NO_CLASSES) == HAS_CLASSES {
        return Err(GicError::Stuck { register: "the binary point" });
    }
    Ok(())
}

/// From where there can be classes `to` another state; what it is then.
fn change_classes(to: u8) -> u8 {
    match CLASSES.compare_exchange(CAN_HAVE_CLASSES, to, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => to,
        Err(other) => other,
    }
}

/// Whether interrupts may have priorities from now on: see [`Priority`].
pub(crate) fn use_classes() -> bool {
    change_classes(HAS_CLASSES) == HAS_CLASSES
}

/// Whether NMI-class interrupts come through `DAIF.I` on this machine: a CPU that knows no such thing has no place in
/// it.
pub(crate) fn needs_feat_nmi() -> bool {
    GIC_V3.get().is_some_and(v3::GicV3::has_nmi)
}

/// Turns this CPU's interface off, for one that parks: nothing ends its WFI any more.
#[inline(always)]
pub(crate) fn silence() {
    match kind() {
        V3 => v3_cpu::silence(),
        V2 => v2::silence(),
        _ => bcm2836::silence(),
    }
}

/// The same on the CPU of `area`, which is this one and is handling an interrupt, or was a moment ago.
#[inline(always)]
pub(crate) fn silence_on(area: &Area) {
    match CpuPart::of(area).entry() {
        V2 => v2::silence(),
        V3 | V3_NMI => v3_cpu::silence(),
        _ => bcm2836::silence(),
    }
}

/// Whether there is a controller.
pub(crate) fn is_present() -> bool {
    kind() != 0
}

/// Takes what is pending for this CPU from an earlier life, without handling it, and then proves that an interrupt reaches it:
/// an SGI to itself. The others, and the interrupt `timer`, 0 if there is none, can be enabled. `DAIF.I` is set.
///
/// # Errors
///
/// [`GicError::Deaf`], [`GicError::NoTimer`]: firmware may have left this CPU's part so that nothing is ever delivered, or not
/// everything, and no set-up from here can change that.
pub(crate) fn prove(timer: u32) -> Result<(), GicError> {
    match CpuPart::of(area::current()).entry() {
        V3 => hear::<v3_cpu::Cpu>(),
        V3_NMI => hear::<v3_cpu::NmiCpu>(),
        V2 | BCM2836 => hear::<v2::CpuOrBcm2836>(),
        _ => return Ok(()),
    }?;
    if !can_enable(SGIS) {
        return Err(GicError::Deaf { why: Deafness::Group0 });
    }
    if (16..32).contains(&timer) && !can_enable(1 << timer) {
        return Err(GicError::NoTimer);
    }
    Ok(())
}

/// Whether these of the first 32 interrupts are enabled on this CPU, if that is tried: seen from Non-secure, those in Group 0 are not.
/// What was not enabled is not afterwards.
pub(crate) fn can_enable(these: u32) -> bool {
    match kind() {
        V3 => v3().can_enable(CpuPart::of(area::current()).redistributor.load(Ordering::Relaxed), these),
        BCM2836 => bcm2836::can_enable(these),
        _ => v2().can_enable(these),
    }
}

fn hear<C: CpuInterface>() -> Result<(), GicError> {
    // CPENDSGIR would be the direct way, but it does not exist everywhere; acknowledging does. Bounded: 16 SGIs from at most 8
    // senders each, and the PPIs.
    for _ in 0..256 {
        let Some(interrupt) = C::settle(C::acknowledge()) else { break };
        C::end(interrupt);
    }
    let part = CpuPart::of(area::current());
    sgi::send_for_sure(with_sgi(part.target.load(Ordering::Relaxed), WAKE));
    let heard = HardwareLimit::within(SETTLES, || {
        // Masked by `DAIF.I`, it would be taken if it were not: the mask of priorities, the group and what is active let it by.
        if !regs::irq_is_pending() {
            return false;
        }
        let Some(interrupt) = C::settle(C::acknowledge()) else { return false };
        C::end(interrupt);
        C::intid(interrupt) == WAKE.intid()
    });
    if heard {
        return Ok(());
    }
    let why = match kind() {
        V3 => v3().deaf(part.redistributor.load(Ordering::Relaxed)),
        BCM2836 => Deafness::NoSign,
        _ => v2().deaf(),
    };
    Err(GicError::Deaf { why })
}

/// Quiets this CPU's part, for one that leaves: nothing enabled, nothing pending, its interface off. Interrupts are
/// masked. Best effort: a CPU that comes back sets everything up anew.
pub(crate) fn quiet_cpu() {
    let part = CpuPart::of(area::current());
    match kind() {
        V3 => v3().quiet_cpu(part.redistributor.load(Ordering::Relaxed)),
        V2 => v2().quiet_cpu(),
        BCM2836 => bcm2836::quiet_cpu(),
        _ => {}
    }
}

/// What is known of all CPUs' parts before they come: their redistributors, or that they are of a GICv2. Once the areas
/// exist.
pub(crate) fn find_cpu_parts() {
    if GIC_V2.get().is_some() {
        // Whoever is to be stopped is sent to as soon as it has arrived.
        area::areas().iter().for_each(|area| CpuPart::of(area).target.store(TARGET_V2, Ordering::Relaxed));
    }
    if IS_BCM2836.load(Ordering::Relaxed) {
        for area in area::areas() {
            let target = TARGET_V2 | TARGET_BCM2836 | bcm2836::target(area.mpidr);
            CpuPart::of(area).target.store(target, Ordering::Relaxed);
        }
    }
    if let Some(v3) = GIC_V3.get() {
        v3.end_lpis();
        v3.for_each_redistributor(|mpidr, address| {
            // The first frame that matches: later ones with the same affinity are nobody's.
            if let Some(cpu) = area::find(mpidr) {
                let place = &CpuPart::of(area::of(cpu)).redistributor;
                if place.load(Ordering::Relaxed) == 0 {
                    place.store(address, Ordering::Relaxed);
                }
            }
        });
    }
}

/// Enables or disables a PPI or an SGI of this CPU, or an SPI.
pub(crate) fn enable(intid: u32, enable: bool) {
    match kind() {
        V3 => v3().enable(own_redistributor(), intid, enable),
        V2 => v2().enable(intid, enable),
        BCM2836 => bcm2836::enable(intid, enable),
        _ => {}
    }
}

/// Disables a PPI or an SGI of this CPU, or an SPI, and waits until it does not come any more.
pub(crate) fn disable(intid: u32) {
    enable(intid, false);
    if kind() == V3 {
        v3().await_disabled(own_redistributor(), intid);
    }
}

/// Gives a PPI or an SGI of this CPU, or an SPI, a priority.
pub(crate) fn set_priority(intid: u32, priority: Priority) {
    match kind() {
        V3 => v3().set_priority(own_redistributor(), intid, priority as u8),
        V2 => v2().set_priority(intid, priority as u8),
        _ => {}
    }
}

/// Has a PPI of this CPU, or an SPI, pending, or not any more.
pub(crate) fn set_pending(intid: u32, pending: bool) {
    match kind() {
        V3 => v3().set_pending(own_redistributor(), intid, pending),
        V2 => v2().set_pending(intid, pending),
        _ => {}
    }
}

/// Whether a PPI of this CPU, or an SPI, is pending.
pub(crate) fn is_pending(intid: u32) -> bool {
    match kind() {
        V3 => v3().is_pending(own_redistributor(), intid),
        V2 => v2().is_pending(intid),
        BCM2836 => bcm2836::is_pending(intid),
        _ => false,
    }
}

/// Whether a PPI of this CPU, or an SPI, is being handled.
pub(crate) fn is_active(intid: u32) -> bool {
    match kind() {
        V3 => v3().is_active(own_redistributor(), intid),
        V2 => v2().is_active(intid),
        _ => false,
    }
}

fn own_redistributor() -> u64 {
    CpuPart::of(area::current()).redistributor.load(Ordering::Relaxed)
}

/// Sets how an SPI is triggered.
pub(crate) fn set_trigger(intid: u32, trigger: Trigger) {
    match kind() {
        V3 => v3().set_trigger(intid, trigger),
        V2 => v2().set_trigger(intid, trigger),
        _ => {}
    }
}

/// Sends an SPI to `cpu` from now on; all of them, where the controller has one route.
pub(crate) fn route(intid: u32, cpu: CpuId) {
    let area = area::of(cpu);
    match kind() {
        V3 => v3().route(intid, area.mpidr),
        V2 => v2().route(intid, CpuPart::of(area).target.load(Ordering::Relaxed) as u8),
        BCM2836 => bcm2836::route(area.mpidr),
        _ => {}
    }
}

/// Whether the controller has one route for all SPIs.
pub(crate) fn has_one_route() -> bool {
    kind() == BCM2836
}

/// All SPIs interrupt `to` from now on, if they interrupt `from`, and there is one route.
pub(crate) fn route_all(from: CpuId, to: CpuId) {
    if has_one_route() {
        bcm2836::route_from(area::of(from).mpidr, area::of(to).mpidr);
    }
}

/// Whether the controller keeps what is pending and what is active, so that both can be said, and set.
pub(crate) fn keeps_state() -> bool {
    kind() != BCM2836
}

/// Whether there is a PPI or SPI with this number.
pub(crate) fn has(intid: u32) -> bool {
    if kind() == BCM2836 { bcm2836::has(intid) } else { (16..interrupts().max(32)).contains(&intid) }
}

/// One more than the highest SPI number.
pub(crate) fn interrupts() -> u32 {
    match kind() {
        V3 => v3().interrupts(),
        V2 => v2().interrupts(),
        BCM2836 => bcm2836::INTERRUPTS,
        _ => 0,
    }
}
