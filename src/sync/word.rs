//! The one word of a lock, in the form that suits the machine as it is: with one CPU running, with several, with LSE.
//!
//! Which form is a matter of two static keys, so a lock costs no test of what the machine can do. All forms leave the word
//! exactly as the others would; so a lock that is held while the form changes stays held, and is given back in the new
//! form. Each operation happens with interrupts masked, from before the site to after the variant: a gathered CPU is
//! never inside one, nor has it chosen a form that no longer holds. Only the runtime's locks are built so; the protocols
//! always use atomics.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

crate::__static_key! {
    /// One CPU is online and no other can come to run: plain loads and stores will do.
    pub(crate) ALONE, false
}

crate::__static_key! {
    /// The CPUs have the LSE atomics (FEAT_LSE), which the code is not compiled for.
    pub(crate) LSE, false
}

/// Adds `value`, wrapping, and returns what the word held. With interrupts masked.
#[inline(always)]
pub(super) fn add(word: &AtomicU32, value: u32, order: Ordering) -> u32 {
    if ALONE.is_enabled() {
        let old = word.load(order_of_load(order));
        word.store(old.wrapping_add(value), order_of_store(order));
        return old;
    }
    if LSE.is_enabled() {
        let old: u32;
        // SAFETY: the key says that the CPUs have the instruction; the address is that of an atomic. Acquire and Release
        // both, which is at least what any caller asks for.
        unsafe {
            asm!(".arch_extension lse", "ldaddal {value:w}, {old:w}, [{at}]", value = in(reg) value, old = lateout(reg) old,
                at = in(reg) word.as_ptr(), options(nostack, preserves_flags));
        }
        return old;
    }
    word.fetch_add(value, order)
}

/// Writes `new` if the word holds `current`. With interrupts masked.
#[inline(always)]
pub(super) fn replace(word: &AtomicU32, current: u32, new: u32) -> bool {
    if ALONE.is_enabled() {
        let same = word.load(Ordering::Relaxed) == current;
        if same {
            word.store(new, Ordering::Relaxed);
        }
        return same;
    }
    if LSE.is_enabled() {
        let mut seen = current;
        // SAFETY: as in `add`.
        unsafe {
            asm!(".arch_extension lse", "casa {seen:w}, {new:w}, [{at}]", seen = inout(reg) seen, new = in(reg) new,
                at = in(reg) word.as_ptr(), options(nostack, preserves_flags));
        }
        return seen == current;
    }
    // Acquire: the callers'.
    word.compare_exchange(current, new, Ordering::Acquire, Ordering::Relaxed).is_ok()
}

const fn order_of_load(order: Ordering) -> Ordering {
    if matches!(order, Ordering::Acquire) { Ordering::Acquire } else { Ordering::Relaxed }
}

const fn order_of_store(order: Ordering) -> Ordering {
    if matches!(order, Ordering::Release) { Ordering::Release } else { Ordering::Relaxed }
}
