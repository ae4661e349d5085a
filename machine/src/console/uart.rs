//! What a console does, with any UART of the table.

use super::model::{Access, Layout, List, Packed, Test};
use super::{ConsoleKind, table};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// How a UART's registers are reached: by the runtime as the hardware's, by tests as those of a device that is simulated.
pub trait Registers {
    /// Reads the register `offset` bytes behind the console's registers, in one access of `width` bytes, which is 1, 2 or 4. With the width 0
    /// it is the debug communications channel: 0 is MDCCSR_EL0, 1 DBGDTRRX_EL0.
    fn read(&self, offset: u32, width: u8) -> u32;

    /// The same for writes; 1 is DBGDTRTX_EL0.
    fn write(&self, offset: u32, width: u8, value: u32);

    /// Looks until `ready` says so, for as long as a byte may take, or once if not `is_patient`; whether it did.
    fn wait(&self, is_patient: bool, ready: impl FnMut() -> bool) -> bool;
}

/// A UART of which nothing is known but its row of the table.
pub struct Uart<R> {
    registers: R,
    row: &'static Packed,
    layout: Layout,
    /// It let the last wait run out: until it is ready again nothing waits for it.
    stuck: AtomicBool,
    /// Bytes that were received in one word with others, the next in the lowest bits, under a 1.
    held: AtomicU32,
}

/// Nothing is held.
const NOTHING: u32 = 1;

impl<R: Registers> Uart<R> {
    /// A UART of this kind, whose registers are `registers`. One that is off is switched on; one that firmware has switched on is not touched.
    pub fn new(kind: ConsoleKind, registers: R) -> Self {
        // Kinds come out of the table: there is a row.
        let row = table::row(kind.row()).unwrap_or(table::first());
        let mut layout = row.layout;
        if let ConsoleKind::Uart8250 { reg_shift, reg_io_width, reg_offset, .. } = kind {
            let width = reg_io_width as u8;
            layout =
                Layout { offset: reg_offset, shift: reg_shift as u8, width, data_width: width, ..layout };
        }
        let uart =
            Self { registers, row, layout, stuck: AtomicBool::new(false), held: AtomicU32::new(NOTHING) };
        if !uart.test(Test::IsOn) {
            uart.steps(List::SwitchOn);
        }
        uart
    }

    /// How its registers are reached.
    pub fn registers(&self) -> &R {
        &self.registers
    }

    fn place(&self, register: u16) -> u32 {
        self.layout.offset.wrapping_add(u32::from(register) << (self.layout.shift & 7))
    }

    fn endian(&self, value: u32) -> u32 {
        if self.layout.is_big_endian { value.swap_bytes() } else { value }
    }

    fn read(&self, register: u16, width: u8) -> u32 {
        self.endian(self.registers.read(self.place(register), width))
    }

    fn write(&self, register: u16, width: u8, value: u32) {
        self.registers.write(self.place(register), width, self.endian(value));
    }

    fn passes(&self, Access { offset, is_not, mask, value }: Access) -> bool {
        // What always passes reads nothing.
        mask == 0 || (self.read(offset, self.layout.width) & mask == value) != is_not
    }

    fn test(&self, test: Test) -> bool {
        self.passes(self.row.test(test))
    }

    fn steps(&self, list: List) {
        let width = self.layout.width;
        for step in self.row.list(list).iter().map(|step| step.access()) {
            if step.is_not {
                if !self.passes(step) {
                    return;
                }
                continue;
            }
            let others = if step.mask == u32::MAX { 0 } else { self.read(step.offset, width) & !step.mask };
            // Without a mask it was only to be read.
            if step.mask != 0 {
                self.write(step.offset, width, others | step.value);
            }
        }
    }

    /// True if it ran out.
    fn wait(&self, test: Test) -> bool {
        // A report on a UART that is stuck must come to its end: only its first byte waits. Relaxed: a hint.
        let is_patient = !self.stuck.load(Ordering::Relaxed);
        let is_ready = self.registers.wait(is_patient, || self.test(test));
        self.stuck.store(!is_ready, Ordering::Relaxed);
        is_patient && !is_ready
    }

    /// Sends a byte, as soon as there is room, or after a bounded wait nevertheless: of two such waits where a command can be given up.
    pub fn send(&self, byte: u8) {
        if self.wait(Test::Room) && !self.row.list(List::Recover).is_empty() {
            self.steps(List::Recover);
            // Relaxed: a hint, as in `wait`. What is given up may take a while to be over.
            self.stuck.store(false, Ordering::Relaxed);
            self.wait(Test::Room);
        }
        self.steps(List::Begin);
        self.write(self.row.send, self.layout.data_width, byte.into());
        self.steps(List::End);
    }

    /// Waits, a bounded time, until everything has left the machine.
    pub fn flush(&self) {
        self.wait(Test::Gone);
    }

    /// Takes a byte that was received, if there is one. One caller at a time.
    pub fn receive(&self) -> Option<u8> {
        // Relaxed: of one caller at a time.
        let held = self.held.load(Ordering::Relaxed);
        if held > NOTHING {
            self.held.store(held >> 8, Ordering::Relaxed);
            return Some(held as u8);
        }
        if !self.test(Test::Waiting) {
            self.steps(List::Settle);
            // What came before the interrupt was ended has no interrupt.
            if !self.test(Test::Waiting) {
                return None;
            }
        }
        let count = self.count();
        let data = self.read(self.row.receive, self.layout.data_width);
        // At most three bytes are left, and the 1.
        let end = 1 << (8 * count);
        self.held.store(((u64::from(data) & (end - 1) | end) >> 8) as u32, Ordering::Relaxed);
        Some(data as u8)
    }

    /// How many bytes the next read gives: 1 to 4.
    fn count(&self) -> u32 {
        let [one, fours @ .., field] = self.row.list(List::Packing) else { return 1 };
        if self.passes(one.access()) {
            return 1;
        }
        if fours.iter().any(|four| self.passes(four.access())) {
            return 4;
        }
        let Access { offset, mask, .. } = field.access();
        let count = (self.read(offset, self.layout.width) & mask) >> (mask.trailing_zeros() & 31);
        if matches!(count, 1..=3) { count } else { 4 }
    }

    /// Whether it interrupts while there is something to read, from now on.
    pub fn interrupt_on_receive(&self, on: bool) {
        if on {
            // What happened before is no reason.
            self.steps(List::Settle);
        }
        self.steps(if on { List::Listen } else { List::Ignore });
    }
}
