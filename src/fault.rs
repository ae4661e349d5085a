//! What the tests need and no application should have: a look inside, and faults to plant.
//!
//! With the feature `fault-injection` alone. Nothing here is part of the crate's promises.

pub use crate::gic::fault::{LostSgi, lose_sgis, lost_sgis};
pub use reveille_protocol::{Snapshot, State};

use crate::arch::entry::{BOOT_GUARDS, BOOT_STACKS};
use crate::arch::mmu::PAGE;
use crate::arch::regs;
use crate::bringup::{arrival, psci};
use crate::cpu::CpuId;
use crate::cpu::area;
use crate::patch::{self, PatchError};
use crate::system::{System, memory};
use crate::{call, console, gic, irq, time};
use core::arch::asm;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use reveille_machine::{Ranges, Region, TooManyRanges};
use reveille_protocol::Limits;

/// The slot of `cpu`: state, generation, reason.
pub fn slot(cpu: CpuId) -> Snapshot {
    area::of(cpu).slot.0.read()
}

/// What a CPU wrote down with its MMU off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crumbs {
    /// How far it came: 1 entered, 2 about to turn the MMU on; 0 after [`forget_stage`].
    pub stage: u64,
    /// `Some(generation it tried last)` while it waits in the pen.
    pub pen: Option<u32>,
    /// What firmware passed as context id.
    pub context: u64,
}

/// The breadcrumbs of `cpu`.
pub fn crumbs(cpu: CpuId) -> Option<Crumbs> {
    let found = area::of(cpu).crumbs?.read();
    Some(Crumbs { stage: found.stage, pen: found.pen, context: found.context })
}

/// Clears the stage among the breadcrumbs of `cpu`, which is not on its way: it is off, or in the pen.
pub fn forget_stage(cpu: CpuId) {
    if let Some(crumbs) = area::of(cpu).crumbs {
        crumbs.forget_stage();
    }
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
    assert!(!irq::in_interrupt(), "fault::leave() in interrupt context");
    let area = area::current();
    let masked = irq::mask();
    let generation = area.slot.0.read().generation;
    assert!(area.launch.close(), "fault::leave() with a closure to run");
    assert!(area.slot.0.begin_leave(generation), "fault::leave() while not online");
    let kept = call::close(area);
    call::run_kept(area, kept);
    time::quiet_cpu();
    gic::quiet_cpu();
    // Masked to the end.
    core::mem::forget(masked);
    arrival::depart(area, generation)
}

/// Whether firmware says that `cpu` is off; `None` if it has no AFFINITY_INFO.
///
/// No proof while a start is under way: firmware has been seen to say so until the CPU ran.
pub fn is_off(cpu: CpuId) -> Option<bool> {
    psci::affinity_info(area::of(cpu).mpidr).map(|state| state == 1)
}

/// A function of the test's, called where CPUs pass.
struct Hook(AtomicPtr<()>);

impl Hook {
    const fn none() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    fn set(&self, hook: Option<fn(CpuId)>) {
        let hook = hook.map_or(core::ptr::null_mut(), |hook| hook as *mut ());
        // Release: pairs with `call`. What the hook uses is there.
        self.0.store(hook, Ordering::Release);
    }

    fn call(&self, cpu: CpuId) {
        // Acquire: pairs with `set`.
        let hook = self.0.load(Ordering::Acquire);
        if !hook.is_null() {
            // SAFETY: what is stored there, besides null, is a `fn(CpuId)`.
            let hook: fn(CpuId) = unsafe { core::mem::transmute(hook) };
            hook(cpu);
        }
    }
}

static BEFORE_ONLINE: Hook = Hook::none();
static BEFORE_GIC: Hook = Hook::none();

/// From now on each CPU calls `hook` when it has arrived and set itself up, just before it goes online. Interrupts
/// are masked there by `DAIF`, and the CPU is no member of the system: no locks, no console.
pub fn before_online(hook: Option<fn(CpuId)>) {
    BEFORE_ONLINE.set(hook);
}

pub(crate) fn about_to_go_online(cpu: CpuId) {
    BEFORE_ONLINE.call(cpu);
}

/// From now on each CPU that arrives calls `hook` before it sets up its part of the interrupt controller. As for
/// [`before_online`].
pub fn before_gic(hook: Option<fn(CpuId)>) {
    BEFORE_GIC.set(hook);
}

pub(crate) fn about_to_set_up_gic(cpu: CpuId) {
    BEFORE_GIC.call(cpu);
}

