//! The marks between which the plugin in `benches/lines/` counts. Without it they are an instruction each, and do nothing.

use core::arch::asm;

/// The operations: the place of a name in this list is its number.
const LIST: &[u8] = include_bytes!("../lines/operations.h");
const WORD: &[u8] = b"OPERATION(";

/// The number of the operation of this name.
///
/// # Panics
///
/// If the list has no such name: when it is compiled, for all uses here.
pub const fn number(name: &str) -> u32 {
    let (mut at, mut number) = (0, 0);
    while at + WORD.len() < LIST.len() {
        if has(LIST, at, WORD) {
            let start = at + WORD.len();
            if has(LIST, start, name.as_bytes()) && has(LIST, start + name.len(), b")") {
                return number;
            }
            number += 1;
        }
        at += 1;
    }
    panic!("no such operation in benches/lines/operations.h")
}

/// Whether `text` has `part` at this place.
const fn has(text: &[u8], at: usize, part: &[u8]) -> bool {
    let mut i = 0;
    while i < part.len() && at + i < text.len() && text[at + i] == part[i] {
        i += 1;
    }
    i == part.len()
}

/// Of a mark: the operation is over.
pub const END: u32 = 0x8000;

/// `movz xzr, #number, lsl #48`, as `benches/lines/marks.h` has it.
pub const fn instruction(number: u32) -> u32 {
    0xd2e0_001f | number << 5
}

/// The operation of this number begins here.
#[inline(always)]
pub fn begin<const NUMBER: u32>() {
    // SAFETY: it writes the register that reads as zero. The compiler moves no access to memory past it.
    unsafe { asm!(".inst {}", const instruction(NUMBER), options(nostack, preserves_flags)) }
}

/// It is over here.
#[inline(always)]
pub fn end<const NUMBER: u32>() {
    // SAFETY: as above.
    unsafe { asm!(".inst {}", const instruction(NUMBER | END), options(nostack, preserves_flags)) }
}
