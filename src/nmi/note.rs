//! What CPUs note down about themselves when they are asked.

use crate::arch::exception::{Interrupted, IrqFrame};
use crate::backtrace::{self, Backtrace};
use core::fmt;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The summons to note down what was interrupted: no function of the image begins at its very first byte.
pub(super) const NOTE: u32 = 0;

/// Frames in a note, with what was interrupted.
const DEPTH: usize = 17;

/// What a CPU was doing when it was asked.
pub(super) struct Note {
    pc: AtomicU64,
    lr: AtomicU64,
    sp: AtomicU64,
    spsr: AtomicU64,
    len: AtomicUsize,
    frames: [AtomicU64; DEPTH],
}

impl Note {
    pub(super) const fn new() -> Self {
        let [pc, lr, sp, spsr] = [const { AtomicU64::new(0) }; 4];
        Self { pc, lr, sp, spsr, len: AtomicUsize::new(0), frames: [const { AtomicU64::new(0) }; DEPTH] }
    }

    /// Written by its own CPU in its handler. Relaxed throughout: the summons orders it before its end is seen.
    pub(super) fn take(&self, frame: &IrqFrame) {
        self.pc.store(frame.pc(), Ordering::Relaxed);
        self.lr.store(frame.lr, Ordering::Relaxed);
        self.sp.store(frame.stack_pointer(), Ordering::Relaxed);
        self.spsr.store(frame.spsr(), Ordering::Relaxed);
        #[cfg(feature = "fault-injection")]
        super::fault::in_the_middle();
        // What runs at a lower level has frames of another making.
        let known = if Interrupted::of(frame.spsr()) == Interrupted::Below { 0 } else { DEPTH };
        let mut len = 0;
        for (entry, address) in
            self.frames[..known].iter().zip(Backtrace::of_interrupted(frame.pc(), frame.lr, frame.fp))
        {
            entry.store(address, Ordering::Relaxed);
            len += 1;
        }
        self.len.store(len, Ordering::Relaxed);
    }
}

/// What a CPU was doing: the last note that it took of itself.
pub(crate) struct Noted(pub(super) &'static Note);

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(note) = self;
        let read = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let (pc, lr, sp, spsr) = (read(&note.pc), read(&note.lr), read(&note.sp), read(&note.spsr));
        write!(f, "  pc {pc:#x} lr {lr:#x} sp {sp:#x} spsr {spsr:#x}\n  backtrace:")?;
        let len = note.len.load(Ordering::Relaxed).min(DEPTH);
        backtrace::write(f, &mut note.frames[..len].iter().map(read))
    }
}
