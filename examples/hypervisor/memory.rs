//! The memory of guests, mapped by stage 2.

use crate::registers::read;
use core::arch::asm;
use reveille::memory::Pages;

/// Where a guest has its RAM, and its devices: as on QEMU's `virt`.
pub const RAM: u64 = 0x4000_0000;
pub const UART: u64 = 0x0900_0000;
pub const DISTRIBUTOR: u64 = 0x0800_0000;
pub const CPU_INTERFACE: u64 = 0x0801_0000;
pub const REDISTRIBUTORS: u64 = 0x080a_0000;
/// Bytes from one redistributor to the next.
pub const REDISTRIBUTOR: u64 = 0x2_0000;
const PAGE: u64 = 0x1000;
const BLOCK: u64 = 0x20_0000;

/// As many bytes of zeros, in blocks, that nobody else has.
pub fn take(bytes: u64) -> Option<&'static mut [u8]> {
    let pages = Pages::aligned(bytes.next_multiple_of(BLOCK) as usize, BLOCK as usize).ok()?;
    // SAFETY: `zeroed` has written all of it.
    Some(unsafe { &mut *(core::ptr::from_mut(pages.zeroed().leak()) as *mut [u8]) })
}

/// Stage-2 tables of a guest: 39 bits of intermediate physical address, so a table of 1 GiB each comes first (Arm ARM D8.2, D8.3).
pub fn stage2(tables: &mut [u8], ram: &[u8], cpu_interface: Option<u64>) -> u64 {
    const TABLE: u64 = 0b11;
    const ACCESSED: u64 = 1 << 10;
    /// Read and write, and an inner shareable block of write-back memory; a page of Device-nGnRE, not executable.
    const MEMORY: u64 = ACCESSED | 0b11 << 8 | 0b11 << 6 | 0b1111 << 2 | 0b01;
    const DEVICE: u64 = 1 << 54 | ACCESSED | 0b11 << 6 | 0b0001 << 2 | 0b11;
    let base = tables.as_ptr() as u64;
    let mut set = |table: u64, index: u64, entry: u64| {
        let at = (table * PAGE + index % 512 * 8) as usize;
        tables[at..at + 8].copy_from_slice(&entry.to_le_bytes());
    };
    set(0, RAM >> 30, (base + PAGE) | TABLE);
    let at = ram.as_ptr() as u64;
    for block in 0..ram.len() as u64 / BLOCK {
        set(1, (RAM >> 21) + block, (at + block * BLOCK) | MEMORY);
    }
    if let Some(registers) = cpu_interface {
        set(0, CPU_INTERFACE >> 30, (base + 2 * PAGE) | TABLE);
        set(2, CPU_INTERFACE >> 21, (base + 3 * PAGE) | TABLE);
        set(3, CPU_INTERFACE >> 12, registers | DEVICE);
        set(3, (CPU_INTERFACE >> 12) + 1, (registers + PAGE) | DEVICE);
    }
    publish(&tables[..4 * PAGE as usize]);
    base
}

/// `VTCR_EL2`: 39 bits, from level 1 on, 4 KiB granule, walks through the caches, and as many physical bits as there are.
pub fn vtcr() -> u64 {
    let range = (read!("id_aa64mmfr0_el1") & 0xf).min(5);
    1 << 31 | range << 16 | 0b11 << 12 | 0b01 << 10 | 0b01 << 8 | 0b01 << 6 | 25
}

/// What was stored to `memory` is where a CPU finds it that has its MMU off, and no instruction is older. The walker looks in the caches.
pub fn publish(memory: &[u8]) {
    let line = 4 << (read!("ctr_el0") >> 16 & 0xf);
    for at in (memory.as_ptr() as usize..memory.as_ptr() as usize + memory.len()).step_by(line) {
        // SAFETY: cleans a line of memory that is ours.
        unsafe { asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags)) };
    }
    // SAFETY: maintenance of caches and of the TLBs of all CPUs, and that it is over.
    unsafe { asm!("dsb sy; ic ialluis; tlbi alle1is; dsb sy; isb", options(nostack, preserves_flags)) };
}

/// The TLB of this CPU, and what it has fetched, hold nothing any more of the guest whose tables are in use.
pub fn forget_translations() {
    // SAFETY: takes translations out of this CPU's TLB, and instructions out of its cache.
    unsafe { asm!("tlbi vmalle1", "ic iallu", "dsb nsh", "isb", options(nostack, preserves_flags)) };
}
