//! The word of a lock, in the form that suits the machine as it is: with one CPU running, with several, with LSE.
//!
//! Which form is a matter of two static keys, so a lock costs no test of what the machine can do. All forms leave the word
//! exactly as the others would; so a lock that is held while the form changes stays held, and is given back in the new
//! form. Each operation happens with interrupts masked, from before the site to after the variant: a gathered CPU is
//! never inside one, nor has it chosen a form that no longer holds. Only the runtime's locks are built so; the other protocols
//! always use atomics.

use crate::arch;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille_protocol::LockWord;

crate::__static_key! {
    /// One CPU is online and no other can come to run: plain loads and stores will do.
    pub(crate) ALONE, false
}

crate::__static_key! {
    /// The CPUs have the LSE atomics (FEAT_LSE), which the code is not compiled for.
    pub(crate) LSE, false
}

/// The word.
#[repr(transparent)]
pub(crate) struct HwLockWord(AtomicU64);

/// The words of a lock.
pub(super) type Turnstile = reveille_protocol::Turnstile<HwLockWord>;

impl HwLockWord {
    /// A word for a static.
    pub(super) const fn with(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }
}

impl LockWord for HwLockWord {
    fn new(value: u64) -> Self {
        Self::with(value)
    }

    #[inline(always)]
    fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }

    /// A store of one half-word beside exclusives of the whole word: either it comes before such a pair, which sees it, or it ends the pair
    /// without a store (Arm ARM B2.12.2); and beside a `cas`, which is one access.
    #[inline(always)]
    fn clear_low_half(&self, _: Ordering) {
        // Release, which is at least what any caller asks for.
        // SAFETY: one of the half-words of an atomic, the lowest of a little-endian word.
        unsafe { asm!("stlrh wzr, [{at}]", at = in(reg) self.0.as_ptr(), options(nostack, preserves_flags)) };
    }

    #[inline(always)]
    fn replace(&self, current: u64, new: u64) -> bool {
        replace(&self.0, current, new)
    }

    #[inline(always)]
    fn fence(order: Ordering) {
        core::sync::atomic::fence(order);
    }

    /// Partner of the WFE in the waits for a lock.
    #[inline(always)]
    fn wake() {
        // The store before it is visible first.
        arch::dsb_ishst();
        arch::sev();
    }
}

#[inline(always)]
fn replace(word: &AtomicU64, current: u64, new: u64) -> bool {
    if ALONE.is_enabled() {
        let same = word.load(Ordering::Relaxed) == current;
        if same {
            word.store(new, Ordering::Relaxed);
        }
        return same;
    }
    if LSE.is_enabled() {
        let mut seen = current;
        // SAFETY: the key says that the CPUs have the instruction; the address is that of an atomic.
        unsafe {
            asm!(".arch_extension lse", "cas {seen}, {new}, [{at}]", seen = inout(reg) seen, new = in(reg) new,
                at = in(reg) word.as_ptr(), options(nostack, preserves_flags));
        }
        return seen == current;
    }
    word.compare_exchange(current, new, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}
