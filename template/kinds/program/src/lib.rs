//! What this program does, apart from its entry, so that tests can call it.

#![no_std]

use reveille::call::{self, CallError};
use reveille::cpu;

/// Has every CPU that is online add its id, one after the other.
pub fn sum_of_ids() -> Result<usize, CallError> {
    let mut sum = 0;
    for cpu in cpu::online() {
        // Runs there, borrows from this stack, and is over when `on` returns.
        call::on(cpu, || sum += cpu.index())?;
    }
    Ok(sum)
}
