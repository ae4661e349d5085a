//! Words that move between CPUs with every message: each operation is one access, so that the line comes once, to be written.
//!
//! A load and a store exclusive are two: the line comes to be read, and is then asked for again, to be written. So it is the LSE atomics
//! (FEAT_LSE) where the CPUs have them; where not, a hint before the loop asks for the line as a store would. Which it is is a matter of a
//! static key. Both forms are atomic against each other, and the two instructions between which a site is patched may be executed while
//! they change (Arm ARM B2.2.5), so an operation may happen in any context; a CPU without the instructions executes none before it was
//! checked ([`forgo_lse`](crate::patch)).

use crate::arch::{Hw, rarely};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille_protocol::{Arch, Word};

crate::__static_key! {
    /// The CPUs may lack the LSE atomics. Off is one NOP, and the instruction behind it.
    pub(crate) EXCLUSIVES, true
}

/// The backend of the protocols whose words are [`AtomicWord`]s.
pub(crate) struct Atomics;

impl Arch for Atomics {
    type Word = AtomicWord;

    #[inline(always)]
    fn now() -> u64 {
        Hw::now()
    }

    #[inline(always)]
    fn relax() {
        Hw::relax();
    }

    #[inline(always)]
    fn fence(order: Ordering) {
        Hw::fence(order);
    }
}

/// A shared word whose operations are single accesses.
#[repr(transparent)]
pub(crate) struct AtomicWord(AtomicU64);

impl AtomicWord {
    /// A word for a static.
    pub(crate) const fn with(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }
}

/// A read-modify-write: `$value` goes to where `$at` points, and what was there comes back. `$exclusive` makes of `{value}` and the old value in `{old}`
/// what a store exclusive writes, in `{new}`; `$lse` is the name of the instruction, as far as its ordering.
macro_rules! modify {
    ($word:expr, $value:expr, $order:expr, $lse:literal, $exclusive:literal) => {{
        let (word, value): (&AtomicU64, u64) = ($word, $value);
        let old: u64;
        if EXCLUSIVES.is_enabled() {
            rarely();
            // SAFETY: the address is that of an atomic. Acquire and Release both, which is at least what any caller asks for.
            unsafe {
                asm!(
                    "prfm pstl1keep, [{at}]",
                    "2: ldaxr {old}, [{at}]",
                    $exclusive,
                    "stlxr {failed:w}, {new}, [{at}]",
                    "cbnz {failed:w}, 2b",
                    at = in(reg) word.as_ptr(), value = in(reg) value, old = out(reg) old, new = out(reg) _, failed = out(reg) _,
                    options(nostack, preserves_flags)
                );
            }
            return old;
        }
        macro_rules! single {
            ($ordering:literal) => {
                // SAFETY: the key says that the CPUs have the instruction; the address is that of an atomic.
                unsafe {
                    asm!(
                        ".arch_extension lse",
                        concat!($lse, $ordering, " {value}, {old}, [{at}]"),
                        at = in(reg) word.as_ptr(), value = in(reg) value, old = lateout(reg) old,
                        options(nostack, preserves_flags)
                    )
                }
            };
        }
        match $order {
            Ordering::Relaxed => single!(""),
            Ordering::Acquire => single!("a"),
            Ordering::Release => single!("l"),
            _ => single!("al"),
        }
        old
    }};
}

impl Word for AtomicWord {
    fn new(value: u64) -> Self {
        Self::with(value)
    }

    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    #[inline(always)]
    fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }

    #[inline(always)]
    fn swap(&self, value: u64, order: Ordering) -> u64 {
        modify!(&self.0, value, order, "swp", "mov {new}, {value}")
    }

    #[inline(always)]
    fn compare_exchange(&self, current: u64, new: u64, success: Ordering, _: Ordering) -> Result<u64, u64> {
        let mut seen = current;
        if EXCLUSIVES.is_enabled() {
            rarely();
            // SAFETY: as in `modify`.
            unsafe {
                asm!(
                    "prfm pstl1keep, [{at}]",
                    "2: ldaxr {seen}, [{at}]",
                    "cmp {seen}, {current}",
                    "b.ne 3f",
                    "stlxr {failed:w}, {new}, [{at}]",
                    "cbnz {failed:w}, 2b",
                    "3:",
                    at = in(reg) self.0.as_ptr(), current = in(reg) current, new = in(reg) new, seen = out(reg) seen,
                    failed = out(reg) _, options(nostack)
                );
            }
        } else {
            macro_rules! single {
                ($ordering:literal) => {
                    // SAFETY: as in `modify`. Where it fails it orders as it would where not, which is at least what was asked for.
                    unsafe {
                        asm!(
                            ".arch_extension lse",
                            concat!("cas", $ordering, " {seen}, {new}, [{at}]"),
                            at = in(reg) self.0.as_ptr(), seen = inout(reg) seen, new = in(reg) new,
                            options(nostack, preserves_flags)
                        )
                    }
                };
            }
            match success {
                Ordering::Relaxed => single!(""),
                Ordering::Acquire => single!("a"),
                Ordering::Release => single!("l"),
                _ => single!("al"),
            }
        }
        if seen == current { Ok(seen) } else { Err(seen) }
    }

    #[inline(always)]
    fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        modify!(&self.0, value, order, "ldadd", "add {new}, {old}, {value}")
    }

    #[inline(always)]
    fn fetch_and(&self, mask: u64, order: Ordering) -> u64 {
        modify!(&self.0, !mask, order, "ldclr", "bic {new}, {old}, {value}")
    }

    #[inline(always)]
    fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
        modify!(&self.0, bits, order, "ldset", "orr {new}, {old}, {value}")
    }
}
