//! The contexts that do not run, as a report finds them.

use super::record::Kept;
use super::running;
use crate::arch::mmu::{self, PAGE};
use crate::memory;
use crate::percpu::CpuId;
use crate::percpu::area;

/// How a context came not to run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It was preempted.
    Preempted,
    /// It has switched to another.
    Switched,
    /// It has not begun.
    New,
}

/// Which context it is.
#[derive(Clone, Copy)]
pub(crate) enum Name {
    /// What this CPU runs by itself.
    Home(CpuId),
    /// That on the stack of this name.
    Stack(&'static str),
}

/// A context that does not run.
pub(crate) struct Resting {
    pub(crate) name: Name,
    /// The one CPU that may resume it.
    pub(crate) bound: Option<CpuId>,
    pub(crate) how: How,
    /// Where it goes on, or, of one that has switched, the call by which it did; its stack pointer there.
    pub(crate) pc: u64,
    pub(crate) sp: u64,
    /// Of one that has switched: the frame pointer.
    pub(crate) fp: u64,
    /// Of one that was preempted: its state, x0 to x30, and the stack pointer of the thread if it is a lower exception level.
    pub(crate) spsr: u64,
    pub(crate) x: [u64; 31],
    pub(crate) below: u64,
}

impl Resting {
    /// By the record at `at`, if that can be one of a context that does not run.
    fn of(name: Name, at: u64) -> Option<Self> {
        let areas = area::areas();
        if areas.iter().any(|area| area.context() == at) {
            return None;
        }
        let Kept { x, sp, has_switched, spsr, elr, bound, below } = Kept::read(at)?;
        // x19 to x30 come first in one that has switched.
        let (how, pc, fp) = match has_switched {
            false => (How::Preempted, elr, 0),
            true if x[11] == running::first_instruction() => (How::New, x[11], 0),
            true => (How::Switched, x[11].wrapping_sub(4), x[10]),
        };
        let bound = areas.get((bound as usize).wrapping_sub(1)).map(|area| area.id);
        Some(Self { name, bound, how, pc, sp, fp, spsr, x, below })
    }
}

/// Hands `out` the contexts that do not run: what CPUs run by themselves, then the others, the newest first. None without a scheduler.
///
/// With all other CPUs stopped. One that could not be stopped may be in the middle of saving a context: what is said of that may be wrong
/// then; nothing is touched but RAM.
pub(crate) fn resting(out: &mut dyn FnMut(&Resting)) {
    // A CPU that has no context has not been here yet.
    for area in area::areas().iter().filter(|area| area.context() != 0) {
        if let Some(home) = running::home(area.id)
            && let Some(resting) = Resting::of(Name::Home(area.id), home.as_ptr() as u64)
        {
            out(&resting);
        }
    }
    for stack in memory::stacks_in_use() {
        let context = stack.context();
        if context != 0
            && is_readable(stack.name)
            && let Some(resting) = Resting::of(Name::Stack(stack.name), context)
        {
            out(&resting);
        }
    }
}

/// Whether all of a name is RAM. One that is longer than a page is not asked about.
fn is_readable(name: &str) -> bool {
    let start = name.as_ptr() as u64;
    let last = name.len().checked_sub(1).map(|last| start.wrapping_add(last as u64));
    last.is_none_or(|last| name.len() <= PAGE && mmu::is_ram(start) && mmu::is_ram(last))
}
