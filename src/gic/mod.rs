//! The interrupt controller: one facade, GICv2 and GICv3 behind it.
//!
//! Priorities are the same for both, in every view of them (Secure, Non-secure, EL1, EL2): [`NMI`] pre-empts
//! what masks [`NORMAL`]. "Masked" in this runtime means the priority mask raised to [`MASK`] with `DAIF.I`
//! open, so that an NMI-class SGI still comes through. Where CPU and controller have FEAT_NMI that SGI has
//! superpriority besides, and comes through `DAIF.I` as well.
//!
//! With the bootarg `reveille.mask=daif` "masked" is `DAIF.I` and nothing else. That is cheaper on GICv2, where the
//! priority mask is a device register; but then, without FEAT_NMI, a CPU with interrupts masked cannot be stopped.

#[cfg(feature = "fault-injection")]
pub(crate) mod fault;
mod masking;
pub(crate) mod v2;
pub(crate) mod v3;

pub(crate) use masking::Masking;

use crate::arch::regs;
use crate::cpu::{CpuId, CpuSet, area};
use crate::irq::{Sgi, Trigger};
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use reveille_machine::{BootArgs, Gic};
use spin::Once;

/// Priority of what stops CPUs that have masked interrupts.
const NMI: u8 = 0x20;
/// Priority of everything else.
const NORMAL: u8 = 0xa0;
/// Priority mask that holds back [`NORMAL`] and lets [`NMI`] through. Not 0x80: with a single security state
/// [`NORMAL`] would pass, and seen from Non-secure only the upper half of the priorities exists.
const MASK: u8 = 0xa0;
/// Priority mask that holds back nothing.
const OPEN: u8 = 0xff;

/// SGIs 0 to 7 alone: 8 to 15 belong to the Secure world (Arm DEN 0098, 4.1.1).
const SGIS: u32 = 0xff;

/// Bounded waits for the hardware: reads before giving up on it.
const PATIENCE: u32 = 1_000_000;

/// Why the interrupt controller cannot be used.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum GicError {
    /// The CPU is not connected to the controller that the device tree names.
    NoSystemRegisters,
    /// The registers could not be mapped.
    Map(crate::arch::mmu::MapError),
    /// No redistributor has the affinity of this CPU.
    NoRedistributor {
        /// Its affinity.
        mpidr: u64,
    },
    /// The controller did not finish what it was told to do.
    Stuck {
        /// The register that did not change.
        register: &'static str,
    },
}

impl fmt::Display for GicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSystemRegisters => {
                write!(f, "the device tree describes a GICv3, but this CPU has no system registers for one")
            }
            Self::Map(error) => write!(f, "registers: {error}"),
            Self::NoRedistributor { mpidr } => write!(f, "no redistributor for mpidr {mpidr:#012x}"),
            Self::Stuck { register } => write!(f, "{register} did not settle"),
        }
    }
}

/// What the interrupt controller knows of one CPU.
pub(crate) struct CpuPart {
    /// GICv3: address of its redistributor; 0 unknown.
    redistributor: AtomicU64,
    /// What an SGI to it takes. GICv3: the target fields of ICC_SGI1R_EL1. GICv2: [`TARGET_V2`], from before any other CPU
    /// starts, and its bit in target lists once it has come up and found out: until then an SGI to it reaches nobody.
    target: AtomicU64,
    /// Which CPU interface its interrupt entry uses: [`V2`], [`V3`], [`V3_NMI`].
    entry: AtomicU8,
}

/// Marks the targets of GICv2; reserved in ICC_SGI1R_EL1.
const TARGET_V2: u64 = 1 << 63;

/// The target list in what is sent.
#[cfg(feature = "fault-injection")]
const TARGETS: u64 = 0xffff;

/// One CPU and the SGI for it, ready for the register.
pub(crate) struct Doorbell(AtomicU64);

impl Doorbell {
    /// One that interrupts nobody yet, and is not to be rung.
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// From now on it interrupts the CPU of `area`, which has set up its part, by `sgi`.
    pub(crate) fn connect(&self, sgi: Sgi, area: &area::Area) {
        // Relaxed: whoever may ring it hears of that in another way.
        self.0.store(with_sgi(area.gic.target.load(Ordering::Relaxed), sgi), Ordering::Relaxed);
    }

    /// Interrupts the CPU. Everything this CPU has stored before is visible to the handler.
    #[inline(always)]
    pub(crate) fn ring(&self) {
        let what = self.0.load(Ordering::Relaxed);
        debug_assert!(what != 0, "a CPU that never came online is interrupted");
        send(what);
    }
}

