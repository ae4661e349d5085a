//! Holding interrupts back on the calling CPU, for as long as somebody wants it.

use super::{BY_DAIF, BY_V2, BY_V3, MASK, OPEN, V2, V3, is_v3, kind, rarely, v2, v3};
use crate::arch::{self, Hw, HwWord, mmio, regs};
use core::arch::asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille_protocol::{Left, MaskDepth};

/// `DAIF.I`
const DAIF_I: u64 = 1 << 7;

/// One CPU's part: how it holds interrupts back (one of the `BY_` numbers, as the tag), and how many guards have it do so. Touched by that
/// CPU alone, which may be interrupted at any point: see [`MaskDepth`].
#[repr(C)]
pub(crate) struct Masking {
    depth: MaskDepth<Hw>,
    /// What `DAIF` was when the first guard came, where it is by `DAIF`.
    daif: AtomicU64,
    /// Where the priority mask is, where it is a device register; else 0.
    pmr: AtomicU64,
}

const _: () = assert!(BY_DAIF == MaskDepth::<Hw>::OPEN);

// Relaxed throughout: see above.
impl Masking {
    /// Of a CPU whose interrupt controller is not set up: by `DAIF`.
    pub(crate) const fn new() -> Self {
        Self {
            depth: MaskDepth::from_parts(HwWord::with(MaskDepth::<Hw>::OPEN)),
            daif: AtomicU64::new(0),
            pmr: AtomicU64::new(0),
        }
    }

    /// This CPU begins a life, in which its interrupt controller is not set up yet.
    pub(crate) fn reset(&self) {
        self.depth.reset(BY_DAIF);
    }

    /// From now on this CPU holds interrupts back in this way. No guard is alive.
    pub(super) fn choose(&self, how: u64) {
        if how == BY_V2 {
            self.pmr.store(v2::mask_address(), Ordering::Relaxed);
        }
        self.depth.reset(how);
    }

    /// One guard more.
    #[inline(always)]
    pub(crate) fn begin(&self) {
        self.begin_in_way(self.depth.tag());
    }

    #[inline(always)]
    fn begin_in_way(&self, how: u64) {
        if is_v3(how) {
            self.depth.begin(|| v3::set_priority_mask(MASK.into()));
        } else if how == BY_V2 {
            self.depth.begin(|| self.raise_v2());
        } else {
            self.begin_by_daif();
        }
    }

    /// The same unless this CPU is at NMI level: then nothing has happened.
    #[inline(always)]
    pub(crate) fn begin_below_nmi(&self) -> bool {
        let how = self.depth.tag();
        if is_v3(how) {
            self.depth.begin_below_nmi(|| v3::set_priority_mask(MASK.into()))
        } else if how == BY_V2 {
            self.depth.begin_below_nmi(|| self.raise_v2())
        } else if self.depth.is_nmi() {
            false
        } else {
            self.begin_by_daif();
            true
        }
    }

    /// The same unless interrupts are held back already.
    #[inline(always)]
    pub(crate) fn begin_if_open(&self) -> bool {
        // An interrupt that comes between the look and the raising leaves everything as it was.
        if regs::daif() & DAIF_I != 0 {
            return false;
        }
        let Some(how) = self.depth.tag_if_open() else { return false };
        self.begin_in_way(how);
        true
    }

    /// As [`v2::set_mask`], and this one is at hand.
    #[inline(always)]
    fn raise_v2(&self) {
        // SAFETY: the priority mask of a GICv2, mapped for ever, where the tag says that there is one.
        unsafe { mmio::write(self.pmr.load(Ordering::Relaxed) as usize, u32::from(MASK)) };
        // As there: masking holds from here on.
        arch::dsb_sy();
    }

    #[inline(never)]
    fn begin_by_daif(&self) {
        if !holds_by_priority_all_the_same() {
            let (first, daif) = self.depth.begin(regs::daif_mask);
            if first {
                self.daif.store(daif, Ordering::Relaxed);
            }
        } else if kind() == V2 {
            self.depth.begin(|| v2::set_mask(MASK));
        } else {
            self.depth.begin(|| v3::set_priority_mask(MASK.into()));
        }
    }

    /// One guard less.
    #[inline(always)]
    pub(crate) fn end(&self) {
        let left = self.depth.end();
        if left.is_nobody_but(BY_V3) {
            v3::set_priority_mask(OPEN.into());
        } else if left.is_nobody() {
            rarely();
            self.lower_otherwise(left);
        }
    }

    /// Lowers what is no plain GICv3's priority mask, when nobody is `left`.
    ///
    /// In assembly, because guards end all over the place, and the compiler has them end in a function of its own, for twice the instructions,
    /// where it takes their end for more than a handful. A GICv2's mask is lowered here, all else by a call.
    #[inline(always)]
    fn lower_otherwise(&self, left: Left) {
        extern "C" fn lower(masking: &Masking) {
            match masking.depth.tag() {
                BY_DAIF if !holds_by_priority_all_the_same() => {
                    regs::daif_restore(masking.daif.load(Ordering::Relaxed));
                }
                BY_DAIF if kind() == V2 => v2::open_mask(),
                _ => v3::set_priority_mask_hint(OPEN.into()),
            }
        }
        // SAFETY: `pmr` is the address of the priority mask of a GICv2, mapped for ever, where the tag says that there is one, and
        // lowering it is what is wanted. Else a call of a function as AAPCS64 has it: the argument is in x0, the stack is aligned, and all
        // that the function may change is declared as changed.
        unsafe {
            asm!(
                "cmp {left:w}, #{V2}",
                "b.ne 2f",
                "ldr x0, [x0, #{PMR}]",
                "str {open:w}, [x0]",
                "b 3f",
                "2: bl {lower}",
                "3:",
                left = in(reg) left.tag(),
                open = in(reg) u64::from(OPEN),
                V2 = const BY_V2,
                PMR = const offset_of!(Self, pmr),
                lower = sym lower,
                in("x0") self,
                clobber_abi("C")
            );
        }
    }

    /// Whether this CPU holds normal interrupts back.
    #[inline(always)]
    pub(crate) fn is_masked(&self) -> bool {
        regs::daif() & DAIF_I != 0 || self.depth.is_held()
    }

    /// Whether this CPU is at NMI level.
    #[inline(always)]
    pub(crate) fn is_nmi(&self) -> bool {
        self.depth.is_nmi()
    }

    /// Runs `f` at NMI level, and leaves everything as it was. With normal interrupts held back by whatever the caller relies on.
    pub(crate) fn at_nmi_level<R>(&self, f: impl FnOnce() -> R) -> R {
        // `DAIF` comes back with the return from the exception, or is not touched.
        let look = || match kind() {
            V3 => v3::priority_mask(),
            V2 => v2::mask().into(),
            _ => 0,
        };
        let put_back = |mask| match kind() {
            V3 => v3::set_priority_mask_hint(mask),
            V2 => v2::set_mask(mask as u8),
            _ => {}
        };
        self.depth.at_nmi_level(look, put_back, f)
    }
}

/// Where it is by `DAIF`: a handler's `DAIF` ends with the handler, so a section that does not (its guard was forgotten) has to be held
/// by what outlives it. In a handler the priority mask is as good, and there is a controller.
#[inline(always)]
fn holds_by_priority_all_the_same() -> bool {
    regs::on_exception_stack() && kind() != 0
}
