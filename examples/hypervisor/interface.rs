//! The virtual interface of the interrupt controller: list registers, by which a vCPU is told of interrupts, and what goes with them. System
//! registers of a GICv3 (Arm IHI 0069, 12.4), registers in memory of a GICv2 (IHI 0048B, 5.3).

use crate::registers::{isb, read, registers, write};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// The most list registers there are.
const MAX_LISTS: usize = 16;
/// One list register.
#[derive(Clone, Copy)]
pub struct List {
    pub intid: u32,
    pub pending: bool,
    pub active: bool,
}

/// Where the registers of a GICv2 are; 0: it is a GICv3.
static GICH: AtomicU64 = AtomicU64::new(0);
const GICH_HCR: u64 = 0x0;
const GICH_VTR: u64 = 0x4;
const GICH_VMCR: u64 = 0x8;
const GICH_APR: u64 = 0xf0;
const GICH_LR: u64 = 0x100;

/// There is a GICv2, with these registers, mapped.
pub fn use_v2(registers: *mut u8) {
    GICH.store(registers as u64, Ordering::Relaxed);
}

pub fn is_v3() -> bool {
    GICH.load(Ordering::Relaxed) == 0
}

/// One plain instruction: a volatile access may be compiled to a form with writeback, which whoever emulates these registers cannot
/// (Arm ARM D24.2.40, ISV). It acquires for the sake of Cortex-A57 (erratum 832075).
fn get(offset: u64) -> u64 {
    let at = GICH.load(Ordering::Relaxed) + offset;
    let value: u64;
    // SAFETY: a register of the interface, mapped by whoever called `use_v2`.
    unsafe { asm!("ldar {0:w}, [{1}]", out(reg) value, in(reg) at, options(nostack, preserves_flags)) };
    value
}

fn set(offset: u64, value: u64) {
    let at = GICH.load(Ordering::Relaxed) + offset;
    // SAFETY: as in `get`.
    unsafe { asm!("str {0:w}, [{1}]", in(reg) value, in(reg) at, options(nostack, preserves_flags)) }
}

macro_rules! list_registers {
    ($($number:literal $name:literal)*) => {
        fn raw(number: usize) -> u64 {
            match number {
                _ if !is_v3() => get(GICH_LR + 4 * number as u64),
                $($number => read!($name),)*
                _ => 0,
            }
        }

        fn set_raw(number: usize, value: u64) {
            match number {
                _ if !is_v3() => set(GICH_LR + 4 * number as u64, value),
                $($number => write!($name, value),)*
                _ => {}
            }
        }
    };
}
list_registers!(0 "S3_4_C12_C12_0" 1 "S3_4_C12_C12_1" 2 "S3_4_C12_C12_2" 3 "S3_4_C12_C12_3" 4 "S3_4_C12_C12_4" 5 "S3_4_C12_C12_5"
    6 "S3_4_C12_C12_6" 7 "S3_4_C12_C12_7" 8 "S3_4_C12_C13_0" 9 "S3_4_C12_C13_1" 10 "S3_4_C12_C13_2" 11 "S3_4_C12_C13_3"
    12 "S3_4_C12_C13_4" 13 "S3_4_C12_C13_5" 14 "S3_4_C12_C13_6" 15 "S3_4_C12_C13_7");

/// How many list registers there are.
pub fn count() -> usize {
    let count = if is_v3() { read!("S3_4_C12_C11_1") & 0x1f } else { get(GICH_VTR) & 0x3f };
    (count as usize + 1).min(MAX_LISTS)
}

pub fn list(number: usize) -> List {
    let raw = raw(number);
    let (intid, state) = if is_v3() { (raw as u32, raw >> 62) } else { (raw as u32 & 0x3ff, raw >> 28 & 3) };
    List { intid, pending: state & 1 != 0, active: state & 2 != 0 }
}

/// Fills a list register, or empties it: with neither pending nor active. `source` is the CPU that a GICv2 names with an SGI. The end of
/// those `with_end` is told by the maintenance interrupt.
pub fn set_list(
    number: usize,
    List { intid, pending, active }: List,
    priority: u8,
    source: u8,
    with_end: bool,
) {
    let state = u64::from(pending) | u64::from(active) << 1;
    let (intid, priority, with_end) = (u64::from(intid), u64::from(priority), u64::from(with_end));
    let value = match state {
        0 => 0,
        _ if is_v3() => state << 62 | 1 << 60 | priority << 48 | with_end << 41 | intid,
        // Group 0, which is the one that a GICv2 without security extensions signals as IRQ.
        _ => state << 28 | (priority >> 3) << 23 | with_end << 19 | u64::from(source) << 10 | intid,
    };
    set_raw(number, value);
}

/// Turns the interface on or off; with `underflow` the maintenance interrupt comes when list registers become free.
pub fn enable(on: bool, underflow: bool) {
    let control = u64::from(on) | u64::from(underflow) << 1;
    if is_v3() { write!("S3_4_C12_C11_0", control) } else { set(GICH_HCR, control) }
}

registers! {
    /// `ICH_VMCR_EL2`, and the active priorities of both groups.
    Control: "S3_4_C12_C11_7" "S3_4_C12_C8_0" "S3_4_C12_C9_0"
}

/// `ICH_VTR_EL2.PREbits`: how many bits of priority are for preemption. With more than five there are more registers.
pub fn preemption_bits() -> u64 {
    if is_v3() { (read!("S3_4_C12_C11_1") >> 26 & 7) + 1 } else { 5 }
}

/// What a vCPU has of the interface while it does not run.
pub struct Interface {
    lists: [u64; MAX_LISTS],
    control: Control,
}

impl Interface {
    pub const NEW: Self = Self { lists: [0; MAX_LISTS], control: Control::NEW };

    /// Takes it off this CPU, which signals nothing then.
    pub fn save(&mut self) {
        enable(false, false);
        isb();
        (0..count()).for_each(|number| self.lists[number] = raw(number));
        match is_v3() {
            true => self.control.save(),
            false => (self.control.0[0], self.control.0[1]) = (get(GICH_VMCR), get(GICH_APR)),
        }
    }

    /// Puts it on this CPU.
    pub fn load(&self) {
        (0..count()).for_each(|number| set_raw(number, self.lists[number]));
        if is_v3() {
            return self.control.load();
        }
        set(GICH_VMCR, self.control.0[0]);
        set(GICH_APR, self.control.0[1]);
    }
}