impl CpuPart {
    /// Of the CPU with this affinity.
    pub(crate) const fn new(mpidr: u64) -> Self {
        Self {
            redistributor: AtomicU64::new(0),
            target: AtomicU64::new(v3::target(mpidr)),
            entry: AtomicU8::new(0),
        }
    }

    /// Which CPU interface its interrupt entry uses: [`V2`], [`V3`] or [`V3_NMI`].
    #[inline(always)]
    pub(crate) fn entry(&self) -> u8 {
        // Relaxed: written by its own CPU before it takes interrupts.
        self.entry.load(Ordering::Relaxed)
    }
}

/// Which controller there is; 0 until it works.
static KIND: AtomicU8 = AtomicU8::new(0);
/// How interrupts are masked: one of the `BY_` numbers. By `DAIF` until the controller works, or for good if the bootargs
/// want it so.
static MASKING: AtomicU64 = AtomicU64::new(BY_DAIF);
const BY_DAIF: u64 = 0;
const BY_V2: u64 = 2;
/// Odd, and so is [`BY_V3_HINT`]: one bit tells the two from the others.
const BY_V3: u64 = 1;
/// By a GICv3 whose priority mask is also a hint for forwarding (ICC_CTLR_EL1.PMHE).
const BY_V3_HINT: u64 = 3;

/// Whether `how` is one of the ways of a GICv3, which is assumed to be the rule.
#[inline(always)]
fn is_v3(how: u64) -> bool {
    if how & 1 == 0 {
        rarely();
        return false;
    }
    true
}

/// Where this is called the compiler puts the code out of the way.
#[cold]
#[inline]
fn rarely() {}
/// GICv2.
pub(crate) const V2: u8 = 2;
/// GICv3 and later.
pub(crate) const V3: u8 = 3;
/// GICv3 with FEAT_NMI in use.
pub(crate) const V3_NMI: u8 = 5;

/// The CPU interface of one kind of controller, as the interrupt entry needs it.
pub(crate) trait CpuInterface {
    /// Takes the most urgent pending interrupt: what the acknowledge register reads.
    fn acknowledge() -> u32;
    /// The number in it, without the sender that GICv2 adds to an SGI's.
    fn intid(acknowledged: u32) -> u32;
    /// The interrupt that was acknowledged, where the number may be a special one. `None`: there is none (any more).
    fn settle(acknowledged: u32) -> Option<u32>;
    /// Ends an interrupt: its priority no longer counts, and it may come again.
    fn end(acknowledged: u32);
    /// Opens this CPU, in a handler, to what is more urgent than the interrupt that it handles.
    ///
    /// # Safety
    ///
    /// The interrupt is acknowledged and not ended, and what the vector saved is on the stack.
    #[inline(always)]
    unsafe fn open() {
        // SAFETY: the caller's.
        unsafe { regs::daif_clear() }
    }
    /// Undoes [`open`](Self::open): nothing comes between here and the `eret`.
    #[inline(always)]
    fn close() {
        regs::daif_set();
    }
}

/// The bootarg `reveille.mask=daif`: plain masking.
static DAIF_WANTED: AtomicBool = AtomicBool::new(false);

/// Reads the bootarg `reveille.mask`: `priority` (default) or `daif`. By the boot CPU, before [`init_cpu`].
pub(crate) fn choose_masking(args: BootArgs<'_>) {
    DAIF_WANTED.store(args.chooses("reveille.mask", "priority", "daif"), Ordering::Relaxed);
}

/// What an NMI-class interrupt gets at, beyond CPUs that take any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NmiReach {
    /// Nothing: masking is by `DAIF.I`, and there is no FEAT_NMI.
    Unmasked,
    /// CPUs that have masked interrupts by priority, which is how the runtime does it.
    Priority,
    /// CPUs that have set `DAIF.I` as well.
    Daif,
}

/// How far NMI-class interrupts reach on this machine.
pub(crate) fn nmi_reach() -> NmiReach {
    match (regs::has_allint(), masking()) {
        (true, _) => NmiReach::Daif,
        (false, BY_DAIF) => NmiReach::Unmasked,
        (false, _) => NmiReach::Priority,
    }
}

static GIC_V2: Once<v2::GicV2> = Once::new();
static GIC_V3: Once<v3::GicV3> = Once::new();

