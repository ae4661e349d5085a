//! What the tests need and no application should have: a look inside, and faults to plant.
//!
//! With the feature `fault-injection` alone. Nothing here is part of the crate's promises. Each room has its own hooks, in a file
//! `fault.rs`; here is the list, and what looks into more than one.

pub use crate::bringup::fault::limit_online;
pub use crate::call::fault::before_opening;
pub use crate::gic::fault::{gic_is_stuck, lost_sgis};
pub use crate::irq::fault::strays;
pub use crate::life::fault::{
    before_gic, before_online, common_cache_type, has_cache_type, has_midr, lacks_features,
    lacks_instructions, leave, spoil_counter,
};
pub use crate::nmi::fault::while_noting;
pub use crate::panic::fault::{parked_at_gate, while_stopping};
pub use crate::patch::fault::{PATCH_WINDOW, patch_branch, patch_place, spoil, while_patching};
pub use reveille_protocol::{Snapshot, State};

use crate::arch::mmu::{self, PAGE};
use crate::dt::Region;
use crate::holds::Holds;
use crate::life::System;
use crate::memory::stacks::{self, BOOT_GUARDS, BOOT_STACKS};
use crate::percpu::CpuId;
use crate::percpu::area::{self, Part};
use crate::{arch, call, console, gic, irq, launch, lifecycle, masking, memory, nmi, panic, psci, stop};
use reveille_machine::{Ranges, TooManyRanges};

/// The SGIs of the runtime that may get lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostSgi {
    /// There is something in the call queue.
    Call,
    /// A doorbell was rung.
    Bell,
    /// Ends a WFI.
    Wake,
    /// A round of stop-machine has begun.
    Gather,
    /// A PPI was registered, or the watchdog was turned on or off.
    Private,
    /// Stop for good.
    Stop,
    /// A function at NMI level, or to stop for good, interrupts masked or not.
    Nmi,
}

/// The next `count` SGIs of this kind that are sent to `cpu`, by whomever, get lost.
pub fn lose_sgis(kind: LostSgi, cpu: CpuId, count: u32) {
    let sgi = match kind {
        LostSgi::Call => call::CALL,
        LostSgi::Bell => call::BELL,
        LostSgi::Wake => gic::WAKE,
        LostSgi::Gather => stop::GATHER,
        LostSgi::Private => irq::PRIVATE,
        LostSgi::Stop => panic::STOP,
        LostSgi::Nmi => gic::NMI,
    };
    gic::fault::lose(sgi, cpu, count);
}

/// The slot of `cpu`: state, generation, reason.
pub fn slot(cpu: CpuId) -> Snapshot {
    area::slot(area::of(cpu)).read()
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

/// The last of the things that [`left_behind`] looks for.
pub const A_PIN: &str = "a pin";

/// What `cpu`, which is off, or does nothing but wait in its own thread, should have given back, and has not; `None`: nothing.
///
/// In a machine where nobody else does anything either.
pub fn left_behind(cpu: CpuId) -> Option<&'static str> {
    let area = area::of(cpu);
    let [pins, mutexes] = Holds::of(area).guards();
    let kinds = [
        (mutexes != 0, "a mutex"),
        (Holds::of(area).is_leaving(), "a mark of one that leaves"),
        (!lifecycle::requests(area).is_idle(), "a request to leave"),
        (lifecycle::waiting() != 0, "a mark of one that waits to start, stop or gather CPUs"),
        (Holds::of(area).preemption().stays(), "a thread that stays put"),
        (launch::is_in_use(area), "a launched closure"),
        (!call::is_quiet(area), "a call"),
        (!nmi::is_quiet(area), "a summons"),
        (masking::is_in_callback(area), "a callback"),
        (pins != 0, A_PIN),
    ];
    kinds.into_iter().find_map(|(is_left, what)| is_left.then_some(what))
}

/// Whether firmware says that `cpu` is off; `None` if it has no AFFINITY_INFO.
///
/// No proof while a start is under way: firmware has been seen to say so until the CPU ran.
pub fn is_off(cpu: CpuId) -> Option<bool> {
    psci::affinity_info(area::of(cpu).mpidr).map(|state| state == 1)
}

/// From now on every access to the console's registers is an abort.
pub fn unmap_console() {
    if let Some(base) = console::base() {
        memory::unmap_device(base);
    }
}

/// From now on, or no longer, the console's UART is never ready for a byte, as far as anybody can read.
pub fn console_is_stuck(stuck: bool) {
    console::never_ready(stuck);
}

/// From now on, or no longer, the counter of the calling CPU does not count.
pub fn stop_counter(stands: bool) {
    arch::timer::stop(stands);
}

/// The words of the stacks of `cpu`, all but its porch.
fn stack_words(cpu: CpuId) -> impl Iterator<Item = *mut u64> {
    let bytes = |(start, pages): (u64, usize)| (start..start + (pages * PAGE) as u64).step_by(8);
    stacks::layout().ranges(cpu).take(3).flat_map(bytes).map(|at| at as *mut u64)
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
        let own = stacks::layout().ranges(area::current().id);
        let porch = stacks::layout().ranges(cpu).skip(3);
        for (from, pages) in own.chain(porch) {
            for page in 0..pages {
                let Some(at) = mmu::physical(from + (page * PAGE) as u64) else { return Ok(None) };
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
    mmu::is_accessible(address, write)
}
