//! A counter that survives a warm reset.

use core::arch::asm;
use reveille::System;

/// Tells the cell from whatever the memory holds after power-on.
const MAGIC: u64 = 0x6c69_7665_735f_6f66;

/// Counts the boots of this run of the machine, and keeps one word from each for the next.
pub struct Reboots {
    cell: *mut [u64; 3],
}

impl Reboots {
    /// Begins another life: the number of it, 0 for the first, is [`Reboots::number`] from now on.
    ///
    /// # Panics
    ///
    /// If there is no free memory.
    pub fn begin(system: &'static System) -> Self {
        let Some(piece) = system.free_memory().last() else { panic!("there is no free memory") };
        let lives = Self { cell: (piece.base + piece.size - 4096) as *mut [u64; 3] };
        let [magic, number, word] = lives.read();
        lives.write(if magic == MAGIC { [MAGIC, number + 1, word] } else { [MAGIC, 0, 0] });
        lives
    }

    /// Which life this is.
    pub fn number(&self) -> u64 {
        self.read()[1]
    }

    /// What the last [`Reboots::leave`] left, 0 if there was none.
    pub fn left(&self) -> u64 {
        self.read()[2]
    }

    /// Leaves a word to the lives that follow.
    pub fn leave(&self, word: u64) {
        let [magic, number, _] = self.read();
        self.write([magic, number, word]);
    }

    fn read(&self) -> [u64; 3] {
        // SAFETY: free memory is the application's, and this page of it this cell's.
        unsafe { self.cell.read_volatile() }
    }

    fn write(&self, words: [u64; 3]) {
        // SAFETY: as above; then it is cleaned to memory, where a reset does not reach it.
        unsafe {
            self.cell.write_volatile(words);
            asm!("dc civac, {}", "dsb sy", in(reg) self.cell, options(nostack, preserves_flags));
        }
    }
}
