//! Walking frame pointers (AAPCS64 6.4.6): each frame record is {previous record, return address}.

mod record;

use crate::arch::exception::{self, IrqFrame};
use crate::arch::mmu;
use crate::memory;
use core::fmt;

/// Frames of one backtrace.
const DEPTH: usize = 1024;
/// Entries of a printed one: a frame, or as many as lie on top of each other with the same address.
const ENTRIES: usize = 32;
/// Changes of stack in one backtrace: emergency, exception, thread, and one of the application's own.
const STACKS: usize = 4;

/// Writes addresses, each after a blank, those that repeat themselves once and with their number: the way into a recursion
/// is worth more than the recursion.
#[inline(never)]
pub(crate) fn write(out: &mut dyn fmt::Write, frames: &mut dyn Iterator<Item = u64>) -> fmt::Result {
    let mut following = frames.next();
    for _ in 0..ENTRIES {
        let Some(address) = following else { return Ok(()) };
        let mut times = 1;
        loop {
            following = frames.next();
            if following != Some(address) {
                break;
            }
            times += 1;
        }
        write!(out, " {address:#x}")?;
        if times > 1 {
            write!(out, " ({times} times)")?;
        }
    }
    if following.is_some() { out.write_str(" ...") } else { Ok(()) }
}

/// The functions that a CPU is in, innermost first, each by the address of an instruction of it: that of the call which it
/// waits for, one before the return address, or the one before which it was interrupted.
///
/// Whatever the registers and the records hold, this ends, and touches nothing but RAM: a record must be aligned, mapped as RAM
/// and lead to text of the image; on one stack each lies above the one before; the number of stacks is bounded.
pub(crate) struct Backtrace {
    /// What comes before the record at `fp`.
    first: [Option<u64>; 2],
    fp: u64,
    left: usize,
    stacks: usize,
}

impl Backtrace {
    /// Begins with the call that the record at `fp` belongs to.
    pub(crate) fn of_record(fp: u64) -> Self {
        Self { first: [None; 2], fp, left: DEPTH, stacks: STACKS }
    }

    /// Begins with the instruction at `pc`, where `lr` and `fp` were in x30 and x29.
    ///
    /// The caller of that function is in x30 alone where its record is not made yet, or gone again.
    pub(crate) fn of_interrupted(pc: u64, lr: u64, fp: u64) -> Self {
        Self { first: interrupted(pc, lr), ..Self::of_record(fp) }
    }

    /// Goes on with the record at `next`, if that may be one more.
    fn go_on(&mut self, next: u64) -> Option<()> {
        if next <= self.fp {
            self.stacks = self.stacks.checked_sub(1)?;
        }
        self.fp = next;
        Some(())
    }

    /// Past the record of an interrupt at `fp`, in its [`IrqFrame`], to what it has interrupted.
    fn interrupt(&mut self) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        let [lr, fp, pc] = read(self.fp.wrapping_sub(IrqFrame::LR_TO_RECORD))?;
        self.go_on(fp)?;
        self.first = interrupted(pc, lr);
        Some(())
    }
}

/// What was interrupted at `pc`; and who had called it, if its record does not say so.
fn interrupted(pc: u64, lr: u64) -> [Option<u64>; 2] {
    let call = lr.wrapping_sub(4);
    let from_register =
        memory::is_text(call) && (!memory::is_text(pc) || !record::stands(pc, memory::instruction));
    [Some(pc), from_register.then_some(call)]
}

impl Iterator for Backtrace {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if let Some(address) = self.first.iter_mut().find_map(Option::take) {
            return Some(address);
        }
        self.left = self.left.checked_sub(1)?;
        let [next, to] = read(self.fp)?;
        let call = to.wrapping_sub(4);
        if !memory::is_text(call) {
            return None;
        }
        self.go_on(next)?;
        if exception::is_interrupt(to) && self.interrupt().is_none() {
            // This is where it ends, past the handler.
            self.fp = 0;
        }
        Some(call)
    }
}

/// `N` words of the stack, if that is RAM.
pub(crate) fn read<const N: usize>(at: u64) -> Option<[u64; N]> {
    let last = at.checked_add(8 * (N as u64 - 1))?;
    if at == 0 || !at.is_multiple_of(8) || !mmu::is_ram(at) || !mmu::is_ram(last) {
        return None;
    }
    // SAFETY: a few words of mapped RAM, the first and the last as the MMU itself has said just now, so at most two pages; whatever
    // they hold is only compared.
    Some(unsafe { (at as *const [u64; N]).read() })
}