/// Which controller there is: [`V2`], [`V3`], or 0 while there is none.
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

#[inline(always)]
fn masking() -> u64 {
    // Relaxed: as for `kind`.
    MASKING.load(Ordering::Relaxed)
}

/// Finds and sets up the controller's shared part. By the boot CPU, once; each CPU's own part comes with
/// [`init_cpu`]. `firmware_is_ours`: entered at EL3, so the Secure half has to be set up too.
pub(crate) fn init(gic: &Gic<'_>, firmware_is_ours: bool) -> Result<(), GicError> {
    match gic {
        Gic::V2 { distributor, cpu_interface, .. } => {
            let v2 = v2::GicV2::new(*distributor, *cpu_interface)?;
            v2.init(firmware_is_ours);
            GIC_V2.call_once(|| v2);
        }
        Gic::V3 { distributor, redistributors, stride, .. } => {
            let v3 = v3::GicV3::new(*distributor, redistributors, *stride)?;
            v3.init(firmware_is_ours)?;
            GIC_V3.call_once(|| v3);
        }
    }
    Ok(())
}

/// Sets up this CPU's own part: SGIs enabled, nothing pending or active, everything at its priority, mask
/// open. Called with `DAIF.I` set; from the boot CPU's call on, masking is by priority.
pub(crate) fn init_cpu(firmware_is_ours: bool) -> Result<(), GicError> {
    let area = area::current();
    let part = &area.gic;
    if let Some(v2) = GIC_V2.get() {
        let bit = v2.init_cpu(firmware_is_ours);
        part.target.store(TARGET_V2 | u64::from(bit), Ordering::Relaxed);
        part.entry.store(V2, Ordering::Relaxed);
        use_kind(area, V2, BY_V2);
    } else if let Some(v3) = GIC_V3.get() {
        let hint = v3.init_cpu(part.redistributor.load(Ordering::Relaxed), firmware_is_ours)?;
        part.entry.store(if v3.has_nmi() { V3_NMI } else { V3 }, Ordering::Relaxed);
        use_kind(area, V3, if hint { BY_V3_HINT } else { BY_V3 });
    }
    Ok(())
}

fn use_kind(area: &area::Area, kind: u8, masking: u64) {
    KIND.store(kind, Ordering::Relaxed);
    if !DAIF_WANTED.load(Ordering::Relaxed) {
        MASKING.store(masking, Ordering::Relaxed);
        area.masking.choose(masking);
    }
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
        V3 => v3::silence(),
        V2 => v2::silence(),
        _ => {}
    }
}

/// Whether there is a controller.
pub(crate) fn is_present() -> bool {
    kind() != 0
}

/// Takes what is pending for this CPU from an earlier life, without handling it. `DAIF.I` is set.
///
/// CPENDSGIR would be the direct way, but it does not exist everywhere; acknowledging does. Bounded: 16
/// SGIs from at most 8 senders each, and the PPIs.
pub(crate) fn discard_pending() {
    match kind() {
        V3 => discard::<v3::Cpu>(),
        V2 => discard::<v2::Cpu>(),
        _ => {}
    }
}

fn discard<C: CpuInterface>() {
    for _ in 0..256 {
        let Some(interrupt) = C::settle(C::acknowledge()) else { return };
        C::end(interrupt);
    }
}

/// Interrupts `cpu`. Everything this CPU has stored before is visible to the handler.
#[inline(always)]
pub(crate) fn send_sgi(sgi: Sgi, cpu: CpuId) {
    interrupt(sgi, area::of(cpu));
}

/// Interrupts the CPU of `area`. Everything this CPU has stored before is visible to the handler.
#[inline(always)]
pub(crate) fn interrupt(sgi: Sgi, area: &area::Area) {
    send(with_sgi(area.gic.target.load(Ordering::Relaxed), sgi));
}

/// What interrupts `target` by `sgi`: the number goes where ICC_SGI1R_EL1 has it, on GICv2 too.
#[inline(always)]
const fn with_sgi(target: u64, sgi: Sgi) -> u64 {
    target | (sgi as u64) << 24
}

#[inline(always)]
fn send(what: u64) {
    #[cfg(feature = "fault-injection")]
    let Some(what) = fault::without_lost(what) else { return };
    if what & TARGET_V2 == 0 {
        v3::send(what);
    } else {
        rarely();
        v2::send(what);
    }
}

