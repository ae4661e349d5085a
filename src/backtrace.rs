//! Walking frame pointers (AAPCS64 6.4.6): each frame record is {previous record, return address}.

use crate::arch::mmu;
use crate::memory;
use core::fmt;

/// Frames of one backtrace.
const DEPTH: usize = 1024;
/// Entries of a printed one: a frame, or as many as lie on top of each other with the same address.
const ENTRIES: usize = 32;
/// Changes of stack in one backtrace: emergency, exception, thread, and one of the application's own.
const STACKS: usize = 4;

/// Writes the addresses of a backtrace, each after a blank, those that repeat themselves once and with their number: the
/// way into a recursion is worth more than the recursion.
pub(crate) fn write(out: &mut impl fmt::Write, pc: Option<u64>, fp: u64) -> fmt::Result {
    let mut frames = pc.into_iter().chain(Backtrace::new(fp)).peekable();
    for _ in 0..ENTRIES {
        let Some(address) = frames.next() else { return Ok(()) };
        let mut times = 1;
        while frames.next_if_eq(&address).is_some() {
            times += 1;
        }
        write!(out, " {address:#x}")?;
        if times > 1 {
            write!(out, " ({times} times)")?;
        }
    }
    if frames.next().is_some() { out.write_str(" ...") } else { Ok(()) }
}

/// Where the functions were called from whose frames begin with the record at `fp`, innermost first.
///
/// The addresses are those of the calls, one instruction before the return addresses.
///
/// Whatever `fp` and the records hold, this ends, and touches nothing but RAM: a record must be aligned, mapped as RAM and
/// lead to text of the image; on one stack each lies above the one before; the number of stacks is bounded.
pub(crate) struct Backtrace {
    fp: u64,
    left: usize,
    stacks: usize,
}

impl Backtrace {
    /// Begins with the record at `fp`.
    pub(crate) fn new(fp: u64) -> Self {
        Self { fp, left: DEPTH, stacks: STACKS }
    }
}

impl Iterator for Backtrace {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        let fp = self.fp;
        if fp == 0 || !fp.is_multiple_of(8) || !mmu::is_ram(fp) || !mmu::is_ram(fp.checked_add(8)?) {
            return None;
        }
        // SAFETY: 16 bytes of mapped RAM, as the MMU itself has said just now; whatever they hold is only compared.
        let [next, lr] = unsafe { (fp as *const [u64; 2]).read() };
        let pc = lr.wrapping_sub(4);
        if !memory::is_text(pc) {
            return None;
        }
        if next <= fp {
            self.stacks = self.stacks.checked_sub(1)?;
        }
        self.fp = next;
        Some(pc)
    }
}
