//! Which way of holding interrupts back this machine has.

use super::depth::Masking;
use super::how::BY_DAIF;
use crate::percpu::area::{Area, Part};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use reveille_machine::BootArgs;

/// The bootarg `reveille.mask=daif`: plain masking.
static DAIF_WANTED: AtomicBool = AtomicBool::new(false);

/// How interrupts are masked. By `DAIF` until the controller works, or for good if the bootargs want it so.
static CHOICE: AtomicU64 = AtomicU64::new(BY_DAIF);

/// Reads the bootarg `reveille.mask`: `priority` (default) or `daif`. By the boot CPU, before [`choose`].
pub(crate) fn init(args: BootArgs<'_>) {
    DAIF_WANTED.store(args.chooses("reveille.mask", "priority", "daif"), Ordering::Relaxed);
}

/// The interrupt controller of the CPU of `own`, which is this one, works: from now on interrupts are masked by its priority mask,
/// unless the bootargs want it otherwise. `how` is one of the `BY_` numbers, `pmr` the address of the mask of a GICv2.
///
/// # Safety
///
/// `own` is this CPU's, no guard is alive on it, and its part of a controller of the kind of `how` is set up. If that is a GICv2, `pmr` is the
/// address of the priority mask of its CPU interface, mapped for ever.
pub(crate) unsafe fn choose(own: &Area, how: u64, pmr: u64) {
    if !DAIF_WANTED.load(Ordering::Relaxed) {
        CHOICE.store(how, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { Masking::of(own).choose(how, pmr) };
    }
}

/// Whether masking is by `DAIF.I` and nothing else.
pub(crate) fn by_daif_alone() -> bool {
    // Relaxed: set by the boot CPU before any other runs, which `kick` and `arrive` order.
    CHOICE.load(Ordering::Relaxed) == BY_DAIF
}
