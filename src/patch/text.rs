//! Instructions in the text: checking, writing.

use super::{PatchError, SiteFault};
use crate::arch::mmu::PAGE;
use crate::arch::{self, cache};
use crate::memory;
use core::arch::asm;

/// `NOP` (Arm ARM C6.2.241).
pub(super) const NOP: u32 = 0xd503_201f;

/// `B` from `from` to `to` (Arm ARM C6.2.28): 26 bits of signed distance in instructions.
pub(crate) fn branch(from: u64, to: u64) -> Option<u32> {
    let distance = to.wrapping_sub(from).cast_signed();
    if distance % 4 != 0 || !(-(1 << 27)..1 << 27).contains(&distance) {
        return None;
    }
    Some(0x1400_0000 | ((distance >> 2) as u32 & 0x03ff_ffff))
}

/// Whether an instruction at `at` may be patched at all.
pub(crate) fn check_place(at: u64) -> Result<(), PatchError> {
    let fault = |fault| Err(PatchError::Site { at, fault });
    let (text, never) = memory::text();
    if !at.is_multiple_of(4) {
        return fault(SiteFault::Unaligned);
    }
    if !text.contains(&at) {
        return fault(SiteFault::NotText);
    }
    if never.contains(&at) {
        return fault(SiteFault::NeverPatched);
    }
    Ok(())
}

/// A page of the text, mapped writable (and not executable) beside its normal mapping, until it is dropped.
pub(super) struct Window {
    page: u64,
}

impl Window {
    /// Opens the page of `at`. All other CPUs are gathered.
    #[unsafe(link_section = ".never_patch")]
    pub(super) fn open(at: u64) -> Result<Self, PatchError> {
        let page = at & !(PAGE as u64 - 1);
        memory::open_window(page).map_err(|_| PatchError::Site { at, fault: SiteFault::Map })?;
        Ok(Self { page })
    }

    /// Whether `at` lies in it.
    pub(super) fn covers(&self, at: u64) -> bool {
        at & !(PAGE as u64 - 1) == self.page
    }

    /// Writes an instruction and makes it the one that is fetched, by this CPU as by the others once they synchronise.
    #[unsafe(link_section = ".never_patch")]
    pub(super) fn write(&self, at: u64, instruction: u32) {
        let alias = memory::WINDOW + (at - self.page);
        // SAFETY: the window is open on this page, and `at` is aligned. One 32-bit store, so a fetch gets the old or the
        // new instruction whole (Arm ARM B2.2.1).
        unsafe { (alias as *mut u32).write_volatile(instruction) };
        synchronise(at);
        // This CPU may come by here before it leaves the round.
        arch::isb();
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        memory::close_window();
    }
}

/// Makes the instruction at `at` visible to instruction fetches of all CPUs (Arm ARM B2.4.4): clean the data cache to the
/// Point of Unification, then invalidate the instruction cache, each with its barrier; either is left out where
/// `CTR_EL0` says on every CPU that it is not needed. The clean is a `dc civac`, which goes further than it must: early Cortex-A53 parts
/// want it in the place of `cvau` (errata 819472, 824069, 826319, 827319).
#[unsafe(link_section = ".never_patch")]
fn synchronise(at: u64) {
    let ctr = cache::common_type();
    if ctr & cache::IDC == 0 {
        // SAFETY: cleans and invalidates one line of the text, which changes no value that any CPU sees.
        unsafe { asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags)) };
    }
    // Orders the clean, or at least the store, before the invalidation.
    arch::dsb_ish();
    if ctr & cache::DIC == 0 {
        // SAFETY: invalidates one line of the instruction caches.
        unsafe { asm!("ic ivau, {}", in(reg) at, options(nostack, preserves_flags)) };
        // Completes the invalidation on all CPUs before any of them is let go.
        arch::dsb_ish();
    }
}
