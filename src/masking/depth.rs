//! Holding interrupts back on the calling CPU, for as long as somebody wants it.

use super::how::{ANY_V3_BIT, BY_DAIF, BY_V2, V2_BIT, is_plain_v3, is_v3};
use super::priority::{self, MASK, OPEN};
use crate::arch::exception::IrqFrame;
use crate::arch::regs::DAIF_I;
use crate::arch::{Hw, HwWord, regs};
use crate::percpu::area;
use core::arch::asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille_protocol::MaskDepth;

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

    /// From now on this CPU holds interrupts back in this way; `pmr` is where the priority mask of a GICv2 is.
    ///
    /// # Safety
    ///
    /// As for [`super::choose`].
    pub(super) unsafe fn choose(&self, how: u64, pmr: u64) {
        self.pmr.store(pmr, Ordering::Relaxed);
        self.depth.reset(how);
    }

    /// One guard more. `here` says, once interrupts are held back, whose part this is: the caller's may have been another CPU's before. Those hold
    /// interrupts back in the same way where threads run, but that one may begin another life just now, and then does so by `DAIF` for a while.
    #[inline(always)]
    pub(crate) fn begin<'a>(&self, here: impl FnOnce() -> &'a Self) {
        let how = self.depth.tag();
        if is_v3(how) {
            MaskDepth::begin(|| priority::write_v3(MASK.into()), || &here().depth);
        } else if how & BY_V2 != 0 {
            MaskDepth::begin(|| self.raise_v2(), || &here().depth);
        } else {
            Self::begin_by_daif(here);
        }
    }

    /// The same unless this CPU is at NMI level: then nothing has happened.
    #[inline(always)]
    pub(crate) fn begin_below_nmi<'a>(&self, here: impl FnOnce() -> &'a Self) -> bool {
        let how = self.depth.tag();
        if is_v3(how) {
            MaskDepth::begin_below_nmi(|| priority::write_v3(MASK.into()), || &here().depth)
        } else if how & BY_V2 != 0 {
            MaskDepth::begin_below_nmi(|| self.raise_v2(), || &here().depth)
        } else {
            let daif = regs::daif_mask();
            let own = here();
            if own.is_by_another_way() {
                return Self::settle(daif, || own.begin_below_nmi_here());
            }
            if own.depth.is_nmi() {
                regs::daif_restore(daif);
                return false;
            }
            own.count_by_daif(daif);
            true
        }
    }

    /// The same unless interrupts are held back already.
    #[inline(always)]
    pub(crate) fn begin_if_open<'a>(&self, here: impl FnOnce() -> &'a Self) -> bool {
        if regs::daif() & DAIF_I != 0 {
            return false;
        }
        let how = self.depth.tag();
        if is_v3(how) {
            MaskDepth::begin_if_open(|| priority::write_v3(MASK.into()), || &here().depth)
        } else if how & BY_V2 != 0 {
            MaskDepth::begin_if_open(|| self.raise_v2(), || &here().depth)
        } else {
            let daif = regs::daif_mask();
            let own = here();
            if own.is_by_another_way() {
                return Self::settle(daif, || !own.depth.is_held() && own.begin_below_nmi_here());
            }
            if own.depth.is_held() {
                // A handler that came before the masking has left a guard, and that does not open what the guard keeps closed.
                return false;
            }
            own.count_by_daif(daif);
            true
        }
    }

    /// One guard more on this CPU, which holds interrupts back by `DAIF`, and whose `DAIF` was this before: it is again, unless that is this CPU's way.
    pub(crate) fn begin_closed(&self, daif: u64) {
        if self.depth.tag() == BY_DAIF {
            self.count_by_daif(daif);
        } else {
            self.begin(|| self);
            regs::daif_restore(daif);
        }
    }

    #[inline(always)]
    fn raise_v2(&self) {
        // SAFETY: the priority mask of a GICv2, mapped for ever, where the tag says that there is one; it has the same address on each CPU, to
        // which it is its own (IHI 0048, 2.3).
        unsafe { priority::write_v2(self.pmr.load(Ordering::Relaxed), MASK) };
    }

    #[inline(always)]
    fn begin_by_daif<'a>(here: impl FnOnce() -> &'a Self) {
        let daif = regs::daif_mask();
        let own = here();
        if own.is_by_another_way() {
            Self::settle(daif, || own.begin_below_nmi_here());
            return;
        }
        own.count_by_daif(daif);
    }

    /// Whether this CPU, which has masked by `DAIF` because another one does, has its own way.
    #[inline(always)]
    fn is_by_another_way(&self) -> bool {
        area::threads_move() && self.depth.tag() != BY_DAIF
    }

    /// Has the mask raised by `begin`, in this CPU's own way, in place of `DAIF`, which was this. It was open: a thread has been moved.
    #[cold]
    #[inline(never)]
    fn settle(daif: u64, begin: impl FnOnce() -> bool) -> bool {
        let begun = begin();
        regs::daif_restore(daif);
        begun
    }

    /// In the CPU's own way, which it knows itself. Nobody at NMI level is moved, so this is any beginning.
    fn begin_below_nmi_here(&self) -> bool {
        self.begin_below_nmi(|| self)
    }

    /// What a guard that is alive keeps masked in `DAIF`.
    pub(crate) fn kept_in_daif(&self) -> u64 {
        if self.depth.is_held() && self.depth.tag() == BY_DAIF { regs::DAIF_I | regs::DAIF_F } else { 0 }
    }

    /// One guard more on this CPU, which has masked, and whose `DAIF` was this before.
    #[inline(always)]
    fn count_by_daif(&self, daif: u64) {
        if MaskDepth::begin(|| (), || &self.depth) {
            self.daif.store(daif, Ordering::Relaxed);
        }
    }

    /// One guard less.
    #[inline(always)]
    pub(crate) fn end(&self) {
        if let Some(how) = self.depth.end() {
            self.lower(how);
        }
    }

    /// The same with `DAIF` left as it is: at the end of a handler, which has closed it.
    #[inline(always)]
    pub(crate) fn end_closed(&self) {
        match self.depth.end() {
            None | Some(BY_DAIF) => {}
            Some(how) => self.lower(how),
        }
    }

    /// Lowers the mask when the last guard has ended.
    #[inline(always)]
    fn lower(&self, how: u64) {
        if is_plain_v3(how) {
            priority::write_v3(OPEN.into());
        } else {
            self.lower_otherwise(how);
        }
    }

    /// The same, `how` being any way.
    ///
    /// In assembly, because guards end all over the place, and the compiler has them end in a function of its own, for twice the
    /// instructions, where it takes their end for more than a handful.
    #[inline(always)]
    fn lower_otherwise(&self, how: u64) {
        // SAFETY: the mask that the tag says: `DAIF` goes back to what the first guard found; `pmr` is the address of the priority mask of
        // a GICv2, mapped for ever; ICC_PMR_EL1 exists where there is a GICv3, and where that is also a hint for the redistributor a DSB
        // follows (as in `priority::write_v3_hint`). Not `nomem`: nothing moves out of a masked section.
        unsafe {
            asm!(
                "tbnz {how}, #{V2}, 2f",
                "tbnz {how}, #{ANY_V3}, 3f",
                "ldr {masking}, [{masking}, #{DAIF}]",
                "msr daif, {masking}",
                "b 4f",
                "3: msr S3_0_C4_C6_0, {open}",
                "dsb sy",
                "b 4f",
                "2: ldr {masking}, [{masking}, #{PMR}]",
                "str {open:w}, [{masking}]",
                "4:",
                how = in(reg) how,
                open = in(reg) u64::from(OPEN),
                masking = inout(reg) self => _,
                V2 = const V2_BIT,
                ANY_V3 = const ANY_V3_BIT,
                DAIF = const offset_of!(Self, daif),
                PMR = const offset_of!(Self, pmr),
                options(nostack, preserves_flags)
            );
        }
    }

    /// At the end of an interrupt that returns to `frame`, with `DAIF` closed: a guard that a handler has forgotten holds on.
    #[inline(always)]
    pub(crate) fn end_interrupt(&self, frame: &IrqFrame) {
        if self.depth.is_held() {
            self.hold_on(frame);
        }
    }

    #[cold]
    fn hold_on(&self, frame: &IrqFrame) {
        // What holds back by priority does so until it is told otherwise. `DAIF` comes back with the return.
        if self.depth.tag() == BY_DAIF {
            frame.return_masked();
        }
    }

    /// Whether a guard is alive.
    #[inline(always)]
    pub(crate) fn is_held(&self) -> bool {
        self.depth.is_held()
    }

    /// Opens `DAIF` for good, unless it is what a guard holds interrupts back by.
    ///
    /// # Safety
    ///
    /// As [`regs::daif_open`].
    #[inline(always)]
    pub(crate) unsafe fn open_daif(&self) {
        if !self.depth.is_held() || self.depth.tag() != BY_DAIF {
            // SAFETY: the caller's.
            unsafe { regs::daif_open() };
        }
    }

    /// Whether this CPU, in an interrupt, lets normal ones in when that is over, by the priority mask as it is: an interrupt of NMI class comes
    /// between the raising of it and the count too, and one that was on its way when it was raised is none any more.
    #[inline(always)]
    pub(crate) fn is_open_after(&self) -> bool {
        let Some(how) = self.depth.tag_if_open() else { return false };
        if is_v3(how) {
            priority::read_v3() > MASK.into()
        } else if how & BY_V2 != 0 {
            // SAFETY: as in `raise_v2`.
            unsafe { priority::read_v2(self.pmr.load(Ordering::Relaxed)) > MASK }
        } else {
            true
        }
    }

    /// Whether this CPU is at NMI level.
    #[inline(always)]
    pub(crate) fn is_nmi(&self) -> bool {
        self.depth.is_nmi()
    }

    /// Runs `f` at NMI level, and leaves everything as it was. With normal interrupts held back by whatever the caller relies on.
    pub(crate) fn at_nmi_level<R>(&self, f: impl FnOnce() -> R) -> R {
        // `DAIF` comes back with the return from the exception, or is not touched.
        let how = self.depth.tag();
        let pmr = self.pmr.load(Ordering::Relaxed);
        let look = || match how {
            BY_DAIF => 0,
            // SAFETY: as in `raise_v2`.
            BY_V2 => unsafe { priority::read_v2(pmr) }.into(),
            _ => priority::read_v3(),
        };
        let put_back = |mask| match how {
            BY_DAIF => {}
            // SAFETY: as in `raise_v2`.
            BY_V2 => unsafe { priority::write_v2(pmr, mask as u8) },
            _ => priority::write_v3_hint(mask),
        };
        self.depth.at_nmi_level(look, put_back, f)
    }
}
