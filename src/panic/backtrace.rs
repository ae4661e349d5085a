//! Walking frame pointers (AAPCS64 6.4.6): each frame record is {previous record, return address}.

use crate::cpu::area::Area;
use crate::system::memory;
use core::arch::asm;

/// Frames of one backtrace.
const DEPTH: usize = 32;

/// The frame pointer of the caller.
#[inline(always)]
pub(super) fn frame_pointer() -> u64 {
    let fp: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, x29", out(reg) fp, options(nomem, nostack, preserves_flags)) };
    fp
}

/// The return addresses on the stacks of `area`'s CPU, from the frame record at `fp` outwards.
///
/// Corrupt records end the walk: a record must be aligned, lie on a stack of this CPU, and lead to code of the
/// image. From an exception stack the chain goes on to the interrupted thread's, once.
pub(super) struct Backtrace<'a> {
    area: &'a Area,
    fp: u64,
    left: usize,
}

impl<'a> Backtrace<'a> {
    pub(super) fn new(area: &'a Area, fp: u64) -> Self {
        Self { area, fp, left: DEPTH }
    }
}

impl Iterator for Backtrace<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        if !self.fp.is_multiple_of(8) || !self.area.owns_stack(self.fp) || !self.area.owns_stack(self.fp + 15) {
            return None;
        }
        // SAFETY: 16 bytes of a mapped stack, checked just now; whatever they hold is only compared.
        let [next, pc] = unsafe { (self.fp as *const [u64; 2]).read() };
        let (start, end) = memory::image();
        if !(start..end).contains(&pc) {
            return None;
        }
        self.fp = next;
        Some(pc)
    }
}