static WHILE_STOPPING: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// The next CPU that stops all others calls `hook`, once, before it has stopped anybody.
pub fn while_stopping(hook: fn()) {
    // Release: pairs with `about_to_stop`.
    WHILE_STOPPING.store(hook as *mut (), Ordering::Release);
}

pub(crate) fn about_to_stop() {
    // Acquire: pairs with `while_stopping`.
    let hook = WHILE_STOPPING.swap(core::ptr::null_mut(), Ordering::Acquire);
    if !hook.is_null() {
        // SAFETY: what is stored there, besides null, is a `fn()`.
        let hook: fn() = unsafe { core::mem::transmute(hook) };
        hook();
    }
}

/// From now on every access to the console's registers is an abort.
pub fn unmap_console() {
    if let Some(base) = console::base() {
        memory::unmap_device(base);
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

pub(crate) fn features(cpu: CpuId, isar0: u64) -> u64 {
    let lacks = LACKING.load(Ordering::Relaxed) == cpu.index() as u64 + 1;
    if lacks { isar0 & !LACKED.load(Ordering::Relaxed) } else { isar0 }
}

/// 0: nothing to adjust; else one more than the limit.
static ONLINE_LIMIT: AtomicU64 = AtomicU64::new(0);

/// From now on a CPU that has arrived gets so many ticks to come online, whatever its booter's deadline; with `None` as
/// much as that says.
pub fn limit_online(ticks: Option<u64>) {
    ONLINE_LIMIT.store(ticks.map_or(0, |ticks| ticks.saturating_add(1)), Ordering::Relaxed);
}

pub(crate) fn adjusted(limits: Limits) -> Limits {
    match ONLINE_LIMIT.load(Ordering::Relaxed).checked_sub(1) {
        Some(online) => Limits { online, ..limits },
        None => limits,
    }
}

/// The words of the stacks of `cpu`, all but its porch.
fn stack_words(cpu: CpuId) -> impl Iterator<Item = *mut u64> {
    let bytes = |(start, pages): (u64, usize)| (start..start + (pages * PAGE) as u64).step_by(8);
    area::stack_ranges(cpu).take(3).flat_map(bytes).map(|at| at as *mut u64)
}

/// Fills the stacks of `cpu`, all but its porch, with `word`.
///
/// # Panics
///
/// If the CPU may be using them.
pub fn fill_stacks(cpu: CpuId, word: u64) {
    let state = slot(cpu).state;
    assert!(state.is_settled() && state != State::Online, "the stacks of cpu {cpu} are in use");
    for at in stack_words(cpu) {
        // SAFETY: mapped for this CPU, which uses it only from `Alive` on, and that it is not (asserted).
        unsafe { at.write_volatile(word) };
    }
}

/// Whether the stacks of `cpu` still hold what [`fill_stacks`] wrote.
pub fn stacks_hold(cpu: CpuId, word: u64) -> bool {
    // SAFETY: mapped for this CPU; while it runs the answer is some mixture, and false.
    stack_words(cpu).all(|at| unsafe { at.read_volatile() } == word)
}

/// The physical address of a mapped byte.
fn physical(address: u64) -> Option<u64> {
    let par: u64;
    // SAFETY: asks the MMU for a translation, which changes PAR_EL1 alone; nobody else uses that.
    unsafe {
        if regs::at_el2() {
            asm!("at s1e2r, {}", "isb", "mrs {}, par_el1", in(reg) address, out(reg) par, options(nostack, preserves_flags));
        } else {
            asm!("at s1e1r, {}", "isb", "mrs {}, par_el1", in(reg) address, out(reg) par, options(nostack, preserves_flags));
        }
    }
    (par & 1 == 0).then_some((par & 0x000f_ffff_ffff_f000) | (address & (PAGE as u64 - 1)))
}

/// Memory that has to stay as it is.
pub struct Untouchable(Ranges<64>);

impl Untouchable {
    /// The pieces, by physical address, which is where they are mapped.
    pub fn iter(&self) -> impl Iterator<Item = Region> + '_ {
        self.0.iter().map(|(start, end)| Region { base: start, size: end - start })
    }
}

/// All memory that the runtime has in use and that does not change while `cpu` arrives and finds that its start was
/// called off, if the caller is the only CPU online, masks interrupts and calls nothing: the image with all statics, the
/// page tables, stacks, areas and boot lines of all CPUs. Left out: the caller's own stacks, the porch and the
/// breadcrumbs of `cpu`, and memory that the device tree reserves, which is firmware's.
///
/// `None` if there are too many pieces, or a stack is not mapped.
pub fn untouchable(system: &System, cpu: CpuId) -> Option<Untouchable> {
    let find = || -> Result<Option<Ranges<64>>, TooManyRanges> {
        let mut set = system.memory_in_use()?;
        for reserved in system.machine().reserved().flatten() {
            set.remove(reserved.region.base, reserved.region.base.saturating_add(reserved.region.size))?;
        }
        let (start, end) = memory::image();
        set.insert(start, end)?;
        for (offset, _) in BOOT_GUARDS {
            let guard = (BOOT_STACKS.base() + offset) as u64;
            set.remove(guard, guard + PAGE as u64)?;
        }
        let own = area::stack_ranges(area::current().id);
        let porch = area::stack_ranges(cpu).skip(3);
        for (from, pages) in own.chain(porch) {
            for page in 0..pages {
                let Some(at) = physical(from + (page * PAGE) as u64) else { return Ok(None) };
                set.remove(at, at + PAGE as u64)?;
            }
        }
        if let Some(crumbs) = area::of(cpu).crumbs {
            let at = core::ptr::from_ref(crumbs) as u64;
            set.remove(at, at + size_of_val(crumbs) as u64)?;
        }
        Ok(Some(set))
    };
    find().ok().flatten().map(Untouchable)
}

/// Whether this CPU's MMU lets it read `address`, or, with `write`, write there.
pub fn is_accessible(address: u64, write: bool) -> bool {
    let par: u64;
    // SAFETY: asks the MMU for a translation, which changes PAR_EL1 alone; as in `physical`.
    unsafe {
        match (regs::at_el2(), write) {
            (true, false) => {
                asm!("at s1e2r, {}", "isb", "mrs {}, par_el1", in(reg) address, lateout(reg) par, options(nostack, preserves_flags));
            }
            (true, true) => {
                asm!("at s1e2w, {}", "isb", "mrs {}, par_el1", in(reg) address, lateout(reg) par, options(nostack, preserves_flags));
            }
            (false, false) => {
                asm!("at s1e1r, {}", "isb", "mrs {}, par_el1", in(reg) address, lateout(reg) par, options(nostack, preserves_flags));
            }
            (false, true) => {
                asm!("at s1e1w, {}", "isb", "mrs {}, par_el1", in(reg) address, lateout(reg) par, options(nostack, preserves_flags));
            }
        }
    }
    par & 1 == 0
}

/// Where text is mapped writable while it is patched, and nothing at any other time.
pub const PATCH_WINDOW: u64 = memory::WINDOW;

static WHILE_PATCHING: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// From now on `hook` is called in every patch, after the last store and while the text is still mapped writable: all CPUs
/// are gathered, interrupts are masked.
pub fn while_patching(hook: Option<fn()>) {
    let hook = hook.map_or(core::ptr::null_mut(), |hook| hook as *mut ());
    // Release: pairs with `patching`.
    WHILE_PATCHING.store(hook, Ordering::Release);
}

pub(crate) fn patching() {
    // Acquire: pairs with `while_patching`.
    let hook = WHILE_PATCHING.load(Ordering::Acquire);
    if !hook.is_null() {
        // SAFETY: what is stored there, besides null, is a `fn()`.
        let hook: fn() = unsafe { core::mem::transmute(hook) };
        hook();
    }
}

/// Puts `instruction` at `at`, which lies in the text, as a patch would, and asks for no leave.
///
/// # Safety
///
/// No CPU runs what stands there until it is put right again.
///
/// # Errors
///
/// As for a patch.
pub unsafe fn spoil(at: u64, instruction: u32) -> Result<(), PatchError> {
    patch::overwrite(at, instruction)
}

/// Whether a site at `at` may be patched as far as its place goes.
///
/// # Errors
///
/// [`PatchError::Site`] if not.
pub fn patch_place(at: u64) -> Result<(), PatchError> {
    patch::check_place(at)
}

/// The branch from `from` to `to`, if there is one.
pub fn patch_branch(from: u64, to: u64) -> Option<u32> {
    patch::branch(from, to)
}

crate::percpu! {
    static STRAYS: AtomicU64 = AtomicU64::new(0);
}

/// How many SGIs without a meaning `cpu` has taken: the runtime sends none with the numbers 4 and, without
/// `bench-hooks`, 5.
pub fn strays(cpu: CpuId) -> u64 {
    STRAYS.of(cpu).load(Ordering::Relaxed)
}

pub(crate) fn stray() {
    STRAYS.fetch_add(1, Ordering::Relaxed);
}
