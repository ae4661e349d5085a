//! AArch64 and nothing else: registers, barriers, MMU, caches, MMIO, frames of exceptions.
//!
//! No protocol lives here, and no way of a CPU: what assembly calls is in `life/`. Everything that must not be patched under a running
//! CPU - entry, pen, park, vectors - is in the section `.never_patch`.

mod barrier;
pub(crate) mod cache;
mod control;
pub(crate) mod exception;
mod hw;
pub(crate) mod mmio;
pub(crate) mod mmu;
pub(crate) mod needs;
pub(crate) mod regs;
#[cfg(feature = "trace")]
mod ring;
pub(crate) mod shared;
pub(crate) mod timer;

pub(crate) use barrier::{dmb_ld, dsb_ish, dsb_ishst, dsb_sy, isb, rarely, sev, wfe, wfi, yield_now};
pub(crate) use control::{
    SECURE_WRITE, SET_OFFSET, continue_on, last_word, may_read_physical_counter, park, probe, probe_register,
    stack_pointer,
};
pub(crate) use hw::{Hw, HwGate, HwSlot, HwWord};
#[cfg(feature = "trace")]
pub(crate) use ring::{HwRing, LOG as RING_LOG, RING_SIZE, closed as closed_ring};