/// Collects CPUs to interrupt: one register write for each run of CPUs, in the order in which they are added, that one
/// target list reaches (GICv3: up to 16 of a cluster), or one in all (GICv2). What is collected is sent when the next CPU is
/// not of that cluster, and at the drop. Sets are gone through by id, and ids follow the tree: so it is one write for each
/// cluster where the tree lists the CPUs of a cluster together, and up to one for each CPU where it does not.
pub(crate) struct SgiBatch {
    sgi: Sgi,
    /// What the register takes; 0: nobody yet.
    what: u64,
}

impl SgiBatch {
    /// Nobody yet.
    #[inline(always)]
    pub(crate) fn new(sgi: Sgi) -> Self {
        Self { sgi, what: 0 }
    }

    /// Interrupts the CPU of `area` too.
    #[inline(always)]
    pub(crate) fn add(&mut self, area: &area::Area) {
        self.add_raw(with_sgi(area.gic.target.load(Ordering::Relaxed), self.sgi));
    }

    /// Rings this bell too, which is connected by the same SGI.
    #[inline(always)]
    pub(crate) fn add_bell(&mut self, bell: &Doorbell) {
        self.add_raw(bell.0.load(Ordering::Relaxed));
    }

    #[inline(always)]
    fn add_raw(&mut self, what: u64) {
        if !v3::same_cluster(what, self.what) {
            self.send();
        }
        self.what |= what;
    }

    #[inline(always)]
    fn send(&mut self) {
        if self.what != 0 {
            send(self.what);
            self.what = 0;
        }
    }
}

impl Drop for SgiBatch {
    #[inline(always)]
    fn drop(&mut self) {
        self.send();
    }
}

/// Interrupts every CPU of `set`.
pub(crate) fn send_sgi_set(sgi: Sgi, set: &CpuSet) {
    let mut batch = SgiBatch::new(sgi);
    for cpu in set {
        batch.add(area::of(cpu));
    }
}

/// Quiets this CPU's part, for one that leaves: nothing enabled, nothing pending, its interface off. Interrupts are
/// masked. Best effort: a CPU that comes back sets everything up anew.
pub(crate) fn quiet_cpu() {
    let part = &area::current().gic;
    match kind() {
        V3 => v3().quiet_cpu(part.redistributor.load(Ordering::Relaxed)),
        V2 => v2().quiet_cpu(),
        _ => {}
    }
}

/// What is known of all CPUs' parts before they come: their redistributors, or that they are of a GICv2. Once the areas
/// exist.
pub(crate) fn find_cpu_parts() {
    if GIC_V2.get().is_some() {
        // Whoever is to be stopped is sent to as soon as it has arrived.
        area::areas().iter().for_each(|area| area.gic.target.store(TARGET_V2, Ordering::Relaxed));
    }
    if let Some(v3) = GIC_V3.get() {
        v3.for_each_redistributor(|mpidr, address| {
            if let Some(cpu) = area::find(mpidr) {
                area::of(cpu).gic.redistributor.store(address, Ordering::Relaxed);
            }
        });
    }
}

/// Enables or disables a PPI of this CPU, or an SPI.
pub(crate) fn enable(intid: u32, enable: bool) {
    match kind() {
        V3 => v3().enable(area::current().gic.redistributor.load(Ordering::Relaxed), intid, enable),
        V2 => v2().enable(intid, enable),
        _ => {}
    }
}

/// Sets how an SPI is triggered.
pub(crate) fn set_trigger(intid: u32, trigger: Trigger) {
    match kind() {
        V3 => v3().set_trigger(intid, trigger),
        V2 => v2().set_trigger(intid, trigger),
        _ => {}
    }
}

/// Sends an SPI to `cpu` from now on.
pub(crate) fn route(intid: u32, cpu: CpuId) {
    let area = area::of(cpu);
    match kind() {
        V3 => v3().route(intid, area.mpidr),
        V2 => v2().route(intid, area.gic.target.load(Ordering::Relaxed) as u8),
        _ => {}
    }
}

/// One more than the highest SPI number.
pub(crate) fn interrupts() -> u32 {
    match kind() {
        V3 => v3().interrupts(),
        V2 => v2().interrupts(),
        _ => 0,
    }
}

/// A 32-bit store in the Secure address space, by the stub that we left at EL3.
fn secure_write(address: u64, value: u32) {
    use smccc::Call;
    let mut args = [0; 17];
    args[0] = address;
    args[1] = u64::from(value);
    smccc::Smc::call64(crate::arch::entry::SECURE_WRITE, args);
}
